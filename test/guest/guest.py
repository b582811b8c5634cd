"""Verbs where there is a card: two guests of QEMU with Debian's kernel and rdma_rxe, which makes a
card of a network interface. No acceleration is needed.

    guest.py BUILD_FOLDER GUEST_FOLDER [--keep FOLDER]

The client's guest has a server of its own, and reaches the other guest's over a cable between the
two (init.sh says what is looked at). When it reads there, the other guest is killed. Results are
TAP; what was measured stands in `#` lines. GUEST_FOLDER is what tools/unpack.sh has made. Without
it, or without QEMU, the one result is a skip with the reason. With --keep the guests' consoles stay.
"""
import argparse
import ctypes
import pathlib
import re
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 400  # seconds, on a machine that does other things as well; 40 when it does not
WANTED = ["crc32_generic", "rdma_rxe", "rdma_ucm", "virtio_pci", "virtio_net"]
PLACE, SECRET = "verbs:10.9.9.2:7877", ", secret_file='/secret'"
COLUMNS = "id INTEGER PRIMARY KEY, n INTEGER, s TEXT(16)"
SQL = """
WITH RECURSIVE i(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM i WHERE x < 300)
INSERT INTO t SELECT x * 7919 % 1009, x, 'row ' || x FROM i;
SELECT count(*), sum(n), min(id), max(id) FROM t;
SELECT * FROM t WHERE id IN (1, 500, 700, 1008) ORDER BY id;
SELECT id, s FROM t WHERE id BETWEEN 100 AND 200 ORDER BY id DESC LIMIT 9;
BEGIN;
UPDATE t SET n = n + 1000 WHERE id < 300;
INSERT INTO t VALUES (5000, 1, 'a text that is longer than its room');
SAVEPOINT a;
DELETE FROM t WHERE id > 400;
SELECT count(*) FROM t;
ROLLBACK TO a;
COMMIT;
SELECT count(*), sum(n), total(length(s)) FROM t;
BEGIN;
DELETE FROM t;
ROLLBACK;
INSERT OR IGNORE INTO t VALUES (5000, 2, 'twice'), (5001, 3, 'once');
REPLACE INTO t VALUES (5001, 4, 'again');
SELECT * FROM t WHERE id = 5000;
DELETE FROM t WHERE n % 3 = 0;
SELECT id, n, s FROM t ORDER BY id;
"""
STRUCTURES = """
CREATE VIRTUAL TABLE temp.jobs USING far_queue(payload TEXT(20), prio INTEGER, at='PLACE', length=10{});
CREATE VIRTUAL TABLE temp.hist USING far_vector(n INTEGER NOT NULL, name TEXT(8), at='PLACE', length=100{});
CREATE VIRTUAL TABLE temp.lat USING far_histogram(at='PLACE', buckets=4, low=0, high=10, windows=3{});
INSERT INTO jobs VALUES ('a', 1), ('b', NULL), ('"c"', 3);
SELECT payload, prio FROM jobs;
SELECT far_pop('jobs'), far_pop('jobs') ->> 'payload';
INSERT INTO jobs SELECT 'job ' || value, value FROM json_each('[1,2,3,4,5]');
SELECT value FROM far_take('jobs', 4);
SELECT far_pop('jobs', 5), far_pop('jobs');
UPDATE hist SET n = i * 2, name = 'no ' || i WHERE i BETWEEN 3 AND 6;
SELECT i, n, name FROM hist WHERE n > 0 ORDER BY i DESC;
SELECT far_add_at('hist', 7, 5), far_add_at('hist', 7, -1, 'n'), sum(n) FROM hist;
SELECT far_observe('lat', 0), far_observe('lat', 9.99), far_observe('lat', 5, 3), far_turn('lat');
SELECT window, bucket, count FROM lat WHERE count > 0;
SELECT far_add('hits', 5, 'PLACE'), far_add('hits', -2, 'PLACE');
SELECT far_lock('lock', 'PLACE', 100), far_unlock('lock', 'PLACE');
"""


class Skip(Exception):
    pass


# ---- what a guest finds


def closure(programs):
    """Programs and the libraries that they are linked with, by the paths they are looked for at."""
    found = {}
    for there, here in programs.items():
        found[there] = here
        lines = subprocess.run(["ldd", here], capture_output=True, text=True, check=False).stdout
        for path in re.findall(r"(/\S+)", lines):
            found[path.rstrip(":")] = pathlib.Path(path.rstrip(":"))
    return found


def one(patterns, what):
    for pattern in patterns:
        for path in sorted(pathlib.Path("/").glob(pattern.lstrip("/"))):
            return path
    raise Skip(f"there is no {what}")


def module_order(folder):
    """Files of the wanted modules and of what they need, each behind what it needs."""
    files = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    order = []

    def visit(name):
        if name not in files:
            return  # it is part of the kernel
        needs = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for other in filter(None, (needs.group(1).decode() if needs else "").split(",")):
            visit(other.replace("-", "_"))
        if files[name] not in order:
            order.append(files[name])

    for name in WANTED:
        if name not in files and name.startswith("rdma"):
            raise Skip(f"this kernel has no {name}")
        visit(name)
    return order


def scripts():
    far = (f".load /far\nCREATE VIRTUAL TABLE temp.t USING far_map({COLUMNS}, at='{PLACE}'{SECRET});"
           "\n")
    return {
        "far.sql": far + SQL,
        "plain.sql": f"CREATE TABLE t({COLUMNS});\n" + SQL,
        "rounds.sql": far + "CREATE TEMP TABLE before AS SELECT rounds FROM far_stats;\n"
                            "SELECT count(*) FROM t WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8);\n"
                            "SELECT 'rounds ' || (s.rounds - b.rounds) FROM far_stats s, before b;\n",
        "missing.sql": far + "CREATE VIRTUAL TABLE temp.u USING far_map(id INTEGER PRIMARY KEY, "
                             "at='shm:here');\nINSERT INTO u VALUES (4);\n"
                             "SELECT 'still ' || id || ' here' FROM u;\n",
        "shm.sql": ".load /far\n" + STRUCTURES.format("", "", "").replace("PLACE", "shm:others"),
        "verbs.sql": ".load /far\n" + STRUCTURES.format(*[SECRET] * 3).replace("PLACE", PLACE),
        "secret": "secret\n",
    }


def contents(build, unpacked):
    """Path in the guest: bytes and mode."""
    libraries = [one([f"/usr/lib/*/{name}", f"/lib/*/{name}"], name)
                 for name in ("librdmacm.so.1", "libibverbs.so.1", "libgcc_s.so.1",
                              "libibverbs/librxe-rdmav*.so")]
    programs = {
        "/bin/busybox": unpacked / "bin/busybox",
        "/bin/farmemd": build / "farmemd",
        "/bin/test-remote-map": build / "test/test-remote-map",
        "/bin/test-remote-linear": build / "test/test-remote-linear",
        "/bin/guest-verbs": build / "test/guest-verbs",
        "/bin/sqlite3": one(["/usr/bin/sqlite3"], "sqlite3 shell"),
        "/usr/bin/rdma": one(["/usr/bin/rdma", "/sbin/rdma", "/bin/rdma"], "rdma (iproute2)"),
        "/far.so": build / "far.so",
        **{str(path): path for path in libraries},
    }
    files = {path: (here.read_bytes(), 0o755) for path, here in closure(programs).items()}
    modules = module_order(unpacked / "lib/modules")
    files["/modules/order"] = ("".join(f"{path.name}\n" for path in modules).encode(), 0o644)
    for path in modules:
        files[f"/modules/{path.name}"] = (path.read_bytes(), 0o644)
    files["/init"] = ((HERE / "init.sh").read_bytes(), 0o755)
    files["/librdmacm"] = (f"{libraries[0]}\n".encode(), 0o644)
    files["/etc/libibverbs.d/rxe.driver"] = (b"driver rxe\n", 0o644)
    for name, text in scripts().items():
        files[f"/{name}"] = (text.encode(), 0o600)
    return files


def archive(files, out):
    """An initramfs: cpio, "newc", which a kernel unpacks faster when it is not compressed."""
    folders = {str(parent) for path in files for parent in pathlib.PurePath(path).parents}
    folders |= {"/proc", "/sys", "/dev", "/dev/shm", "/tmp"}
    entries = [(path, b"", stat.S_IFDIR | 0o755) for path in sorted(folders - {"/"})]
    entries += [(path, body, stat.S_IFREG | mode) for path, (body, mode) in sorted(files.items())]
    entries.append(("/TRAILER!!!", b"", 0))
    with open(out, "wb") as file:
        for number, (path, body, mode) in enumerate(entries, 1):
            name = path[1:].encode() + b"\0"
            fields = [number, mode, 0, 0, 1, 0, len(body), 0, 0, 0, 0, len(name), 0]
            file.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
            file.write(b"\0" * (-file.tell() % 4) + body)
            file.write(b"\0" * (-file.tell() % 4))


# ---- guests


def die_with_us():
    """Whatever ends this program ends its guests."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG


class Guest:
    def __init__(self, role, number, kernel, initrd, cable, folder):
        self.role = role
        self.log = open(folder / f"{role}.log", "wb")
        self.rest = b""
        # erms, fsrm: the kernel would copy by bytes, and this processor is not a real one, which
        # does not tear words for all that.
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi",
             "-cpu", "max,erms=off,fsrm=off", "-m", "384", "-smp", "2", "-display", "none",
             "-nodefaults", "-serial", "stdio", "-no-reboot", "-kernel", kernel, "-initrd", initrd,
             "-append", "console=ttyS0 panic=-1 quiet mitigations=off nokaslr tsc=reliable "
                        f"rdinit=/init role={role}",
             "-netdev", f"socket,id=cable,fd={cable.fileno()}",
             "-device", f"virtio-net-pci,netdev=cable,mac=52:54:00:00:09:0{number},romfile="],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=die_with_us, pass_fds=[cable.fileno()])
        cable.close()

    def lines(self):
        """What it has printed since; None at its end."""
        some = self.process.stdout.read1(65536)
        self.log.write(some)
        self.log.flush()
        self.rest += some
        *whole, self.rest = self.rest.split(b"\n")
        return [line.decode(errors="replace").strip("\r") for line in whole] if some else None

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def run(folder, kernel, initrd):
    """Lines of the client's console."""
    guests, said = [], []
    deadline = time.monotonic() + LIMIT
    try:
        for number, cable in enumerate(socket.socketpair(), 1):
            role = "memory" if number == 1 else "client"
            guests.append(Guest(role, number, kernel, initrd, cable, folder))
        with selectors.DefaultSelector() as ready:
            for guest in guests:
                ready.register(guest.process.stdout, selectors.EVENT_READ, guest)
            while time.monotonic() < deadline:
                for key, _ in ready.select(1):
                    lines = key.data.lines()
                    if lines is None:
                        ready.unregister(key.fileobj)
                        if key.data.role == "client":
                            return said
                    elif key.data.role == "client":
                        said += lines
                        if "watching" in lines:
                            guests[0].process.kill()
                    else:
                        said += [line for line in lines if line.startswith("not ok")]
        return said + [f"not ok - the guests were still running after {LIMIT} s"]
    finally:
        for guest in guests:
            guest.end()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("unpacked", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path)
    options = parser.parse_args()
    folder = options.keep or pathlib.Path(tempfile.mkdtemp(prefix="tenfold-guest-"))
    folder.mkdir(exist_ok=True)
    done = 0
    begun = time.monotonic()
    try:
        if not shutil.which("qemu-system-x86_64"):
            raise Skip("there is no qemu-system-x86_64")
        kernels = sorted(options.unpacked.glob("boot/vmlinuz-*"))
        if not kernels or not (options.unpacked / "bin/busybox").exists():
            raise Skip(f"there is no kernel in {options.unpacked}: ./run setup test loads it")
        if not (options.build / "test/guest-verbs").exists():
            raise Skip("it was built without rdma/rdma_cma.h (librdmacm-dev)")
        archive(contents(options.build, options.unpacked), folder / "initrd")
        said = run(folder, kernels[-1], folder / "initrd")
        failed = [line for line in said if line.startswith("not ok")]
        for line in said:
            if re.match(r"(not )?ok\b", line):
                done += 1
                line = re.sub(r"^((?:not )?ok)\b", rf"\1 {done}", line)
                print(line)
            elif line.startswith("# "):
                print(line)
        if "end of client" not in said:
            done += 1
            failed.append("the end")
            print(f"not ok {done} - the client's guest did not come to its end")
            print("".join(f"# {line}\n" for line in said[-30:]), end="")
        print(f"# {time.monotonic() - begun:.0f} s\n1..{done}")
        return 1 if failed else 0
    except Skip as why:
        print(f"ok 1 - verbs in a guest # SKIP {why}\n1..1")
        return 0
    finally:
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
