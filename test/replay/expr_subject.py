"""Writes a C program full of random expressions, each beside its text: run, it prints what the
compiler makes of them. Then it waits in here(), with the same variables, for somebody else to try.

Nothing that C leaves open: shifts by less than the width, divisors above 0, no float too large."""
import random
import re
import sys

HEAD = r"""
#include <stdio.h>
enum plain { ZERO, TWO = 2, BIG = 3000000000u };
enum negative { MINUS = -7, PLUS = 9 };
typedef unsigned short ushort16;
struct bits { unsigned a : 3; int b : 5; unsigned c : 32; int d : 32; _Bool e : 1; enum negative n : 5; };
struct node { const char *name; struct node *next; int key; double weight; struct bits bits;
              union { long number; char text[8]; } u; short list[3]; };
static struct node nodes[3] = {
  {"first", &nodes[1], 10, 1.5, {7, -16, 4000000000u, -5, 1, MINUS}, {-1}, {1, -2, 3}},
  {"second", &nodes[2], -20, -2.25, {3, 15, 1, 2147483647, 0, PLUS}, {.text = "union"}, {-32768, 32767, 0}},
  {"", NULL, 0, 0, {0}, {0}, {0}}};
static unsigned long global_long = 0x8000000000000001ul;
static int counter(void) { static int counted = 5; return counted++; }
static __attribute__((noinline)) void here(void) { __asm__ volatile(""); }
#define NAME(e) _Generic((e), char: "char", signed char: "signed char", unsigned char: "unsigned char", \
  short: "short", unsigned short: "unsigned short", int: "int", unsigned: "unsigned int", long: "long", \
  unsigned long: "unsigned long", long long: "long long", unsigned long long: "unsigned long long", \
  _Bool: "_Bool", float: "float", double: "double", long double: "long double", default: "?")
#define SHOW(e) do { __typeof__(e) shown = (e); \
  if (_Generic(shown, float: 1, double: 1, long double: 1, default: 0)) \
    printf("%s\t%.21Lg\t%s\n", NAME(shown), (long double)shown, #e); \
  else if ((__typeof__(shown))-1 < 0) printf("%s\t%lld\t%s\n", NAME(shown), (long long)shown, #e); \
  else printf("%s\t%llu\t%s\n", NAME(shown), (unsigned long long)shown, #e); } while (0)
"""
MAIN = r"""
int main(void) {
  char c = -100; signed char sc = -1; unsigned char uc = 200; short s = -30000; ushort16 us = 65535;
  int i = -2000000000; unsigned u = 4000000000u; long l = -5000000000l; unsigned long ul = 1ul << 63;
  long long ll = 1ll << 62; unsigned long long ull = 12345678901234567890ull; _Bool yes = 1, no = 0;
  float f = 0.1f; double d = -2.75; long double ld = 3.25L; enum plain e = BIG; enum negative n = MINUS;
  int a[4] = {1, -2, 3, 2147483647}; int *p = &a[1]; char buffer[10] = "buffer"; char *text = buffer;
  int grid[2][3] = {{1, 2, 3}, {4, 5, 6}}; struct node *list = nodes; void *v = a; struct node one = nodes[1];
  int **pp = &p; long k = 1;
  (void)counter();
"""
INTEGERS = """c sc uc s us i u l ul ll ull yes no e n global_long list->key list->next->key one.key
+nodes[1].bits.a +one.bits.b +list->bits.c +list->bits.d +list->bits.e +one.bits.n list->next->u.number
nodes[0].list[1] one.u.text[1] a[0] a[3] a[k] *p p[1] **pp *(p+1) p[-1] grid[1][2] *grid[1] (*(grid+1))[1]
buffer[2] *text text[1] *(text+3) list->name[1] TWO BIG MINUS 'a' '\\n' '\\x7f' '\\'' 0 1 42 0x7fffffff
0xffffffff 4294967296 077 5u 7l 9ul 2147483648 sizeof(int) sizeof(struct_node) sizeof(a) sizeof(c+c)
sizeof(one.list) sizeof"text" sizeof(grid[0]) &a[3]-&a[1] p-a (char*)&a[2]-(char*)a (long)v-(long)a
((struct_node*)list->next)->key *(unsigned_char*)&i *((short*)&l+1) (int)&((struct_node*)0)->key !list
list==nodes p==&a[1] p<a+2 list->next->next->next==0 v==a !p text&&list (&one)->key (*list).key""".split()
FLOATS = "f d ld list->weight one.weight 1.5 2.5f 1e3 .125 (float)c (double)u (long_double)ull".split()
CASTS = """char signed_char unsigned_char short unsigned_short int unsigned long unsigned_long long_long
unsigned_long_long _Bool ushort16 long_unsigned_int""".split()


def words(text):
    for name in ("struct", "unsigned_char", "long_double", "signed_char", "unsigned_short", "long_long",
                 "unsigned_long", "long_unsigned_int"):
        text = text.replace(name + "_", name + " ") if name == "struct" else \
            text.replace(name, name.replace("_", " "))
    return text.replace("unsigned long_long", "unsigned long long")


def primary(texts):
    text = words(random.choice(texts))
    return text if re.fullmatch(r"[\w.>\[\]-]*|'.*'|\*\w+", text) and "p-" not in text else "(%s)" % text


def integer(depth):
    if depth == 0 or random.random() < 0.15:
        return primary(INTEGERS)
    x, y = integer(depth - 1), integer(depth - 1)
    kind = random.randrange(12)
    if kind < 4:
        return "(%s %s %s)" % (x, random.choice("+ - * & | ^".split()), y)
    if kind == 4:
        return "(%s %s (%s & %d))" % (x, random.choice(["<<", ">>"]), y, random.choice([7, 31]))
    if kind == 5:
        return "(%s %s ((%s & 7) + 1))" % (x, random.choice("/%"), y)
    if kind == 6:
        return "%s(%s)" % (random.choice("- ~ ! +".split()), x)
    if kind == 7:
        return "(%s)%s" % (words(random.choice(CASTS)), "(%s)" % x)
    if kind == 8:
        x, y = random.choice([(x, y), (floating(depth - 1), y), (x, floating(depth - 1))])
        return "(%s %s %s)" % (x, random.choice("< > <= >= == !=".split()), y)
    if kind == 9:
        return "(%s %s %s)" % (x, random.choice(["&&", "||"]), y)
    if kind == 10:
        return "(%s ? %s : %s)" % (integer(depth - 1), x, y)
    return loose(depth)


def loose(depth):
    """Without parentheses: precedences and associativity."""
    operators = "+ - * & | ^ < > == != && || <= >=".split()
    out = integer(0)
    for _ in range(depth + 1):
        out += " %s %s" % (random.choice(operators), random.choice(["", "", "-", "~", "!"]) + integer(0))
    return "(%s)" % out


def floating(depth):
    if depth == 0 or random.random() < 0.2:
        return primary(FLOATS)
    x, y = floating(depth - 1), random.choice([floating, integer])(depth - 1)
    kind = random.randrange(5)
    if kind < 3:
        return "(%s %s %s)" % (x, random.choice("+-*"), y)
    if kind == 3:
        return "(%s / ((%s & 3) + 1.5%s))" % (x, integer(depth - 1), random.choice(["", "f"]))
    return "(%s ? %s : %s)" % (integer(depth - 1), x, y)


def main():
    random.seed(int(sys.argv[1]))
    out = [HEAD, MAIN]
    for _ in range(int(sys.argv[2])):
        text = random.choice([integer, integer, floating])(random.randrange(4))
        out.append("  SHOW(%s);" % text)
    out.append("  here();\n  return pp == NULL;\n}")
    print("\n".join(out))


main()
