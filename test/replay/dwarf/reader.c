/*
** Our code as a program that gdb's script asks (see dwarf_oracle.py): a line in, a line of JSON
** out.
**
**   stop PID THREAD        another process, or the same one further on; forgets the frames
**   frame PC RETURNED CFA N=HEX...   the next frame outwards: its registers, numbered as in DWARF
**   variables I            of frame I, and their values
**   eval I EXPRESSION      {"type":, "value":} or {"fault":}
**   lines MODULE FILE,...  where lines of it begin; without files: of all
*/
#define _GNU_SOURCE
#include "test/replay/dwarf/reader.h"

#include <assert.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/elf_file.h"
#include "replay/expr.h"
#include "replay/value_inner.h"

/* ---- the reader: modules of the process */

enum { MODULES = 64, FRAMES = 16, REGISTERS = 64 };

typedef struct Module {
  char path[300];
  uint64_t bias, lo, hi;
  Dwarf *dwarf; /* NULL: it has none */
  ElfFile *elf;
} Module;

typedef struct Frame {
  ValueSource source;
  struct Reader *reader;
  int index;
  bool has_cfa, known[REGISTERS];
  uint64_t cfa;
  uint8_t registers[REGISTERS][16];
} Frame;

typedef struct Reader {
  pid_t pid;
  Module modules[MODULES];
  size_t nmodules;
  Frame frames[FRAMES];
  int nframes;
  Arena arena;
} Reader;

static Fault fault;

/* The file of the module, or its separate debug file. */
static void open_module(Module *module) {
  ElfFile *debug = NULL;
  if (dwarf_open(module->path, &module->dwarf, NULL)) return;
  if (module->elf && elf_open_debug(module->elf, NULL, &debug, NULL) && debug)
    dwarf_open(debug->path, &module->dwarf, NULL);
  elf_close(debug);
}

static Module *find_module(Reader *reader, uint64_t addr) {
  for (size_t i = 0; i < reader->nmodules; i++)
    if (addr >= reader->modules[i].lo && addr < reader->modules[i].hi) return &reader->modules[i];
  return NULL;
}

static void add_mapping(Reader *reader, const char *path, uint64_t lo, uint64_t hi,
                        uint64_t offset) {
  for (size_t i = 0; i < reader->nmodules; i++)
    if (!strcmp(reader->modules[i].path, path)) {
      if (hi > reader->modules[i].hi) reader->modules[i].hi = hi;
      return;
    }
  assert(reader->nmodules < MODULES);
  Module *module = &reader->modules[reader->nmodules];
  *module = (Module){.lo = lo, .hi = hi};
  snprintf(module->path, sizeof module->path, "%s", path);
  uint64_t addr;
  if (!elf_open(path, &module->elf, NULL)) return;
  if (!elf_addr(module->elf, offset, &addr)) return;
  module->bias = lo - addr / 4096 * 4096;
  open_module(module);
  reader->nmodules++;
}

static void read_maps(Reader *reader) {
  char path[64], line[600], name[300];
  snprintf(path, sizeof path, "/proc/%d/maps", reader->pid);
  FILE *maps = fopen(path, "r");
  assert(maps);
  while (fgets(line, sizeof line, maps)) {
    unsigned long lo, hi, offset;
    if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %299[^\n]", &lo, &hi, &offset, name) == 4 &&
        name[0] == '/')
      add_mapping(reader, name, lo, hi, offset);
  }
  fclose(maps);
}

/* ---- the reader: frames */

static bool read_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  const Frame *frame = ctx;
  struct iovec local = {out, size}, remote = {(void *)(uintptr_t)addr, size};
  return process_vm_readv(frame->reader->pid, &local, 1, &remote, 1, 0) == (ssize_t)size;
}

static bool read_register(void *ctx, unsigned number, void *out, size_t size) {
  const Frame *frame = ctx;
  if (number >= REGISTERS || !frame->known[number] || size > 16) return false;
  memcpy(out, frame->registers[number], size);
  return true;
}

static bool read_cfa(void *ctx, uint64_t *out) {
  const Frame *frame = ctx;
  *out = frame->cfa;
  return frame->has_cfa;
}

static const ValueSource *caller(void *ctx) {
  const Frame *frame = ctx;
  return frame->index + 1 < frame->reader->nframes ? &frame[1].source : NULL;
}

/* Of the program itself, whose storage ends where fs points. */
static bool thread_storage(void *ctx, uint64_t offset, uint64_t *out) {
  const Frame *frame = ctx;
  const Module *module = find_module(frame->reader, frame->source.pc);
  uint64_t base;
  if (module != &frame->reader->modules[0] || !read_register(ctx, 58, &base, 8)) return false;
  for (size_t i = 0; i < module->elf->nsegments; i++) {
    const ElfSegment *segment = &module->elf->segments[i];
    if (segment->type != PT_TLS) continue;
    /* Alignments above 16 do not come up here. */
    uint64_t align = segment->memory_size % 16 ? 4 : 16;
    *out = base - (segment->memory_size + align - 1) / align * align + offset;
    return true;
  }
  return false;
}

static bool is_named(void *ctx, uint64_t addr, const char *name) {
  const Frame *frame = ctx;
  const Module *module = find_module(frame->reader, addr);
  ElfSymbols symbols;
  ElfSymbol symbol;
  bool found = false;
  if (!module || !elf_symbols(module->elf, ELF_DYNSYM, &symbols, NULL)) return false;
  for (size_t i = 0; i < symbols.count && !found; i++)
    found = elf_symbol(&symbols, i, &symbol) && symbol.addr + module->bias == addr &&
            !strcmp(symbol.name, name);
  elf_symbols_finish(&symbols);
  return found;
}

static void add_frame(Reader *reader, char *words) {
  assert(reader->nframes < FRAMES);
  Frame *frame = &reader->frames[reader->nframes];
  char *save, *word = strtok_r(words, " ", &save);
  uint64_t pc = strtoull(word, NULL, 16);
  *frame = (Frame){.reader = reader, .index = reader->nframes++};
  frame->source = (ValueSource){.pc = pc,
                                .returned = *strtok_r(NULL, " ", &save) == '1',
                                .ctx = frame,
                                .read = read_memory,
                                .reg = read_register,
                                .cfa = read_cfa,
                                .tls = thread_storage,
                                .caller = caller,
                                .is_named = is_named};
  const Module *module = find_module(reader, pc);
  if (module) {
    frame->source.dwarf = module->dwarf;
    frame->source.bias = module->bias;
    frame->source.module = module->path;
  }
  word = strtok_r(NULL, " ", &save);
  frame->has_cfa = *word != '-';
  frame->cfa = strtoull(word, NULL, 16);
  while ((word = strtok_r(NULL, " ", &save))) {
    char *digits;
    unsigned long number = strtoul(word, &digits, 10);
    size_t count = strlen(++digits);
    if (number >= REGISTERS) continue;
    frame->known[number] = true;
    for (size_t i = 0; i < count && i < 32; i++) {
      int digit = digits[count - 1 - i];
      digit = digit <= '9' ? digit - '0' : digit - 'a' + 10;
      frame->registers[number][i / 2] |= (uint8_t)(digit << i % 2 * 4);
    }
  }
}

/* ---- the reader: answers */

static void check(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s: %s\n", what, fault.text);
  abort();
}

static void write_variable(Reader *reader, const ValueSource *source,
                           const DwarfVariable *variable) {
  Text json = {0}, type = {0};
  Value value;
  check(value_variable(source, variable->die, &reader->arena, &value, &fault), variable->name);
  check(value_json(&value, NULL, &json, &fault), variable->name);
  check(dwarf_type_name(value.type, &type, &fault), variable->name);
  printf("{\"name\":\"%s\",\"type\":\"%s\",\"value\":%s}", variable->name, text_get(&type),
         text_get(&json));
  text_finish(&json);
  text_finish(&type);
}

/* Globals of all modules can be named. */
static void write_expression(Reader *reader, const Frame *frame, const char *text) {
  Text json = {0}, type = {0};
  ValueSource others[MODULES];
  ExprScope scope = {&frame->source, others, 0};
  const Expr *expr;
  Value value;
  Fault why = {0};
  arena_reset(&reader->arena);
  for (size_t i = 0; i < reader->nmodules; i++) {
    Module *module = &reader->modules[i];
    if (!module->dwarf || module->dwarf == frame->source.dwarf) continue;
    others[scope.nothers] = frame->source;
    others[scope.nothers].dwarf = module->dwarf;
    others[scope.nothers].bias = module->bias;
    others[scope.nothers++].module = module->path;
  }
  bool ok = expr_parse(text, &scope, &reader->arena, &expr, NULL, &why) &&
            expr_evaluate(expr, &scope, &reader->arena, &value, &why) &&
            dwarf_type_name(value.type, &type, &why) && value_json(&value, NULL, &json, &why);
  if (ok) {
    printf("{\"type\":\"%s\",\"value\":%s}\n", text_get(&type), text_get(&json));
  } else {
    text_clear(&json);
    value_add_quoted(why.text, strlen(why.text), &json);
    printf("{\"fault\":%s}\n", text_get(&json));
  }
  text_finish(&json);
  text_finish(&type);
}

/* One object for each function whose code the pc is in, the innermost inlined one first. */
static void write_variables(Reader *reader, const Frame *frame) {
  const DwarfScope *scope;
  bool open = false, some = false;
  arena_reset(&reader->arena);
  printf("{\"functions\":[");
  uint64_t addr = frame->source.pc - frame->source.bias - frame->source.returned;
  fault_clear(&fault);
  if (!frame->source.dwarf || !dwarf_scope_at(frame->source.dwarf, addr, &scope, &fault))
    scope = NULL;
  for (; scope; scope = scope->parent) {
    if (!open) printf("%s{\"variables\":[", some ? "," : "");
    if (!open) some = false;
    open = true;
    for (size_t i = 0; i < scope->nvariables; i++) {
      if (some) printf(",");
      some = true;
      write_variable(reader, &frame->source, &scope->variables[i]);
    }
    if (scope->kind == SCOPE_BLOCK) continue;
    printf("],\"name\":\"%s\"}", scope->name ? scope->name : "");
    open = false;
    some = true;
  }
  printf("]}\n");
}

/* Is the file's name in a list with commas? An empty list has all. */
static bool is_listed(const char *path, const char *list) {
  const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *at = list;
  size_t length = strlen(name);
  if (!*list) return true;
  while ((at = strstr(at, name))) {
    bool begins = at == list || at[-1] == ',';
    at += length;
    if (begins && (!*at || *at == ',')) return true;
  }
  return false;
}

static void write_lines_of(const Module *module, const char *files, const char **between) {
  size_t count;
  check(dwarf_line_count(module->dwarf, &count, &fault), module->path);
  for (size_t k = 0; k < count; k++) {
    DwarfLine line;
    check(dwarf_line_get(module->dwarf, k, &line, &fault), module->path);
    if (line.addr == line.end || !is_listed(line.file, files)) continue;
    printf("%s%llu", *between, (unsigned long long)(line.addr + module->bias));
    *between = ",";
  }
}

/* Addresses where lines begin in the module whose path ends so. */
static void write_lines(Reader *reader, char *name) {
  const char *between = "";
  char *files = strchr(name, ' ');
  if (files) *files++ = 0;
  printf("[");
  for (size_t i = 0; i < reader->nmodules; i++) {
    Module *module = &reader->modules[i];
    size_t have = strlen(module->path), want = strlen(name);
    if (want > have || strcmp(module->path + have - want, name) || !module->dwarf) continue;
    write_lines_of(module, files ? files : "", &between);
  }
  printf("]\n");
}

int reader_serve(void) {
  static Reader reader;
  char *line = NULL;
  size_t room = 0;
  while (getline(&line, &room, stdin) > 0) {
    line[strcspn(line, "\n")] = 0;
    int number, at = 0;
    if (sscanf(line, "stop %d", &number) == 1) {
      reader.nframes = 0;
      reader.pid = number;
      read_maps(&reader);
      printf("{}\n");
    } else if (!strncmp(line, "frame ", 6)) {
      add_frame(&reader, line + 6);
      printf("{}\n");
    } else if (sscanf(line, "variables %d", &number) == 1) {
      write_variables(&reader, &reader.frames[number]);
    } else if (sscanf(line, "eval %d %n", &number, &at) == 1) {
      write_expression(&reader, &reader.frames[number], line + at);
    } else if (!strncmp(line, "lines ", 6)) {
      write_lines(&reader, line + 6);
    }
    fflush(stdout);
  }
  for (size_t i = 0; i < reader.nmodules; i++) {
    dwarf_close(reader.modules[i].dwarf);
    elf_close(reader.modules[i].elf);
  }
  arena_finish(&reader.arena);
  free(line);
  return 0;
}
