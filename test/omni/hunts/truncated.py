"""fixtures/omni/tour_truncated.sql, as a script for gdb: which process of a tree opened the list and
cut it, from whom it comes, and who read how much of the list. Writes what it found to the file `found`.

    truncated.sh gdb -batch -x truncated.py --args
"""
import errno
import os

import gdb

NAME = "subscribers"
READ, EXECVE, OPENAT = 0, 59, 257


def register(name):
    return int(gdb.parse_and_eval("$" + name))


def string_at(address):
    memory, text = gdb.selected_inferior(), b""
    while not text.endswith(b"\0"):
        text += memory.read_memory(address + len(text), 1).tobytes()
    return text[:-1].decode("utf-8", "replace")


def program_of(pid):
    """As /proc tells it: for a script its path, else the file that runs."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().decode().split("\0")
    return words[1] if words[0] == "/bin/sh" else os.readlink(f"/proc/{pid}/exe")


def parent_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rsplit(")", 1)[1].split()[1])


class Hunt:
    def __init__(self):
        self.caught = set()  # processes whose calls are caught: that is for each to be asked for
        self.entered = {}  # process: the call it is in, and its arguments
        self.read = {}  # process: bytes of the list
        self.program = {}
        self.culprit, self.parents = None, []

    def opened(self, pid, path, flags, descriptor):
        if path.endswith(NAME) and descriptor >= 0 and flags & os.O_TRUNC:
            self.culprit, parent = pid, parent_of(pid)
            while parent in self.program:
                self.parents.append(self.program[parent])
                parent = parent_of(parent)

    def leave(self, pid, call, arguments):
        result = register("rax")
        if call == "openat":
            self.opened(pid, *arguments, result)
        elif arguments[0].endswith(NAME):
            self.read[pid] = self.read.get(pid, 0) + max(result, 0)

    def enter(self):
        if register("orig_rax") == OPENAT:
            return "openat", (string_at(register("rsi")), register("rdx"))
        descriptor = register("rdi")
        return "read", (os.readlink(f"/proc/{gdb.selected_inferior().pid}/fd/{descriptor}"),)

    def called(self, pid):
        self.program[pid] = program_of(pid)
        if register("orig_rax") in (OPENAT, READ):
            if register("rax") == -errno.ENOSYS:
                self.entered[pid] = self.enter()
            elif pid in self.entered:
                self.leave(pid, *self.entered.pop(pid))
        elif register("orig_rax") == EXECVE:
            self.caught.discard(pid)  # gdb has forgotten it
        else:  # fork: the child is there when its parent has gone on, alone
            gdb.execute("set schedule-multiple off")
            gdb.execute("stepi", to_string=True)
            gdb.execute("set schedule-multiple on")

    def catch_in_new_ones(self):
        here = gdb.selected_inferior().num
        for inferior in gdb.inferiors():
            if inferior.pid and inferior.pid not in self.caught:
                self.caught.add(inferior.pid)
                gdb.execute(f"inferior {inferior.num}", to_string=True)
                gdb.execute("catch syscall openat read")
        gdb.execute(f"inferior {here}", to_string=True)

    def run(self):
        for setting in ("pagination off", "confirm off", "debuginfod enabled off", "detach-on-fork off",
                        "schedule-multiple on", "print inferior-events off"):
            gdb.execute("set " + setting)
        gdb.execute("catch fork")
        gdb.execute("catch vfork")
        gdb.execute("catch exec")
        gdb.execute("run", to_string=True)
        lost = 0
        while alive := [inferior for inferior in gdb.inferiors() if inferior.pid]:
            thread = gdb.selected_thread()
            try:
                if thread and thread.is_valid():
                    self.called(thread.ptid[0])
                else:  # a process ended: go on with another one
                    gdb.execute(f"inferior {alive[0].num}", to_string=True)
                self.catch_in_new_ones()
                gdb.execute("continue", to_string=True)
            except (gdb.error, OSError):  # one has just gone; it may be that gdb never notices
                lost += 1
                if lost == 50:
                    break
        with open("found", "w") as out:
            print(f"0|{self.program[self.culprit]}", file=out)
            for up, program in enumerate(self.parents, 1):
                print(f"{up}|{program}", file=out)
            for pid, size in self.read.items():
                print(f"{self.program[pid]}|{size}", file=out)


Hunt().run()
