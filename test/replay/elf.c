/*
** Symbols, versions and stubs of ELF files are what binutils say they are.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <elf.h>
#include <stdlib.h>
#include <unistd.h>

#include "replay/elf_file.h"

#include "test/base/check.h"
#include "test/replay/oracle.h"
#include "test/replay/scratch.h"

static ElfFile *open_or_die(const char *path) {
  Fault fault = {0};
  ElfFile *elf;
  if (!elf_open(path, &elf, &fault)) oracle_die(path, fault.text);
  return elf;
}

/* name, name@VERSION (hidden or needed) or name@@VERSION, as readelf writes it. */
static void write_name(const ElfSymbol *symbol, char *out, size_t size) {
  const bool is_itself = symbol->section == SHN_ABS; /* the symbol that a version is */
  if (!symbol->version || (is_itself && strcmp(symbol->name, symbol->version) == 0)) {
    snprintf(out, size, "%s", symbol->name);
  } else {
    snprintf(out, size, "%s%s%s", symbol->name, symbol->is_default ? "@@" : "@", symbol->version);
  }
}

static const char *const types[] = {"NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE", "COMMON",
                                    "TLS",    "",       "",     "",        "IFUNC"};
static const char *const bindings[] = {"LOCAL", "GLOBAL", "WEAK", "", "",      "",
                                       "",      "",       "",     "", "UNIQUE"};

/* One line of readelf: "num: value size type bind vis ndx name (number)". */
static bool same_symbol(const ElfSymbol *symbol, const char *line) {
  char value[32], size[32], type[16], binding[16], section[16], name[4096] = "", ours[4096];
  if (sscanf(line, "%*s %31s %31s %15s %15s %*s %15s %4095s", value, size, type, binding, section,
             name) < 5) {
    return false;
  }
  write_name(symbol, ours, sizeof ours);
  return strtoull(value, NULL, 16) == symbol->addr && strtoull(size, NULL, 0) == symbol->size &&
         symbol->type < 11 && strcmp(types[symbol->type], type) == 0 && symbol->binding < 11 &&
         strcmp(bindings[symbol->binding], binding) == 0 &&
         symbol->is_defined == (strcmp(section, "UND") != 0) &&
         (symbol->type == STT_SECTION || strcmp(ours, name) == 0);
}

static void test_symbols(const ElfFile *elf, ElfTable table, const char *option) {
  Fault fault = {0};
  ElfSymbols symbols;
  char line[8192], what[512];
  size_t next = 0, wrong = 0;
  if (!elf_symbols(elf, table, &symbols, &fault)) oracle_die(elf->path, fault.text);
  FILE *readelf = oracle_open("readelf -W %s '%s'", option, elf->path);
  bool ours = false; /* --syms prints the dynamic ones first */
  while (fgets(line, sizeof line, readelf)) {
    if (strstr(line, "Symbol table")) {
      ours = strstr(line, table == ELF_SYMTAB ? ".symtab" : ".dynsym") != NULL;
    }
    char *colon = strchr(line, ':');
    if (!ours || !colon || strspn(line, " 0123456789") != (size_t)(colon - line)) continue;
    ElfSymbol symbol;
    if (next >= symbols.count || !elf_symbol(&symbols, next, &symbol) ||
        !same_symbol(&symbol, line)) {
      if (wrong++ < 5) printf("# %s: symbol %zu is not %s", elf->path, next, line);
    }
    next++;
  }
  oracle_close(readelf);
  snprintf(what, sizeof what, "%s: the %zu symbols of readelf %s", elf->path, next, option);
  check(next == symbols.count && wrong == 0 && next > (table == ELF_SYMTAB ? 40 : 1), what);
  elf_symbols_finish(&symbols);
}

/* objdump names stubs after their symbols; those of ifuncs "*ABS*+0x1234@plt". */
static void test_stubs(const ElfFile *elf) {
  Fault fault = {0};
  ElfSymbols symbols;
  ElfStub *stubs;
  char line[8192], what[512], ours[4096];
  size_t count, next = 0, wrong = 0;
  if (!elf_symbols(elf, ELF_DYNSYM, &symbols, &fault) ||
      !elf_stubs(elf, &symbols, &stubs, &count, &fault)) {
    oracle_die(elf->path, fault.text);
  }
  FILE *objdump = oracle_open("objdump -d -j .plt -j .plt.got -j .plt.sec '%s' 2>&1", elf->path);
  while (fgets(line, sizeof line, objdump)) {
    char name[4096], *end;
    const uint64_t addr = strtoull(line, &end, 16);
    if (end == line || sscanf(end, " <%4095[^>]>:", name) != 1) continue;
    const size_t length = strlen(name);
    if (length < 4 || strcmp(name + length - 4, "@plt") != 0) continue; /* the first, for all */
    const ElfStub *stub = &stubs[next < count ? next : 0];
    snprintf(ours, sizeof ours, "%s@plt", stub->name ? stub->name : "");
    if (!stub->name) snprintf(ours, sizeof ours, "*ABS*+0x%lx@plt", (unsigned long)stub->resolver);
    if (next >= count || stub->addr != addr || strcmp(ours, name) != 0) {
      if (wrong++ < 5) printf("# %s: stub %zu is %s, not %s", elf->path, next, ours, line);
    }
    next++;
  }
  oracle_close(objdump);
  snprintf(what, sizeof what, "%s: the %zu stubs of objdump", elf->path, next);
  check(next == count && wrong == 0, what);
  free(stubs);
  elf_symbols_finish(&symbols);
}

static void test_build_id(const ElfFile *elf) {
  char line[512], id[256] = "", ours[256], what[512];
  FILE *readelf = oracle_open("readelf -Wn '%s'", elf->path);
  while (fgets(line, sizeof line, readelf)) {
    const char *found = strstr(line, "Build ID: ");
    if (found) sscanf(found, "Build ID: %255s", id);
  }
  oracle_close(readelf);
  elf_build_id_text(elf, ours, sizeof ours);
  snprintf(what, sizeof what, "%s: its build id", elf->path);
  check_text(ours, id, what);
}

/* Sections may be stripped; the loader does not read them. */
static void test_without_sections(const ElfFile *elf) {
  Fault fault = {0};
  ElfFile *bare;
  ElfSymbols with, without;
  uint8_t *copy = malloc(elf->size);
  char what[512];
  size_t wrong = 0;
  assert(copy);
  memcpy(copy, elf->bytes, elf->size);
  memset(copy + offsetof(Elf64_Ehdr, e_shoff), 0, 8);
  memset(copy + offsetof(Elf64_Ehdr, e_shnum), 0, 2);
  if (!elf_of_bytes(copy, elf->size, "bare", &bare, &fault) ||
      !elf_symbols(elf, ELF_DYNSYM, &with, &fault) ||
      !elf_symbols(bare, ELF_DYNSYM, &without, &fault)) {
    oracle_die(elf->path, fault.text);
  }
  const size_t count = with.count < without.count ? with.count : without.count;
  for (size_t i = 0; i < count; i++) {
    char a[4096], b[4096];
    ElfSymbol one, other;
    assert(elf_symbol(&with, i, &one) && elf_symbol(&without, i, &other));
    write_name(&one, a, sizeof a);
    write_name(&other, b, sizeof b);
    wrong += strcmp(a, b) != 0 || one.addr != other.addr;
  }
  snprintf(what, sizeof what, "%s: the same dynamic symbols and build id without sections",
           elf->path);
  check(count == with.count && !wrong && bare->build_id_size == elf->build_id_size &&
            memcmp(bare->build_id, elf->build_id, elf->build_id_size) == 0,
        what);
  elf_symbols_finish(&with);
  elf_symbols_finish(&without);
  elf_close(bare);
  free(copy);
}

static void test_debug_file(void) {
  char dir[256], id[256], path[1024], command[4096];
  Fault fault = {0};
  ElfFile *elf = open_or_die("/proc/self/exe"), *debug = NULL;
  scratch_make(dir, sizeof dir);
  check(elf_open_debug(elf, dir, &debug, &fault) && !debug, "no debug file where there is none");
  elf_build_id_text(elf, id, sizeof id);
  snprintf(path, sizeof path, "%s/.build-id/%.2s/%s.debug", dir, id, id + 2);
  snprintf(command, sizeof command,
           "mkdir -p '%s/.build-id/%.2s' && objcopy --only-keep-debug /proc/%d/exe '%s'", dir, id,
           (int)getpid(), path);
  assert(strlen(id) == 40 && system(command) == 0);
  check(elf_open_debug(elf, dir, &debug, &fault) && debug, "a debug file is found by its build id");
  if (!debug) oracle_die(path, fault.text);
  ElfSymbols all, kept;
  check(elf_symbols(elf, ELF_SYMTAB, &all, &fault) &&
            elf_symbols(debug, ELF_SYMTAB, &kept, &fault) && kept.count > 40 &&
            kept.count == all.count && elf_section(debug, ".debug_info") &&
            elf_section(debug, ".debug_info")->size && elf_section(debug, ".text") &&
            !elf_section(debug, ".text")->size,
        "it has the symbols and the debug information, and no code");
  elf_symbols_finish(&all);
  elf_symbols_finish(&kept);
  elf_close(debug);
  snprintf(command, sizeof command, "cp /usr/bin/objcopy '%s'", path);
  assert(system(command) == 0);
  check(elf_open_debug(elf, dir, &debug, &fault) && !debug, "one of another build is left alone");
  scratch_write(path, "nonsense");
  check(!elf_open_debug(elf, dir, &debug, &fault) && fault.code == FAULT_CORRUPT,
        "one that is no ELF file is a fault");
  elf_close(elf);
  scratch_remove(dir);
}

static void refused(const char *path, FaultCode code, const char *what) {
  Fault fault = {0};
  ElfFile *elf;
  check(!elf_open(path, &elf, &fault) && fault.code == code, what);
  printf("# %s\n", fault.text);
}

/* A file that ends early is refused, as its table of sections stands at the end. */
static void test_cut(const ElfFile *elf) {
  size_t opened = 0;
  for (size_t cut = 1; cut < elf->size; cut += 1 + cut / 8) {
    Fault fault = {0};
    ElfFile *less;
    if (elf_of_bytes(elf->bytes, elf->size - cut, "cut", &less, &fault)) {
      opened++;
      elf_close(less);
    } else {
      opened += fault.code != FAULT_CORRUPT;
    }
  }
  check(opened == 0, "a file that was cut is corrupt");
}

int main(void) {
  static const char *const paths[] = {
      "/usr/lib/x86_64-linux-gnu/libc.so.6",
      "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
      "/usr/lib/x86_64-linux-gnu/libsqlite3.so.0",
      "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
      "/usr/bin/bash",
      "/usr/bin/git",
      "/usr/bin/python3",
  };
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
    ElfFile *elf = open_or_die(paths[i]);
    test_symbols(elf, ELF_DYNSYM, "--dyn-syms");
    test_stubs(elf);
    test_build_id(elf);
    test_without_sections(elf);
    if (i == 0) test_cut(elf);
    elf_close(elf);
  }
  char self[4096];
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  assert(length > 0);
  self[length] = '\0';
  ElfFile *own = open_or_die(self);
  test_symbols(own, ELF_SYMTAB, "--syms");
  test_symbols(own, ELF_DYNSYM, "--dyn-syms");
  test_stubs(own);
  elf_close(own);
  test_debug_file();
  refused("/nowhere/at/all", FAULT_NOTFOUND, "a file that is not there");
  refused("/etc/passwd", FAULT_CORRUPT, "a text is no ELF file");
  refused("/tmp", FAULT_CORRUPT, "a folder is no ELF file");
  return checks_end();
}
