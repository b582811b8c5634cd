"""fixtures/omni/tour_slow.sql, as a script for gdb: which request made redis-server slow, who sent it,
and where in the server it is answered. Writes what it found to the file `found`.

    slow.sh gdb -batch -x slow.py --args
"""
import os
import time

import gdb


def register(name):
    return int(gdb.parse_and_eval("$" + name))


def text_at(address, size):
    memory = gdb.selected_inferior().read_memory(address, size)
    return memory.tobytes().decode("utf-8", "replace").replace("\r\n", " ")


def is_socket(descriptor):
    try:
        link = os.readlink(f"/proc/{gdb.selected_inferior().pid}/fd/{descriptor}")
    except OSError:
        return False
    return link.startswith("socket:")


class Hunt:
    READ = 0

    def __init__(self):
        self.entered = {}   # thread: the call it is in
        self.said = {}      # descriptor: what came through it
        self.pending = None
        self.slowest = (0, None, None)
        self.stack = None

    def finish_pending(self):
        if self.pending:
            since, request, before = self.pending
            self.slowest = max(self.slowest, (time.monotonic() - since, request, before))
            self.pending = None

    def enter(self, thread):
        descriptor, buffer = register("rdi"), register("rsi")
        self.entered[thread] = register("orig_rax"), descriptor, buffer
        if is_socket(descriptor):
            self.finish_pending()

    def leave(self, thread):
        number, descriptor, buffer = self.entered.pop(thread)
        size = register("rax")
        if number != self.READ or size <= 0 or not is_socket(descriptor):
            return
        request = text_at(buffer, size)
        before = self.said.setdefault(descriptor, [])
        self.pending = time.monotonic(), request, before[-1] if before else None
        before.append(request)

    def look_at_stack(self):
        names, frame = [], gdb.newest_frame()
        while frame:
            if frame.name():
                names.append(frame.name())
            frame = frame.older()
        self.stack = " < ".join(names)

    def stopped(self):
        thread = gdb.selected_thread().ptid
        if gdb.newest_frame().name() == "luaCallFunction":
            self.look_at_stack()
        elif thread in self.entered:
            self.leave(thread)
        else:
            self.enter(thread)

    def run(self):
        for setting in ("pagination off", "confirm off", "debuginfod enabled off"):
            gdb.execute("set " + setting)
        gdb.execute("handle SIGPIPE nostop noprint pass")
        gdb.execute("catch syscall read write writev")
        gdb.execute("tbreak luaCallFunction")
        gdb.execute("run", to_string=True)
        while gdb.selected_inferior().pid:
            self.stopped()
            gdb.execute("continue", to_string=True)
        with open("found", "w") as out:
            print(*self.slowest[1:], self.stack, sep="\n", file=out)


Hunt().run()
