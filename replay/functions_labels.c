/*
** Names of code: symbols, stubs, and what .eh_frame knows without a name. See functions_build.h.
*/
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <elf.h>

#include "base/array.h"
#include "replay/functions_build.h"

/* ---- symbols */

/* ".symtab" writes versions into the name: name@VERSION or name@@VERSION. */
static bool split_version(Label *label, Arena *arena) {
  const char *at = strchr(label->name, '@');
  if (!at || at == label->name) return true;
  label->is_default = at[1] == '@';
  label->version = at + 1 + label->is_default;
  label->name = arena_strndup(arena, label->name, (size_t)(at - label->name));
  return label->name != NULL;
}

static bool is_code_symbol(const ElfFile *elf, const Cfi *cfi, const ElfSymbol *symbol) {
  if (!symbol->is_defined || symbol->section == SHN_ABS || !*symbol->name ||
      !elf_is_code(elf, symbol->addr)) {
    return false;
  }
  if (symbol->type == STT_FUNC || symbol->type == STT_GNU_IFUNC) return true;
  if (symbol->type != STT_NOTYPE) return false;
  const CfiRange *range = cfi_find(cfi, symbol->addr); /* a label of assembly */
  return range && range->lo == symbol->addr;
}

static bool add_symbols(const ElfFile *elf, const ElfFile *file, ElfTable table, const Cfi *cfi,
                        FunctionSource source, Arena *arena, Labels *labels, Fault *fault) {
  ElfSymbols symbols;
  ElfSymbol symbol;
  uint32_t unit = 0;
  bool ok = true;
  if (!elf_symbols(file, table, &symbols, fault)) return false;
  for (size_t i = 1; ok && i < symbols.count; i++) {
    if (!elf_symbol(&symbols, i, &symbol)) continue;
    if (symbol.type == STT_FILE) unit++;
    if (!is_code_symbol(elf, cfi, &symbol)) continue;
    ok = array_grow(labels->all, labels->capacity, labels->count + 1);
    if (!ok) break;
    Label *label = &labels->all[labels->count++];
    *label = (Label){.addr = symbol.addr,
                     .size = symbol.addr + symbol.size < symbol.addr ? 0 : symbol.size,
                     .name = symbol.name,
                     .version = symbol.version,
                     .is_default = symbol.is_default,
                     .is_resolver = symbol.type == STT_GNU_IFUNC,
                     .binding = symbol.binding,
                     .source = source,
                     .unit = symbol.binding == STB_LOCAL ? unit : 0};
    if (table == ELF_SYMTAB) ok = split_version(label, arena);
  }
  elf_symbols_finish(&symbols);
  return ok || fault_oom(fault);
}

/* ---- order: by address, then the plainest name first */

static int underscores(const char *name) {
  int n = 0;
  while (name[n] == '_') n++;
  return n;
}

static int compare_names(const Label *a, const Label *b) {
  const int rank[] = {[STB_LOCAL] = 2, [STB_GLOBAL] = 0, [STB_WEAK] = 1};
  const int x = a->binding <= STB_WEAK ? rank[a->binding] : 0,
            y = b->binding <= STB_WEAK ? rank[b->binding] : 0;
  const int ax = underscores(a->name), bx = underscores(b->name);
  const size_t al = strlen(a->name), bl = strlen(b->name);
  if ((a->source == FUNCTION_PLT) != (b->source == FUNCTION_PLT)) {
    return a->source == FUNCTION_PLT ? 1 : -1;
  }
  if (ax != bx) return ax - bx;
  if (x != y) return x - y;
  if (al != bl) return al < bl ? -1 : 1;
  return strcmp(a->name, b->name);
}

static int compare_labels(const void *p, const void *q) {
  const Label *a = p, *b = q;
  if (a->addr != b->addr) return a->addr < b->addr ? -1 : 1;
  int order = compare_names(a, b);
  if (order) return order;
  order = strcmp(a->version ? a->version : "", b->version ? b->version : "");
  if (order) return order;
  return (int)a->source - (int)b->source;
}

static bool same_label(const Label *a, const Label *b) {
  return a->addr == b->addr && strcmp(a->name, b->name) == 0 &&
         (!a->version || !b->version || strcmp(a->version, b->version) == 0);
}

/* A symbol of several tables is one. One table may know the version, another the size. */
static void sort_labels(Labels *labels) {
  size_t kept = 0;
  if (labels->count) qsort(labels->all, labels->count, sizeof *labels->all, compare_labels);
  for (size_t i = 0; i < labels->count; i++) {
    Label *last = kept ? &labels->all[kept - 1] : NULL, *label = &labels->all[i];
    if (!last || !same_label(last, label)) {
      labels->all[kept++] = *label;
      continue;
    }
    if (!last->version) last->is_default = label->is_default;
    if (!last->version) last->version = label->version;
    if (!last->size) last->size = label->size;
    if (label->source < last->source) last->source = label->source;
    last->is_resolver |= label->is_resolver;
  }
  labels->count = kept;
}

/* ---- stubs and ranges without a name */

static const Label *first_at(const Label *labels, size_t count, uint64_t addr) {
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (labels[middle].addr < addr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < count && labels[low].addr == addr ? &labels[low] : NULL;
}

static bool add_stubs(const ElfFile *elf, Arena *arena, Labels *labels, Fault *fault) {
  ElfSymbols symbols;
  ElfStub *stubs;
  size_t count;
  const size_t named = labels->count;
  if (!elf_symbols(elf, ELF_DYNSYM, &symbols, fault)) return false;
  bool ok = elf_stubs(elf, &symbols, &stubs, &count, fault);
  elf_symbols_finish(&symbols);
  if (!ok) return false;
  for (size_t i = 0; ok && i < count; i++) {
    const Label *target = stubs[i].name ? NULL : first_at(labels->all, named, stubs[i].resolver);
    const char *called = stubs[i].name ? stubs[i].name : target ? target->name : NULL;
    const char *name = called ? arena_printf(arena, "%s@plt", called)
                              : arena_printf(arena, "sub_%" PRIx64 "@plt", stubs[i].resolver);
    ok = name && array_grow(labels->all, labels->capacity, labels->count + 1);
    if (!ok) break;
    labels->all[labels->count++] = (Label){.addr = stubs[i].addr,
                                           .size = stubs[i].size,
                                           .name = name,
                                           .binding = STB_LOCAL,
                                           .source = FUNCTION_PLT};
  }
  free(stubs);
  return ok || fault_oom(fault);
}

/* Where there is nothing but stubs. */
typedef struct StubRanges {
  CodeRange all[8];
  int count;
} StubRanges;

static StubRanges stub_ranges(const ElfFile *elf) {
  StubRanges ranges = {.count = 0};
  for (size_t i = 1; i < elf->nsections && ranges.count < (int)countof(ranges.all); i++) {
    const ElfSection *section = &elf->sections[i];
    if ((section->flags & SHF_EXECINSTR) && strncmp(section->name, ".plt", 4) == 0) {
      ranges.all[ranges.count++] = (CodeRange){section->addr, section->addr + section->size};
    }
  }
  return ranges;
}

static bool is_inside(const StubRanges *ranges, uint64_t addr) {
  for (int i = 0; i < ranges->count; i++) {
    if (addr >= ranges->all[i].lo && addr < ranges->all[i].hi) return true;
  }
  return false;
}

/* Ranges that do not begin inside something that has a name. */
static bool add_ranges(const ElfFile *elf, const Cfi *cfi, Arena *arena, Labels *labels,
                       Fault *fault) {
  size_t count;
  const size_t named = labels->count;
  const CfiRange *ranges = cfi_ranges(cfi, &count);
  const StubRanges stubs = stub_ranges(elf);
  uint64_t covered = 0; /* where the names so far end */
  size_t at = 0;
  for (size_t i = 0; i < count; i++) {
    const uint64_t lo = ranges[i].lo;
    for (; at < named && labels->all[at].addr < lo; at++) {
      const uint64_t end = labels->all[at].addr + labels->all[at].size;
      if (end > covered) covered = end;
    }
    if (lo < covered || (at < named && labels->all[at].addr == lo) ||
        (i > 0 && ranges[i - 1].lo == lo) || is_inside(&stubs, lo)) {
      continue;
    }
    const char *name = arena_printf(arena, "sub_%" PRIx64, lo);
    if (!name || !array_grow(labels->all, labels->capacity, labels->count + 1)) {
      return fault_oom(fault);
    }
    labels->all[labels->count++] = (Label){.addr = lo,
                                           .size = ranges[i].hi - lo,
                                           .name = name,
                                           .binding = STB_LOCAL,
                                           .source = FUNCTION_EH_FRAME};
  }
  return true;
}

bool labels_gather(const ElfFile *elf, const ElfFile *debug, const Cfi *cfi, Arena *arena,
                   Labels *out, Fault *fault) {
  Labels labels = {0};
  bool ok =
      add_symbols(elf, elf, ELF_SYMTAB, cfi, FUNCTION_SYMTAB, arena, &labels, fault) &&
      (!debug || add_symbols(elf, debug, ELF_SYMTAB, cfi, FUNCTION_DEBUG, arena, &labels, fault)) &&
      add_symbols(elf, elf, ELF_DYNSYM, cfi, FUNCTION_DYNSYM, arena, &labels, fault);
  if (ok) sort_labels(&labels);
  ok = ok && add_stubs(elf, arena, &labels, fault);
  if (ok) sort_labels(&labels);
  ok = ok && add_ranges(elf, cfi, arena, &labels, fault);
  if (ok) sort_labels(&labels);
  if (!ok) free(labels.all);
  if (ok) *out = labels;
  return ok;
}
