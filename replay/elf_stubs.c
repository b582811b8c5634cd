/*
** The stubs of the procedure linkage table and whom they call.
**
** Linkers lay them out in several ways; each ends in a jump through a slot of the global offset
** table, and the relocation of that slot names the function.
*/
#include "replay/elf_file.h"

#include <stdlib.h>
#include <string.h>

#include <elf.h>

#include "base/array.h"

/* What the loader puts into a slot. */
typedef struct Slot {
  uint64_t addr;
  const char *name;
  uint64_t resolver;
} Slot;

typedef struct Slots {
  Slot *all;
  size_t count, capacity;
} Slots;

static int by_addr(const void *a, const void *b) {
  const uint64_t x = ((const Slot *)a)->addr, y = ((const Slot *)b)->addr;
  return (x > y) - (x < y);
}

static bool read_slots(const ElfSection *section, const ElfSymbols *dynamic, Slots *slots) {
  Elf64_Rela entry;
  for (uint64_t at = 0; section->size - at >= sizeof entry; at += sizeof entry) {
    memcpy(&entry, section->bytes + at, sizeof entry);
    const uint64_t type = ELF64_R_TYPE(entry.r_info), number = ELF64_R_SYM(entry.r_info);
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_IRELATIVE) {
      continue;
    }
    ElfSymbol symbol = {0};
    if (number >= dynamic->count || !elf_symbol(dynamic, number, &symbol)) symbol.name = NULL;
    if (!array_grow(slots->all, slots->capacity, slots->count + 1)) return false;
    const bool own = type == R_X86_64_IRELATIVE;
    slots->all[slots->count++] = (Slot){.addr = entry.r_offset,
                                        .name = own || !number ? NULL : symbol.name,
                                        .resolver = own ? (uint64_t)entry.r_addend : 0};
  }
  return true;
}

static const Slot *find_slot(const Slots *slots, uint64_t addr) {
  const Slot key = {.addr = addr};
  return slots->count ? bsearch(&key, slots->all, slots->count, sizeof key, by_addr) : NULL;
}

/* The slot that a stub of these bytes jumps through: [endbr64] [bnd] jmp *distance(%rip). */
static bool slot_of(const uint8_t *bytes, size_t size, uint64_t addr, uint64_t *out) {
  size_t at = 0;
  if (size >= 4 && memcmp(bytes, "\xf3\x0f\x1e\xfa", 4) == 0) at = 4;
  if (at < size && bytes[at] == 0xf2) at++;
  if (size - at < 6 || bytes[at] != 0xff || bytes[at + 1] != 0x25) return false;
  int32_t distance;
  memcpy(&distance, bytes + at + 2, sizeof distance);
  *out = addr + at + 6 + (uint64_t)(int64_t)distance;
  return true;
}

typedef struct Stubs {
  ElfStub *all;
  size_t count, capacity;
} Stubs;

static bool read_section(const ElfSection *section, const Slots *slots, Stubs *stubs) {
  const size_t step = section->entry_size == 8 ? 8 : 16;
  for (uint64_t at = 0; at < section->size; at += step) {
    const size_t size = section->size - at < step ? section->size - at : step;
    uint64_t slot_addr;
    if (!slot_of(section->bytes + at, size, section->addr + at, &slot_addr)) continue;
    const Slot *slot = find_slot(slots, slot_addr);
    if (!slot) continue;
    if (!array_grow(stubs->all, stubs->capacity, stubs->count + 1)) return false;
    stubs->all[stubs->count++] = (ElfStub){
        .addr = section->addr + at, .size = size, .name = slot->name, .resolver = slot->resolver};
  }
  return true;
}

static int by_stub_addr(const void *a, const void *b) {
  const uint64_t x = ((const ElfStub *)a)->addr, y = ((const ElfStub *)b)->addr;
  return (x > y) - (x < y);
}

bool elf_stubs(const ElfFile *elf, const ElfSymbols *dynamic, ElfStub **out, size_t *out_count,
               Fault *fault) {
  Slots slots = {0};
  Stubs stubs = {0};
  bool ok = true;
  for (size_t i = 1; ok && i < elf->nsections; i++) {
    if (elf->sections[i].type == SHT_RELA && (elf->sections[i].flags & SHF_ALLOC)) {
      ok = read_slots(&elf->sections[i], dynamic, &slots);
    }
  }
  if (slots.count) qsort(slots.all, slots.count, sizeof *slots.all, by_addr);
  for (size_t i = 1; ok && i < elf->nsections; i++) {
    const ElfSection *section = &elf->sections[i];
    if (section->type == SHT_PROGBITS && (section->flags & SHF_EXECINSTR) &&
        strncmp(section->name, ".plt", 4) == 0) {
      ok = read_section(section, &slots, &stubs);
    }
  }
  if (stubs.count) qsort(stubs.all, stubs.count, sizeof *stubs.all, by_stub_addr);
  free(slots.all);
  if (!ok) {
    free(stubs.all);
    return fault_oom(fault);
  }
  *out = stubs.all;
  *out_count = stubs.count;
  return true;
}
