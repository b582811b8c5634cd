"""Run by gdb (see dwarf.c): expressions, by our evaluator against others.

The subject of ORACLE_EXPECTED has printed what its compiler makes of random expressions: here they
are tried where it waits, with its variables. Without: at many places of a program, random walks from
the variables in scope over members, elements, pointers and operators are tried by gdb as well."""
import random
import re
import sys

import gdb

sys.path.insert(0, "test/replay")
import dwarf_oracle as oracle  # noqa: E402

counts = oracle.counts


# ---- against a compiler

def same_number(ours, expected, kind):
    if isinstance(ours, bool):
        ours = int(ours)
    if kind in ("float", "double", "long double"):
        digits = {"float": "%.9g", "double": "%.17g"}.get(kind)
        if digits:
            return digits % float(ours) == digits % float(expected)
        return abs(oracle.Decimal(ours) - oracle.Decimal(expected)) <= abs(
            oracle.Decimal(expected)) * oracle.Decimal("1e-19")
    return ours == int(expected)


NAMES = {"BIG": 3000000000, "MINUS": -7, "PLUS": 9}
TYPES = {"ushort16": "unsigned short", "enum plain": "unsigned int", "enum negative": "int"}


def type_name(text):
    text = oracle.canonical(text).replace("const ", "")
    return TYPES.get(text, text)


def compiled(ours):
    gdb.execute("break here", False, True)
    gdb.execute("continue", False, True)
    oracle.tell_frames(ours, 1)
    counts["stops"] += 1
    for line in open(oracle.setting("EXPECTED", "")):
        kind, expected, text = line.rstrip("\n").split("\t")
        answer = ours.ask("eval 1 " + text)
        counts["variables"] += 1
        if type_name(answer.get("type", "")) != kind or \
                not same_number(NAMES.get(answer.get("value"), answer.get("value", "nan")), expected, kind):
            oracle.differ("here", text, kind, answer, expected)


# ---- against gdb

REFUSED = "what makes no sense"


class Walk:
    """An expression that grows; `value` is gdb's."""

    def __init__(self, text, value):
        self.text, self.value = text, value
        self.bits = False  # a bit field: gdb does not promote it as C does

    def kind(self):
        return oracle.plain(self.value.type)

    def step(self):
        kind = self.kind()
        steps = {gdb.TYPE_CODE_STRUCT: self.of_record, gdb.TYPE_CODE_UNION: self.of_record,
                 gdb.TYPE_CODE_PTR: self.of_pointer, gdb.TYPE_CODE_ARRAY: self.of_array}
        if random.random() < 0.12:
            return self.of_any()
        if kind.code in steps:
            return steps[kind.code](kind)
        return self.of_number(kind) if is_plain_number(kind) else self.of_any()

    def of_record(self, kind):
        fields = [field for field in named_fields(kind)]
        if not fields:
            return self.of_any()
        field = random.choice(fields)
        self.bits = bool(field.bitsize)
        return "(%s).%s" % (self.text, field.name)

    def of_pointer(self, kind):
        target = oracle.plain(kind.target())
        choice = random.randrange(8)
        if target.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and choice < 5:
            fields = [field for field in named_fields(target)]
            if fields:
                field = random.choice(fields)
                self.bits = bool(field.bitsize)
                return "(%s)->%s" % (self.text, field.name)
        if target.code in (gdb.TYPE_CODE_VOID, gdb.TYPE_CODE_FUNC):
            choice = max(choice, 5)
        if target.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and not target.fields():
            choice = max(choice, 5)
        number = random.choice([1, 1, 2, 3, -1])
        return ["*(%s)", "*(%s)", "(%s)[%d]", "(%s) + %d", "(%s)[%d]", "(%s) == 0", "!(%s)",
                "(long)(%s)"][choice] % ((self.text, number) if choice in (2, 3, 4) else self.text)

    def of_array(self, kind):
        low, high = kind.range()
        number = random.randint(low, min(high, 50)) if high >= low else 0
        shape = random.choice(["(%s)[N]", "(%s)[N]", "&(%s)[N]", "*(%s)", "(int)sizeof(%s)", "(%s) + 1"])
        if str(kind).endswith("[]"):
            shape = "*(%s)"
        return shape.replace("N", str(number)) % self.text

    def of_number(self, kind):
        as_it_is = not self.bits and kind.code not in (gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM)
        text = self.text if as_it_is else "(long)(%s)" % self.text
        self.bits = False
        other = random.choice(["3", "7u", "2.5", "100000000000", "0", "'a'"])
        whole = kind.code != gdb.TYPE_CODE_FLT and other != "2.5"
        operators = "+ - * < > == != <= >= && ||".split() + ("& | ^".split() if whole else [])
        casts = ["char", "unsigned short", "int", "double", "unsigned long"]
        if kind.code == gdb.TYPE_CODE_FLT:
            casts = ["float", "double"]
        return random.choice(["(%s) %s %s" % (text, random.choice(operators), other),
                              "%s(%s)" % (random.choice("-!" + ("~" if whole else "")), text),
                              "(%s)(%s)" % (random.choice(casts), text)])

    def of_any(self):
        if self.bits:
            self.bits = False
            return "(int)(%s)" % self.text
        stored = not re.match(r"[-~!]|&|\([a-z ]+\)|\(.*\) [^\[.]", self.text)
        shapes = ["&(%s)", "*&(%s)"] if stored else ["(int)sizeof(%s)"]
        incomplete = self.kind().code == gdb.TYPE_CODE_STRUCT and not self.kind().fields()
        if not incomplete and not str(self.kind()).endswith("[]"):
            shapes.append("(int)sizeof(%s)")
        return random.choice(shapes) % self.text


def is_plain_number(kind):
    return kind.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_FLT,
                         gdb.TYPE_CODE_ENUM) and kind.sizeof <= 8


def named_fields(kind):
    for field in kind.fields():
        if hasattr(field, "bitpos") and field.name:
            yield field
        elif hasattr(field, "bitpos"):
            yield from named_fields(oracle.plain(field.type))


def compare(ours, index, text, value, error, where):
    answer = ours.ask("eval %d %s" % (index, text))
    counts["variables"] += 1
    if "fault" in answer:
        if error is None or reason(error) != REFUSED:
            oracle.differ(where, text, "refused", answer, error or value)
        counts["unavailable"] += 1
        return False
    theirs = reason(error) if error is not None else oracle.norm(oracle.of_value(value))
    left = oracle.norm(answer["value"])
    beyond = oracle.unavailable("synthetic pointer"), oracle.unavailable("not understood")
    if left in beyond or left == oracle.unavailable(oracle.GONE) and oracle.is_zero(theirs):
        counts["beyond"] += 1  # gdb takes both for 0
        return False
    counts["leaves"] += oracle.leaves(theirs)
    if theirs == REFUSED:  # not so bold as we are with what is in registers
        counts["beyond"] += left != oracle.unavailable("it has no address")
    elif not oracle.equal(left, theirs) and not oracle.is_guess(left, theirs) and theirs != []:
        oracle.differ(where, text, "value", left, theirs)
    if error is None and unqualified(text, oracle.canonical(answer["type"])) != \
            unqualified(text, str(value.type)):
        oracle.differ(where, text, "type", answer["type"], value.type)
    return error is None and not (isinstance(left, dict) and "unavailable" in left)


def unqualified(text, kind):
    """Computed, a value has no qualifiers; gdb keeps them."""
    return re.sub("(const|volatile) ", "", kind) if text[0] in "-~" else kind


def reason(error):
    for words, why in (("Cannot access memory", "memory cannot be read"),
                       ("optimized out", oracle.GONE), ("not saved", oracle.GONE),
                       ("<incomplete type>", "incomplete type")):
        if words in error:
            return oracle.unavailable(why)
    if re.search("Attempt to take|Can't take address|Address requested|incomplete types?( .*)?, try", error):
        return REFUSED
    return oracle.unavailable("gdb: " + error)


def try_walk(ours, index, name, where):
    walk = Walk(name, gdb.parse_and_eval(name))
    for _ in range(random.randint(1, 5)):
        text = walk.step()
        value, error = None, None
        try:
            value = gdb.parse_and_eval(text)
            value.fetch_lazy()
        except (gdb.error, gdb.MemoryError) as caught:
            error = str(caught)
        if not compare(ours, index, text, value, error, where):
            return
        walk.text, walk.value = text, value


def at_place(ours):
    groups = oracle.tell_frames(ours, 1)
    for index, group in enumerate(groups[:3]):
        frame = group[0]
        frame.select()
        found = oracle.symbols(frame)
        if not found:
            continue
        where = "%s %s:%s" % (hex(frame.pc()), frame.name(), frame.find_sal().line)
        names = [symbol.name for symbol, _ in found]
        for block in (frame.block().static_block, frame.block().global_block):
            # what the linker alone calls so cannot be named
            names += [symbol.name for symbol in block
                      if symbol.is_variable and not symbol.name.startswith("__GI_")]
        for _ in range(int(oracle.setting("WALKS", "4"))):
            name = random.choice(names)
            try:
                gdb.parse_and_eval(name).fetch_lazy()
            except (gdb.error, gdb.MemoryError):
                continue
            try_walk(ours, index, name, where)


def main():
    ours = oracle.start()
    if oracle.setting("EXPECTED", ""):
        compiled(ours)
        return
    for _ in oracle.stops(ours):
        at_place(ours)


oracle.report(main)
