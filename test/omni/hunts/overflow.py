"""fixtures/omni/tour_overflow.sql, as a script for gdb: which piece of memory was broken when free()
gave up, who gave it back, who wrote in front of it last, and with which variables. Writes what it
found to the file `found`. The program is run twice: only its end tells which address to watch. The
watchpoint is one in software, which steps through the program: in virtual machines those of the
processor may be dead, and nothing tells.

    overflow.sh gdb -batch -x overflow.py --args
"""
import gdb

PROGRAM = "songinfo"
VARIABLES = ("i", "f->comment_list_length", "sizeof *f->comment_list")


def register(name):
    return int(gdb.parse_and_eval("$" + name))


def functions_of_program():
    names, frame = [], gdb.newest_frame()
    while frame:
        if gdb.solib_name(frame.pc()) is None:
            names.append(frame.name())
        frame = frame.older()
    return [name for name in names if name]


class Freed(gdb.Breakpoint):
    """Remembers the last piece of memory that was given back."""

    def __init__(self):
        super().__init__("free", internal=True)
        self.silent = True
        self.piece = self.stack = None

    def stop(self):
        self.piece = register("rdi")
        self.stack = functions_of_program()
        return False


class Written(gdb.Breakpoint):
    """Remembers the last write to an address, told after it happened."""

    def __init__(self, address):
        super().__init__(f"*(unsigned long *){address}", gdb.BP_WATCHPOINT, gdb.WP_WRITE, internal=True)
        self.silent = True
        self.address = address
        self.last = self.value = None

    def stop(self):
        frame = gdb.newest_frame()
        old, self.value = self.value, self.read()
        place = gdb.find_pc_line(frame.pc() - 1)
        self.last = [frame.name(), place.symtab.filename if place.symtab else None, place.line, old]
        self.last += [self.evaluate(text) for text in VARIABLES]
        return False

    def read(self):
        memory = gdb.selected_inferior().read_memory(self.address, 8)
        return int.from_bytes(memory.tobytes(), "little")

    @staticmethod
    def evaluate(text):
        try:
            return f"{text}|{int(gdb.parse_and_eval(text))}"
        except gdb.error:
            return None


def main():
    for setting in ("pagination off", "confirm off", "debuginfod enabled off"):
        gdb.execute("set " + setting)
    gdb.execute("start", to_string=True)
    freed = Freed()
    gdb.execute("continue", to_string=True)
    freed.delete()
    gdb.execute("start", to_string=True)
    gdb.execute("tbreak malloc")
    gdb.execute("continue", to_string=True)
    gdb.execute("finish", to_string=True)  # now there is a heap
    gdb.execute("set can-use-hw-watchpoints 0")
    written = Written(freed.piece - 8)
    gdb.execute("continue", to_string=True)
    with open("found", "w") as out:
        print(" < ".join(freed.stack), file=out)
        function, path, line, old, *values = written.last
        for value in values:
            print(function, path, line, old, value, sep="|", file=out)


main()
