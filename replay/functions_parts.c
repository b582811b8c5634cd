/*
** Whose code is it? Compilers move what rarely runs to another place: a part of the function that
** jumps there.
**
** Names tell ("f.cold"), where there are any. Without, a range that does not begin as after a call
** is a part of the one function that jumps to it. So is its neighbour if it begins so, but only a
** conditional jump leads to it (compilers put such parts side by side; assembly has conditional
** jumps to other functions). Jumps are looked for byte by byte and believed when decoding from
** the start of the function comes upon them.
*/
#include <stdlib.h>
#include <string.h>

#include <elf.h>

#include "base/array.h"
#include "replay/functions_build.h"
#include "replay/probe_code.h"

uint32_t drafts_find(const Drafts *drafts, uint64_t addr) {
  size_t low = 0, high = drafts->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (drafts->all[middle].lo <= addr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low && addr < drafts->all[low - 1].hi ? (uint32_t)(low - 1) : NO_OWNER;
}

/* ---- by name */

/* The length of what stands before ".cold" or ".cold.12"; 0: no such end. */
static size_t without_cold(const char *name) {
  const char *dot = NULL;
  for (const char *at = strstr(name, ".cold"); at; at = strstr(at + 1, ".cold")) dot = at;
  if (!dot || dot == name) return 0;
  const char *rest = dot + 5;
  if (*rest == '.') rest += 1 + strspn(rest + 1, "0123456789");
  return *rest ? 0 : (size_t)(dot - name);
}

/* Names of functions, to look up whose part "f.cold" is: by name, then by unit. */
typedef struct NamedDraft {
  const char *name;
  uint32_t unit, draft;
} NamedDraft;

static int by_name(const void *p, const void *q) {
  const NamedDraft *a = p, *b = q;
  const int order = strcmp(a->name, b->name);
  return order ? order : (a->unit > b->unit) - (a->unit < b->unit);
}

/* The draft named name[0..length): the one of the same unit, or the only one. */
static uint32_t find_named(const NamedDraft *names, size_t count, const char *name, size_t length,
                           uint32_t unit) {
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (strncmp(names[middle].name, name, length) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  uint32_t found = NO_OWNER;
  for (size_t i = low; i < count && strncmp(names[i].name, name, length) == 0; i++) {
    if (names[i].name[length]) return found; /* longer ones come behind */
    if (names[i].unit == unit && unit) return names[i].draft;
    if (found != NO_OWNER && found != names[i].draft) return NO_OWNER; /* which one? */
    found = names[i].draft;
  }
  return found;
}

static bool adopt_by_name(Drafts *drafts, Fault *fault) {
  size_t capacity = 0, count = 0;
  NamedDraft *names = NULL;
  for (size_t i = 0; i < drafts->count; i++) {
    const Draft *draft = &drafts->all[i];
    if (!array_extend(names, capacity, count + draft->count)) {
      free(names);
      return fault_oom(fault);
    }
    for (uint32_t k = 0; k < draft->count; k++) {
      const Label *label = &draft->first[k];
      if (without_cold(label->name)) continue;
      names[count++] = (NamedDraft){label->name, label->unit, (uint32_t)i};
    }
  }
  if (count) qsort(names, count, sizeof *names, by_name);
  for (size_t i = 0; i < drafts->count; i++) {
    Draft *draft = &drafts->all[i];
    const size_t length = without_cold(draft->first->name);
    if (!length) continue;
    draft->is_candidate = draft->by_name = true;
    draft->owner = find_named(names, count, draft->first->name, length, draft->first->unit);
  }
  free(names);
  return true;
}

/* ---- by jumps */

typedef struct Segment {
  const uint8_t *code;
  uint64_t lo, size;
} Segment;

/* Is there really an instruction at `from`? Decoded from the start of the draft around it. */
static bool is_instruction(const Segment *segment, Drafts *drafts, uint32_t source, uint64_t from) {
  uint64_t at = drafts->all[source].lo;
  if (at < segment->lo || from - at > drafts->budget) return false;
  drafts->budget -= from - at;
  while (at < from) {
    Insn insn;
    const uint64_t offset = at - segment->lo;
    if (!insn_decode(segment->code + offset, segment->size - offset, at, &insn)) return false;
    at += insn.length;
  }
  return at == from;
}

/* The function that a draft belongs to, by as many steps as parts may have. */
static uint32_t root_of(const Drafts *drafts, uint32_t i) {
  for (int steps = 0; steps < 8 && drafts->all[i].owner != NO_OWNER; steps++) {
    i = drafts->all[i].owner;
  }
  return i;
}

typedef enum Reference { REFERENCE_CALL, REFERENCE_JUMP, REFERENCE_BRANCH } Reference;

static void refer(const Segment *segment, Drafts *drafts, uint32_t target, uint64_t from,
                  Reference reference) {
  Draft *draft = &drafts->all[target];
  const uint32_t source = drafts_find(drafts, from);
  if (source == NO_OWNER || source == target || draft->is_called || draft->is_shared) return;
  const bool may_be_function = draft->is_entry && !draft->by_name;
  if (may_be_function && draft->owner == NO_OWNER && reference != REFERENCE_BRANCH) return;
  const bool is_known = draft->owner != NO_OWNER && reference != REFERENCE_CALL;
  if (is_known && (draft->by_name || root_of(drafts, source) == root_of(drafts, target))) return;
  if (!is_instruction(segment, drafts, source, from)) return;
  if (reference == REFERENCE_CALL) {
    draft->is_called = true;
  } else if (draft->owner != NO_OWNER) {
    draft->is_shared = true;
  } else if (root_of(drafts, source) != target) {
    draft->owner = source;
  }
}

/* One bit for each 16 bytes of code that a candidate may begin in: most targets are none. */
typedef struct Sieve {
  uint64_t lo, size;
  uint8_t *bits;
} Sieve;

static bool sieve_has(const Sieve *sieve, uint64_t addr) {
  const uint64_t bit = (addr - sieve->lo) >> 4;
  return addr - sieve->lo < sieve->size && (sieve->bits[bit >> 3] >> (bit & 7) & 1);
}

static void scan(const Segment *segment, const Sieve *sieve, bool calls, Drafts *drafts) {
  for (uint64_t at = 0; at + 6 <= segment->size; at++) {
    const uint8_t *code = segment->code + at;
    const bool branch = code[0] == 0x0f && (code[1] & 0xf0) == 0x80;
    if (!branch && code[0] != 0xe9 && (code[0] != 0xe8 || !calls)) continue;
    int32_t distance;
    const unsigned length = branch ? 6 : 5;
    memcpy(&distance, code + length - 4, sizeof distance);
    const uint64_t target = segment->lo + at + length + (uint64_t)(int64_t)distance;
    if (!sieve_has(sieve, target)) continue;
    const uint32_t found = drafts_find(drafts, target);
    if (found == NO_OWNER || drafts->all[found].lo != target || !drafts->all[found].is_candidate) {
      continue;
    }
    refer(segment, drafts, found, segment->lo + at,
          branch            ? REFERENCE_BRANCH
          : code[0] == 0xe8 ? REFERENCE_CALL
                            : REFERENCE_JUMP);
  }
}

/* At first all candidates; then those that calls may contradict. */
static bool sieve_create(const Segment *segment, const Drafts *drafts, bool all, Sieve *out,
                         Fault *fault) {
  *out = (Sieve){.lo = segment->lo, .size = segment->size};
  out->bits = calloc(segment->size / 128 + 1, 1);
  if (!out->bits) return fault_oom(fault);
  for (size_t i = 0; i < drafts->count; i++) {
    const Draft *draft = &drafts->all[i];
    const uint64_t offset = draft->lo - segment->lo;
    const bool open = all || draft->owner != NO_OWNER || !draft->is_entry || draft->by_name;
    if (!draft->is_candidate || !open || offset >= segment->size) continue;
    out->bits[offset >> 7] |= (uint8_t)(1 << (offset >> 4 & 7));
  }
  return true;
}

static bool adopt_by_jumps(const ElfFile *elf, bool first, Drafts *drafts, Fault *fault) {
  for (size_t i = 0; i < elf->nsegments; i++) {
    const ElfSegment *part = &elf->segments[i];
    if (part->type != PT_LOAD || !(part->flags & PF_X) || !part->size) continue;
    const Segment segment = {elf->bytes + part->offset, part->addr, part->size};
    Sieve sieve;
    drafts->budget = 8 * part->size;
    if (!sieve_create(&segment, drafts, first, &sieve, fault)) return false;
    scan(&segment, &sieve, !first, drafts);
    free(sieve.bits);
  }
  return true;
}

/* Parts that could as well be functions are parts only beside others that could not. */
static bool is_beside(const Drafts *drafts, size_t i, bool *sure) {
  const bool mine = !drafts->all[i].is_entry || drafts->all[i].by_name;
  const bool is_part = drafts->all[i].owner != NO_OWNER;
  return *sure = is_part && (mine || *sure);
}

static bool drop_lonely(Drafts *drafts, Fault *fault) {
  const size_t n = drafts->count;
  bool sure = false, *kept = calloc(n + 1, sizeof *kept);
  if (!kept) return fault_oom(fault);
  for (size_t i = 0; i < n; i++) kept[i] = is_beside(drafts, i, &sure);
  sure = false;
  for (size_t i = n; i > 0; i--) kept[i - 1] |= is_beside(drafts, i - 1, &sure);
  for (size_t i = 0; i < n; i++) {
    if (!kept[i]) drafts->all[i].owner = NO_OWNER;
  }
  free(kept);
  return true;
}

/* Parts of parts are parts of the function; of nobody known, orphans. */
static void settle(Drafts *drafts) {
  for (size_t i = 0; i < drafts->count; i++) {
    Draft *draft = &drafts->all[i];
    draft->is_orphan = draft->is_candidate && draft->owner == NO_OWNER && !draft->is_called &&
                       (!draft->is_entry || draft->by_name);
  }
  for (size_t i = 0; i < drafts->count; i++) {
    Draft *draft = &drafts->all[i];
    if (draft->owner == NO_OWNER) continue;
    const Draft *root = &drafts->all[root_of(drafts, (uint32_t)i)];
    draft->is_orphan = root->owner != NO_OWNER || (root->is_orphan && root != draft);
  }
  for (size_t i = 0; i < drafts->count; i++) {
    Draft *draft = &drafts->all[i];
    if (draft->owner == NO_OWNER) continue;
    draft->owner = draft->is_orphan ? NO_OWNER : root_of(drafts, (uint32_t)i);
  }
}

bool drafts_adopt(const ElfFile *elf, Drafts *drafts, Fault *fault) {
  if (!adopt_by_name(drafts, fault) || !adopt_by_jumps(elf, true, drafts, fault) ||
      !adopt_by_jumps(elf, false, drafts, fault)) {
    return false;
  }
  for (size_t i = 0; i < drafts->count; i++) {
    Draft *draft = &drafts->all[i];
    if (draft->is_called || draft->is_shared) draft->owner = NO_OWNER;
  }
  if (!drop_lonely(drafts, fault)) return false;
  settle(drafts);
  return true;
}
