"""Run by gdb (see dwarf.c): stops a program at many places, reads every variable in scope by gdb,
lets our code read the same, and prints where the two differ.

Only gdb's own reading of the debug information is used here: this is the oracle, and the JSON below
is written anew, from the description in replay/value.h."""
import json
import os
import random
import re
import struct
import subprocess
import sys
from decimal import Decimal

import gdb

GPR = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
       "r13", "r14", "r15", "rip"]
GONE = "optimized out"  # in gdb's words all of these are that
SAME = {"register not saved": GONE, "value at entry not known": GONE}
ELEMENTS, TEXT = 200, 4096
DEPTH = int(os.environ.get("ORACLE_DEPTH", "6"))
BEYOND = 8  # frames that our reader gets for what they say of the ones compared


def setting(name, default):
    return os.environ.get("ORACLE_" + name, default)


# ---- a value as gdb has it

def unavailable(why):
    return {"unavailable": why}


def plain(kind):
    return kind.strip_typedefs().unqualified()


def is_char(kind):
    kind = plain(kind)
    return kind.sizeof == 1 and kind.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR) and \
        "char" in str(kind)


def width_of(kind):
    """How wide the units of a text of it are; 0: it is none."""
    if is_char(kind):
        return 1
    at = kind
    while at.code == gdb.TYPE_CODE_TYPEDEF:
        if at.name == "wchar_t":
            return 4
        at = at.target()
    return {"char16_t": 2, "char32_t": 4, "char8_t": 1}.get(str(plain(kind)), 0)


def decode(raw, width):
    if width == 1:
        return raw.decode("utf-8", "surrogateescape")
    return raw.decode({2: "utf-16-le", 4: "utf-32-le"}[width])


def text_at(address, width):
    raw, inferior = b"", gdb.selected_inferior()
    try:
        while len(raw) < TEXT * width:
            unit = inferior.read_memory(address + len(raw), width).tobytes()
            if not any(unit):
                return decode(raw, width)
            raw += unit
    except gdb.MemoryError:
        return {"unavailable": "memory cannot be read", "pointer": hex(address)}
    except UnicodeDecodeError:
        return {"unavailable": "not understood", "pointer": hex(address)}
    return {"text": decode(raw, width), "cut": True}


def of_array(value, kind):
    low, high = kind.range()
    count = high - low + 1
    width = width_of(kind.target())
    if width:
        try:
            units = [int(value[low + i]) & (256 ** width - 1) for i in range(min(count, TEXT))]
            raw = b"".join(unit.to_bytes(width, "little") for unit in units)
            while raw[-width:] and not any(raw[-width:]):
                raw = raw[:-width]
            return {"text": decode(raw, width), "cut": True} if count > TEXT else decode(raw, width)
        except (gdb.error, UnicodeDecodeError):
            pass
    if str(kind).endswith("[]"):
        return []
    out = [of_value(value[low + i]) for i in range(min(count, ELEMENTS))]
    return out + [{"more": count - ELEMENTS}] if count > ELEMENTS else out


def of_record(value, kind):
    out = {}
    for field in kind.fields():
        if not hasattr(field, "bitpos"):
            continue
        part = of_value(value[field])
        if field.name:
            out[field.name] = part
        elif isinstance(part, dict):
            out.update(part)
    return out


def of_enum(value):
    text = value.format_string()
    if text.startswith("("):
        parts = text[1:-1].replace("unknown: ", "").split(" | ")
        return "|".join(parts)
    return int(text) if text.lstrip("-").isdigit() else text


def of_float(text):
    if text == "<invalid float value>":
        return {"bytes": None}
    if "nan" in text or "inf" in text:
        return "nan" if "nan" in text else text
    return Decimal(text)


def of_part(text, kind):
    """Of a complex number: enough digits for its precision."""
    if kind.sizeof > 16 or "n" in text:
        return of_float(text)
    return struct.unpack("f", struct.pack("f", float(text)))[0] if kind.sizeof == 8 else float(text)


def of_pointer(value, kind):
    if "synthetic pointer" in value.format_string(symbols=False):
        return unavailable("synthetic pointer")
    address, target = int(value), kind.target()
    if not address:
        return None
    width = width_of(target)
    if width:
        return text_at(address, width)
    if plain(target).code == gdb.TYPE_CODE_FUNC:
        return hex(address)  # names are compared elsewhere: there may be several
    return hex(address)


def of_scalar(value, kind):
    code = kind.code
    if code == gdb.TYPE_CODE_ENUM:
        return of_enum(value)
    if code == gdb.TYPE_CODE_FLT:
        if kind.sizeof <= 8:
            return float(value) if abs(float(value)) < float("inf") else of_float(str(value))
        return of_float(value.format_string())
    if code == gdb.TYPE_CODE_COMPLEX:
        real, imaginary = value.format_string().rstrip("i").split(" + ")
        return {"re": of_part(real, kind), "im": of_part(imaginary, kind)}
    if code == gdb.TYPE_CODE_BOOL:
        return bool(int(value)) if int(value) <= 1 else int(value)
    if code == gdb.TYPE_CODE_PTR:
        return of_pointer(value, kind)
    if code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR):
        if kind.sizeof > 8:
            bits = int(value.format_string(format="x"), 16)
            return bits - 2 ** 128 if kind.is_signed and bits >> 127 else bits
        return int(value)
    raise ValueError("type code %d of %s" % (code, kind))


def of_value(value):
    kind = plain(value.type)
    try:
        if kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            if "<incomplete type>" in value.format_string(max_elements=1):
                return unavailable("incomplete type")
            return of_record(value, kind)
        if kind.code == gdb.TYPE_CODE_ARRAY:
            return of_array(value, kind)
        if value.is_optimized_out:
            return unavailable(GONE)
        return of_scalar(value, kind)
    except gdb.MemoryError:
        return unavailable("memory cannot be read")
    except gdb.error as error:
        text = str(error)
        if "Cannot access memory" in text:
            return unavailable("memory cannot be read")
        if "optimized out" in text or "not saved" in text or "not available" in text:
            return unavailable(GONE)
        return unavailable("gdb: " + text)


# ---- comparing

def norm(value):
    """What is unavailable throughout is unavailable as a whole; reasons as gdb knows them."""
    if isinstance(value, dict):
        if "unavailable" in value:
            return unavailable(SAME.get(value["unavailable"], value["unavailable"]))
        value = {key: norm(part) for key, part in value.items()}
        parts = list(value.values())
    elif isinstance(value, list):
        value = parts = [norm(part) for part in value]
    else:
        return value.split(" <")[0] if isinstance(value, str) and value.startswith("0x") else value
    whole = isinstance(parts[0], dict) and "unavailable" in parts[0] if parts else False
    return parts[0] if whole and all(part == parts[0] for part in parts) else value


def canonical(text):
    """gdb puts the words of C's numbers in an order of its own."""
    text = text.replace("unsigned __int128", "unsigned int __int128")
    for ours, theirs in (("long long unsigned int", "unsigned long long"),
                         ("long long int", "long long"), ("long unsigned int", "unsigned long"),
                         ("short unsigned int", "unsigned short"), ("long int", "long"),
                         ("short int", "short")):
        text = re.sub(r"\b%s\b" % ours, theirs, text)
    return text.replace("* const [", "* const[")


def equal(ours, theirs):
    if theirs == {"bytes": None}:  # bytes that the processor takes for no number, or for one that
        if isinstance(ours, Decimal) and Decimal("3E-4932") < abs(ours) < Decimal("7E-4932"):
            return True  # gdb does not know: denormal, with its first bit set all the same
        return isinstance(ours, dict) and "bytes" in ours
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k]) for k in ours)
    if isinstance(theirs, list) and isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if isinstance(theirs, bool) or isinstance(ours, bool) or ours is None or theirs is None:
        return ours is theirs
    if isinstance(theirs, float) and isinstance(ours, (Decimal, int)):
        return float(ours) == theirs
    if isinstance(theirs, Decimal) and isinstance(ours, (Decimal, int)):
        # gdb prints a digit too few to tell neighbours apart
        return abs(Decimal(ours) - theirs) <= abs(theirs) * Decimal("1e-16")
    return type(ours) is type(theirs) and ours == theirs


def leaves(value):
    if isinstance(value, dict) and "unavailable" not in value:
        return sum(map(leaves, value.values()))
    if isinstance(value, list):
        return sum(map(leaves, value))
    return 1


# ---- our reader: a child that answers a line with a line

class Ours:
    def __init__(self):
        self.child = subprocess.Popen([setting("READER", ""), "--serve"], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline()
        if not answer:
            raise RuntimeError("our reader died at: " + line[:300])
        return json.loads(answer, parse_float=Decimal)


# ---- stops

counts = {"stops": 0, "frames": 0, "variables": 0, "leaves": 0, "unavailable": 0, "types": 0,
          "different": 0, "beyond": 0}


def differ(where, name, what, ours, theirs):
    counts["different"] += 1
    if counts["different"] <= int(setting("SHOW", "20")):
        print("DIFFERENT %s: %s: %s\n  ours   %s\n  theirs %s" % (where, name, what, ours, theirs))
        if setting("STACK", ""):
            print(gdb.execute("backtrace 8", to_string=True))


def register_line(frame, caller):
    frame.select()
    words = ["frame", hex(frame.pc()), "1" if frame.newer() and is_call(frame) else "0"]
    cfa = caller.read_register("rsp") if caller else None
    words.append(hex(int(cfa)) if cfa is not None else "-")
    for i, name in enumerate(GPR):
        value = frame.read_register(name)
        if not value.is_optimized_out:
            words.append("%d=%x" % (i, int(value) & (2 ** 64 - 1)))
    for i in range(16):
        value = frame.read_register("xmm%d" % i)
        if not value.is_optimized_out:
            low, high = (int(value["v2_int64"][k]) & (2 ** 64 - 1) for k in (0, 1))
            words.append("%d=%x" % (17 + i, high << 64 | low))
    for i in range(8):
        raw = re.search(r"raw 0x([0-9a-f]+)", gdb.execute("info registers st%d" % i, False, True))
        if raw:
            words.append("%d=%s" % (33 + i, raw[1]))
    for i, name in ((58, "fs_base"), (59, "gs_base")):
        words.append("%d=%x" % (i, int(frame.read_register(name)) & (2 ** 64 - 1)))
    return " ".join(words)


def is_call(frame):
    """Of a frame further out: its pc is where a call returns to, not where a signal came."""
    newer = frame.newer()
    while newer and newer.type() == gdb.INLINE_FRAME:
        newer = newer.newer()
    return newer is not None and newer.type() != gdb.SIGTRAMP_FRAME


def is_enumerator(symbol):
    return symbol.type.code == gdb.TYPE_CODE_ENUM and \
        symbol.name in [field.name for field in symbol.type.fields()]


def symbols(frame):
    """Blocks of the frame, innermost first: [(symbol, block)]."""
    try:
        block = frame.block()
    except RuntimeError:
        return None
    out = []
    while block is not None and not block.is_static and not block.is_global:
        for symbol in block:
            if symbol.addr_class == gdb.SYMBOL_LOC_UNRESOLVED or str(symbol.type) == "__CORE_ADDR":
                continue
            constant = symbol.is_constant and not is_enumerator(symbol)
            if symbol.is_variable or symbol.is_argument or constant:
                out.append((symbol, block))
        if block.function is not None:
            break
        block = block.superblock
    return out


def is_zero(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return all(map(is_zero, parts)) if parts is not None else not value


def is_guess(ours, theirs, inside=False):
    """A part of something that no piece of its location covers is optimised out. Where all pieces
    end before it, gdb says 0; of half a complex number, that all of it is optimised out."""
    if isinstance(ours, dict) and "re" in ours and theirs == unavailable(GONE):
        return unavailable(GONE) in ours.values()
    if ours == unavailable(GONE):
        return inside and is_zero(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        pairs = [(ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = list(zip(ours, theirs))
    else:
        return False
    return all(equal(a, b) or is_guess(a, b, True) for a, b in pairs)


def lacks_length(theirs, ours):
    """The length of an array that hangs on another variable: gdb asks no caller for what that was,
    and follows no DW_AT_count to it. One that is not set yet makes an array that gdb cannot index."""
    return "[variable length]" in theirs or re.search(r"\[\d{9,}\]$", theirs) or (theirs.endswith("[]") and "[]" not in ours)


# Where we know better than gdb what a parameter was at the entry. Of the first two the caller's call
# says it by a parameter of the caller's own, which gdb does not follow; the third is relative to the
# caller's frame, and gdb, asked in an inlined call, takes another one: of the function around it, whose
# argument is the same one, it says what we say.
ANY = object()
BETTER = {("make_bloom_mask", "ptr"): unavailable(GONE), ("make_bloom_mask", "len"): unavailable(GONE),
          ("_PyObject_FastCallTstate", "args"): ANY}


def read(frame, symbol, block):
    try:
        return frame.read_var(symbol, block)
    except gdb.error as error:
        # Types that hang on the frame need it to be the current one.
        if "frame address is not available" in str(error):
            frame.select()
            return gdb.parse_and_eval(symbol.name)
        if "integers of more than 8 bytes" in str(error):
            return None  # computed by a location expression
        raise


def compare_frame(frame, scope):
    """Our variables of one function (inlined or not) against those of gdb's frame."""
    where = "%s %s:%s" % (hex(frame.pc()), frame.name(), frame.find_sal().line)
    counts["frames"] += 1
    theirs = symbols(frame)
    if theirs is None:
        return
    ours = list(scope["variables"])
    for symbol, block in theirs:
        name = symbol.name
        match = next((v for v in ours if v["name"] == name), None)
        if match is None:
            differ(where, name, "gdb alone has it", None, symbol.type)
            continue
        ours.remove(match)
        value = read(frame, symbol, block)
        if value is None:
            print("gdb cannot read %s at %s; ours: %s" % (name, where, match["value"]))
            counts["beyond"] += 1
            continue
        if lacks_length(str(value.type), match["type"]):
            counts["beyond"] += 1
            continue
        left, right = norm(match["value"]), norm(of_value(value))
        if left != right and BETTER.get((frame.name(), name)) in (ANY, right):
            counts["beyond"] += 1
            continue
        counts["variables"] += 1
        counts["leaves"] += leaves(right)
        counts["unavailable"] += isinstance(right, dict) and "unavailable" in right
        if not equal(left, right) and (is_guess(left, right) or right == []):
            counts["beyond"] += 1
        elif not equal(left, right):
            differ(where, name, str(value.type), json.dumps(left, default=str),
                   json.dumps(right, default=str))
        counts["types"] += 1
        if canonical(match["type"]) != str(value.type):
            differ(where, name, "type", match["type"], value.type)
    for left in ours:
        differ(where, left["name"], "we alone have it", left["value"], None)


def tell_frames(ours, thread):
    """Frames in groups: inlined ones, and the real one that they are in."""
    groups, frame = [[]], gdb.newest_frame()
    while frame is not None and len(groups) <= DEPTH + BEYOND:
        if frame.type() in (gdb.NORMAL_FRAME, gdb.INLINE_FRAME):
            groups[-1].append(frame)
        if frame.type() != gdb.INLINE_FRAME:
            groups.append([])
        frame = frame.older()
    groups = [group for group in groups if group and group[-1].type() == gdb.NORMAL_FRAME]
    ours.ask("stop %d %d" % (gdb.selected_inferior().pid, thread))
    for group in groups:
        ours.ask(register_line(group[-1], group[-1].older()))
    return groups


def compare_stop(ours, thread):
    groups = tell_frames(ours, thread)
    for i, group in enumerate(groups[:DEPTH]):
        answer = ours.ask("variables %d" % i)
        # gdb hides inlined calls that begin just here
        scopes = answer["functions"][-len(group):] if answer["functions"] else []
        if len(scopes) < len(group):
            if symbols(group[-1]) is not None:
                differ(hex(group[-1].pc()), group[-1].name(), "frames", len(scopes), len(group))
            continue
        for frame, scope in zip(group, scopes):
            compare_frame(frame, scope)


def start():
    """The program, stopped in main; our reader."""
    random.seed(int(setting("SEED", "1")))
    for words in ("confirm off", "pagination off", "print elements unlimited",
                  "print frame-arguments none", "debuginfod enabled off",
                  "backtrace past-main on"):  # the frame of main has a caller, too
        gdb.execute("set " + words)
    gdb.execute("break main", False, True)
    gdb.execute("run > /dev/null", False, True)
    return Ours()


def stops(ours):
    """Runs on, from place to place: yields at each, a few times."""
    places = []
    for spec in setting("MODULES", "").split():
        module, many = spec.rsplit("=", 1)
        ours.ask("stop %d 0" % gdb.selected_inferior().pid)
        at = ours.ask("lines " + module.replace(":", " "))
        places += random.sample(at, min(int(many), len(at)))
    hits = int(setting("HITS", "2"))
    breaks = {place: gdb.Breakpoint("*%d" % place, internal=True) for place in set(places)}
    for stop in breaks.values():
        stop.silent = True
    most = int(setting("STOPS", "1000"))
    seen = {}
    while counts["stops"] < most:
        pc = gdb.newest_frame().pc()
        counts["stops"] += 1
        yield
        seen[pc] = seen.get(pc, 0) + 1
        gdb.execute("continue", to_string=True)
        if not gdb.selected_inferior().pid:
            return
        while (pc := gdb.newest_frame().pc()) in breaks and seen.get(pc, 0) >= hits:
            breaks.pop(pc).delete()
            gdb.execute("continue", to_string=True)
            if not gdb.selected_inferior().pid:
                return


def report(main):
    try:
        main()
    except Exception as error:  # gdb would go on
        print("ORACLE FAILED", type(error).__name__, error)
        counts["different"] += 1
        raise
    finally:
        print("COUNTS", json.dumps(counts))
        gdb.execute("kill" if gdb.selected_inferior().pid else "echo")
        sys.stdout.flush()


def main():
    ours = start()
    for _ in stops(ours):
        compare_stop(ours, gdb.selected_thread().num)


if __name__ == "__main__":
    report(main)
