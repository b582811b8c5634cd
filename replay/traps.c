/*
** Finding and reading instructions that trap: see traps.h.
*/
#include "replay/traps.h"

#include <Zydis/Zydis.h>
#include <cpuid.h>
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <x86intrin.h>

#include "base/array.h"
#include "replay/elf_file.h"

/* ---- one instruction */

static int with_register(const uint8_t *at, uint8_t rex, TrapKind *kind) {
  const bool random = at[1] == 0xc7, moved = at[1] == 0x20;
  const uint8_t field = at[2] & 0xf8;
  if (random ? field != 0xf0 && field != 0xf8 : !moved || (field != 0xc0 && field != 0xd0)) {
    return -1;
  }
  *kind = field == (random ? 0xf0 : 0xc0) ? TRAP_RDRAND : TRAP_RDSEED;
  return (at[2] & 7) | (rex & 1 ? 8 : 0);
}

/* Bytes of an operand in memory from its ModRM byte on; 0: it is none, or cut. */
static int operand_length(const uint8_t *at, size_t left) {
  if (left < 1) return 0;
  const int mod = at[0] >> 6, rm = at[0] & 7;
  int length = 1;
  if (mod == 3 || (rm == 4 && left < 2)) return 0;
  if (rm == 4) length++;
  if (mod == 1) length++;
  if (mod == 2 || (mod == 0 && (rm == 5 || (rm == 4 && (at[1] & 7) == 5)))) length += 4;
  return (size_t)length <= left ? length : 0;
}

static bool is_xsave(const uint8_t *at) {
  const uint8_t field = at[2] >> 3 & 7;
  if (at[1] == 0x01) return field == 2 || field == 3;
  return (at[1] == 0xae || at[1] == 0xc7) && field == 4;
}

bool trap_decode(const uint8_t *bytes, size_t size, TrapKind *out_kind, int *out_length,
                 int *out_register) {
  const bool has_rex = size > 0 && (bytes[0] & 0xf0) == 0x40;
  const uint8_t *at = bytes + has_rex;
  const size_t left = size - has_rex;
  if (left < 2 || at[0] != 0x0f) return false;
  *out_register = 0;
  *out_length = has_rex + 2;
  if (at[1] == 0x31 || at[1] == 0x32) {
    *out_kind = TRAP_RDTSC;
    return true;
  }
  if (at[1] == 0xa2 || at[1] == 0x08) {
    *out_kind = TRAP_CPUID;
    return true;
  }
  if (left < 3) return false;
  *out_length = has_rex + 3;
  if (at[1] == 0x01 && (at[2] == 0xf8 || at[2] == 0xf9)) {
    *out_kind = TRAP_RDTSCP;
    return true;
  }
  if (is_xsave(at) && operand_length(at + 2, left - 2)) {
    *out_length = has_rex + 2 + operand_length(at + 2, left - 2);
    *out_kind = TRAP_XSAVE;
    return true;
  }
  *out_register = with_register(at, has_rex ? bytes[0] : 0, out_kind);
  return *out_register >= 0;
}

static unsigned long long *general(struct user_regs_struct *regs, int number) {
  unsigned long long *const order[16] = {&regs->rax, &regs->rcx, &regs->rdx, &regs->rbx,
                                         &regs->rsp, &regs->rbp, &regs->rsi, &regs->rdi,
                                         &regs->r8,  &regs->r9,  &regs->r10, &regs->r11,
                                         &regs->r12, &regs->r13, &regs->r14, &regs->r15};
  return order[number & 15];
}

/* The carry tells that there was a number; the other flags are cleared. */
static bool random_word(unsigned long long *out, struct user_regs_struct *regs) {
  enum { CARRY = 1, FLAGS = 0x8d5 };
  regs->eflags &= ~(unsigned long long)FLAGS;
  if (getrandom(out, sizeof *out, 0) != (ssize_t)sizeof *out) return false;
  regs->eflags |= CARRY;
  return true;
}

static void say_cpuid(struct user_regs_struct *regs) {
  uint32_t a, b, c, d;
  __cpuid_count((uint32_t)regs->rax, (uint32_t)regs->rcx, a, b, c, d);
  regs->rax = a;
  regs->rbx = b;
  regs->rcx = c;
  regs->rdx = d;
}

void trap_carry_out(TrapKind kind, int length, int number, struct user_regs_struct *regs) {
  unsigned cpu = 0;
  const uint64_t now = __rdtscp(&cpu);
  regs->rip += (unsigned)length;
  switch (kind) {
  case TRAP_RDTSC:
  case TRAP_RDTSCP:
    regs->rax = now & 0xffffffff;
    regs->rdx = now >> 32;
    if (kind == TRAP_RDTSCP) regs->rcx = cpu;
    return;
  case TRAP_CPUID:
    say_cpuid(regs);
    return;
  default:
    if (!random_word(general(regs, number), regs)) *general(regs, number) = 0;
    return;
  }
}

/* What takes the place of an instruction at `at`; false: it is none of ours. */
static bool replace(const uint8_t *at, size_t left, TrapSite *out) {
  TrapKind kind;
  int length, number;
  if (at[0] != 0x0f || !trap_decode(at, left, &kind, &length, &number)) return false;
  out->length = (uint8_t)length;
  memcpy(out->bytes, at, (size_t)length);
  switch (kind) {
  case TRAP_RDTSC:
    out->bytes[1] = 0x32;
    return at[1] == 0x31;
  case TRAP_CPUID:
    out->bytes[1] = 0x08;
    return at[1] == 0xa2;
  case TRAP_RDTSCP:
    out->bytes[2] = 0xf8;
    return at[2] == 0xf9;
  case TRAP_RDRAND:
  case TRAP_RDSEED:
    out->bytes[1] = 0x20;
    out->bytes[2] = (uint8_t)((kind == TRAP_RDRAND ? 0xc0 : 0xd0) | (at[2] & 7));
    return at[1] == 0xc7;
  case TRAP_XSAVE:
    out->bytes[1] = 0x01;
    out->bytes[2] = (uint8_t)((at[2] & 0xc7) | (at[1] == 0xc7 ? 2 : 3) << 3);
    return at[1] != 0x01;
  default:
    return false;
  }
}

/* ---- is it an instruction? */

typedef struct Finder {
  ElfFile *elf;
  ZydisDecoder decoder;
  const uint8_t *table; /* pairs of int32: function, description; relative to table_addr */
  size_t functions;
  uint64_t table_addr;
  const uint8_t *begin, *reached; /* of the function read last: its start, and an instruction */
} Finder;

/* Reads one instruction after the other from `from`: is one at `to`? */
static bool leads_to(const Finder *finder, const uint8_t *from, const uint8_t *to,
                     const uint8_t *end) {
  while (from < to) {
    ZydisDecodedInstruction found;
    ZyanStatus status = ZydisDecoderDecodeInstruction(&finder->decoder, NULL, from,
                                                      (ZyanUSize)(end - from), &found);
    from += ZYAN_SUCCESS(status) ? found.length : 1;
  }
  return from == to;
}

/* The same from the start of a function: candidates come in ascending order, and what has been read
** of it is not read again. */
static bool function_leads_to(Finder *finder, const uint8_t *begin, const uint8_t *to,
                              const uint8_t *end) {
  if (finder->begin != begin || finder->reached > to) finder->reached = begin;
  finder->begin = begin;
  for (const uint8_t *next = finder->reached; next <= to;) {
    ZydisDecodedInstruction found;
    finder->reached = next;
    ZyanStatus status = ZydisDecoderDecodeInstruction(&finder->decoder, NULL, next,
                                                      (ZyanUSize)(end - next), &found);
    next += ZYAN_SUCCESS(status) ? found.length : 1;
  }
  return finder->reached == to;
}

static int32_t read_int(const uint8_t *at) {
  int32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

/* .eh_frame_hdr: version 1, pointers relative to themselves, a table of 32-bit pairs. */
static void open_table(Finder *finder) {
  enum { PCREL_SDATA4 = 0x1b, UDATA4 = 0x03, DATAREL_SDATA4 = 0x3b, HEAD = 12 };
  for (size_t i = 0; i < finder->elf->nsegments; i++) {
    const ElfSegment *segment = &finder->elf->segments[i];
    if (segment->type != PT_GNU_EH_FRAME || segment->size < HEAD) continue;
    const uint8_t *bytes = elf_at(finder->elf, segment->addr, segment->size);
    if (!bytes || bytes[0] != 1 || bytes[1] != PCREL_SDATA4 || bytes[2] != UDATA4 ||
        bytes[3] != DATAREL_SDATA4) {
      continue;
    }
    finder->functions = (uint32_t)read_int(bytes + 8);
    if (finder->functions > (segment->size - HEAD) / 8) finder->functions = 0;
    finder->table = bytes + HEAD;
    finder->table_addr = segment->addr;
  }
}

/* The beginning of the function around addr; 0: none is known. */
static uint64_t function_of(const Finder *finder, uint64_t addr) {
  enum { DESCRIPTION = 16 }; /* length, CIE, begin, size: of 32 bits each */
  size_t low = 0, high = finder->functions;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    uint64_t begin = finder->table_addr + (uint64_t)(int64_t)read_int(finder->table + 8 * middle);
    if (begin <= addr) low = middle + 1;
    if (begin > addr) high = middle;
  }
  if (!low) return 0;
  const uint8_t *pair = finder->table + 8 * (low - 1);
  uint64_t begin = finder->table_addr + (uint64_t)(int64_t)read_int(pair);
  const uint8_t *description =
      elf_at(finder->elf, finder->table_addr + (uint64_t)(int64_t)read_int(pair + 4), DESCRIPTION);
  if (!description || read_int(description) == -1) return 0;
  return addr - begin < (uint32_t)read_int(description + 12) ? begin : 0;
}

/* Bytes that are no code soon show something that programs do not do. */
static bool is_usual(const ZydisDecodedInstruction *found) {
  if (found->mnemonic == ZYDIS_MNEMONIC_INT3) return true; /* padding */
  switch (found->meta.category) {
  case ZYDIS_CATEGORY_INTERRUPT:
  case ZYDIS_CATEGORY_IO:
  case ZYDIS_CATEGORY_IOSTRINGOP:
  case ZYDIS_CATEGORY_FLAGOP:
  case ZYDIS_CATEGORY_SEGOP:
  case ZYDIS_CATEGORY_DECIMAL:
  case ZYDIS_CATEGORY_X87_ALU:
  case ZYDIS_CATEGORY_ROTATE:
    return false;
  default:
    return !(found->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED) &&
           found->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR &&
           found->mnemonic != ZYDIS_MNEMONIC_ENTER && found->mnemonic != ZYDIS_MNEMONIC_XLAT &&
           found->mnemonic != ZYDIS_MNEMONIC_LOOPNE && found->mnemonic != ZYDIS_MNEMONIC_LOOPE;
  }
}

/* `at` is an instruction if this is code: what stands around it? */
static bool is_code(const Finder *finder, const uint8_t *start, const uint8_t *at,
                    const uint8_t *end) {
  enum { BEFORE = 64, SETTLED = 24, AFTER = 32 };
  if (at - start < BEFORE || end - at < AFTER) return false;
  for (const uint8_t *from = at - BEFORE; from < at + AFTER;) {
    ZydisDecodedInstruction found;
    ZyanStatus status = ZydisDecoderDecodeInstruction(&finder->decoder, NULL, from,
                                                      (ZyanUSize)(end - from), &found);
    bool settled = from >= at - BEFORE + SETTLED;
    if (settled && (!ZYAN_SUCCESS(status) || !is_usual(&found))) return false;
    from += ZYAN_SUCCESS(status) ? found.length : 1;
  }
  return true;
}

/* Code without a description: from nearly wherever one begins to read, one comes to it. */
static bool is_agreed(const Finder *finder, const uint8_t *start, const uint8_t *at,
                      const uint8_t *end) {
  enum { FARTHEST = 96, NEAREST = 16 };
  int ways = 0, led = 0;
  for (const uint8_t *from = at - start > FARTHEST ? at - FARTHEST : start; from + NEAREST < at;
       from++, ways++) {
    led += leads_to(finder, from, at, end);
  }
  return ways >= FARTHEST / 3 && led * 10 >= ways * 9 && is_code(finder, start, at, end);
}

static bool in_code_section(const Finder *finder, uint64_t addr) {
  if (!finder->elf->nsections) return true;
  for (size_t i = 0; i < finder->elf->nsections; i++) {
    const ElfSection *section = &finder->elf->sections[i];
    if (section->flags & SHF_EXECINSTR && addr >= section->addr &&
        addr - section->addr < section->size) {
      return true;
    }
  }
  return false;
}

static bool is_instruction(Finder *finder, const ElfSegment *segment, uint64_t offset) {
  const uint8_t *start = finder->elf->bytes + segment->offset, *end = start + segment->size;
  const uint8_t *at = finder->elf->bytes + offset;
  uint64_t addr = segment->addr + (offset - segment->offset), begin = function_of(finder, addr);
  if (begin >= segment->addr && begin) {
    return function_leads_to(finder, start + (begin - segment->addr), at, end);
  }
  return in_code_section(finder, addr) && is_agreed(finder, start, at, end);
}

/* ---- a file */

static bool find_in(Finder *finder, const ElfSegment *segment, TrapSites *out, Fault *fault) {
  const uint8_t *start = finder->elf->bytes + segment->offset, *end = start + segment->size;
  for (const uint8_t *at = start; (at = memchr(at, 0x0f, (size_t)(end - at))); at++) {
    TrapSite site;
    if (end - at < 3 || !replace(at, (size_t)(end - at), &site)) continue;
    /* The prefixes are a part of the instruction: it begins before, if there are some. */
    size_t prefix = at > start && (at[-1] & 0xf0) == 0x40 && (at[1] == 0xc7 || at[1] == 0xae);
    if (at - prefix > start && at[1] == 0xc7 && *(at - prefix - 1) == 0x66) continue;
    site.offset = (uint64_t)(at - finder->elf->bytes);
    if (!is_instruction(finder, segment, site.offset - prefix) &&
        !(prefix && is_instruction(finder, segment, site.offset))) {
      continue;
    }
    if (!array_grow(out->list, out->capacity, out->count + 1)) return fault_oom(fault);
    out->list[out->count++] = site;
  }
  return true;
}

bool traps_find(const char *path, TrapSites *out, Fault *fault) {
  Finder finder = {0};
  Fault own = {0};
  if (!elf_open(path, &finder.elf, &own)) {
    return own.code != FAULT_NOMEM || fault_oom(fault); /* no program, nothing to find */
  }
  ZydisDecoderInit(&finder.decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  open_table(&finder);
  bool ok = true;
  for (size_t i = 0; ok && i < finder.elf->nsegments; i++) {
    const ElfSegment *segment = &finder.elf->segments[i];
    if (segment->type != PT_LOAD || !(segment->flags & PF_X)) continue;
    if (segment->offset > finder.elf->size || segment->size > finder.elf->size - segment->offset) {
      continue;
    }
    ok = find_in(&finder, segment, out, fault);
  }
  elf_close(finder.elf);
  return ok;
}
