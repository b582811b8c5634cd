"""gdb at a moment of a recording, compared with omni's own tables and with gdb in the program itself.

gdb speaks to `omni shell DIR --gdb MOMENT` (extensions/omni/stub.c). Then what no gdb would send: wrong
sums, lengths that cannot be, packets without end, a pipe that closes. Usage: gdb.py OMNI.SO [SEED]"""
import os
import random
import re
import subprocess
import sys
import tempfile

import shared
from shared import check, connect

library = os.path.abspath(sys.argv[1])
seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "subjects", "remote.c")


def gdb(commands, target, program=None):
    """What gdb prints after each of the commands."""
    argv = ["gdb", "-nx", "-q", "-batch", "-ex", "set width 0", "-ex", "set confirm off", "-ex", "set debuginfod enabled off"]
    if program:
        argv += [program, "-ex", "set startup-with-shell off", "-ex", "set args"]
    for command in target:
        argv += ["-ex", command]
    for i, command in enumerate(commands):
        argv += ["-ex", f"echo @{i}@\\n", "-ex", command]
    argv += ["-ex", f"echo @{len(commands)}@\\n"]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=300,
                          stdin=subprocess.DEVNULL)
    parts = re.split(r"^@\d+@$", done.stdout, flags=re.M)[1:]
    parts += [""] * (len(commands) - len(parts))
    return [part.strip() for part in parts], done.stdout


def remote(folder, moment, commands):
    return gdb(commands, [f"target remote | {library} shell {folder}/run.omni --gdb {moment}"])


# ---- what stands still

LOOK = ["bt", "info args", "print nodes", "print total", "print *node", "x/6i $pc", "ptype struct node", "print weigh",
        "info symbol $pc", "info line", "up", "info locals"]
NAMES = "rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip eflags fs_base gs_base".split()


def without_stack(text):
    """Addresses of the stack are where the environment puts them."""
    return re.sub(r"0x7ff[0-9a-f]+", "STACK", text).replace("target:", "")


def compare_with_program(folder, db):
    """The n-th call of weigh, in the recording and in the program run by gdb."""
    moments = [row[0] for row in db.execute("SELECT moment FROM omni_calls WHERE func = 'weigh' AND a1 < 10 ORDER BY seq LIMIT 4")]
    check(len(moments) == 4, f"calls of weigh: {moments}")
    for n, moment in enumerate(moments):
        here, text = remote(folder, moment, LOOK)
        there, other = gdb(LOOK, ["break *weigh", f"ignore 1 {n}", "run"], folder + "/remote")
        for command, a, b in zip(LOOK, here, there):
            check(a and without_stack(a) == without_stack(b), f"call {n}, {command}: {a!r} where the program has {b!r}: {text} {other}")


def compare_with_tables(folder, db):
    moments = [row[0] for row in db.execute(
        "SELECT moment FROM omni_calls WHERE func IN ('weigh', 'mix', 'work') OR func GLOB 'getppid*' ORDER BY seq")]
    check(len(moments) >= 10, f"moments: {moments}")
    for moment in moments[::2]:
        commands = [f"printf \"%lx\\n\", ${name}" for name in NAMES] + ["bt", "x/64xb $sp", "info threads", "print total",
                                                                       "print $xmm3.uint128", "info sharedlibrary"]
        said, text = remote(folder, moment, commands)
        told = dict(db.execute("SELECT name, value FROM omni_regs(?)", (moment,)))
        for name, value in zip(NAMES, said):
            check(value == f"{told[name] & (1 << 64) - 1:x}", f"{moment}: {name} is {value}, not {told[name]:x}: {text}")
        rest = said[len(NAMES):]
        functions = re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(?:__GI_)?(\S+) \(", rest[0], flags=re.M)
        stack = [row[0] for row in db.execute("SELECT func FROM omni_stack(?)", (moment,))]
        check(functions and functions == stack[:len(functions)], f"{moment}: stack {functions}, not {stack}")
        data = db.execute("SELECT data FROM omni_mem(?, ?, 64)", (moment, told["rsp"])).fetchone()[0]
        seen = bytes(int(word, 16) for word in re.findall(r"\t0x([0-9a-f]{2})", rest[1]))
        check(seen == data, f"{moment}: memory {rest[1]}, not {data!r}")
        at, tid = moment.split(":")[:2]
        threads = set(re.findall(r"Thread (\d+)\.(\d+)", rest[2]))
        check(any(thread == tid for _, thread in threads), f"{moment}: threads {rest[2]}")
        value = db.execute("SELECT value FROM omni_eval(?, 'total')", (moment,)).fetchone()[0]
        check(rest[3].endswith(f"= {value}"), f"{moment}: total is {rest[3]}, not {value}")
        vector = int.from_bytes(told["xmm3"], "little")
        check(rest[4].endswith(f"= {vector}"), f"{moment}: xmm3 is {rest[4]}, not {vector}")
        check("libc.so.6" in rest[5] and "Yes" in rest[5], f"{moment}: libraries {rest[5]}")


def check_refusals(folder, db):
    moment = db.execute("SELECT moment FROM omni_calls WHERE func = 'mix'").fetchone()[0]
    said, text = remote(folder, moment, ["print total = 5", "print total", "set var $rax = 1", "print $rax", "monitor moment", "monitor help"])
    check("= 5" not in said[1], f"memory was written: {text}")
    check("Could not write" in text or "Cannot" in text, f"writing is not refused: {text}")
    check(said[3] != "$2 = 1", f"a register was written: {text}")
    check(said[4] == moment, f"monitor moment: {said[4]}, not {moment}")
    check("monitor moment" in said[5], f"monitor help: {said[5]}")
    for words, error in ((["--gdb"], "wants a moment"), (["--gdb", "x"], "a moment is"), (["--gdb", "99999999"], "no event"),
                         (["--gdb", moment, "-q"], "without a terminal")):
        done = subprocess.run([library, "shell", folder + "/run.omni"] + words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
        check(done.returncode in (1, 2) and error in done.stderr and not done.stdout, f"{words}: {done}")


# ---- what no gdb says

def packet(payload):
    return b"$" + payload + b"#%02x" % (sum(payload) & 255)


def hostile(rng):
    """Bytes that may be anything."""
    words = [b"?", b"g", b"G00", b"p", b"p0", b"pffffffffffffffffff", b"m0,1", b"m7ffffffff000,ffffffffffffffff", b"mffffffffffffffff,ffff",
             b"M0,1:00", b"X0,1:x", b"Hg-1", b"Hg0", b"Hgp1.1", b"Hc", b"H", b"Tp1.1", b"T", b"T7fffffffffff", b"qSupported:multiprocess+",
             b"qSupported", b"qXfer:features:read:target.xml:0,10", b"qXfer:features:read:target.xml:ffffffffffffffff,ffffffffffffffff",
             b"qXfer:auxv:read::0,1000", b"qXfer:exec-file:read:zz:0,0", b"qXfer:", b"qXfer:auxv:read:", b"qC", b"qfThreadInfo", b"qsThreadInfo",
             b"vFile:open:2f62696e2f7368,0,0", b"vFile:open:,,", b"vFile:open:" + b"2e" * 9000 + b",0,0", b"vFile:pread:0,ffffffff,0",
             b"vFile:pread:0,10,ffffffffffffffff", b"vFile:pread:ffffffff,1,1", b"vFile:close:0", b"vFile:close:ff", b"vFile:fstat:0", b"vFile:",
             b"vFile:unlink:41", b"vCont", b"vCont?", b"vCont;c", b"vCont;s:p1.1", b"vCont;zz:", b"vCont;r0,ffffffffffffffff", b"vMustReplyEmpty", b"Z0,0,1",
             b"Z0,ffffffffffffffff,1", b"Z2,0,ffffffffffffffff", b"Z9", b"z0,0,1", b"z2,0,8", b"qRcmd,", b"qRcmd,zz", b"qRcmd,6d6f6d656e74", b"QPassSignals:", b"QPassSignals:ff;zz;;",
             b"bs", b"bc", b"s", b"QStartNoAckMode", b"qThreadExtraInfo,p1.1"]
    kind = rng.randrange(10)
    if kind < 5:
        return packet(rng.choice(words))
    if kind == 5:  # one byte is another
        word = bytearray(rng.choice(words))
        word[rng.randrange(len(word))] = rng.randrange(256)
        return b"$" + bytes(word) + b"#" + b"%02x" % rng.randrange(256)
    if kind == 6:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(200)))
    if kind == 7:
        return rng.choice([b"-", b"+", b"\x03", b"$$$$#00", b"$#00", b"#", b"}", b"$}#", b"$?#zz", b"$g"]) * rng.randrange(1, 4)
    if kind == 8:
        return packet(rng.choice(words) + b";" * rng.randrange(300000))
    return packet(rng.choice(words)[:rng.randrange(1, 8)])


def processes(folder):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline").read()
            state = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if folder in words and state != "Z" and int(pid) != os.getpid():
            found.append(f"{pid} {words}")
    return found


def check_hostile(folder, moment, rounds):
    for i in range(rounds):
        rng = random.Random(seed * 1000 + i)
        process = subprocess.Popen([library, "shell", folder + "/run.omni", "--gdb", moment], stdin=subprocess.PIPE,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(rng.randrange(1, 100)):
                process.stdin.write(hostile(rng))
            process.stdin.flush()
            process.stdin.close()
        except BrokenPipeError:
            pass
        try:
            status = process.wait(timeout=120)
        except subprocess.TimeoutExpired:
            status = "none: it goes on"
            process.kill()
        check(status in (0, 1), f"hostile bytes, seed {seed} round {i}: status {status}")
    # The reader goes first; the writer goes in the middle of a packet.
    reader = subprocess.Popen([library, "shell", folder + "/run.omni", "--gdb", moment], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    reader.stdout.close()
    reader.stdin.write(packet(b"g") * 100)
    reader.stdin.flush()
    check(reader.wait(timeout=60) == 0, "the reader has gone")
    reader.stdin.close()
    done = subprocess.run([library, "shell", folder + "/run.omni", "--gdb", moment], input=b"$m0,", capture_output=True, timeout=60)
    check(done.returncode == 0 and not done.stdout, f"half a packet: {done}")
    done = subprocess.run([library, "shell", folder + "/run.omni", "--gdb", moment], input=b"$?#00" + packet(b"?"), capture_output=True, timeout=60)
    check(done.stdout.startswith(b"-+$T05"), f"a wrong sum: {done}")
    check(not processes(folder), f"left behind: {processes(folder)}")


def main():
    with tempfile.TemporaryDirectory(prefix="gdb-") as folder:
        subprocess.run(["gcc", "-g", "-O0", "-pthread", "-o", folder + "/remote", SOURCE], check=True)
        subprocess.run([library, "record", "-o", folder + "/run.omni", "--", folder + "/remote"], check=True, capture_output=True)
        db = connect(library)
        db.execute("SELECT omni_use(?)", (folder + "/run.omni",))
        compare_with_program(folder, db)
        compare_with_tables(folder, db)
        check_refusals(folder, db)
        check_hostile(folder, db.execute("SELECT moment FROM omni_calls WHERE func = 'mix'").fetchone()[0], 20)
        db.close()
    print(f"# {shared.compared} comparisons, {shared.failures} not as they should be; hostile bytes by seed {seed}")
    sys.exit(shared.failures > 0 or shared.compared < 100)


main()
