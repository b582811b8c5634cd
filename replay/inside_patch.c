/*
** What is written where a program makes system calls, and telling it from the program: see
** inside_inner.h.
*/
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/array.h"
#include "replay/inside_inner.h"
#include "replay/probe_code.h"

enum { POINTER_AT = INSIDE_THUNK - 8, STEP = 1 << 20, SEEN_MOST = 4096 };
#define HIGH ((uint64_t)1 << 32)  /* addresses from here on have something above 32 bits */
#define APART ((uint64_t)5 << 28) /* thunks stay out of the program's way, but within reach */

/* ---- a thunk */

/* What stood behind the syscall, and back. */
static bool move_rest(const InsideSite *site, uint64_t at, Asm *code) {
  MoveStep steps[MOVE_STEPS];
  Insn insn;
  for (size_t done = SYSCALL_BYTES; done < site->size; done += insn.length) {
    if (!insn_decode(site->bytes + done, site->size - done, at + done, &insn) ||
        !insn_can_move(&insn)) {
      return false;
    }
    insn_move(&insn, code, steps);
    if (insn_ends(&insn)) return !code->overflow;
  }
  asm_jump(code, at + site->size);
  return !code->overflow;
}

static void name(Asm *code, const char opcode[3], uint64_t target) {
  asm_bytes(code, opcode, 3);
  asm_u32(code, (uint32_t)(target - (asm_here(code) + 4)));
}

/* Goes to the label when rcx is not `back`, and leaves rcx as it was otherwise. Flags and all other
** registers stay. */
static size_t tell_ways(Asm *code, uint64_t back) {
  static const uint8_t swap[] = {0x48, 0x0f, 0xc9}; /* bswap %rcx */
  size_t other;
  if (back >= HIGH) {
    asm_bytes(code, swap, sizeof swap);
    asm_byte(code, 0x67); /* jecxz */
    other = asm_near_rcx_zero(code);
    asm_bytes(code, swap, sizeof swap);
    return other;
  }
  asm_lea(code, GP_RCX, GP_RCX, -(int32_t)back);
  const size_t same = asm_near_rcx_zero(code);
  other = asm_near_jump(code);
  asm_near_land(code, same);
  asm_lea(code, GP_RCX, GP_RCX, (int32_t)back);
  return other;
}

static bool make_thunk(const InsideSite *site, uint64_t at, uint64_t start, uint8_t *bytes,
                       InsidePatch *patch) {
  Asm code = {.bytes = bytes, .capacity = POINTER_AT, .at = start};
  const uint64_t back = at + SYSCALL_BYTES, entry = INSIDE_BASE + INSIDE_ENTRY;
  const size_t other = tell_ways(&code, back);
  if (!move_rest(site, at, &code)) return false;
  asm_near_land(&code, other);
  name(&code, "\x48\x8d\x0d", back);                 /* lea back, %rcx */
  name(&code, "\x4c\x8d\x1d", asm_here(&code) + 13); /* lea call, %r11 */
  asm_bytes(&code, "\xff\x25", 2);                   /* jmp *pointer */
  asm_u32(&code, (uint32_t)(start + POINTER_AT - (asm_here(&code) + 4)));
  patch->call = (uint8_t)code.size;
  asm_bytes(&code, "\x0f\x05", 2);
  if (!move_rest(site, at, &code)) return false;
  memcpy(bytes + POINTER_AT, &entry, sizeof entry);
  return true;
}

/* mov %eax, %ecx; jmp thunk */
static bool make_patch(const InsideSite *site, uint64_t at, uint64_t thunk, InsidePatch *patch) {
  memcpy(patch->original, site->bytes, site->size);
  memcpy(patch->bytes, site->bytes, site->size);
  Asm code = {.bytes = patch->bytes, .capacity = site->size, .at = at};
  asm_bytes(&code, "\x89\xc1", 2);
  asm_jump(&code, thunk);
  patch->at = at;
  patch->size = site->size;
  return !code.overflow;
}

bool inside_patch(const InsideSite *site, uint64_t at, uint64_t thunk, uint8_t code[INSIDE_THUNK],
                  InsidePatch *out) {
  *out = (InsidePatch){0};
  memset(code, 0xcc, INSIDE_THUNK);
  return make_patch(site, at, thunk, out) && make_thunk(site, at, thunk, code, out);
}

/* ---- a mapping */

static bool is_free(const MapList *maps, const InsidePatches *patches, uint64_t start,
                    uint64_t size) {
  for (size_t i = 0; i < maps->count; i++) {
    if (maps->ranges[i].start < start + size && start < maps->ranges[i].end) return false;
  }
  return !inside_overlaps(patches, start, size);
}

uint64_t inside_place(const MapList *maps, const InsidePatches *patches, const MapRange *range,
                      uint64_t size) {
  const bool below = range->start > 2 * APART;
  uint64_t at = below ? (range->start - APART) & ~(uint64_t)(STEP - 1)
                      : (range->end + APART) & ~(uint64_t)(STEP - 1);
  for (int i = 0; i < 256; i++, at += below ? -(uint64_t)STEP : STEP) {
    if (is_free(maps, patches, at, size)) return at;
  }
  return 0;
}

/* ---- all of a space */

static bool copy_area(const InsideArea *from, InsideArea *to) {
  *to = *from;
  to->list = malloc(INSIDE_AREA * sizeof *to->list);
  if (to->list) memcpy(to->list, from->list, from->count * sizeof *to->list);
  return to->list != NULL;
}

bool inside_copy(const InsidePatches *from, InsidePatches *to, Fault *fault) {
  *to = (InsidePatches){0};
  bool ok = array_grow(to->areas, to->capacity, from->count) &&
            array_grow(to->pages, to->pages_capacity, from->npages) &&
            array_grow(to->seen, to->seen_capacity, from->nseen);
  for (; ok && to->count < from->count; to->count++) {
    if (!(ok = copy_area(&from->areas[to->count], &to->areas[to->count]))) break;
  }
  if (!ok) {
    inside_finish(to);
    return fault_oom(fault);
  }
  if (from->npages) memcpy(to->pages, from->pages, from->npages * sizeof *to->pages);
  if (from->nseen) memcpy(to->seen, from->seen, from->nseen * sizeof *to->seen);
  to->npages = from->npages;
  to->nseen = from->nseen;
  to->interrupted = from->interrupted;
  return true;
}

void inside_finish(InsidePatches *patches) {
  for (size_t i = 0; i < patches->count; i++) free(patches->areas[i].list);
  free(patches->areas);
  free(patches->pages);
  free(patches->seen);
  *patches = (InsidePatches){0};
}

const InsidePatch *inside_of_thunk(const InsidePatches *patches, uint64_t rip) {
  for (size_t i = 0; i < patches->count; i++) {
    const InsideArea *area = &patches->areas[i];
    if (rip < area->start || rip >= area->start + area->count * INSIDE_THUNK) continue;
    return &area->list[(rip - area->start) / INSIDE_THUNK];
  }
  return NULL;
}

void inside_behind(Tracee *tracee, const InsidePatch *patch) {
  tracee->regs.rip = tracee->regs.rcx = patch->at + SYSCALL_BYTES;
  tracee->regs_changed = true;
}

static const InsidePatch *patch_around(const InsidePatches *patches, uint64_t addr) {
  for (size_t i = 0; i < patches->count; i++) {
    const InsideArea *area = &patches->areas[i];
    if (addr < area->low || addr >= area->high) continue;
    for (size_t k = 0; k < area->count; k++) {
      const InsidePatch *patch = &area->list[k];
      if (addr - patch->at < patch->size && !patch->gone) return patch;
    }
  }
  return NULL;
}

bool inside_see(InsidePatches *patches, uint64_t at, unsigned after, bool *out, Fault *fault) {
  *out = false;
  size_t i = 0;
  while (i < patches->nseen && patches->seen[i].at != at) i++;
  if (i == SEEN_MOST) return true;
  if (i == patches->nseen) {
    if (!array_grow(patches->seen, patches->seen_capacity, i + 1)) return fault_oom(fault);
    patches->seen[patches->nseen++] = (InsideSeen){.at = at};
  }
  InsideSeen *seen = &patches->seen[i];
  if (seen->times < after) *out = ++seen->times == after;
  return true;
}

InsideWhere inside_where(const InsidePatches *patches, uint64_t rip, uint64_t rcx,
                         const InsidePatch **out) {
  *out = NULL;
  if (rip >= INSIDE_BASE && rip < INSIDE_BASE + INSIDE_SIZE) return INSIDE_WITHIN;
  const InsidePatch *patch = inside_of_thunk(patches, rip);
  if (patch) {
    *out = patch;
    return rip % INSIDE_THUNK == (uint64_t)patch->call + SYSCALL_BYTES ? INSIDE_BEHIND
                                                                       : INSIDE_WITHIN;
  }
  patch = patch_around(patches, rip);
  if (!patch || rip != patch->at + SYSCALL_BYTES) return INSIDE_NOT;
  if (rip >= HIGH ? rcx >= HIGH : rcx == rip) return INSIDE_NOT;
  *out = patch;
  return INSIDE_WITHIN;
}

bool inside_overlaps(const InsidePatches *patches, uint64_t start, uint64_t size) {
  const uint64_t end = size > UINT64_MAX - start ? UINT64_MAX : start + size;
  if (start < INSIDE_BASE + INSIDE_SIZE && INSIDE_BASE < end) return true;
  for (size_t i = 0; i < patches->count; i++) {
    if (start < patches->areas[i].end && patches->areas[i].start < end) return true;
  }
  return false;
}

void inside_original(const InsidePatches *patches, uint64_t addr, uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < patches->count; i++) {
    const InsideArea *area = &patches->areas[i];
    if (addr >= area->high || area->low >= addr + size) continue;
    for (size_t k = 0; k < area->count; k++) {
      const InsidePatch *patch = &area->list[k];
      if (patch->gone) continue;
      const uint64_t from = patch->at > addr ? patch->at : addr;
      const uint64_t own = patch->at + patch->size;
      const uint64_t to = own < addr + size ? own : addr + size;
      if (from >= to) continue;
      memcpy(bytes + (from - addr), patch->original + (from - patch->at), (size_t)(to - from));
    }
  }
}

static void forget_patches(InsideArea *area, uint64_t start, uint64_t end) {
  for (size_t k = 0; k < area->count; k++) {
    InsidePatch *patch = &area->list[k];
    patch->gone |= patch->at < end && patch->at + patch->size > start;
  }
}

void inside_forget(InsidePatches *patches, uint64_t start, uint64_t end) {
  size_t kept = 0;
  for (size_t i = 0; i < patches->count; i++) forget_patches(&patches->areas[i], start, end);
  for (size_t i = 0; i < patches->npages; i++) {
    const InsidePage page = patches->pages[i];
    if (page.at + PAGE <= start || page.at >= end) patches->pages[kept++] = page;
  }
  patches->npages = kept;
  kept = 0;
  for (size_t i = 0; i < patches->nseen; i++) {
    const InsideSeen seen = patches->seen[i];
    if (seen.at < start || seen.at >= end) patches->seen[kept++] = seen;
  }
  patches->nseen = kept;
}

bool inside_page(void *ctx, uint64_t addr, uint8_t *bytes) {
  const InsidePatches *patches = ctx;
  size_t low = 0, high = patches->npages;
  inside_original(patches, addr, bytes, PAGE);
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (patches->pages[middle].at < addr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low == patches->npages || patches->pages[low].at != addr ||
         XXH3_64bits(bytes, PAGE) != patches->pages[low].hash;
}
