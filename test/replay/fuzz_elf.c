/*
** libFuzzer: whatever the bytes of an ELF file, reading it must not crash or hang.
**
** An input is a file itself, or changes to a small library of the system: a fuzzer would not come
** upon tables that fit together.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/functions.h"
#include "replay/unwind.h"

#include "test/replay/change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what) {
  if (ok) return;
  fprintf(stderr, "%s\n", what);
  abort();
}

static size_t sum; /* so that what is read is read */

static void read_table(const ElfFile *elf, ElfTable table) {
  Fault fault = {0};
  ElfSymbols symbols;
  ElfSymbol symbol;
  if (!elf_symbols(elf, table, &symbols, &fault)) {
    must(fault.code != FAULT_NONE, "refused without a reason");
    return;
  }
  for (size_t i = 0; i < symbols.count; i++) {
    if (!elf_symbol(&symbols, i, &symbol)) continue;
    sum += strlen(symbol.name) + symbol.addr + (symbol.version ? strlen(symbol.version) : 0);
  }
  ElfStub *stubs;
  size_t count;
  if (elf_stubs(elf, &symbols, &stubs, &count, &fault)) {
    for (size_t i = 0; i < count; i++) sum += stubs[i].name ? strlen(stubs[i].name) : 0;
    free(stubs);
  }
  elf_symbols_finish(&symbols);
}

static bool some_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  memset(out, (int)addr, size);
  return addr % 7 != 0;
}

static void evaluate(const CfiRow *row) {
  static const uint64_t registers[CFI_REGISTERS] = {1, 2, 3, 4, 5, 6, 7, 8};
  const CfiContext context = {registers, 0xfff, some_memory, NULL};
  const uint64_t cfa = 16;
  uint64_t value;
  cfi_evaluate(&row->cfa, &context, NULL, &value);
  for (int i = 0; i < CFI_REGISTERS; i++) {
    if (cfi_evaluate(&row->registers[i], &context, &cfa, &value)) sum += value;
  }
}

/* Whatever the file says, each function is found by each of its names. */
static void read_functions(const ElfFile *elf, const Cfi *cfi) {
  Fault fault = {0};
  Functions *functions;
  if (!functions_create(elf, NULL, cfi, &functions, &fault)) {
    must(fault.code != FAULT_NONE, "refused without a reason");
    return;
  }
  for (size_t i = 0; i < functions->nnames; i++) {
    const FunctionName *name = &functions->names[i], *found;
    must(functions_named(functions, name->name, &found) > 0, "a name that is not found");
    must(name->function < functions->count, "a name of nothing");
  }
  for (size_t i = 0; i < functions->count; i++) {
    const Function *function = &functions->all[i];
    ProbeFunction probe;
    if (functions_probe(elf, function, 0, &probe)) {
      must(probe.parts[0].hi <= elf->size, "code outside of the file");
    }
    sum += functions_at(functions, function->lo) == function;
  }
  size_t at = 0, count = 0;
  while (functions_glob(functions, "*", &at)) count++;
  must(count == functions->nnames, "* is not everything");
  functions_free(functions);
}

/* A stack full of addresses of the code. */
static void unwind_all(const Cfi *cfi) {
  Fault fault = {0};
  Unwinder *unwinder;
  uint64_t stack[64], registers[CFI_REGISTERS];
  size_t count;
  UnwindEnd end;
  const UnwindMemory memory = {0x10000, (const uint8_t *)stack, sizeof stack, some_memory, NULL};
  const CfiRange *ranges = cfi_ranges(cfi, &count);
  if (!count) return;
  for (size_t i = 0; i < 64; i++) stack[i] = ranges[i % count].lo + i % 3;
  for (size_t i = 0; i < CFI_REGISTERS; i++) registers[i] = 0x10000 + i;
  if (!unwinder_create(&unwinder, &fault)) return;
  for (int guess = 0; guess < 2 && unwinder_map(unwinder, 0, UINT64_MAX, 0, cfi, &fault); guess++) {
    unwinder_guess(unwinder, guess);
    for (size_t i = 0; i < count && i < 20; i++) {
      uint64_t pcs[100];
      registers[CFI_RIP] = ranges[i].lo + i % 5;
      must(unwind_pcs(unwinder, &memory, registers, UINT32_MAX, pcs, 100, &end) >= 1, "no frame");
    }
  }
  unwinder_free(unwinder);
}

/* Rows are where they were asked for, and follow each other. */
static void read_cfi(const ElfFile *elf) {
  Fault fault = {0};
  Cfi *cfi;
  size_t count;
  if (!cfi_create(elf, &cfi, &fault)) {
    must(fault.code != FAULT_NONE, "refused without a reason");
    return;
  }
  const CfiRange *ranges = cfi_ranges(cfi, &count);
  for (size_t i = 0; i < count && i < 100; i++) {
    CfiRow row;
    uint64_t addr = ranges[i].lo;
    sum += cfi_is_entry(cfi, &ranges[i]);
    for (int k = 0; k < 20 && cfi_find(cfi, addr) && cfi_row(cfi, addr, &row, &fault); k++) {
      must(row.lo <= addr && addr < row.hi, "a row of another place");
      evaluate(&row);
      addr = row.hi;
    }
  }
  read_functions(elf, cfi);
  unwind_all(cfi);
  cfi_free(cfi);
}

static void read_file(const uint8_t *bytes, size_t size) {
  Fault fault = {0};
  ElfFile *elf;
  if (!elf_of_bytes(bytes, size, "fuzzed", &elf, &fault)) {
    must(fault.code != FAULT_NONE, "refused without a reason");
    return;
  }
  char id[64];
  uint64_t addr, there;
  for (size_t i = 0; i < elf->nsections; i++) {
    const ElfSection *section = &elf->sections[i];
    if (section->size) sum += section->bytes[0] + section->bytes[section->size - 1];
    const uint8_t *loaded = elf_from(elf, section->addr, &there);
    if (loaded) sum += loaded[there - 1];
    if (elf_addr(elf, section->offset, &addr)) sum += elf_is_code(elf, addr);
  }
  elf_build_id_text(elf, id, sizeof id);
  read_table(elf, ELF_SYMTAB);
  read_table(elf, ELF_DYNSYM);
  read_cfi(elf);
  elf_close(elf);
}

/* The library to change, read once. */
static const uint8_t *base_bytes(size_t *out_size) {
  static uint8_t bytes[1 << 16];
  static size_t size;
  if (!size) {
    FILE *file = fopen("/usr/lib/x86_64-linux-gnu/libdl.so.2", "rb");
    must(file != NULL, "no library to change");
    size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
  }
  *out_size = size;
  return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  const bool is_file = data[0] & 1;
  size_t length = size - 1;
  const uint8_t *from = data + 1;
  if (!is_file) from = base_bytes(&length);
  uint8_t *bytes = malloc(length ? length : 1); /* of its own, so that the sanitizer sees its end */
  if (!bytes) return 0;
  memcpy(bytes, from, length);
  if (!is_file) change_bytes(bytes, length, data + 1, size - 1);
  read_file(bytes, length);
  free(bytes);
  return 0;
}
