/*
** Where the registers of a caller are, for every instruction of a file, is what readelf says.
*/
#define _GNU_SOURCE
#include <inttypes.h>

#include "replay/cfi.h"

#include "test/base/check.h"
#include "test/replay/oracle.h"

static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                    "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "ra"};

static int register_of(const char *name) {
  for (int i = 0; i < CFI_REGISTERS; i++) {
    if (strcmp(names[i], name) == 0) return i;
  }
  return -1;
}

typedef struct Reader {
  const char *path;
  const Cfi *cfi;
  int columns[40], ncolumns; /* registers, -1: one that we do not know */
  uint64_t next, end;        /* where the next row must begin; where the range ends */
  uint64_t outermost[8];     /* CIEs that say that there is no caller */
  size_t noutermost, common; /* common: the last CIE named */
  size_t ranges, rows, wrong;
} Reader;

static void complain(Reader *reader, const char *line) {
  if (reader->wrong++ < 5) printf("# %s: not so: %s", reader->path, line);
}

/* As readelf writes it. */
static void write_rule(const CfiRule *rule, char *out, size_t size) {
  switch (rule->how) {
  case CFI_UNSAID:
  case CFI_UNDEFINED:
    snprintf(out, size, "u");
    break;
  case CFI_SAME:
    snprintf(out, size, "s");
    break;
  case CFI_AT:
    snprintf(out, size, "c%+" PRId64, rule->value);
    break;
  case CFI_IS:
    snprintf(out, size, "v%+" PRId64, rule->value);
    break;
  case CFI_AT_EXPRESSION:
    snprintf(out, size, "exp");
    break;
  case CFI_IS_EXPRESSION:
    snprintf(out, size, "vexp");
    break;
  default:
    snprintf(out, size, "r%" PRId64, rule->value);
    break;
  }
}

static void write_cfa(const CfiRow *row, char *out, size_t size) {
  if (row->cfa.how == CFI_REGISTER && row->cfa.value < CFI_RIP) {
    snprintf(out, size, "%s%+" PRId64, names[row->cfa.value], row->cfa_offset);
  } else {
    snprintf(out, size, "exp");
  }
}

/* The next word, without the "(rbx)" that readelf puts behind "r3". */
static char *word(char **line) {
  char *found;
  do {
    found = strsep(line, " \n");
  } while (found && (!*found || *found == '('));
  return found;
}

static void read_columns(Reader *reader, char *line) {
  char *name;
  reader->ncolumns = 0;
  word(&line);
  word(&line);
  while ((name = word(&line)) && reader->ncolumns < 40) {
    reader->columns[reader->ncolumns++] = register_of(name);
  }
}

static bool same_row(Reader *reader, uint64_t addr, char *line) {
  Fault fault = {0};
  CfiRow row;
  char ours[64], *theirs;
  bool said[CFI_REGISTERS] = {false};
  if (!cfi_row(reader->cfi, addr, &row, &fault)) {
    printf("# %s\n", fault.text);
    return false;
  }
  write_cfa(&row, ours, sizeof ours);
  theirs = word(&line);
  bool same = theirs && strcmp(ours, theirs) == 0 && addr == reader->next && row.lo == addr;
  for (int i = 0; i < reader->ncolumns; i++) {
    theirs = word(&line);
    if (reader->columns[i] < 0) continue;
    write_rule(&row.registers[reader->columns[i]], ours, sizeof ours);
    same = same && theirs && strcmp(ours, theirs) == 0;
    said[reader->columns[i]] = true;
  }
  for (int i = 0; i < CFI_REGISTERS; i++) {
    same = same && (said[i] || row.registers[i].how == CFI_UNSAID);
  }
  reader->next = row.hi;
  reader->rows++;
  return same;
}

/* A range without rows of its own is all as its CIE says. */
static void finish_range(Reader *reader, const char *line) {
  CfiRow row;
  if (reader->next == reader->end) return;
  bool is_outermost = false;
  for (size_t i = 0; i < reader->noutermost; i++) {
    is_outermost |= reader->outermost[i] == reader->common;
  }
  if (!cfi_row(reader->cfi, reader->next, &row, NULL) || row.hi != reader->end ||
      row.cfa_offset != 8 ||
      row.registers[CFI_RIP].how != (is_outermost ? CFI_UNDEFINED : CFI_AT)) {
    complain(reader, line);
  }
}

/* The row of a CIE: "0000000000000000 rsp+8    u"; that for signals has none. */
static void read_common(Reader *reader, char *line) {
  const char *cfa = word(&line), *rip = word(&line);
  if (cfa && rip && strcmp(rip, "u") == 0 && reader->noutermost < 8) {
    reader->outermost[reader->noutermost++] = reader->common;
  }
}

static void read_range(Reader *reader, const char *line, const char *pc) {
  finish_range(reader, line);
  const char *common = strstr(line, " cie=");
  reader->common = common ? strtoull(common + 5, NULL, 16) : 0;
  sscanf(pc, "pc=%" SCNx64 "..%" SCNx64, &reader->next, &reader->end);
  const CfiRange *range = cfi_find(reader->cfi, reader->next);
  if (!range || range->lo != reader->next || range->hi != reader->end) complain(reader, line);
  reader->ranges++;
}

static void test_rows(const char *path) {
  Fault fault = {0};
  ElfFile *elf;
  Cfi *cfi;
  char line[4096], copy[4096], what[256];
  size_t count;
  if (!elf_open(path, &elf, &fault) || !cfi_create(elf, &cfi, &fault)) {
    oracle_die(path, fault.text);
  }
  Reader reader = {.path = path, .cfi = cfi};
  FILE *readelf = oracle_open("readelf -wNF '%s' 2>&1", path);
  bool in_common = false;
  while (fgets(line, sizeof line, readelf)) {
    const char *pc = strstr(line, " pc=");
    snprintf(copy, sizeof copy, "%s", line);
    if (strstr(line, " CIE ")) {
      finish_range(&reader, line);
      reader.next = reader.end = 0;
      reader.common = strtoull(line, NULL, 16);
      in_common = true;
    }
    if (pc) {
      in_common = false;
      read_range(&reader, line, pc + 1);
    } else if (strncmp(line, "   LOC", 6) == 0) {
      read_columns(&reader, copy);
    } else if (strspn(line, "0123456789abcdef") == 16 && in_common) {
      read_common(&reader, copy + 16);
    } else if (strspn(line, "0123456789abcdef") == 16) {
      const uint64_t addr = strtoull(line, NULL, 16);
      if (!same_row(&reader, addr, copy + 16)) complain(&reader, line);
    }
  }
  finish_range(&reader, "the last\n");
  oracle_close(readelf);
  cfi_ranges(cfi, &count);
  snprintf(what, sizeof what, "%s: %zu rows of %zu ranges", path, reader.rows, reader.ranges);
  check(reader.wrong == 0 && reader.ranges == count && reader.rows > 100, what);
  cfi_free(cfi);
  elf_close(elf);
}

/* The loader finds it without sections, as with them. */
static void test_without_sections(const char *path) {
  Fault fault = {0};
  ElfFile *elf, *bare;
  Cfi *with, *without;
  if (!elf_open(path, &elf, &fault)) oracle_die(path, fault.text);
  uint8_t *copy = malloc(elf->size);
  if (!copy) abort();
  memcpy(copy, elf->bytes, elf->size);
  memset(copy + 40, 0, 8); /* e_shoff */
  memset(copy + 60, 0, 2); /* e_shnum */
  if (!elf_of_bytes(copy, elf->size, "bare", &bare, &fault) || !cfi_create(elf, &with, &fault) ||
      !cfi_create(bare, &without, &fault)) {
    oracle_die(path, fault.text);
  }
  size_t count, bare_count;
  const CfiRange *ranges = cfi_ranges(with, &count), *found = cfi_ranges(without, &bare_count);
  bool same = count == bare_count;
  for (size_t i = 0; same && i < count; i++) {
    same = ranges[i].lo == found[i].lo && ranges[i].hi == found[i].hi;
  }
  check(same && count > 100, "the same ranges without sections");
  cfi_free(with);
  cfi_free(without);
  elf_close(bare);
  elf_close(elf);
  free(copy);
}

static bool no_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  const uint64_t value = addr * 3;
  memcpy(out, &value, size);
  return true;
}

/* -1: it must be refused. */
static void test_value(const char *code, size_t size, int64_t expected, const char *what) {
  const uint64_t registers[CFI_REGISTERS] = {[CFI_RSP] = 1000, [CFI_RIP] = 0x123c};
  const CfiContext context = {registers, 1u << CFI_RSP | 1u << CFI_RIP, no_memory, NULL};
  const CfiRule rule = {CFI_IS_EXPRESSION, 0, (const uint8_t *)code, size};
  const uint64_t first = 7;
  uint64_t value = 0;
  const bool ok = cfi_evaluate(&rule, &context, &first, &value);
  check(expected == -1 ? !ok : ok && (int64_t)value == expected, what);
}

int main(void) {
  test_rows("/usr/lib/x86_64-linux-gnu/libc.so.6");
  test_rows("/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2");
  test_rows("/usr/lib/x86_64-linux-gnu/libsqlite3.so.0");
  test_rows("/usr/lib/x86_64-linux-gnu/libstdc++.so.6");
  test_rows("/usr/lib/x86_64-linux-gnu/libcrypto.so.3");
  test_rows("/usr/bin/bash");
  test_rows("/usr/bin/git");
  test_without_sections("/usr/bin/git");
  test_without_sections("/usr/lib/x86_64-linux-gnu/libc.so.6");
#define VALUE(code, expected, what) test_value(code, sizeof code - 1, expected, what)
  VALUE("\x77\x08\x80\x00\x3f\x1a\x3b\x2a\x33\x24\x22", 1008 + 8,
        "the expression of .plt: 12 & 15 >= 11");
  VALUE("\x23\x05", 12, "the first number plus 5");
  VALUE("\x77\x7e\x06", 2994, "memory at rsp - 2");
  VALUE("\x31\x33\x16\x1c", 2, "swapped, 3 - 1");
  VALUE("\x32\x33\x34\x17\x1c\x23\x05", 4, "rotated, 2 - 3 + 5");
  VALUE("\x38\x1f\x19", 8, "absolute of -8");
  VALUE("\x09\xf8\x32\x1b", -4, "-8 / 2");
  VALUE("\x31\x28\x01\x00\x30\x39", 9, "a branch over a number");
  VALUE("\x2f\xfd\xff", -1, "an endless loop");
  VALUE("\x31\x30\x1b", -1, "a division by 0");
  VALUE("\x70\x00", -1, "a register that is not known");
  VALUE("\x13\x13", -1, "nothing left");
  VALUE("\x0c\x01", -1, "a constant that is cut");
  VALUE("\xf3", -1, "an unknown instruction");
  return checks_end();
}
