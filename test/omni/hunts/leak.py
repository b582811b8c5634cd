"""fixtures/omni/tour_leak.sql, as a script for gdb: the memory that jq never gives back, by the stacks
that took it, and the text that is in it at the end. Writes what it found to the file `found`. What
jq allocates before it reads the first value is left out: gdb would need minutes for it.

    leak.sh gdb -batch -x leak.py --args
"""
import collections

import gdb

HEADER = 16  # bytes of a string of jq before its text


def register(name):
    return int(gdb.parse_and_eval("$" + name))


def stack():
    """Up to jq_next; without names of its own, what is behind it is the same for all."""
    names, frame = [], gdb.newest_frame()
    while frame and "jq_next" not in names:
        names.append(frame.name() or "*")
        frame = frame.older()
    return names


class Heap:
    def __init__(self):
        self.pieces = {}  # address: bytes and stack

    def took(self, address, size, names):
        if address:
            self.pieces[address] = size, names

    def gave_back(self, address):
        self.pieces.pop(address, None)

    def by_stack(self):
        sums = collections.defaultdict(lambda: [0, 0])
        for size, names in self.pieces.values():
            entry = sums[";".join(reversed(names))]
            entry[0] += 1
            entry[1] += size
        return sorted(((count, size, names) for names, (count, size) in sums.items()), reverse=True)

    def by_text(self):
        texts = collections.Counter()
        for address, (size, _) in self.pieces.items():
            if size > HEADER + 1:
                memory = gdb.selected_inferior().read_memory(address + HEADER, size - HEADER - 1)
                texts[memory.tobytes().split(b"\0")[0]] += 1
        text, count = texts.most_common(1)[0]
        return count, text.decode("utf-8", "replace")


class Taken(gdb.FinishBreakpoint):
    """When a function that allocates has returned."""

    def __init__(self, heap, size, names):
        super().__init__(gdb.newest_frame(), internal=True)
        self.silent = True
        self.heap, self.size, self.names = heap, size, names

    def stop(self):
        self.heap.took(register("rax"), self.size, self.names)
        return False


class Entered(gdb.Breakpoint):
    def __init__(self, heap, function):
        address = int(gdb.parse_and_eval(f"(long)&__libc_{function}"))
        super().__init__(f"*{address}", internal=True)
        self.silent = True
        self.heap, self.function = heap, function

    def stop(self):
        if self.function in ("free", "realloc"):
            self.heap.gave_back(register("rdi"))
        if self.function != "free":
            size = register("rsi" if self.function == "realloc" else "rdi")
            names = stack()
            names[0] = self.function
            Taken(self.heap, size, names)
        return False


def main():
    for setting in ("pagination off", "confirm off", "debuginfod enabled off", "breakpoint pending on"):
        gdb.execute("set " + setting)
    gdb.execute("tbreak jq_start")
    gdb.execute("run", to_string=True)
    heap = Heap()
    for function in ("malloc", "calloc", "realloc", "free"):
        Entered(heap, function)
    gdb.execute("catch syscall exit_group")
    gdb.execute("continue", to_string=True)
    with open("found", "w") as out:
        for count, size, names in heap.by_stack()[:2]:
            print(f"{count}|{size}|", names, sep="\n", file=out)
        count, text = heap.by_text()
        print(f"{count}|{text}", file=out)


main()
