/*
** The functions of a module are those that readelf, objdump and nm know; whose code it is does not
** depend on whether there are names.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <unistd.h>

#include "replay/functions.h"

#include "test/base/check.h"
#include "test/replay/oracle.h"
#include "test/replay/scratch.h"

typedef struct Module {
  const char *path;
  ElfFile *elf, *debug;
  Cfi *cfi;
  Functions *functions;
} Module;

static Module module_open(const char *path, bool debug) {
  Module module = {.path = path};
  Fault fault = {0};
  if (!elf_open(path, &module.elf, &fault) ||
      (debug && !elf_open_debug(module.elf, NULL, &module.debug, &fault)) ||
      !cfi_create(module.elf, &module.cfi, &fault) ||
      !functions_create(module.elf, module.debug, module.cfi, &module.functions, &fault)) {
    oracle_die(path, fault.text);
  }
  return module;
}

static void module_close(Module *module) {
  functions_free(module->functions);
  cfi_free(module->cfi);
  elf_close(module->elf);
  elf_close(module->debug);
}

static void check_of(const Module *module, bool ok, const char *what) {
  char text[512];
  snprintf(text, sizeof text, "%s: %s", module->path, what);
  check(ok, text);
}

static bool has_name(const Module *module, const char *name, const char *version, bool is_default,
                     uint64_t addr, uint64_t size) {
  const FunctionName *names;
  const size_t count = functions_named(module->functions, name, &names);
  for (size_t i = 0; i < count; i++) {
    const Function *function = &module->functions->all[names[i].function];
    if (function->lo == addr && (!size || function->hi - function->lo == size || i + 1 < count) &&
        strcmp(names[i].version ? names[i].version : "", version) == 0 &&
        names[i].is_default == is_default) {
      return true;
    }
  }
  return false;
}

/* Each dynamic symbol that is a function, and no more of them. */
static void test_symbols(const Module *module) {
  char line[8192], what[128];
  size_t count = 0, missing = 0, ours = 0, sub = 0;
  FILE *readelf = oracle_open("readelf -W --dyn-syms '%s'", module->path);
  while (fgets(line, sizeof line, readelf)) {
    char value[32], size[32], type[16], section[16], name[4096];
    if (sscanf(line, "%*s %31s %31s %15s %*s %*s %15s %4095s", value, size, type, section, name) <
            5 ||
        (strcmp(type, "FUNC") != 0 && strcmp(type, "IFUNC") != 0) || strcmp(section, "UND") == 0) {
      continue;
    }
    char *at = strchr(name, '@');
    const bool is_default = at && at[1] == '@';
    const char *version = at ? at + 1 + is_default : "";
    if (at) *at = '\0';
    if (!has_name(module, name, version, is_default, strtoull(value, NULL, 16),
                  strtoull(size, NULL, 0)) &&
        missing++ < 5) {
      printf("# missing: %s", line);
    }
    count++;
  }
  oracle_close(readelf);
  for (size_t i = 0; i < module->functions->nnames; i++) {
    const FunctionName *name = &module->functions->names[i];
    const FunctionSource source = module->functions->all[name->function].source;
    ours += source == FUNCTION_DYNSYM;
    sub += source == FUNCTION_EH_FRAME;
  }
  snprintf(what, sizeof what, "%zu symbols (%zu functions without a name)", count, sub);
  check_of(module, missing == 0 && count == ours, what);
}

/* Ranges begin functions, or are inside; what has no name ends where the range does. */
static void test_ranges(const Module *module) {
  char line[4096];
  size_t count = 0, wrong = 0;
  FILE *readelf = oracle_open("readelf -wNf '%s' 2>&1", module->path);
  while (fgets(line, sizeof line, readelf)) {
    uint64_t lo, hi;
    const char *pc = strstr(line, " pc=");
    if (!pc || sscanf(pc, " pc=%" SCNx64 "..%" SCNx64, &lo, &hi) != 2) continue;
    const Function *function = functions_at(module->functions, lo);
    bool ok = function != NULL;
    if (ok && function->source == FUNCTION_EH_FRAME) {
      bool is_part = false;
      for (int i = 0; i < function->nparts; i++) {
        is_part |= function->parts[i].lo == lo && function->parts[i].hi == hi;
      }
      ok = is_part || (function->lo == lo && function->hi == hi);
    }
    /* The first stub of the linkage table belongs to all. */
    ok |= functions_at(module->functions, lo + 16) &&
          functions_at(module->functions, lo + 16)->kind == FUNCTION_STUB;
    if (!ok && wrong++ < 5) printf("# %s", line);
    count++;
  }
  oracle_close(readelf);
  check_of(module, wrong == 0 && count > 100, "each range of .eh_frame is of a function");
}

static void test_stubs(const Module *module) {
  char line[8192];
  size_t count = 0, wrong = 0;
  FILE *objdump = oracle_open("objdump -d -j .plt -j .plt.got -j .plt.sec '%s' 2>&1", module->path);
  while (fgets(line, sizeof line, objdump)) {
    char name[4096], *end;
    const uint64_t addr = strtoull(line, &end, 16);
    if (end == line || sscanf(end, " <%4095[^>]>:", name) != 1) continue;
    const size_t length = strlen(name);
    if (length < 4 || strcmp(name + length - 4, "@plt") != 0 || name[0] == '*') continue;
    const Function *function = functions_at(module->functions, addr);
    const bool ok = function && function->lo == addr && strcmp(function->name, name) == 0 &&
                    function->kind == FUNCTION_STUB && has_name(module, name, "", false, addr, 0);
    if (!ok && wrong++ < 5) printf("# %s", line);
    count++;
  }
  oracle_close(objdump);
  check_of(module, wrong == 0 && count > 0, "stubs are called as objdump calls them");
}

/* The slow way to look up. */
static const Function *find_slowly(const Functions *functions, uint64_t addr) {
  const Function *found = NULL;
  uint64_t best = 0, size = UINT64_MAX;
  for (size_t i = 0; i < functions->count; i++) {
    const Function *function = &functions->all[i];
    for (int k = 0; k <= function->nparts; k++) {
      const CodeRange range = k ? function->parts[k - 1] : (CodeRange){function->lo, function->hi};
      if (addr < range.lo || addr >= range.hi || range.lo < best) continue;
      if (range.lo == best && range.hi - range.lo >= size) continue;
      best = range.lo;
      size = range.hi - range.lo;
      found = function;
    }
  }
  return found;
}

static uint64_t seed = 1;
static uint64_t next_random(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed >> 33;
}

static void test_lookup(const Module *module) {
  const Functions *functions = module->functions;
  const uint64_t low = functions->all[0].lo, high = functions->all[functions->count - 1].hi;
  size_t wrong = 0;
  for (int i = 0; i < 3000; i++) {
    uint64_t addr = low - 16 + next_random() % (high - low + 32);
    if (i % 3 == 0) addr = functions->all[next_random() % functions->count].lo;
    if (i % 3 == 1) addr = functions->all[next_random() % functions->count].hi - i % 2;
    wrong += functions_at(functions, addr) != find_slowly(functions, addr);
  }
  check_of(module, wrong == 0, "addresses are found as by trying all");
}

static void test_glob(const Module *module) {
  static const char *const patterns[] = {"*alloc*", "mem*", "str[nc]*", "str[^nc]*", "?alloc",
                                         "malloc",  "*",    "zz*",      "__*_chk",   "[m-p]*e"};
  size_t wrong = 0, found = 0;
  for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
    size_t at = 0, expected = 0, count = 0;
    while (functions_glob(module->functions, patterns[i], &at)) count++;
    for (size_t k = 0; k < module->functions->nnames; k++) {
      expected += sqlite3_strglob(patterns[i], module->functions->names[k].name) == 0;
    }
    wrong += count != expected;
    found += count;
  }
  check_of(module, wrong == 0 && found > module->functions->nnames, "names by pattern");
}

/* Random patterns over a small alphabet, UTF-8 included. */
static void test_matching(void) {
  static const char *const pieces[] = {"a",    "b",    "c",     "*",        "?",
                                       "[ab]", "[^a]", "[a-c]", "[]a]",     "[",
                                       "-",    "]",    "^",     "\xc3\xa4", "[\xc3\xa4-\xc3\xbc]"};
  static const char *const letters[] = {"a", "b", "c", "-", "]", "^", "\xc3\xa4", "\xc3\xb6"};
  size_t wrong = 0, matched = 0;
  for (int i = 0; i < 300000; i++) {
    char pattern[128] = "", text[128] = "";
    for (uint64_t n = next_random() % 7; n > 0; n--) {
      strcat(pattern, pieces[next_random() % (sizeof pieces / sizeof *pieces)]);
    }
    for (uint64_t n = next_random() % 6; n > 0; n--) {
      strcat(text, letters[next_random() % (sizeof letters / sizeof *letters)]);
    }
    const bool ours = glob_matches(pattern, text), theirs = sqlite3_strglob(pattern, text) == 0;
    if (ours != theirs && wrong++ < 5) printf("# %s %s: %d\n", pattern, text, ours);
    matched += theirs;
  }
  printf("# %zu of 300000 match\n", matched);
  check(wrong == 0 && matched > 1000, "patterns match as SQLite's GLOB does");
}

/* What names tell of parts is found without names, or left open; never another function's. */
static void test_parts(const Module *named, const Module *bare, const char *symbols) {
  char line[8192], what[128];
  size_t count = 0, found = 0, open = 0, wrong = 0;
  FILE *nm = oracle_open("nm '%s'", symbols);
  while (fgets(line, sizeof line, nm)) {
    uint64_t addr;
    char name[4096];
    if (sscanf(line, "%" SCNx64 " %*s %4095s", &addr, name) != 2) continue;
    const char *cold = strstr(name, ".cold");
    if (!cold) continue;
    const Function *owner = functions_at(named->functions, addr),
                   *guess = functions_at(bare->functions, addr);
    const size_t length = (size_t)(cold - name);
    bool is_owned = false; /* by the function of that name */
    const FunctionName *names;
    char base[4096];
    snprintf(base, sizeof base, "%.*s", (int)length, name);
    for (size_t i = 0, n = functions_named(named->functions, base, &names); i < n; i++) {
      is_owned |= owner == &named->functions->all[names[i].function];
    }
    count++;
    if (!is_owned || !guess || (guess->lo != owner->lo && guess->lo != addr)) {
      if (wrong++ < 5) {
        printf("# %s: %s, %s\n", name, owner ? owner->name : "?", guess ? guess->name : "?");
      }
    } else if (guess->lo == owner->lo) {
      found++;
    } else {
      open++;
    }
  }
  oracle_close(nm);
  snprintf(what, sizeof what, "%zu parts by name, of which %zu are found without, %zu not", count,
           found, open);
  check_of(named, count > 0 && wrong == 0 && found * 10 >= count * 8, what);
}

/* Without names nothing that has one in truth is a fragment or a part. */
static void test_entries(const Module *named, const Module *bare) {
  size_t wrong = 0, count = 0;
  for (size_t i = 0; i < named->functions->count; i++) {
    const Function *function = &named->functions->all[i];
    const CfiRange *range = cfi_find(named->cfi, function->lo);
    if (function->kind != FUNCTION_PLAIN || function->source == FUNCTION_EH_FRAME || !range ||
        range->lo != function->lo) {
      continue;
    }
    const Function *guess = functions_at(bare->functions, function->lo);
    count++;
    if (!guess || guess->lo != function->lo || guess->kind != FUNCTION_PLAIN) {
      if (wrong++ < 20) {
        printf("# %s at %" PRIx64 " is %s\n", function->name, function->lo,
               guess ? guess->kind == FUNCTION_FRAGMENT ? "a fragment" : guess->name : "nothing");
      }
    }
  }
  char what[128];
  snprintf(what, sizeof what, "of %zu functions %zu are something else without names", count,
           wrong);
  check_of(named, wrong * 500 <= count, what);
}

static const char source[] =
    "#include <stdio.h>\n"
    "#include <stdlib.h>\n"
    "__attribute__((cold, noinline)) void bad(const char *s) { puts(s); }\n"
    "__attribute__((noinline)) static int same(int x) { if (x == 7) { bad(\"a\"); abort(); } "
    "return x; }\n"
    "__attribute__((noinline)) int leaf(int x) { if (x < 0) { bad(\"b\"); abort(); } return x * 2; "
    "}\n"
    "__attribute__((noinline)) int deep(int x, FILE *f) {\n"
    "  char buffer[64]; int y = same(x) + leaf(x);\n"
    "  if (__builtin_expect(y == 77, 0)) { bad(\"c\"); fprintf(f, \"%d\", y); bad(\"d\"); y = "
    "leaf(y); }\n"
    "  snprintf(buffer, sizeof buffer, \"%d\", y); return buffer[0] + y; }\n"
    "int main(int argc, char **argv) { (void)argv; return deep(argc, stdout) & 1; }\n";

static void test_compiled(const char *option) {
  char dir[256], path[512], plain[512], stripped[512], command[4096];
  scratch_make(dir, sizeof dir);
  snprintf(path, sizeof path, "%s/p.c", dir);
  snprintf(plain, sizeof plain, "%s/p%s", dir, option);
  snprintf(stripped, sizeof stripped, "%s/s%s", dir, option);
  scratch_write(path, source);
  snprintf(command, sizeof command, "gcc %s -o '%s' '%s' && strip -o '%s' '%s'", option, plain,
           path, stripped, plain);
  if (system(command) != 0) oracle_die(command, "failed");
  Module named = module_open(plain, false), bare = module_open(stripped, false);
  const FunctionName *names;
  check_of(&named, functions_named(named.functions, "deep", &names) == 1, "a function by name");
  check_of(&bare, functions_named(bare.functions, "deep", &names) == 0, "no name, stripped");
  test_parts(&named, &bare, plain);
  test_entries(&named, &bare);
  test_lookup(&named);
  const Function *deep =
      functions_at(bare.functions, functions_named(named.functions, "deep", &names)
                                       ? named.functions->all[names->function].lo
                                       : 0);
  ProbeFunction probe;
  check_of(&bare,
           deep && deep->nparts == 1 && functions_probe(bare.elf, deep, 3, &probe) &&
               probe.nparts == 2 && probe.file == 3,
           "its two parts, to be probed");
  module_close(&named);
  module_close(&bare);
  scratch_remove(dir);
}

int main(void) {
  static const char *const paths[] = {
      "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
      "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0", "/usr/bin/bash", "/usr/bin/git"};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    Module module = module_open(paths[i], false);
    test_symbols(&module);
    test_ranges(&module);
    test_stubs(&module);
    test_lookup(&module);
    if (i == 0) test_glob(&module);
    module_close(&module);
  }
  test_matching();
  test_compiled("-O2");
  test_compiled("-O3 -fPIC -pie");
  Module libc = module_open(paths[0], true), bare = module_open(paths[0], false);
  if (libc.debug) {
    test_parts(&libc, &bare, libc.debug->path);
    test_entries(&libc, &bare);
    test_lookup(&libc);
  }
  module_close(&libc);
  module_close(&bare);
  return checks_end();
}
