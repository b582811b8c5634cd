/*
** Expressions over this very program, whose compiler says what they are worth: the text of an
** argument of SAME() is given to the evaluator. And what is refused, with which words.
** (Random expressions, and gdb's word: test/replay/dwarf.c.)
*/
#define _GNU_SOURCE
#include <assert.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/expr.h"
#include "test/replay/expr/other.h"

enum mode { MODE_A, MODE_B = 4, MODE_C = -3 };

struct inner {
  unsigned low : 3, high : 5;
  enum mode mode;
};
struct item {
  const char *name;
  struct item *next;
  struct inner inner;
  union {
    double real;
    int64_t whole;
  };
  char tag[6];
  int (*call)(void);
};
struct hidden;

/* The compiler would do away with what it can compute. */
#define KEPT static __attribute__((used))

KEPT struct item second = {"second", NULL, {5, 17, MODE_C}, {.whole = -1}, "\xff\xfe", other_twin};
KEPT struct item first = {"first \"quoted\"", &second, {1, 2, MODE_B}, {1.5}, "tag", NULL};
KEPT struct item *items[] = {&first, &second, NULL};
static volatile int twin = 1;
KEPT struct hidden *hidden = (struct hidden *)&first;
KEPT char *nowhere = (char *)16;
KEPT void *plain_memory = &first;
KEPT int numbers[3] = {7, -8, 9};
KEPT __int128 huge = (__int128)1 << 100;

/* ---- our own process as a stopped one */

static Dwarf *dwarf;
static Arena arena;
static ValueSource source;
static ExprScope scope = {&source, NULL, 0};

static bool read_own(void *ctx, uint64_t addr, void *out, size_t size) {
  struct iovec to = {out, size}, from = {(void *)(uintptr_t)addr, size};
  (void)ctx;
  return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == (ssize_t)size;
}

static bool read_rdi(void *ctx, unsigned number, void *out, size_t size) {
  uint64_t value = 0x1122334455667788;
  (void)ctx;
  if (number == 5) memcpy(out, &value, size < 8 ? size : 8);
  return number == 5;
}

static int find_bias(struct dl_phdr_info *info, size_t size, void *ctx) {
  (void)size;
  *(uint64_t *)ctx = info->dlpi_addr;
  return 1; /* the first is the program */
}

/* "TYPE VALUE", or "! fault". */
static const char *answer(const char *text) {
  static char out[2000];
  Fault fault = {0};
  const Expr *expr;
  Value value;
  Text type = {0}, json = {0};
  arena_reset(&arena);
  if (!expr_parse(text, &scope, &arena, &expr, NULL, &fault) ||
      !expr_evaluate(expr, &scope, &arena, &value, &fault) ||
      !dwarf_type_name(value.type, &type, &fault) || !value_json(&value, NULL, &json, &fault))
    snprintf(out, sizeof out, "! %s", fault.text);
  else
    snprintf(out, sizeof out, "%s %s", text_get(&type), text_get(&json));
  text_finish(&type);
  text_finish(&json);
  return out;
}

/* ---- what they are worth */

static int count, wrong;

static void check(const char *text, bool ok, const char *got, const char *wanted) {
  count++;
  wrong += !ok;
  printf("%sok %d - %s\n", ok ? "" : "not ", count, text);
  if (!ok) printf("# %s, not %s\n", got, wanted);
}

static void same_integer(const char *text, __int128 wanted) {
  char number[64];
  Fault fault = {0};
  const Expr *expr;
  Value value;
  Scalar scalar = {0};
  arena_reset(&arena);
  bool ok = expr_parse(text, &scope, &arena, &expr, NULL, &fault) &&
            expr_evaluate(expr, &scope, &arena, &value, &fault) &&
            value_scalar(&value, NULL, &arena, &scalar, &fault);
  snprintf(number, sizeof number, "%lld", (long long)wanted);
  check(text, ok && scalar.kind == SCALAR_INTEGER && scalar.integer == (int64_t)wanted,
        ok ? "another value" : fault.text, number);
}

#define SAME(expression) same_integer(#expression, (__int128)(expression))

static void gives(const char *text, const char *wanted) {
  const char *got = answer(text);
  check(text, !strcmp(got, wanted), got, wanted);
}

static void numbers_are_right(void) {
  SAME(first.next->inner.low);
  SAME(first.next->inner.high + 1);
  SAME(items[1]->inner.mode == MODE_C);
  SAME(items[0]->next == items[1] && !items[2]);
  SAME((long)&first.next->tag[2] - (long)&second);
  SAME(sizeof(struct item) + sizeof first.tag + sizeof(enum mode));
  SAME(((struct item *)plain_memory)->next->whole);
  SAME(*numbers * numbers[1] % 5);
  SAME(*(numbers + 2) << 3 | 1);
  SAME((unsigned char)-1 + (signed char)-1);
  SAME((char)300 ^ ~0);
  SAME(numbers[0] > 0 ? numbers[1] : 2);
  SAME(-5 / 2 * 2 + -5 % 2 == -5);
  SAME(0x80000000 >> 31);
  SAME(-1 < 0u);
  SAME((int)(first.real * 4.0));
  SAME('a' + '\x41' + '\101' + '\n');
  SAME(huge >> 90);
  SAME((uint16_t)70000);
  SAME(&numbers[2] - numbers);
  SAME(second.call == other_twin);
  SAME(first.name[0] == 'f');
  SAME(1 ? 2 : 0 ? 3 : 4);
  SAME(0 || (1 && 0));
  SAME((!first.next) == 0);
}

static void values_look_right(void) {
  gives("first.name", "const char * \"first \\\"quoted\\\"\"");
  gives("items[1]->tag", "char [6] \"\\udcff\\udcfe\"");
  gives("first.inner", "struct inner {\"low\":1,\"high\":2,\"mode\":\"MODE_B\"}");
  gives("first.inner.mode", "enum mode \"MODE_B\"");
  gives("(enum mode)-3", "enum mode \"MODE_C\"");
  gives("MODE_B", "int 4");
  gives("numbers", "int [3] [7,-8,9]");
  gives("second.next", "struct item * null");
  gives("first.name == \"first \\\"quoted\\\"\"", "int 1");
  gives("first.tag != \"tag\"", "int 0");
  gives("\"text\"", "char [5] \"text\"");
  gives("\"text\"[1]", "char 101");
  gives("first.real", "double 1.5");
  gives("1 ? 1 : 2.0", "double 1.0");
  gives("$rdi", "long unsigned int 1234605616436508552");
  gives("(short)$rdi", "short int 30600");
  gives("twin", "volatile int 1");
  gives("'expr.c'::twin", "volatile int 1");
  gives("'test/replay/expr/other.c'::twin", "volatile int 2");
  gives("'other.c' :: twin * 2", "int 4");
  gives("gives_static::kept", "volatile int 11");
  gives("(void)1", "void null");
  gives("1 / (numbers[0] - 7)", "int {\"unavailable\":\"division by 0\"}");
  gives("*nowhere", "char {\"unavailable\":\"memory cannot be read\"}");
  gives("nowhere", "char * {\"unavailable\":\"memory cannot be read\",\"pointer\":\"0x10\"}");
  gives("nowhere == \"x\"", "int {\"unavailable\":\"memory cannot be read\"}");
  gives("second.next->name", "const char * {\"unavailable\":\"memory cannot be read\"}");
  gives("*nowhere && 0", "int {\"unavailable\":\"memory cannot be read\"}");
  gives("0 && *nowhere", "int 0");
  gives("$rip", "long unsigned int {\"unavailable\":\"register not saved\"}");
  gives("&$rdi", "! column 1: a value that is computed has no address");
  gives("*hidden", "struct hidden {\"unavailable\":\"incomplete type\"}");
}

/* Somebody has to use it, or there is none. */
static int gives_static(void) {
  static volatile int kept = 11;
  return kept;
}

static void mistakes_are_named(void) {
  gives("", "! column 1: a value is missing");
  gives("first.", "! column 7: the name of a member is missing");
  gives("first.nothing", "! column 7: struct item has no member \"nothing\"");
  gives("first->name", "! column 8: struct item is no pointer: write a dot");
  gives("items[0].name", "! column 10: struct item * is a pointer: write ->");
  gives("hidden->x", "! column 9: struct hidden is only declared here: its members are unknown");
  gives("nothing + 1", "! column 1: there is no variable \"nothing\" here");
  gives("'nowhere.c'::twin", "! column 1: there is no variable \"twin\" in \"nowhere.c\"");
  gives("'x", "! column 1: a ' without its second");
  gives("\"x", "! column 1: a \" without its second");
  gives("'ab'", "! column 1: a character literal of 2 bytes");
  gives("$xyz", "! column 1: there is no register \"xyz\"");
  gives("numbers[1.5]", "! column 9: an index must be an integer, not double");
  gives("*numbers[0]", "! column 1: int is no pointer");
  gives("*plain_memory", "! column 1: what a void pointer points to has no type");
  gives("&first.inner.low", "! column 1: a bit field has no address");
  gives("sizeof first.inner.low", "! column 1: a bit field has no size");
  gives("sizeof(struct hidden)", "! column 15: there is no struct hidden");
  gives("(struct nothing *)0", "! column 9: there is no struct nothing");
  gives("numbers[0] = 1", "! column 12: \"=\" would change the program, which has run already");
  gives("numbers[0]++", "! column 11: \"++\" would change the program, which has run already");
  gives("other_twin()", "! column 11: other_twin cannot be called: the program has run already");
  gives("1 +", "! column 4: a value is missing");
  gives("(1", "! column 3: \")\" is missing");
  gives("1 2", "! column 3: \"2\" where an operator is wanted");
  gives("first + 1", "! column 1: struct item is no number");
  gives("first.real % 2", "! column 12: this operator is not for double and int");
  gives("~1.5", "! column 1: \"~\" is not for double");
  gives("items[0] * 2", "! column 10: this operator is not for struct item * and int");
  gives("(struct item)1", "! column 1: int cannot become struct item");
  gives("unsigned float", "! column 10: \"float\" where an operator is wanted");
  gives("(unsigned float)1", "! column 2: this is no type of C");
  gives("99999999999999999999", "! column 1: a number of more than 64 bits");
  gives("0x", "! column 1: this is no number");
  gives("12ab", "! column 1: this is no number");
  gives("@", "! column 1: \"@\" where a value is wanted");
}

static void too_much_is_refused(void) {
  static char text[20000];
  memset(text, '(', 5000);
  assert(strstr(answer(text), "nested more than 100 deep"));
  memset(text, '-', 5000);
  for (int i = 0; i < 5000; i += 2) text[i] = '!';
  assert(strstr(answer(text), "nested more than 100 deep"));
  text[0] = '1';
  for (int i = 1; i < 19990; i += 2) memcpy(text + i, "+1", 3);
  assert(strstr(answer(text), "an expression too long"));
  strcpy(text, "items");
  for (int i = 0; i < 3000; i++) strcat(text, "[0]");
  assert(strstr(answer(text), "an expression too long"));
}

int main(void) {
  Fault fault = {0};
  uint64_t bias = 0;
  assert(dwarf_open("/proc/self/exe", &dwarf, &fault));
  dl_iterate_phdr(find_bias, &bias);
  source = (ValueSource){.dwarf = dwarf,
                         .bias = bias,
                         .pc = (uint64_t)(uintptr_t)gives_static,
                         .read = read_own,
                         .reg = read_rdi};
  assert(twin == 1 && other_twin() == 2 && gives_static() == 11 && hidden && nowhere);
  numbers_are_right();
  values_look_right();
  mistakes_are_named();
  too_much_is_refused();
  printf("1..%d\n", count);
  dwarf_close(dwarf);
  arena_finish(&arena);
  return wrong ? 1 : 0;
}
