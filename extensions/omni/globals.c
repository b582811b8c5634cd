/*
** A global variable by its name: see globals.h.
*/
#include "extensions/omni/globals.h"

#include <elf.h>
#include <inttypes.h>
#include <string.h>

#include "replay/dwarf_scope.h"
#include "replay/dwarf_types.h"
#include "replay/play.h"

/* Adds what the table has of that name; a place that is known already is not another one. */
static bool look(const ElfFile *elf, ElfTable table, const CodeFile *file, const char *name,
                 Global *found, int *count, Fault *fault) {
  ElfSymbols symbols;
  ElfSymbol symbol;
  if (!elf_symbols(elf, table, &symbols, fault)) return false;
  for (size_t i = 0; i < symbols.count; i++) {
    uint64_t lo;
    if (!elf_symbol(&symbols, i, &symbol) || symbol.type != STT_OBJECT || !symbol.is_defined ||
        !symbol.size || strcmp(symbol.name, name) != 0) {
      continue;
    }
    /* All segments lie as far from their places in the file as the code does. */
    const Function *any = file->functions->count ? &file->functions->all[0] : NULL;
    if (!any || !elf_offset(file->module->elf, any->lo, &lo)) continue;
    const uint64_t addr = file->base + lo - any->lo + symbol.addr;
    if (*count && found->addr == addr) continue;
    *found = (Global){.file = file, .addr = addr, .size = symbol.size};
    ++*count;
  }
  elf_symbols_finish(&symbols);
  return true;
}

static bool look_in(CodeFiles *files, CodeFile *file, const char *name, Global *found, int *count,
                    Fault *fault) {
  if (!file->has_code || file->is_varied) return true;
  if (!code_open(files, file, fault)) return false;
  const Module *module = file->functions ? file->module : NULL;
  if (!module) return true;
  const int before = *count;
  return look(module->elf, ELF_SYMTAB, file, name, found, count, fault) &&
         (!module->debug || look(module->debug, ELF_SYMTAB, file, name, found, count, fault)) &&
         (*count > before || look(module->elf, ELF_DYNSYM, file, name, found, count, fault));
}

/* What the debug information says of how to read it; nothing without. */
static bool learn_type(CodeFiles *files, const char *name, Global *global, Fault *fault) {
  CodeFile *file = code_find(files, global->file->file);
  Fault ignored = {0};
  DwarfGlobal found;
  size_t i;
  if (!file || !code_dwarf(files, file, fault)) return file == NULL;
  if (!file->dwarf || !dwarf_global_named(file->dwarf, name, 0, &i, &ignored) ||
      !dwarf_global_get(file->dwarf, i, &found, &ignored)) {
    return true;
  }
  const DwarfType *type = dwarf_variable_type(file->dwarf, found.die, &ignored);
  if (type) type = dwarf_type_strip(type, &ignored);
  if (!type || !type->has_size || type->size != global->size) return true;
  global->is_float = type->kind == TYPE_FLOAT && (type->size == 4 || type->size == 8);
  global->is_signed =
      type->kind == TYPE_SIGNED || type->kind == TYPE_SIGNED_CHAR || type->kind == TYPE_ENUM;
  return true;
}

bool global_find(CodeFiles *files, const char *name, Global *out, Fault *fault) {
  int count = 0;
  for (size_t i = 0; i < files->count; i++) {
    if (!look_in(files, &files->list[i], name, out, &count, fault)) return false;
  }
  if (count == 0) {
    return fault_set(fault, FAULT_NOTFOUND,
                     "no file of the recording has a global \"%.80s\" (in stripped ones say addr "
                     "and len instead)",
                     name);
  }
  if (count > 1) {
    return fault_set(fault, FAULT_INVALID,
                     "there are %d globals \"%.80s\", the last at 0x%" PRIx64
                     " of %.80s: say addr and len instead",
                     count, name, out->addr, out->file->path);
  }
  return learn_type(files, name, out, fault);
}

void global_cell(const Global *global, uint64_t addr, uint64_t size, const uint8_t *bytes,
                 CellWriter *out) {
  const bool is_whole = global->addr == addr && global->size == size;
  uint64_t value = 0;
  float single;
  double real;
  if (size > sizeof value) {
    cell_bytes(out, CELL_BLOB, bytes, size < WRITE_BYTES ? size : WRITE_BYTES);
    return;
  }
  memcpy(&value, bytes, size);
  if (is_whole && global->is_float) {
    memcpy(&single, bytes, sizeof single);
    memcpy(&real, &value, sizeof real);
    cell_real(out, size == sizeof single ? (double)single : real);
    return;
  }
  const unsigned unused = 64 - 8 * (unsigned)size;
  if (is_whole && global->is_signed && size)
    value = (uint64_t)((int64_t)(value << unused) >> unused);
  cell_integer(out, (int64_t)value);
}
