/*
** The index and the lines of a module, against readers that share no code with ours: the same
** functions at the same addresses as libdwarf says, the same rows of the line tables as readelf
** says (libdwarf 20210528 takes the wrong file where number 0 is not number 1), for the debug
** information of the C library and for programs compiled here with every version of DWARF.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <libdwarf/dwarf.h>
#include <libdwarf/libdwarf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/stop.h"
#include "replay/dwarf.h"
#include "test/replay/scratch.h"

static Fault fault;
static Dwarf_Error error;

static void check(bool ok) {
  if (!ok) fprintf(stderr, "%s\n", fault.text);
  assert(ok);
}

/* ---- what libdwarf says */

typedef struct Theirs {
  Dwarf_Debug debug;
  Map functions; /* "addr name": how often seen by them, less by us */
  Map rows;      /* "addr line base-name-of-file stmt" likewise */
  size_t nfunctions, nrows;
} Theirs;

static void note(Map *map, const char *key) {
  int64_t *at = map_put(map, key, strlen(key), 0, NULL);
  assert(at);
  ++*at;
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* The name of an entry, or of the one it completes. */
static bool their_name(Dwarf_Debug debug, Dwarf_Die die, char *out, size_t size) {
  char *name;
  Dwarf_Attribute attr;
  Dwarf_Off off;
  Dwarf_Die origin;
  if (dwarf_diename(die, &name, &error) == DW_DLV_OK) {
    snprintf(out, size, "%s", name);
    return true;
  }
  if (dwarf_attr(die, DW_AT_abstract_origin, &attr, &error) != DW_DLV_OK &&
      dwarf_attr(die, DW_AT_specification, &attr, &error) != DW_DLV_OK)
    return false;
  assert(dwarf_global_formref(attr, &off, &error) == DW_DLV_OK);
  assert(dwarf_offdie_b(debug, off, 1, &origin, &error) == DW_DLV_OK);
  bool ok = their_name(debug, origin, out, size);
  dwarf_dealloc(debug, origin, DW_DLA_DIE);
  return ok;
}

static uint64_t their_start4(Dwarf_Debug debug, Dwarf_Die die, Dwarf_Off at) {
  Dwarf_Ranges *ranges;
  Dwarf_Signed n;
  Dwarf_Unsigned bytes;
  Dwarf_Off real;
  uint64_t start = 0;
  assert(dwarf_get_ranges_b(debug, at, die, &real, &ranges, &n, &bytes, &error) == DW_DLV_OK);
  for (Dwarf_Signed i = 0; i < n && !start; i++)
    if (ranges[i].dwr_type == DW_RANGES_ENTRY) start = ranges[i].dwr_addr1;
  dwarf_ranges_dealloc(debug, ranges, n);
  return start;
}

/* Where its first range begins; 0: nowhere. */
static uint64_t their_start(Dwarf_Debug debug, Dwarf_Die die) {
  Dwarf_Addr low;
  Dwarf_Attribute attr;
  Dwarf_Half form, version, size;
  Dwarf_Unsigned value, n, offset, raw[2], lo, hi;
  Dwarf_Rnglists_Head head;
  if (dwarf_lowpc(die, &low, &error) == DW_DLV_OK) return low;
  if (dwarf_attr(die, DW_AT_ranges, &attr, &error) != DW_DLV_OK) return 0;
  assert(dwarf_whatform(attr, &form, &error) == DW_DLV_OK);
  int ok = form == DW_FORM_rnglistx ? dwarf_formudata(attr, &value, &error)
                                    : dwarf_global_formref(attr, &value, &error);
  assert(ok == DW_DLV_OK);
  assert(dwarf_get_version_of_die(die, &version, &size) == DW_DLV_OK);
  if (version < 5) return their_start4(debug, die, value);
  if (dwarf_rnglists_get_rle_head(attr, form, value, &head, &n, &offset, &error) != DW_DLV_OK)
    return 0;
  uint64_t start = 0;
  for (Dwarf_Unsigned i = 0; i < n && !start; i++) {
    unsigned length, kind;
    Dwarf_Bool missing;
    assert(dwarf_get_rnglists_entry_fields_a(head, i, &length, &kind, &raw[0], &raw[1], &missing,
                                             &lo, &hi, &error) == DW_DLV_OK);
    if (kind != DW_RLE_base_address && kind != DW_RLE_base_addressx && lo < hi) start = lo;
  }
  dwarf_dealloc_rnglists_head(head);
  return start;
}

static void their_function(Theirs *theirs, Dwarf_Die die) {
  char name[512], key[600];
  uint64_t start = their_start(theirs->debug, die);
  if (!start || !their_name(theirs->debug, die, name, sizeof name)) return;
  snprintf(key, sizeof key, "%llx %s", (unsigned long long)start, name);
  note(&theirs->functions, key);
  theirs->nfunctions++;
}

static void their_entries(Theirs *theirs, Dwarf_Die die) {
  for (;;) {
    Dwarf_Half tag;
    Dwarf_Die child, sibling;
    assert(dwarf_tag(die, &tag, &error) == DW_DLV_OK);
    if (tag == DW_TAG_subprogram) their_function(theirs, die);
    if (dwarf_child(die, &child, &error) == DW_DLV_OK) their_entries(theirs, child);
    int more = dwarf_siblingof_b(theirs->debug, die, 1, &sibling, &error);
    dwarf_dealloc(theirs->debug, die, DW_DLA_DIE);
    if (more != DW_DLV_OK) return;
    die = sibling;
  }
}

static void row_key(char *key, size_t size, uint64_t addr, uint64_t line, const char *file,
                    bool is_stmt) {
  snprintf(key, size, "%llx %llu %s %d", (unsigned long long)addr, (unsigned long long)line,
           base_name(file), is_stmt);
}

/* "file.c  12  0x1139  [view]  [x]"; the line is "-" where a sequence ends. Sequences that begin at
** 0 were thrown away by the linker. */
static void their_rows(Theirs *theirs, const char *path) {
  char command[400], text[1000], key[1100], file[500], line[20], rest[3][20];
  snprintf(command, sizeof command,
           "readelf --debug-dump=decodedline,no-follow-links -W %s 2>/dev/null", path);
  FILE *rows = popen(command, "r");
  assert(rows);
  bool starts = true, dead = false;
  while (fgets(text, sizeof text, rows)) {
    unsigned long long addr;
    int n = sscanf(text, "%499s %19s 0x%llx %19s %19s", file, line, &addr, rest[0], rest[1]);
    if (n < 3) continue;
    bool ends = !strcmp(line, "-"), stmt = n > 3 && !strcmp(rest[n - 4], "x");
    if (starts) dead = addr == 0;
    starts = ends;
    if (ends || dead) continue;
    row_key(key, sizeof key, addr, strtoull(line, NULL, 10), file, stmt);
    note(&theirs->rows, key);
    theirs->nrows++;
  }
  pclose(rows);
}

static void read_theirs(Theirs *theirs, const char *path) {
  assert(dwarf_init_path(path, NULL, 0, DW_GROUPNUMBER_ANY, 0, NULL, NULL, &theirs->debug, NULL, 0,
                         NULL, &error) == DW_DLV_OK);
  Dwarf_Unsigned next;
  Dwarf_Half type;
  while (dwarf_next_cu_header_d(theirs->debug, 1, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                &next, &type, &error) == DW_DLV_OK) {
    Dwarf_Die unit;
    if (dwarf_siblingof_b(theirs->debug, NULL, 1, &unit, &error) != DW_DLV_OK) continue;
    their_entries(theirs, unit);
  }
  their_rows(theirs, path);
  dwarf_finish(theirs->debug, &error);
}

/* ---- what we say */

/* Several names may stand for the same code. */
static void check_at(Dwarf *dwarf, const DwarfFunction *function, uint32_t k, uint64_t addr) {
  size_t found;
  DwarfFunction other;
  check(dwarf_function_at(dwarf, addr, &found, &fault));
  check(dwarf_function_get(dwarf, found, &other, &fault));
  assert(k < other.nranges && other.ranges[k].lo == function->ranges[k].lo);
  assert(other.ranges[k].hi == function->ranges[k].hi);
}

static void compare_functions(Dwarf *dwarf, Theirs *theirs) {
  size_t n, coded = 0, found;
  char key[600];
  check(dwarf_function_count(dwarf, &n, &fault));
  for (size_t i = 0; i < n; i++) {
    DwarfFunction function;
    check(dwarf_function_get(dwarf, i, &function, &fault));
    assert(function.nranges || function.inlined);
    if (!function.nranges) continue;
    coded++;
    snprintf(key, sizeof key, "%llx %s", (unsigned long long)function.ranges[0].lo, function.name);
    int64_t *left = map_get(&theirs->functions, key, strlen(key));
    if (!left || !*left) fprintf(stderr, "theirs lacks %s\n", key);
    assert(left && *left);
    --*left;
    for (uint32_t k = 0; k < function.nranges; k++) {
      check_at(dwarf, &function, k, function.ranges[k].lo);
      check_at(dwarf, &function, k, function.ranges[k].hi - 1);
    }
    bool named = false;
    for (size_t k = 0; !named && dwarf_function_named(dwarf, function.name, k, &found, &fault); k++)
      named = found == i;
    assert(named);
  }
  printf("%zu functions, %zu with code; libdwarf has %zu\n", n, coded, theirs->nfunctions);
  assert(coded == theirs->nfunctions);
}

static void compare_rows(Dwarf *dwarf, Theirs *theirs) {
  size_t n, found;
  char key[600];
  uint64_t last = 0;
  check(dwarf_line_count(dwarf, &n, &fault));
  for (size_t i = 0; i < n; i++) {
    DwarfLine line, at;
    check(dwarf_line_get(dwarf, i, &line, &fault));
    assert(line.addr >= last && line.end >= line.addr);
    last = line.addr;
    row_key(key, sizeof key, line.addr, line.line, line.file, line.is_stmt);
    int64_t *left = map_get(&theirs->rows, key, strlen(key));
    if (!left || !*left) fprintf(stderr, "theirs lacks %s\n", key);
    assert(left && *left);
    --*left;
    if (line.addr == line.end) continue;
    check(dwarf_line_at(dwarf, line.end - 1, &found, &fault));
    check(dwarf_line_get(dwarf, found, &at, &fault));
    assert(found == i && at.addr <= line.end - 1 && line.end - 1 < at.end);
  }
  printf("%zu rows; readelf has %zu\n", n, theirs->nrows);
  assert(n == theirs->nrows);
}

/* As many as theirs, and each of ours one of theirs: the same. */
static void compare(const char *path) {
  Theirs theirs = {0};
  read_theirs(&theirs, path);
  int64_t start = clock_now();
  Dwarf *dwarf;
  check(dwarf_open(path, &dwarf, &fault));
  size_t n, bad;
  int64_t opened = clock_now();
  check(dwarf_function_count(dwarf, &n, &fault));
  int64_t indexed = clock_now();
  check(dwarf_line_count(dwarf, &n, &fault));
  int64_t lined = clock_now();
  size_t units = dwarf_unit_count(dwarf, &bad);
  printf("%s: %zu units, %zu broken; opened in %.1f ms, indexed in %.1f, lines in %.1f\n", path,
         units, bad, (double)(opened - start) / 1e6, (double)(indexed - opened) / 1e6,
         (double)(lined - indexed) / 1e6);
  assert(!bad);
  compare_functions(dwarf, &theirs);
  compare_rows(dwarf, &theirs);
  dwarf_close(dwarf);
  map_finish(&theirs.functions);
  map_finish(&theirs.rows);
}

/* ---- programs of all kinds */

static const char source_a[] = "struct pair { int a, b; };\n"
                               "int twice(int);\n"
                               "static inline int add(struct pair *p) {\n"
                               "  return p->a + p->b;\n"
                               "}\n"
                               "static int __attribute__((noinline)) often(int n) {\n"
                               "  int sum = 0;\n"
                               "  for (int i = 0; i < n; i++) {\n"
                               "    struct pair p = {i, twice(i)};\n"
                               "    sum += add(&p);\n"
                               "  }\n"
                               "  return sum;\n"
                               "}\n"
                               "int main(int argc, char **argv) {\n"
                               "  if (__builtin_expect(argc > 5, 0)) __builtin_abort();\n"
                               "  return argv[0][0] + often(argc);\n"
                               "}\n";
static const char source_b[] = "int __attribute__((noinline)) twice(int x) {\n"
                               "  return 2 * x;\n"
                               "}\n";

static const char *const ways[] = {
    "gcc -gdwarf-2 -O0",
    "gcc -gdwarf-3 -O2",
    "gcc -gdwarf-4 -O2 -fdebug-types-section",
    "gcc -gdwarf-5 -O0",
    "gcc -gdwarf-5 -O3 -freorder-blocks-and-partition -flto",
    "gcc -gdwarf-5 -O2 -fdebug-types-section -gz=zlib",
    "gcc -gdwarf-5 -gdwarf64 -O1",
    "gcc -gdwarf-5 -O2 -ffunction-sections -Wl,--gc-sections",
    "clang -gdwarf-2 -O1",
    "clang -gdwarf-4 -O2 -fdebug-types-section",
    "clang -gdwarf-5 -O2 -ffunction-sections",
    "clang -gdwarf-5 -O0 -gz=zlib",
};

static void compile(const char *dir) {
  char path[300], command[1200];
  snprintf(path, sizeof path, "%s/a.c", dir);
  scratch_write(path, source_a);
  snprintf(path, sizeof path, "%s/b.c", dir);
  scratch_write(path, source_b);
  for (size_t i = 0; i < countof(ways); i++) {
    snprintf(command, sizeof command, "cd %s && %s -o p%zu a.c b.c", dir, ways[i], i);
    int status = system(command);
    if (status) fprintf(stderr, "%s\n", command);
    assert(status == 0);
  }
}

/* What can be said of every one of them. */
static void check_known(const char *path) {
  Dwarf *dwarf;
  size_t i, row;
  DwarfFunction function;
  DwarfLine line;
  check(dwarf_open(path, &dwarf, &fault));
  check(dwarf_function_named(dwarf, "often", 0, &i, &fault));
  assert(!dwarf_function_named(dwarf, "often", 1, &i, &fault) && !fault.code);
  check(dwarf_function_get(dwarf, i, &function, &fault));
  assert(!strcmp(function.name, "often") && !strcmp(function.linkage, "often"));
  assert(!strcmp(base_name(function.file), "a.c") && *function.file == '/');
  assert(function.line == 6 && !function.external && !function.inlined);
  check(dwarf_line_at(dwarf, function.entry, &row, &fault));
  /* The row that has the code is the last of those at the address. */
  do check(dwarf_line_get(dwarf, row, &line, &fault));
  while (line.line != 6 && row-- && line.addr == function.entry);
  assert(line.line == 6 && !strcmp(line.file, function.file));
  check(dwarf_function_named(dwarf, "twice", 0, &i, &fault));
  check(dwarf_function_get(dwarf, i, &function, &fault));
  assert(function.external && function.line == 1 && !strcmp(base_name(function.file), "b.c"));
  assert(!dwarf_function_at(dwarf, 1, &i, &fault) && fault.code == FAULT_NOTFOUND);
  fault_clear(&fault);
  assert(!dwarf_line_at(dwarf, UINT64_MAX, &i, &fault) && fault.code == FAULT_NOTFOUND);
  fault_clear(&fault);
  dwarf_close(dwarf);
}

/* The separate debug file of the C library: 2,063 units, many of them from assembler. */
static bool libc_debug(char *out, size_t size) {
  FILE *notes = popen("readelf -n /lib/x86_64-linux-gnu/libc.so.6 2>/dev/null", "r");
  char text[300], id[100] = "";
  assert(notes);
  while (fgets(text, sizeof text, notes)) sscanf(text, " Build ID: %99s", id);
  pclose(notes);
  snprintf(out, size, "/usr/lib/debug/.build-id/%.2s/%s.debug", id, id + 2);
  return access(out, R_OK) == 0;
}

int main(int argc, char **argv) {
  char dir[200], path[300];
  for (int i = 1; i < argc; i++) compare(argv[i]);
  if (argc > 1) return 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  scratch_make(dir, sizeof dir);
  compile(dir);
  for (size_t i = 0; i < countof(ways); i++) {
    snprintf(path, sizeof path, "%s/p%zu", dir, i);
    printf("%s\n", ways[i]);
    compare(path);
    check_known(path);
  }
  if (libc_debug(path, sizeof path)) compare(path);
  Dwarf *dwarf;
  assert(!dwarf_open("/bin/true", &dwarf, &fault) && fault.code == FAULT_NOTFOUND);
  fault_clear(&fault);
  scratch_remove(dir);
  return 0;
}
