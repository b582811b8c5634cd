"""What goes wrong around omni: an error that says so, and nothing left behind.

The disk is full, the user presses Ctrl-C, the helper is killed, what is recorded forks without end.
After each there is no process and no temporary file, and the shell goes on; a process that loads omni
itself has as many descriptors, threads and children as before. Usage: faults.py OMNI.SO"""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import shared
from shared import check, connect

library = os.path.abspath(sys.argv[1])


def mine(folder):
    """Processes that have to do with the folder: by their words, their program or what they have open."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
            words = open(f"/proc/{pid}/cmdline").read().replace("\0", " ")
            places = [os.readlink(f"/proc/{pid}/{name}") for name in ("exe", "cwd")]
        except OSError:
            continue
        if state != "Z" and int(pid) != os.getpid() and any(folder in text for text in [words, *places]):
            found.append(f"{pid} {words}")
    return found


def check_clean(folder, what):
    until = time.monotonic() + 20
    while mine(folder) and time.monotonic() < until:
        time.sleep(0.05)
    check(not mine(folder), f"{what}: left behind: {mine(folder)}")


def shell(folder, lines, after=None):
    """What the sqlite3 shell says; `after` is done with it while it works."""
    process = subprocess.Popen(["sqlite3", ":memory:"], cwd=folder, text=True, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    process.stdin.write(f".load {library} sqlite3_omni_init\n" + "\n".join(lines) + "\n")
    process.stdin.flush()
    if after:
        after(process)
    text, _ = process.communicate("SELECT 'it goes ' || 'on';\n", timeout=60)
    return text


def wait_for(folder, words):
    """The process of the folder with these words, once there is one."""
    for _ in range(600):
        for line in mine(folder):
            if words in line:
                return int(line.split()[0])
        time.sleep(0.02)
    check(False, f"no process with {words}")
    return 0


# ---- this process as the host


def descriptors():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + name))
        except OSError:  # that of the listing itself
            pass
    return sorted(found)


def children(pid):
    """All that come from it, zombies included; keepers have no exit signal, but are children all the same."""
    parents = {}
    for other in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(other)] = int(open(f"/proc/{other}/stat").read().rsplit(")", 1)[1].split()[1])
        except OSError:
            pass
    found = []
    for other in parents:
        at = other
        while at in parents and at != pid:
            at = parents[at]
        if at == pid and other != pid:
            found.append(other)
    return found


def host_faults(folder):
    """What is asked, what the answer says, and what is done meanwhile."""
    spin = f"{folder}/spin"
    calls = f"SELECT count(*) FROM omni_calls('{folder}/q.omni') WHERE func = 'step' AND a0 = -1"

    def kill_helpers():
        for pid in children(os.getpid()):
            try:
                if b"helper" in open(f"/proc/{pid}/cmdline", "rb").read():
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass

    broken = f"{folder}/broken.omni"
    if not os.path.exists(broken):
        shutil.copytree(f"{folder}/q.omni", broken)
        with open(broken + "/events", "r+b") as file:
            file.seek(60)
            file.write(b"\xff" * 40)
    yield "a program that is not there", f"SELECT omni_record('{folder}/none.omni', '{folder}/nothing')", "No such file", None
    yield "a folder that is taken", f"SELECT omni_record('{folder}/q.omni', 'true')", "there is one already", None
    yield "a folder that cannot be", f"SELECT omni_record('{folder}/no/such/place', 'true')", "", None
    yield "a program that shares its memory", f"SELECT omni_record('{folder}/shared.omni', '{folder}/limits', 'shared')", "unsupported", None
    yield "an interrupted recording", f"SELECT omni_record('{folder}/i.omni', '{spin}', 'forever')", "interrupt", "interrupt"
    yield "a killed recorder", f"SELECT omni_record('{folder}/k.omni', '{spin}', 'forever')", "has gone", kill_helpers
    for workers in (1, 2):
        yield f"an interrupted question, {workers} workers", calls, "interrupt", "interrupt"
        # What one of two could not do, one may do alone.
        yield f"a killed helper, {workers} workers", calls, "has gone" if workers == 1 else None, kill_helpers
    yield "an interrupted verify", f"SELECT omni_verify('{folder}/q.omni')", "interrupt", "interrupt"
    yield "a name that is none", f"SELECT * FROM omni_calls('{folder}/q.omni') WHERE func = 'stepp'", "near: step", None
    yield "a moment that is none", f"SELECT * FROM omni_stack('20:1:0x10:1', '{folder}/q.omni')", "", None
    yield "an expression that is none", f"SELECT * FROM omni_eval('50', '1 +', '{folder}/q.omni')", "", None
    yield "no recording", f"SELECT * FROM omni_events('{folder}/nowhere')", "No such file", None
    yield "a broken recording", f"SELECT * FROM omni_calls('{broken}') WHERE func = 'step'", "", None
    yield "a broken recording, read", f"SELECT count(*) FROM omni_events('{broken}')", "", None


def fail(db, folder, query, act):
    """The error that the query ends with, '' when there is none."""
    for name in ("i.omni", "k.omni", "shared.omni", "none.omni"):
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
    shutil.rmtree(f"{folder}/q.omni/answers", ignore_errors=True)
    timer = threading.Timer(0.4, db.interrupt if act == "interrupt" else act) if act else None
    if timer:
        timer.start()
    try:
        db.execute(query).fetchall()
        return ""
    except sqlite3.Error as error:
        return str(error)
    finally:
        if timer:
            timer.join()


def check_host(folder):
    """Nothing is left of a question that failed: not at once, where nothing has to stay, nor when the connection is closed."""
    limits = os.path.join(os.path.dirname(os.path.abspath(__file__)), "subjects", "limits.c")
    subprocess.run(["gcc", "-O1", "-o", folder + "/limits", limits], check=True)
    for name, query, says, act in list(host_faults(folder)):
        before = descriptors()
        db = connect(library)
        counts = []
        for _ in range(3):
            db.execute(f"SELECT omni_workers({2 if '2 workers' in name else 1})").fetchone()
            said = fail(db, folder, query, act)
            check(says is None or (said and says in said), f"{name}: the error is {said!r}")
            check(db.execute("SELECT 1 + 1").fetchone() == (2,), f"{name}: the connection goes on")
            counts.append(len(descriptors()))
        check(counts[2] == counts[0], f"{name}: descriptors grow: {counts} {descriptors()}")
        db.close()
        until = time.monotonic() + 20
        while children(os.getpid()) and time.monotonic() < until:
            time.sleep(0.02)
        check(descriptors() == before, f"{name}: descriptors {set(descriptors()) - set(before)} are left")
        check(not children(os.getpid()), f"{name}: processes are left: {children(os.getpid())}")
        check(threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1, f"{name}: threads are left")
        check(not os.listdir(folder + "/tmp"), f"{name}: files are left: {os.listdir(folder + '/tmp')}")


def main():
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        with open(folder + "/spin.c", "w") as file:
            file.write("#include <unistd.h>\n__attribute__((noinline)) void step(long i) { __asm__ volatile(\"nopw 0(%%rax,%%rax)\\n\\tnopl 0(%%rax)\"::\"r\"(i)); }\n"
                       "int main(int c, char **v) { for (long i = 0; c > 1 || i < 2000000000; i++) { step(i);"
                       " if (i % 50000000 == 0) getppid(); } return v[0] == 0; }\n")
        subprocess.run(["gcc", "-O1", "-o", folder + "/spin", folder + "/spin.c"], check=True)

        os.mkdir(folder + "/tmp")
        os.environ["TMPDIR"] = folder + "/tmp"

        # Ctrl-C while something is recorded that does not end by itself.
        def interrupt_record(process):
            wait_for(folder, "spin forever")
            process.send_signal(signal.SIGINT)
        text = shell(folder, [f"SELECT omni_record('{folder}/r.omni', '{folder}/spin', 'forever');"], interrupt_record)
        check("interrupt" in text, f"Ctrl-C while recording: {text}")
        check_clean(folder, "Ctrl-C while recording")

        # ... and while a question is answered; and a helper that is killed.
        subprocess.run([library, "record", "-o", folder + "/q.omni", "--", folder + "/spin"], check=True, capture_output=True)
        for name, act in (("Ctrl-C", signal.SIGINT), ("a killed helper", signal.SIGKILL)):
            for workers in (1, 2):
                def disturb(process):
                    wait_for(os.path.dirname(library), "omni.so helper")
                    time.sleep(0.5)
                    pids = [int(p) for p in subprocess.run(["ps", "--ppid", str(process.pid), "-o", "pid="], text=True,
                                                           capture_output=True).stdout.split()]
                    if act == signal.SIGINT:
                        process.send_signal(act)
                        return
                    for keeper in pids:
                        for pid in subprocess.run(["ps", "--ppid", str(keeper), "-o", "pid="], text=True,
                                                  capture_output=True).stdout.split():
                            os.kill(int(pid), act)
                shutil.rmtree(folder + "/q.omni/answers", ignore_errors=True)
                text = shell(folder, [f"SELECT omni_workers({workers}), omni_use('{folder}/q.omni');",
                                      "SELECT 'rows', count(*) FROM omni_calls WHERE func = 'step' AND a0 = -1;"], disturb)
                said = "interrupt" in text or "has gone" in text or "rows|0" in text
                check(said and "rows" not in text.replace("rows|0", ""), f"{name}, {workers} workers: {text}")
                if act == signal.SIGKILL:  # Ctrl-C ends a shell whose input is no terminal
                    check("it goes on" in text, f"{name}: the shell does not go on: {text}")
                check_clean(folder, name)

        check_host(folder)

        # A full disk.
        small = folder + "/small"
        os.mkdir(small)
        command = f"mount -t tmpfs -o size=256k none {small} && exec {library} record -o {small}/d.omni -- dd if=/dev/urandom of=/dev/null bs=4096 count=2000"
        done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, timeout=120)
        if "mount" in done.stderr or "unshare" in done.stderr:
            print("# no permission to mount: the full disk is not tried")
        else:
            check(done.returncode != 0 and "No space left" in done.stderr, f"full disk: {done.returncode} {done.stderr}")
        check_clean(folder, "full disk")

        # Children without end: the recorder is ended from outside, and with it all of them.
        bomb = "n() { sh -c 'echo $0 > /dev/null; sleep 0.01' & }; while :; do n; done"
        process = subprocess.Popen([library, "record", "-o", folder + "/b.omni", "--", "sh", "-c", bomb + " # " + folder],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        time.sleep(2)
        process.kill()
        process.wait()
        check_clean(folder, "children without end")
        done = subprocess.run([library, "verify", folder + "/b.omni"], capture_output=True, text=True, timeout=120)
        check(done.returncode == 0 and "up to where the recorder stopped" in done.stdout,
              f"what the killed recorder left: {done.stdout} {done.stderr}")
        check_clean(folder, "verifying that")
        check(not os.listdir(folder + "/tmp"), f"files left: {os.listdir(folder + '/tmp')}")
    print(f"# {shared.failures} not as they should be")
    sys.exit(shared.failures > 0)


main()
