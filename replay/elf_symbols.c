/*
** The tables of symbols of an ELF file, with their versions: see elf_file.h.
*/
#include "replay/elf_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <elf.h>

#include "base/array.h"

static bool corrupt(const ElfFile *elf, Fault *fault, const char *what) {
  return fault_set(fault, FAULT_CORRUPT, "\"%s\": %s", elf->path, what);
}

/* ---- what the loader reads */

/* Entries of the dynamic segment; 0: not there. */
typedef struct Dynamic {
  uint64_t symbols, names, names_size, hash, gnu_hash, versions, defined, ndefined, needed, nneeded;
} Dynamic;

static bool read_dynamic(const ElfFile *elf, Dynamic *out) {
  *out = (Dynamic){0};
  const ElfSegment *segment = NULL;
  for (size_t i = 0; i < elf->nsegments && !segment; i++) {
    if (elf->segments[i].type == PT_DYNAMIC) segment = &elf->segments[i];
  }
  if (!segment) return false;
  Elf64_Dyn entry;
  for (uint64_t at = 0; segment->size - at >= sizeof entry; at += sizeof entry) {
    memcpy(&entry, elf->bytes + segment->offset + at, sizeof entry);
    const uint64_t value = entry.d_un.d_val;
    switch (entry.d_tag) {
    case DT_NULL:
      return true;
    case DT_SYMTAB:
      out->symbols = value;
      break;
    case DT_STRTAB:
      out->names = value;
      break;
    case DT_STRSZ:
      out->names_size = value;
      break;
    case DT_HASH:
      out->hash = value;
      break;
    case DT_GNU_HASH:
      out->gnu_hash = value;
      break;
    case DT_VERSYM:
      out->versions = value;
      break;
    case DT_VERDEF:
      out->defined = value;
      break;
    case DT_VERDEFNUM:
      out->ndefined = value;
      break;
    case DT_VERNEED:
      out->needed = value;
      break;
    case DT_VERNEEDNUM:
      out->nneeded = value;
      break;
    default:
      break;
    }
  }
  return true;
}

static bool read_u32(const ElfFile *elf, uint64_t addr, uint32_t *out) {
  const uint8_t *bytes = elf_at(elf, addr, sizeof *out);
  if (bytes) memcpy(out, bytes, sizeof *out);
  return bytes != NULL;
}

/* The hash of GNU does not say how many symbols there are: the last chain's end tells. */
static bool count_by_gnu_hash(const ElfFile *elf, uint64_t addr, uint64_t *out) {
  uint32_t head[4], last = 0;
  for (int i = 0; i < 4; i++) {
    if (!read_u32(elf, addr + 4 * (uint64_t)i, &head[i])) return false;
  }
  const uint64_t buckets = addr + 16 + 8 * (uint64_t)head[2],
                 chains = buckets + 4 * (uint64_t)head[0];
  const uint8_t *bytes = elf_at(elf, buckets, 4 * (uint64_t)head[0]);
  if (!bytes) return false;
  for (uint32_t i = 0; i < head[0]; i++) {
    uint32_t first;
    memcpy(&first, bytes + 4 * (size_t)i, sizeof first);
    if (first > last) last = first;
  }
  *out = head[1]; /* symbols that are not hashed come first */
  if (last < head[1]) return true;
  uint64_t left;
  bytes = elf_from(elf, chains + 4 * (uint64_t)(last - head[1]), &left);
  for (*out = (uint64_t)last + 1; bytes && left >= 4; ++*out, bytes += 4, left -= 4) {
    uint32_t link;
    memcpy(&link, bytes, sizeof link);
    if (link & 1) return true;
  }
  return false;
}

static bool count_dynamic(const ElfFile *elf, const Dynamic *dynamic, uint64_t *out) {
  uint32_t chains;
  if (dynamic->hash && read_u32(elf, dynamic->hash + 4, &chains)) {
    *out = chains;
    return true;
  }
  *out = 0;
  return dynamic->gnu_hash && count_by_gnu_hash(elf, dynamic->gnu_hash, out);
}

/* ---- versions: a number of each symbol, and what the numbers are called */

static bool keep_version(ElfSymbols *symbols, uint32_t number, uint64_t name, bool is_own,
                         Fault *fault) {
  number &= 0x7fff;
  if (name >= symbols->names_size) {
    return corrupt(symbols->elf, fault, "a version whose name is outside");
  }
  if (!array_grow(symbols->version_names, symbols->nversions, (size_t)number + 1)) {
    return fault_oom(fault);
  }
  symbols->version_names[number] = (ElfVersion){symbols->names + name, is_own};
  return true;
}

static bool read_defined(ElfSymbols *symbols, uint64_t addr, uint64_t count, Fault *fault) {
  for (uint64_t i = 0; i < count && i < 0x8000; i++) {
    Elf64_Verdef head;
    Elf64_Verdaux name;
    const uint8_t *bytes = elf_at(symbols->elf, addr, sizeof head);
    if (bytes) memcpy(&head, bytes, sizeof head);
    if (bytes) bytes = elf_at(symbols->elf, addr + head.vd_aux, sizeof name);
    if (!bytes) return corrupt(symbols->elf, fault, "a list of versions that ends outside");
    memcpy(&name, bytes, sizeof name);
    if (!keep_version(symbols, head.vd_ndx, name.vda_name, true, fault)) return false;
    if (!head.vd_next) return true;
    addr += head.vd_next;
  }
  return true;
}

static bool read_needed(ElfSymbols *symbols, uint64_t addr, uint64_t count, Fault *fault) {
  uint64_t seen = 0; /* each version has a number, so there are no more than numbers */
  for (uint64_t i = 0; i < count && seen < 0x8000; i++) {
    Elf64_Verneed head;
    const uint8_t *bytes = elf_at(symbols->elf, addr, sizeof head);
    if (!bytes) return corrupt(symbols->elf, fault, "a list of needed versions that ends outside");
    memcpy(&head, bytes, sizeof head);
    uint64_t at = addr + head.vn_aux;
    for (unsigned k = 0; k < head.vn_cnt && seen < 0x8000; k++, seen++) {
      Elf64_Vernaux name;
      bytes = elf_at(symbols->elf, at, sizeof name);
      if (!bytes) return corrupt(symbols->elf, fault, "a needed version that ends outside");
      memcpy(&name, bytes, sizeof name);
      if (!keep_version(symbols, name.vna_other, name.vna_name, false, fault)) return false;
      if (!name.vna_next) break;
      at += name.vna_next;
    }
    if (!head.vn_next) return true;
    addr += head.vn_next;
    seen++;
  }
  return true;
}

/* ---- tables */

static bool take_names(ElfSymbols *symbols, const uint8_t *names, uint64_t size, Fault *fault) {
  symbols->names = (const char *)names;
  symbols->names_size = elf_names_end(names, size);
  return symbols->names_size || !symbols->count ||
         corrupt(symbols->elf, fault, "symbols without names");
}

static bool by_dynamic(ElfSymbols *symbols, Fault *fault) {
  const ElfFile *elf = symbols->elf;
  Dynamic dynamic;
  if (!read_dynamic(elf, &dynamic) || !dynamic.symbols) return true;
  uint64_t count;
  if (!count_dynamic(elf, &dynamic, &count)) return true; /* nothing can be looked up in it */
  const uint8_t *names = elf_at(elf, dynamic.names, dynamic.names_size);
  symbols->entries = elf_at(elf, dynamic.symbols, count * sizeof(Elf64_Sym));
  if (!names || !symbols->entries) {
    return corrupt(elf, fault, "a table of dynamic symbols that ends outside");
  }
  symbols->count = count;
  if (!take_names(symbols, names, dynamic.names_size, fault)) return false;
  if (dynamic.versions) symbols->versions = elf_at(elf, dynamic.versions, count * 2);
  return !symbols->versions || (read_defined(symbols, dynamic.defined, dynamic.ndefined, fault) &&
                                read_needed(symbols, dynamic.needed, dynamic.nneeded, fault));
}

static bool by_section(ElfSymbols *symbols, uint32_t type, Fault *fault) {
  const ElfFile *elf = symbols->elf;
  for (size_t i = 1; i < elf->nsections; i++) {
    const ElfSection *section = &elf->sections[i];
    if (section->type != type) continue;
    if (section->link >= elf->nsections || section->entry_size != sizeof(Elf64_Sym)) {
      return corrupt(elf, fault, "a table of symbols without names");
    }
    const ElfSection *names = &elf->sections[section->link];
    symbols->entries = section->bytes;
    symbols->count = section->size / sizeof(Elf64_Sym);
    return take_names(symbols, names->bytes, names->size, fault);
  }
  return true;
}

bool elf_symbols(const ElfFile *elf, ElfTable table, ElfSymbols *out, Fault *fault) {
  ElfSymbols symbols = {.elf = elf};
  if (!(table == ELF_SYMTAB ? by_section(&symbols, SHT_SYMTAB, fault)
                            : by_dynamic(&symbols, fault))) {
    elf_symbols_finish(&symbols);
    return false;
  }
  *out = symbols;
  return true;
}

void elf_symbols_finish(ElfSymbols *symbols) {
  free(symbols->version_names);
  *symbols = (ElfSymbols){0};
}

bool elf_symbol(const ElfSymbols *symbols, size_t i, ElfSymbol *out) {
  Elf64_Sym entry;
  memcpy(&entry, symbols->entries + i * sizeof entry, sizeof entry);
  if (entry.st_name >= symbols->names_size) return false;
  *out = (ElfSymbol){.name = symbols->names + entry.st_name,
                     .is_defined = entry.st_shndx != SHN_UNDEF,
                     .type = ELF64_ST_TYPE(entry.st_info),
                     .binding = ELF64_ST_BIND(entry.st_info),
                     .section = entry.st_shndx,
                     .addr = entry.st_value,
                     .size = entry.st_size};
  if (!symbols->versions) return true;
  uint16_t number;
  memcpy(&number, symbols->versions + 2 * i, sizeof number);
  const uint16_t index = number & 0x7fff;
  if (index < 2 || index >= symbols->nversions) return true; /* local, or of no version */
  out->version = symbols->version_names[index].name;
  out->is_default = symbols->version_names[index].is_own && !(number & 0x8000);
  return true;
}
