#include "remote/alloc.h"

#include <stdlib.h>
#include <string.h>

#include "remote/client.h"
#include "remote/memory.h"

/* ---- sizes ----------------------------------------------------------------------------------- */

enum { SMALLEST = 64, STEPS = 4, LINEAR = 8 };

/* 64, 128, … 512, and then four to each doubling, up to an extent. */
static uint64_t size_of(unsigned i) {
  if (i < LINEAR) return SMALLEST * (uint64_t)(i + 1);
  const unsigned doubling = (i - LINEAR) / STEPS, step = (i - LINEAR) % STEPS;
  return (UINT64_C(512) << doubling) / STEPS * (STEPS + 1 + step);
}

uint64_t far_alloc_size_of(unsigned class_number) { return size_of(class_number % FAR_SIZES); }

unsigned far_alloc_class(uint64_t size, FarUse use) {
  unsigned i = 0;
  while (i < FAR_SIZES && size_of(i) < size) i++;
  return i < FAR_SIZES ? i + (use == FAR_USE_BUCKET ? FAR_SIZES : 0) : FAR_CLASSES;
}

uint64_t far_alloc_room(uint64_t size) {
  const unsigned class = far_alloc_class(size, FAR_USE_BYTES);
  return class < FAR_CLASSES ? size_of(class) : (size + FAR_EXTENT - 1) / FAR_EXTENT * FAR_EXTENT;
}

/* ---- places ---------------------------------------------------------------------------------- */

static FarPointer extent_info(const FarMemory *memory, uint64_t extent) {
  return far_here(memory, memory->head.extents + extent * sizeof(FarExtent));
}

static FarPointer bitmap_of(const FarMemory *memory, uint64_t extent) {
  return far_here(memory, memory->head.bitmaps + extent * FAR_BITMAP);
}

static FarPointer header_field(const FarMemory *memory, size_t field) {
  return far_here(memory, field);
}

static FarPointer class_field(const FarMemory *memory, unsigned class, size_t field) {
  return far_here(memory, offsetof(FarHeader, classes) + class * sizeof(FarClass) + field);
}

/* ---- what a client has ----------------------------------------------------------------------- */

static void mark(FarMemory *memory, unsigned class) {
  memory->dirty[class / 64] |= UINT64_C(1) << class % 64;
}

size_t far_alloc_pending(FarMemory *memory, FarOp *out) {
  size_t n = 0;
  for (size_t i = 0; i < sizeof memory->dirty / sizeof *memory->dirty; i++) {
    for (uint64_t left = memory->dirty[i]; left; left &= left - 1) {
      const size_t class = i * 64 + (size_t)__builtin_ctzll(left);
      const size_t field = offsetof(FarClient, pools) + class * sizeof(FarPool);
      out[n++] = far_write_op(far_client_field(memory, field + offsetof(FarPool, mask)),
                              &memory->pools[class].mask, sizeof(uint64_t));
    }
  }
  memcpy(out + n, memory->freed, (size_t)memory->nfreed * sizeof *out);
  return n + (size_t)memory->nfreed;
}

void far_alloc_told(FarMemory *memory) {
  memset(memory->dirty, 0, sizeof memory->dirty);
  memory->nfreed = 0;
}

static FarPointer block_of(const FarMemory *memory, uint64_t word, int bit, uint64_t size) {
  const uint64_t from = word - memory->head.bitmaps;
  const uint64_t number = from % FAR_BITMAP / 8 * 64 + (uint64_t)bit;
  return far_here(memory, memory->head.data + from / FAR_BITMAP * FAR_EXTENT + number * size);
}

/* ---- taking more ----------------------------------------------------------------------------- */

typedef struct Refill {
  FarMemory *memory;
  unsigned class;
  FarClass head;
  uint64_t next_extent, free_extents;
  FarExtent *extents; /* all of them, when they had to be read */
} Refill;

static uint64_t blocks_of(unsigned class) { return FAR_EXTENT / far_alloc_size_of(class); }

/* Of what is free in a word, what a client takes: not all of an extent of large blocks. */
static uint64_t some_of(unsigned class, uint64_t free) {
  enum { AT_ONCE = 65536 };
  uint64_t most = AT_ONCE / far_alloc_size_of(class), out = 0;
  for (most += !most; most > 0 && free; most--, free &= free - 1) out |= free & (0 - free);
  return out;
}

static bool begin(Refill *it, Stop *stop, Fault *fault) {
  FarMemory *memory = it->memory;
  FarOp ops[4];
  ops[1] = far_read_op(class_field(memory, it->class % FAR_CLASSES, 0), &it->head, sizeof it->head);
  ops[2] = far_read_op(header_field(memory, offsetof(FarHeader, next_extent)), &it->next_extent, 8);
  ops[3] =
      far_read_op(header_field(memory, offsetof(FarHeader, free_extents)), &it->free_extents, 8);
  if (!far_lock_round(memory, header_field(memory, offsetof(FarHeader, alloc_lock)), ops, 4, stop,
                      fault))
    return false;
  if (it->next_extent > memory->head.nextents) it->next_extent = memory->head.nextents;
  return true;
}

/* The last round: what changes, and the lock. */
static bool end(Refill *it, FarOp *ops, size_t n, Fault *fault) {
  ops[n++] = far_unlock_op(header_field(it->memory, offsetof(FarHeader, alloc_lock)));
  free(it->extents);
  it->extents = NULL;
  return far_round(it->memory, ops, n, NULL, fault);
}

static bool give_up(Refill *it, Fault *fault) {
  FarOp ops[1];
  Fault ignored = {0};
  end(it, ops, 0, &ignored);
  return fault_set(fault, FAULT_FULL, "%s: the memory is full (%llu bytes)", it->memory->at,
                   (unsigned long long)it->memory->head.size);
}

static bool read_extents(Refill *it, Fault *fault) {
  const size_t n = it->next_extent;
  if (it->extents || !n) return true;
  if (!(it->extents = malloc(n * sizeof *it->extents))) return fault_oom(fault);
  FarOp op =
      far_read_op(extent_info(it->memory, 0), it->extents, (uint32_t)(n * sizeof *it->extents));
  return far_round(it->memory, &op, 1, NULL, fault);
}

/* Extents are backed by memory in groups: whoever takes the first one of a group, or what lies over
** it, sees to that. */
static bool reserve(Refill *it, uint64_t extent, uint64_t count, Fault *fault) {
  enum { GROUP = 16 };
  const FarMemory *memory = it->memory;
  const uint64_t from = (extent + GROUP - 1) / GROUP * GROUP;
  uint64_t to = (extent + count + GROUP - 1) / GROUP * GROUP;
  if (to > memory->head.nextents) to = memory->head.nextents;
  Fault refused = {0};
  if (from >= to || from >= extent + count ||
      memory->transport->reserve(it->memory, memory->head.data + from * FAR_EXTENT,
                                 (to - from) * FAR_EXTENT, &refused))
    return true;
  give_up(it, NULL);
  return fault_set(fault, refused.code, "%s", refused.text);
}

/* Finds `count` extents in a row that nobody uses: a single one, which stays what it becomes, from
** the front, more from behind. The lock is given back when there are none. */
static bool find_extents(Refill *it, uint64_t count, uint64_t *out, Fault *fault) {
  const FarMemory *memory = it->memory;
  if (it->free_extents >= count) {
    if (!read_extents(it, fault)) {
      give_up(it, NULL);
      return false;
    }
    bool found = false;
    for (uint64_t i = 0, run = 0; i < it->next_extent && !(found && count == 1); i++) {
      run = it->extents[i].class ? 0 : run + 1;
      if (run < count) continue;
      *out = i + 1 - count;
      found = true;
    }
    if (found) it->free_extents -= count;
    if (found) return true;
  }
  if (memory->head.nextents - it->next_extent < count) return give_up(it, fault);
  *out = it->next_extent;
  it->next_extent += count;
  return reserve(it, *out, count, fault);
}

static FarOp keep_pool(Refill *it, uint64_t word, uint64_t mask) {
  FarPool *pool = &it->memory->pools[it->class];
  *pool = (FarPool){word, mask};
  const size_t field = offsetof(FarClient, pools) + it->class * sizeof(FarPool);
  return far_write_op(far_client_field(it->memory, field), pool, sizeof *pool);
}

/* An extent is cut into blocks; the first ones are ours. */
static bool cut_extent(Refill *it, Fault *fault) {
  FarMemory *memory = it->memory;
  const uint64_t blocks = blocks_of(it->class);
  uint64_t extent, words[FAR_BITMAP / 8];
  if (!find_extents(it, 1, &extent, fault)) return false;
  for (uint64_t i = 0; i < FAR_BITMAP / 8; i++) {
    const uint64_t there = blocks > i * 64 ? blocks - i * 64 : 0;
    words[i] = there >= 64 ? 0 : ~((UINT64_C(1) << there) - 1);
  }
  const uint64_t mask = some_of(it->class, ~words[0]);
  const bool rest = blocks > 64 || words[0] + mask != UINT64_MAX;
  words[0] += mask;
  const FarExtent info = {it->class + 1, (uint32_t)it->head.head, 0};
  const uint64_t head = rest ? extent + 1 : it->head.head;
  FarOp ops[8];
  ops[0] = far_write_op(bitmap_of(memory, extent), words, sizeof words);
  ops[1] = keep_pool(it, far_offset(bitmap_of(memory, extent)), mask);
  ops[2] =
      far_write_op(header_field(memory, offsetof(FarHeader, next_extent)), &it->next_extent, 8);
  ops[3] =
      far_write_op(header_field(memory, offsetof(FarHeader, free_extents)), &it->free_extents, 8);
  ops[4] = far_write_op(extent_info(memory, extent), &info, sizeof info);
  ops[5] = far_write_op(class_field(memory, it->class, offsetof(FarClass, head)), &head, 8);
  return end(it, ops, 6, fault);
}

/* Takes what is free in a word of an extent that has room. *done: false when it had none. */
static bool take_word(Refill *it, bool *done, Fault *fault) {
  FarMemory *memory = it->memory;
  const uint64_t extent = it->head.head - 1;
  FarExtent info;
  uint64_t words[FAR_BITMAP / 8];
  *done = false;
  if (extent >= memory->head.nextents) {
    it->head.head = 0;
    return true;
  }
  FarOp ops[6] = {far_read_op(extent_info(memory, extent), &info, sizeof info),
                  far_read_op(bitmap_of(memory, extent), words, sizeof words)};
  if (!far_round(memory, ops, 2, NULL, fault)) return false;
  unsigned i = 0, others = 0;
  while (i < FAR_BITMAP / 8 && words[i] == UINT64_MAX) i++;
  for (unsigned j = i + 1; j < FAR_BITMAP / 8; j++) others += words[j] != UINT64_MAX;
  if (i == FAR_BITMAP / 8) {
    it->head.head = info.next;
    return true;
  }
  const uint64_t mask = some_of(it->class, ~words[i]);
  const uint64_t head = others || words[i] + mask != UINT64_MAX ? extent + 1 : info.next;
  const FarPointer word = bitmap_of(memory, extent) + i * 8;
  ops[0] = keep_pool(it, far_offset(word), mask);
  ops[1] = (FarOp){.code = FAR_ADD, .at = word, .value = mask};
  ops[2] = far_write_op(class_field(memory, it->class, offsetof(FarClass, head)), &head, 8);
  *done = true;
  return end(it, ops, 3, fault);
}

/* Extents of the class in which blocks were freed become a list anew. */
static bool sweep(Refill *it, Fault *fault) {
  FarMemory *memory = it->memory;
  if (it->head.head || !it->head.freed || it->head.freed * 4 < blocks_of(it->class)) return true;
  if (!read_extents(it, fault)) return false;
  const size_t n = it->next_extent;
  uint64_t(*words)[FAR_BITMAP / 8] = malloc(n * sizeof *words + 1);
  FarOp *ops = malloc((n + 2) * sizeof *ops);
  uint32_t *next = malloc(n * sizeof *next + 1);
  bool ok = words && ops && next;
  size_t count = 0;
  for (size_t i = 0; ok && i < n; i++) {
    if (it->extents[i].class != it->class + 1) continue;
    ops[count++] = far_read_op(bitmap_of(memory, i), words[i], sizeof *words);
  }
  if (!ok) fault_oom(fault);
  ok = ok && (!count || far_round(memory, ops, count, NULL, fault));
  uint64_t head = 0;
  count = 0;
  for (size_t i = 0; ok && i < n; i++) {
    if (it->extents[i].class != it->class + 1) continue;
    bool room = false;
    for (int j = 0; j < FAR_BITMAP / 8; j++) room = room || words[i][j] != UINT64_MAX;
    if (!room) continue;
    next[i] = (uint32_t)head;
    ops[count++] = far_write_op(extent_info(memory, i) + offsetof(FarExtent, next), &next[i], 4);
    head = i + 1;
  }
  it->head = (FarClass){head, 0};
  if (ok)
    ops[count++] = far_write_op(class_field(memory, it->class, 0), &it->head, sizeof it->head);
  ok = ok && far_round(memory, ops, count, NULL, fault);
  free(words);
  free(ops);
  free(next);
  return ok;
}

static bool refill(FarMemory *memory, unsigned class, Stop *stop, Fault *fault) {
  Refill it = {.memory = memory, .class = class};
  if (!begin(&it, stop, fault)) return false;
  bool done = false, ok = sweep(&it, fault);
  while (ok && !done && it.head.head) ok = take_word(&it, &done, fault);
  if (ok && !done) return cut_extent(&it, fault);
  if (!ok) give_up(&it, NULL);
  return ok;
}

/* ---- large ones ------------------------------------------------------------------------------ */

static bool alloc_large(FarMemory *memory, uint64_t size, FarPointer *out, Stop *stop,
                        Fault *fault) {
  Refill it = {.memory = memory};
  const uint64_t count = (size - 1) / FAR_EXTENT + 1;
  uint64_t extent;
  if (!begin(&it, stop, fault) || !find_extents(&it, count, &extent, fault)) return false;
  FarOp *ops = malloc((count + 3) * sizeof *ops);
  if (!ops) {
    give_up(&it, NULL);
    return fault_oom(fault);
  }
  static const FarExtent more = {FAR_LARGE, 0, 0};
  const FarExtent first = {FAR_LARGE, 0, count};
  ops[0] = far_write_op(header_field(memory, offsetof(FarHeader, next_extent)), &it.next_extent, 8);
  ops[1] =
      far_write_op(header_field(memory, offsetof(FarHeader, free_extents)), &it.free_extents, 8);
  for (uint64_t i = 0; i < count; i++)
    ops[2 + i] = far_write_op(extent_info(memory, extent + i), i ? &more : &first, sizeof first);
  const bool ok = end(&it, ops, 2 + count, fault);
  free(ops);
  if (ok) *out = far_here(memory, memory->head.data + extent * FAR_EXTENT);
  return ok;
}

/* Some at a time, so that it needs no memory here: what is undone because there was none has to be
** given back all the same. */
static bool free_large(FarMemory *memory, FarPointer block, uint64_t size, Stop *stop,
                       Fault *fault) {
  enum { AT_ONCE = 64 };
  Refill it = {.memory = memory};
  FarOp ops[AT_ONCE + 2];
  const uint64_t count = (size - 1) / FAR_EXTENT + 1;
  const uint64_t extent = (far_offset(block) - memory->head.data) / FAR_EXTENT;
  static const FarExtent none;
  size_t n = 0;
  if (!begin(&it, stop, fault)) return false;
  it.free_extents += count;
  for (uint64_t i = 0; i < count; i++) {
    ops[n++] = far_write_op(extent_info(memory, extent + i), &none, sizeof none);
    if (n < AT_ONCE) continue;
    if (!far_round(memory, ops, n, NULL, fault)) return false;
    n = 0;
  }
  ops[n++] =
      far_write_op(header_field(memory, offsetof(FarHeader, free_extents)), &it.free_extents, 8);
  return end(&it, ops, n, fault);
}

/* ---- the two that are asked for -------------------------------------------------------------- */

bool far_alloc(FarMemory *memory, uint64_t size, FarUse use, FarPointer *out, Stop *stop,
               Fault *fault) {
  const unsigned class = far_alloc_class(size ? size : 1, use);
  if (class == FAR_CLASSES) return alloc_large(memory, size, out, stop, fault);
  FarPool *pool = &memory->pools[class];
  if (!pool->mask && !refill(memory, class, stop, fault)) return false;
  const int bit = __builtin_ctzll(pool->mask);
  pool->mask &= pool->mask - 1;
  mark(memory, class);
  *out = block_of(memory, pool->word, bit, far_alloc_size_of(class));
  return true;
}

bool far_free(FarMemory *memory, FarPointer block, uint64_t size, FarUse use, Stop *stop,
              Fault *fault) {
  const unsigned class = far_alloc_class(size ? size : 1, use);
  if (far_offset(block) < memory->head.data || far_offset(block) >= memory->head.size)
    return fault_set(fault, FAULT_CORRUPT, "%s: a block to be freed is outside of the memory",
                     memory->at);
  if (class == FAR_CLASSES) return free_large(memory, block, size, stop, fault);
  if (memory->nfreed + 2 > FAR_MOST_FREED) { /* an empty round takes them along */
    if (!far_round(memory, NULL, 0, stop, fault)) return false;
  }
  const uint64_t from = far_offset(block) - memory->head.data;
  const uint64_t extent = from / FAR_EXTENT, number = from % FAR_EXTENT / far_alloc_size_of(class);
  const FarPointer word = bitmap_of(memory, extent) + number / 64 * 8;
  const uint64_t bit = UINT64_C(1) << number % 64;
  FarPool *pool = &memory->pools[class];
  if (pool->mask && pool->word == far_offset(word)) { /* it was, or is as good as, ours */
    pool->mask |= bit;
    mark(memory, class);
    return true;
  }
  memory->freed[memory->nfreed++] = (FarOp){.code = FAR_ADD, .at = word, .value = 0 - bit};
  memory->freed[memory->nfreed++] = (FarOp){
      .code = FAR_ADD, .at = class_field(memory, class, offsetof(FarClass, freed)), .value = 1};
  return true;
}

void far_alloc_leave(FarMemory *memory) {
  FarOp ops[3 * FAR_CLASSES];
  static const FarPool none;
  Fault ignored = {0};
  size_t n = 0;
  if (!memory->client) return;
  for (unsigned class = 0; class < FAR_CLASSES; class ++) {
    const FarPool pool = memory->pools[class];
    if (!pool.mask) continue;
    const size_t field = offsetof(FarClient, pools) + class * sizeof(FarPool);
    ops[n++] = far_write_op(far_client_field(memory, field), &none, sizeof none);
    ops[n++] = (FarOp){.code = FAR_ADD, .at = far_here(memory, pool.word), .value = 0 - pool.mask};
    ops[n++] = (FarOp){.code = FAR_ADD,
                       .at = class_field(memory, class, offsetof(FarClass, freed)),
                       .value = (uint64_t)__builtin_popcountll(pool.mask)};
    memory->pools[class] = (FarPool){0};
  }
  if (n || memory->nfreed) far_round(memory, ops, n, NULL, &ignored);
}
