#include "replay/probe_body.h"

#include <emmintrin.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { AROUND = 144, TABLE_MAX = 4096 };

static bool bit_get(const uint8_t *bits, uint64_t i) { return bits[i / 8] >> (i % 8) & 1; }
static void bit_set(uint8_t *bits, uint64_t i) { bits[i / 8] |= (uint8_t)(1u << (i % 8)); }

/* What begins with the byte at i may be a jump or call with a distance of 32 bits. */
static void note_far(CodeImage *image, size_t i) {
  const size_t distance_at = i + (image->bytes[i] == 0x0f ? 2 : 1);
  int32_t distance;
  if (image->size < 4 || distance_at > image->size - 4) return;
  memcpy(&distance, image->bytes + distance_at, sizeof distance);
  const uint64_t to = distance_at + 4 + (uint64_t)(int64_t)distance;
  if (to < image->size) bit_set(image->targets, to);
}

/* Bit k: such a thing may begin at bytes[k], of 17 that are there: e8, e9, 0f 80..8f. */
static unsigned far_starts(const uint8_t *bytes) {
  const __m128i here = _mm_loadu_si128((const __m128i *)(const void *)bytes);
  const __m128i next = _mm_loadu_si128((const __m128i *)(const void *)(bytes + 1));
  const __m128i call =
      _mm_cmpeq_epi8(_mm_and_si128(here, _mm_set1_epi8((char)0xfe)), _mm_set1_epi8((char)0xe8));
  const __m128i branch = _mm_and_si128(
      _mm_cmpeq_epi8(here, _mm_set1_epi8(0x0f)),
      _mm_cmpeq_epi8(_mm_and_si128(next, _mm_set1_epi8((char)0xf0)), _mm_set1_epi8((char)0x80)));
  return (unsigned)_mm_movemask_epi8(_mm_or_si128(call, branch));
}

bool image_create(CodeImage *image, uint64_t start, const uint8_t *bytes, size_t size) {
  *image = (CodeImage){.start = start, .size = size, .bytes = bytes};
  image->targets = calloc(size / 8 + 1, 1);
  if (!image->targets) return false;
  for (size_t i = 0; i < size; i += 16) {
    uint8_t last[17] = {0};
    if (size - i < sizeof last) memcpy(last, bytes + i, size - i);
    unsigned found = far_starts(size - i < sizeof last ? last : bytes + i);
    for (; found; found &= found - 1) note_far(image, i + (unsigned)__builtin_ctz(found));
  }
  return true;
}

void image_finish(CodeImage *image) {
  free(image->targets);
  *image = (CodeImage){0};
}

static void note_target(Body *body, uint64_t to) {
  if (to >= body->lo && to < body->hi) bit_set(body->targets, to - body->lo);
}

/* Short jumps from the code around; where decoding begins is a guess, which costs a made-up target
** at worst. */
static void note_neighbours(Body *body, uint64_t from, uint64_t to) {
  const CodeImage *image = body->image;
  Insn insn;
  while (from < to) {
    size_t offset = (size_t)(from - image->start);
    if (!insn_decode(image->bytes + offset, image->size - offset, from, &insn)) {
      from++;
      continue;
    }
    if (insn_branches(&insn)) note_target(body, insn.target);
    from += insn.length;
  }
}

/* A table of 32-bit distances from its own start, or of addresses. */
static void note_table(Body *body, uint64_t table, bool wide, DataReader read, void *ctx) {
  uint8_t bytes[TABLE_MAX];
  size_t size = read(ctx, table, bytes, sizeof bytes), step = wide ? 8 : 4;
  for (size_t i = 0; i + step <= size; i += step) {
    int32_t distance;
    uint64_t to;
    memcpy(&distance, bytes + i, sizeof distance);
    memcpy(&to, bytes + i, wide ? sizeof to : 0);
    if (!wide) to = table + (uint64_t)(int64_t)distance;
    if (to < body->image->start || to >= body->image->start + body->image->size) break;
    note_target(body, to);
  }
}

/* Where computed jumps may lead: every table that the code names. */
static void note_tables(Body *body, DataReader read, void *ctx) {
  bool computed = false;
  for (size_t i = 0; i < body->count; i++) computed |= body->insns[i].kind == INSN_JUMP_AT;
  for (size_t i = 0; computed && read && i < body->count; i++) {
    const Insn *insn = &body->insns[i];
    if (insn->kind == INSN_PLAIN && insn->relative) {
      note_table(body, insn->target, false, read, ctx);
      note_table(body, insn->target, true, read, ctx);
    } else if (insn->kind == INSN_JUMP_AT && insn->length >= insn->modrm + 6 &&
               insn->bytes[insn->modrm] == 0x24) {
      int32_t table; /* jmp [reg * 8 + table] */
      memcpy(&table, insn->bytes + insn->modrm + 2, sizeof table);
      note_table(body, (uint64_t)(int64_t)table, true, read, ctx);
    }
  }
}

static bool decode_all(Body *body) {
  const CodeImage *image = body->image;
  uint64_t at = body->lo;
  body->whole = true;
  while (at < body->hi) {
    size_t offset = (size_t)(at - image->start);
    Insn insn;
    if (!insn_decode(image->bytes + offset, (size_t)(body->hi - at), at, &insn)) {
      body->whole = false;
      return true;
    }
    if (!array_grow(body->insns, body->capacity, body->count + 1)) return false;
    body->insns[body->count++] = insn;
    if (insn_branches(&insn) || insn.kind == INSN_CALL) note_target(body, insn.target);
    at += insn.length;
  }
  return true;
}

bool body_create(Body *body, const CodeImage *image, uint64_t lo, uint64_t hi, DataReader read,
                 void *ctx) {
  const uint64_t end = image->start + image->size;
  *body = (Body){.image = image};
  body->lo = lo < image->start ? image->start : lo > end ? end : lo;
  body->hi = hi > end ? end : hi < body->lo ? body->lo : hi;
  body->targets = calloc((size_t)(body->hi - body->lo) / 8 + 1, 1);
  if (!body->targets || !decode_all(body)) {
    body_finish(body);
    return false;
  }
  uint64_t before = body->lo - image->start < AROUND ? image->start : body->lo - AROUND;
  uint64_t after = end - body->hi < AROUND ? end : body->hi + AROUND;
  note_neighbours(body, before, body->lo);
  note_neighbours(body, body->hi, after);
  note_tables(body, read, ctx);
  return true;
}

void body_finish(Body *body) {
  free(body->insns);
  free(body->targets);
  *body = (Body){0};
}

ptrdiff_t body_find(const Body *body, uint64_t at) {
  size_t low = 0, high = body->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (body->insns[middle].at < at) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < body->count && body->insns[low].at == at ? (ptrdiff_t)low : -1;
}

bool body_is_target(const Body *body, uint64_t at) {
  return bit_get(body->targets, at - body->lo) ||
         bit_get(body->image->targets, at - body->image->start);
}

bool body_flags_dead(const Body *body, size_t i) {
  unsigned need = INSN_FLAGS;
  for (; i < body->count; i++) {
    const Insn *insn = &body->insns[i];
    if ((insn->flags_tested & need) || (insn->kind != INSN_PLAIN && insn->kind != INSN_PADDING)) {
      return false;
    }
    need &= ~(unsigned)insn->flags_set;
    if (!need) return true;
  }
  return false;
}

/* Behind an instruction that ends, up to the next multiple of 16, may be room that nobody runs. */
static uint64_t padding_end(const Body *body, const Insn *last) {
  const CodeImage *image = body->image;
  uint64_t at = last->at + last->length, limit = (at + 15) & ~(uint64_t)15;
  const uint64_t image_end = image->start + image->size;
  if (limit > image_end) limit = image_end;
  Insn insn;
  while (at < limit) {
    size_t offset = (size_t)(at - image->start);
    if (!insn_decode(image->bytes + offset, (size_t)(limit - at), at, &insn) ||
        insn.kind != INSN_PADDING || bit_get(image->targets, offset) ||
        (at < body->hi && body_is_target(body, at))) {
      break;
    }
    at += insn.length;
  }
  return at;
}

/* Can these run elsewhere, with nothing jumping between them? */
static bool movable(const Body *body, size_t first, size_t last) {
  const Insn *insns = body->insns;
  if (last - first >= WINDOW_INSNS) return false;
  /* Where not everything is known, only what lies within one instruction is safe. */
  if (!body->whole && first != last) return false;
  for (size_t i = first; i <= last; i++) {
    if (!insn_can_move(&insns[i])) return false;
    if (i > first && body_is_target(body, insns[i].at)) return false;
    if (i < last && (insn_ends(&insns[i]) || insn_calls(&insns[i]))) return false;
  }
  return true;
}

bool body_window(const Body *body, size_t first, size_t last, Window *out) {
  const Insn *insns = body->insns;
  if (!movable(body, first, last)) return false;
  uint64_t start = insns[first].at, end = insns[last].at + insns[last].length;
  if (end - start < WINDOW_JUMP && insn_ends(&insns[last])) {
    uint64_t padding = padding_end(body, &insns[last]);
    end = padding - start < WINDOW_JUMP ? padding : start + WINDOW_JUMP;
  }
  *out = (Window){first, last, end};
  return end - start >= WINDOW_JUMP && end - start <= WINDOW_BYTES;
}

bool body_window_at(const Body *body, size_t i, bool before, Window *out) {
  size_t last = i;
  while (last + 1 < body->count && !insn_ends(&body->insns[last]) &&
         body->insns[last].at + body->insns[last].length - body->insns[i].at < WINDOW_JUMP) {
    last++;
  }
  if (body_window(body, i, last, out)) return true;
  /* The fewest instructions in front of it that make room. */
  for (size_t first = i; before && first > 0 && i - first < WINDOW_JUMP;) {
    first--;
    if (body_window(body, first, i, out)) return true;
  }
  return false;
}

/* Padding behind an instruction that ends: its last bytes, so that the ending keeps room as well.
 */
static bool find_island(const Body *body, uint64_t start, uint64_t end, BytesTaken taken,
                        const void *ctx, uint64_t *out) {
  for (size_t i = 0; i < body->count; i++) {
    const Insn *insn = &body->insns[i];
    if (!insn_ends(insn)) continue;
    const uint64_t from = insn->at + insn->length, to = padding_end(body, insn);
    if (to - from < WINDOW_JUMP) continue;
    const uint64_t island = to - WINDOW_JUMP;
    const int64_t distance = (int64_t)(island - (start + WINDOW_SHORT));
    if (distance < -128 || distance > 127 || taken(ctx, island, to)) continue;
    if (island < end && start < to) continue; /* the window itself */
    *out = island;
    return true;
  }
  return false;
}

bool body_short_window(const Body *body, size_t i, bool before, BytesTaken taken, const void *ctx,
                       Window *out, uint64_t *out_island) {
  if (!body->whole) return false;
  for (size_t first = i;; first--) {
    const uint64_t start = body->insns[first].at;
    *out = (Window){first, i, body->insns[i].at + body->insns[i].length};
    if (movable(body, first, i) && out->end - start >= WINDOW_SHORT &&
        !taken(ctx, start, out->end) &&
        find_island(body, start, out->end, taken, ctx, out_island)) {
      return true;
    }
    if (!before || first == 0 || i - first >= 2) return false;
  }
}
