/*
** libFuzzer: whatever an expression says, whatever the debug information and whatever the memory:
** a value or a fault, never a crash.
**
** An input is the number of bytes that are changes to the debug information of a small library
** (compiled when we begin), these changes, and the text.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/expr.h"

#include "test/replay/change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

static const char source_text[] =
    "enum e { A, B = 5, C = -1 }; typedef unsigned long size;"
    "struct s { struct s *next; char *name; int a : 3; unsigned b : 30; enum e e; float f;"
    " union { double d; long double ld; }; int m[2][3]; char t[]; };"
    "struct s head; struct s *list = &head; char *text = \"text\"; static size n = 3;"
    "__int128 wide; _Complex double z; struct hidden *h; void *v; int (*call)(int);"
    "int here(int p, struct s *q, char **argv) {"
    " int vla[p]; long local = p + (long)n; static int kept; struct s copy = *q;"
    " for (int i = 0; i < p; i++) { int p2 = i * 2; vla[i] = p2 + kept++ + copy.a + argv[0][0]; }"
    " return (int)local + vla[0]; }";

/* The library, read once. */
static const uint8_t *library(size_t *out_size) {
  static uint8_t bytes[1 << 17];
  static size_t size;
  if (!size) {
    char path[] = "/tmp/tenfold-fuzz-XXXXXX", command[200];
    int fd = mkstemp(path);
    must(fd >= 0, "no file");
    snprintf(command, sizeof command, "clang -w -g -O0 -shared -nostdlib -o %s -x c -", path);
    FILE *compiler = popen(command, "w");
    must(compiler && fputs(source_text, compiler) > 0 && pclose(compiler) == 0, "no compiler");
    ssize_t got = pread(fd, bytes, sizeof bytes, 0);
    must(got > 0, "no library");
    size = (size_t)got;
    close(fd);
    unlink(path);
  }
  *out_size = size;
  return bytes;
}

static bool some_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  for (size_t i = 0; i < size; i++) ((uint8_t *)out)[i] = (uint8_t)((addr + i) * 7 % 251 / 3);
  return addr % 11 != 0;
}

static bool some_register(void *ctx, unsigned number, void *out, size_t size) {
  (void)ctx;
  memset(out, (int)number, size);
  return number % 5 != 4;
}

static bool some_number(void *ctx, uint64_t *out) {
  (void)ctx;
  *out = 0x7fff0000;
  return true;
}

static bool some_storage(void *ctx, uint64_t offset, uint64_t *out) {
  *out = offset + 0x1000;
  return !ctx;
}

/* Everything that can be asked of a value. */
static void look(const Value *value, Arena *arena) {
  const ValueStyle style = {50, 100, 5};
  Text text = {0};
  Fault fault = {0};
  Scalar scalar;
  uint64_t addr;
  must(value_json(value, &style, &text, &fault) || fault.code, "refused without a reason");
  fault_clear(&fault);
  must(value_scalar(value, &style, arena, &scalar, &fault) || fault.code, "no reason, either");
  value_place(value, &text, NULL);
  dwarf_type_name(value->type, &text, NULL);
  value_address(value, &addr);
  text_finish(&text);
}

static void evaluate(const char *text, const ValueSource *source) {
  Arena arena = {0};
  Fault fault = {0};
  const ExprScope scope = {source, source, 1};
  const Expr *expr;
  const char *rest;
  Value value;
  while (expr_parse(text, &scope, &arena, &expr, &rest, &fault)) {
    must(rest >= text && rest <= text + strlen(text), "it ends outside of the text");
    if (expr_evaluate(expr, &scope, &arena, &value, &fault))
      look(&value, &arena);
    else
      must(fault.code != FAULT_NONE, "refused without a reason");
    if (*rest != ',') break;
    text = rest + 1;
  }
  arena_finish(&arena);
}

/* Bytes beyond ASCII stand for words, so that what is tried has a meaning now and then. */
static void expand(const uint8_t *data, size_t size, Text *out) {
  static const char *const words[] = {
      "p",      "q",    "argv",    "vla",         "local", "copy", "kept",        "i",    "p2",
      "head",   "list", "text",    "n",           "wide",  "z",    "h",           "v",    "call",
      "here",   "A",    "C",       "->",          "next",  "name", "a",           "b",    "e",
      "f",      "d",    "ld",      "m",           "t",     "[0]",  "[1]",         "*",    "&",
      "(",      ")",    "sizeof(", "(struct s*)", "==",    "&&",   "||",          "?",    ":",
      "<<",     "-1",   "2.5",     "\"x\"",       "'c'",   "$rax", "here::",      "+",    "-",
      "(char)", "/",    "%",       "(long)",      ".",     "!",    "'made.so'::", "size", "enum e"};
  for (size_t i = 0; i < size; i++) {
    char c = (char)data[i];
    if (data[i] < 128)
      text_addn(out, &c, 1);
    else
      text_addf(out, "%s ", words[data[i] % countof(words)]);
  }
}

static void try(uint8_t *bytes, size_t size, const char *text) {
  Fault fault = {0};
  DwarfFunction here;
  Dwarf *dwarf;
  size_t function;
  if (!dwarf_open_memory(bytes, size, &dwarf, &fault)) return;
  ValueSource source = {.dwarf = dwarf,
                        .bias = 0x10000,
                        .module = "/lib/made.so",
                        .read = some_memory,
                        .reg = some_register,
                        .cfa = some_number,
                        .tls = some_storage};
  if (dwarf_function_named(dwarf, "here", 0, &function, &fault) &&
      dwarf_function_get(dwarf, function, &here, &fault))
    source.pc = here.entry + source.bias + 40;
  evaluate(text, &source);
  dwarf_close(dwarf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  size_t length, changes = size ? data[0] & 63 : 0;
  if (size < 2 + changes) return 0;
  const uint8_t *from = library(&length);
  uint8_t *bytes = malloc(length); /* of its own, so that the sanitizer sees its end */
  Text text = {0};
  expand(data + 1 + changes, size - 1 - changes, &text);
  if (bytes && !text.oom) {
    memcpy(bytes, from, length);
    change_bytes(bytes, length, data + 1, changes);
    try(bytes, length, text_get(&text));
  }
  text_finish(&text);
  free(bytes);
  return 0;
}
