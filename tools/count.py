"""One line for everything that ran: `N passed, N failed[, N skipped]`.

usage: count.py (BUILD_FOLDER | FILE.tap)...

A program that speaks TAP counts case by case; any other is one case. A program that ends badly
without saying which case failed is one failure. Failures and the reasons of skips are listed.
"""
import json
import pathlib
import re
import sys

RESULT = re.compile(r"^(not ok|ok)\b[ \t]*\d*(.*)$")
SKIP = re.compile(r"#\s*skip\S*\s*(.*)$", re.IGNORECASE)


class Count:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, [], []

    def tap(self, where, text):
        """Count the TAP results in the text; how many there were, and how many of them bad."""
        seen = bad = 0
        for line in text.splitlines():
            match = RESULT.match(line)
            if not match:
                continue
            seen += 1
            word, name = match.group(1), match.group(2).strip(" -")
            skip = SKIP.search(name)
            if skip:
                self.skipped.append(f"{where}: {skip.group(1) or 'no reason given'}")
            elif word == "ok":
                self.passed += 1
            else:
                bad += 1
                self.failed.append(f"{where}: {name}")
        return seen, bad

    def test(self, where, entry):
        """One entry of meson's log."""
        output, result = entry.get("stdout") or "", entry["result"]
        seen, bad = self.tap(where, output)
        if result == "SKIP" and not seen:
            lines = [line for line in output.splitlines() if line.strip()]
            self.skipped.append(f"{where}: {lines[-1] if lines else 'no reason given'}")
        elif result not in ("OK", "EXPECTEDFAIL", "SKIP"):
            if not bad:
                self.failed.append(f"{where}: {result.lower()}, status {entry.get('returncode')}")
        elif not seen:
            self.passed += 1

    def build(self, folder):
        log = pathlib.Path(folder) / "meson-logs" / "testlog.json"
        if not log.exists():
            self.failed.append(f"{folder}: its tests did not run")
            return
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            self.test(f"{folder}: {entry['name']}", entry)


def main(places):
    count = Count()
    for place in places:
        if place.endswith(".tap"):
            path = pathlib.Path(place)
            seen, _ = count.tap(path.parent.name, path.read_text() if path.exists() else "")
            if not seen:
                count.failed.append(f"{place}: no results")
        else:
            count.build(place)
    for reason in count.skipped:
        print(f"skipped: {reason}")
    for name in count.failed:
        print(f"FAILED: {name}")
    line = f"{count.passed} passed, {len(count.failed)} failed"
    print(line + (f", {len(count.skipped)} skipped" if count.skipped else ""))
    return 1 if count.failed or not count.passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
