"""fixtures/omni/tour_race.sql, as a script for gdb: what the two threads read and wrote when they took
turns well, and when they did not, and where. gdb finds no schedule by itself: the two are written down
here, by somebody who has understood the bug. Writes what it found to the file `found`.

    race.sh gdb -batch -x race.py --args
"""
import gdb

SOURCE = "tickets.c"
SCHEDULES = (
    ((2, "end"), (3, "end")),
    ((2, "read"), (3, "end"), (2, "end")),
)


def line_of(text):
    with open(gdb.lookup_global_symbol("main").symtab.fullname()) as file:
        for number, line in enumerate(file, 1):
            if text in line:
                return number
    raise gdb.GdbError(f"{SOURCE} has no line with {text}")


class Step(gdb.Breakpoint):
    """Writes down what a thread has read, or is about to write; stops it there when it should wait."""

    def __init__(self, line, word, done):
        super().__init__(f"{SOURCE}:{line}", internal=True)
        self.silent = True
        self.line, self.word, self.done = line, word, done
        self.wait_here = False

    def stop(self):
        text = gdb.newest_frame().read_var("text").string().strip()
        self.done.append(f"{self.word} {text}")
        return self.wait_here


class Run:
    def __init__(self):
        self.done = []

    def only(self, thread):
        gdb.execute(f"thread {thread}", to_string=True)
        gdb.execute("set scheduler-locking on")

    def start(self):
        """Until both threads are there, at the beginning of what they do."""
        gdb.execute("tbreak draw")
        gdb.execute("run", to_string=True)
        self.only(1)
        gdb.execute(f"tbreak {SOURCE}:{line_of('pthread_join')}")
        gdb.execute("continue", to_string=True)

    def play(self, schedule):
        self.start()
        read = Step(line_of("pread") + 1, "read", self.done)
        write = Step(line_of("return pwrite"), "write", self.done)
        for thread, until in schedule:
            self.only(thread)
            read.wait_here = until == "read"
            try:
                gdb.execute("continue", to_string=True)
            except gdb.error:  # the thread has ended, and no other may run
                pass
        place = f"draw|{read.line - 1}"
        gdb.execute("set scheduler-locking off")
        gdb.execute("kill")
        read.delete()
        write.delete()
        return ", ".join(self.done), place


def main():
    for setting in ("pagination off", "confirm off", "debuginfod enabled off"):
        gdb.execute("set " + setting)
    with open("found", "w") as out:
        for schedule in SCHEDULES:
            done, place = Run().play(schedule)
            print(done, file=out)
        print(place, file=out)


main()
