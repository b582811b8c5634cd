"""Broken variants of multiverse, each of which a named test has to catch.

    python3 test/multiverse/mutants.py BUILD

Each changes one place of a source file, whose text must be there exactly once; the file is compiled
as the build compiles it, and linked with the other objects of the build into a library of its own.
The test then runs with that library and must fail; with the library as it is it must not, which the
test suite shows.
"""
import os
import shlex
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = "extensions/multiverse/"

NONINTERFERENCE = ["test-multiverse-noninterference", "40000", "100", "1"]
ORACLE = ["test-multiverse-oracle", "10000", "10", "1"]
WRITES = ["test-multiverse-writes", "30000", "1", "1"]
FLIGHT = ["test-multiverse-flight"]
NOISE = [sys.executable, "test/multiverse/noise_oracle.py", None, "3000", "1"]


def fixture(name):
    return ["sqltest", "--extensions", None, f"fixtures/multiverse/{name}.sql"]


# What is broken, where, the text and what it becomes, and who finds it.
MUTANTS = [
    ("a rule that surely applies is dropped", "meaning.c",
     "      if (truth == TRUTH_FALSE) continue;\n      text_cut(pen->out, start);",
     "      if (truth != TRUTH_TEXT) continue;\n      text_cut(pen->out, start);", ORACLE),
    ("an exception to a rule is forgotten", "meaning.c",
     "  if (!rule->has_unless) return write_condition(pen, &rule->when);",
     "  return write_condition(pen, &rule->when);", ORACLE),
    ("memberships of an earlier state of the database are kept", "sync.c",
     "  for (int i = 0; i < policy_sets(state->policy); i++) state->universe->sets[i].loaded = false;",
     "  (void)state;", WRITES),
    ("rows that everybody sees are counted among the user's own, too", "seek.c",
     'seen == TRUTH_FALSE ? "1" : " IS NOT TRUE"', 'seen == TRUTH_FALSE ? "1" : " IS NOT 2"',
     fixture("counting")),
    ("counts by memberships of an earlier state are kept", "counted.c",
     "  if (version != shadow->state->file_version) return false;\n", "", fixture("counting")),
    ("a NULL in a list is forgotten", "member.c", "? 1 : -set->null", "? 1 : 0",
     fixture("lists")),
    ("INSERT into ordinary tables", "guard.c",
     "    return !state->policy->blinded && !accessor && database && is_shown(state, a, database, NULL);",
     "    return true;", fixture("attacks")),
    ("a CTE's name stands for any table", "guard.c",
     "  bool taken = !n || map_get(&state->taken, lower, n);", "  bool taken = false;",
     fixture("traces")),
    ("other statements may be running", "enter.c", "  if (busy > 1) {", "  if (busy > 1000) {", FLIGHT),
    ("a second look at programs is not taken", "veto.c",
     "        return true;\n      }\n    }", "        return false;\n      }\n    }",
     fixture("attacks")),
    ("rows come in the order of an index over what is rewritten", "order.c",
     "    if (strstr(detail, index->name) && is_telling(shadow, index, plan)) return true;", "",
     fixture("traces")),
    ("rows come by the rule that shows them", "order.c",
     '  if (!strcmp(detail, "MULTI-INDEX OR")) return true;', "", fixture("traces")),
    ("the same, by chance", "order.c", "    *out |= top && ", "    *out |= false && ", NONINTERFERENCE),
    ("changes() tells of those before", "enter.c",
     "  const bool ok = query_run(db, sql, fault);\n  sqlite3_free(sql);\n  if (ok) sqlite3_set_last",
     "  const bool ok = true;\n  sqlite3_free(sql);\n  if (ok) sqlite3_set_last", NONINTERFERENCE),
    ("a cell that is not shown can be set", "write.c", "    if (rewritten && !same) {",
     "    if (false) {", WRITES),
    ("what is shown cannot be written back", "write.c", "    const bool same = rewritten && values_are_same(shown, given);",
     "    const bool same = false && values_are_same(shown, given);", fixture("writing")),
    ("a new row need not be seen", "write.c",
     "  if (ok && !judgement.seen) ok = denied(fault, \"the row would not be seen by who inserts it\");",
     "", WRITES),
    ("update rules ask about the old row alone", "write.c",
     "judge_new(shadow, ACTION_UPDATE, change->values, &judgement, fault) &&", "", WRITES),
    ("the columns of an update do not matter", "write.c",
     "      may |= judgement->rules[n] && (!rule->columns || rule->columns[i]);",
     "      may |= judgement->rules[n];", WRITES),
    ("a statement that fails is half undone", "write.c",
     "  if (!reach_journal(shadow, fault)) return false;", "", WRITES),
    ("noise does not know which ticks it is of", "count_noise.c",
     "  memcpy(at + 2 * WORD_BYTES, node->nonce, NONCE_BYTES);",
     "  memset(at + 2 * WORD_BYTES, 0, NONCE_BYTES);", NOISE),
    ("what is deleted stays counted", "count_tally.c", "SET n = n - 1 WHERE", "SET n = n - 0 WHERE", NOISE),
    ("what REPLACE deletes by another key stays counted", "count_triggers.c",
     "  if (ok && inserted.count) {", "  if (false) {", NOISE),
    ("a unit counts as often as it likes", "count_triggers.c", '" AND u.used >= %lld) ON',
     '" AND u.used >= 99 * %lld) ON', NOISE),
    ("counts are read in a transaction that writes", "count_table.c", '"main") == SQLITE_TXN_WRITE',
     '"main") > SQLITE_TXN_WRITE', fixture("noise_attacks")),
    ("noise is that of another tick", "count_table.c", "noise_nodes(tick, noise->nodes)",
     "noise_nodes(tick + (tick > 9), noise->nodes)", NOISE),
]


def commands(build):
    text = subprocess.run(["ninja", "-C", build, "-t", "commands", "multiverse.so"], check=True,
                          capture_output=True, text=True).stdout
    return [shlex.split(line) for line in text.splitlines() if line.strip()]


def run(words, build, environment=None):
    return subprocess.run(words, cwd=build, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=600)


def build_mutant(build, lines, scratch, name, before, after):
    """The library's folder, or what went wrong."""
    with open(os.path.join(ROOT, FOLDER, name), encoding="utf-8") as file:
        text = file.read()
    if text.count(before) != 1:
        return None, f"the text to replace is there {text.count(before)} times"
    source = os.path.join(scratch, name)
    with open(source, "w", encoding="utf-8") as file:
        file.write(text.replace(before, after))
    compile_line = next(line for line in lines if line[-1].endswith(FOLDER + name))
    old = compile_line[compile_line.index("-o") + 1]
    new = os.path.join(scratch, name + ".o")
    words = compile_line[:-1] + [source, "-Wno-error", "-w", "-O1"]
    words = [word for word in words if word != "-Werror"]
    words[words.index("-o") + 1] = new
    for flag in ("-MQ", "-MF"):
        words[words.index(flag) + 1] = new + ".d"
    link = [new if word == old else word for word in lines[-1]]
    link[link.index("-o") + 1] = os.path.join(scratch, "multiverse.so")
    for step in (words, link):
        done = run(step, build)
        if done.returncode:
            return None, done.stdout[-1500:]
    return scratch, None


def run_test(build, test, library):
    """The first thing that it finds, or None."""
    program = [os.path.join(build, "test", test[0])] + [word or library for word in test[1:]]
    done = subprocess.run(program, cwd=ROOT, env=dict(os.environ, TENFOLD_BUILD=library),
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=600)
    found = [line for line in done.stdout.splitlines() if not line.startswith("ok")]
    return (found or ["it ends with an error"])[0] if done.returncode else None


def main():
    build = os.path.abspath(sys.argv[1])
    only = sys.argv[2] if len(sys.argv) > 2 else ""
    lines = commands(build)
    failed = 0
    for number, (what, name, before, after, test) in enumerate(MUTANTS, 1):
        if only not in what:
            continue
        with tempfile.TemporaryDirectory(prefix="tenfold-mutant-") as scratch:
            library, problem = build_mutant(build, lines, scratch, name, before, after)
            found = run_test(build, test, library) if library else None
            if library and not found:
                problem = f"{test[0]} finds nothing"
        failed += problem is not None
        print(f"{'not ok' if problem else 'ok'} {number} - {what}, found by {os.path.basename(test[0])}", flush=True)
        print("# " + (problem or found).replace("\n", "\n# ")[:600], flush=True)
    print(f"1..{len(MUTANTS)}")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
