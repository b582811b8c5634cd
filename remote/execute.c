#include "remote/execute.h"

#include <string.h>

#include "remote/board.h"

/* A reader that finds a bucket in the middle of a change looks again so many times before it says
** so: the change is some hundred instructions long, unless who makes it was stopped. */
enum { PATIENCE = 2000 };

static bool bad(Fault *fault, const FarOp *op, const char *what) {
  return fault_set(fault, FAULT_INVALID, "operation %d at far pointer %u:%llu, %u bytes: %s",
                   (int)op->code, far_region(op->at), (unsigned long long)far_offset(op->at),
                   (unsigned)op->length, what);
}

static bool inside(const FarMapped *memory, FarPointer at, uint64_t length) {
  const uint64_t offset = far_offset(at);
  return far_region(at) == memory->region && offset <= memory->size &&
         length <= memory->size - offset;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* A single word is read and written at once, whatever operation it is. */
static void get(const FarMapped *memory, uint64_t at, void *to, uint32_t length) {
  if (length == 8 && at % 8 == 0) {
    const uint64_t word = atomic_load_explicit(far_word(memory, at), memory_order_acquire);
    memcpy(to, &word, 8);
  } else {
    atomic_thread_fence(memory_order_acquire);
    memcpy(to, memory->base + at, length);
    atomic_thread_fence(memory_order_acquire);
  }
}

static void put(const FarMapped *memory, uint64_t at, const void *from, uint32_t length) {
  if (length == 8 && at % 8 == 0) {
    uint64_t word;
    memcpy(&word, from, 8);
    atomic_store_explicit(far_word(memory, at), word, memory_order_release);
  } else {
    atomic_thread_fence(memory_order_release);
    memcpy(memory->base + at, from, length);
    atomic_thread_fence(memory_order_release);
  }
}

static void move(const FarMapped *memory, uint64_t at, const FarOp *op, bool read) {
  FarPiece whole = {op->local, op->length};
  const FarPiece *piece = op->npieces ? op->pieces : &whole;
  for (uint32_t n = op->npieces ? op->npieces : 1; n > 0; n--, piece++) {
    if (read) {
      get(memory, at, piece->bytes, piece->length);
    } else {
      put(memory, at, piece->bytes, piece->length);
    }
    at += piece->length;
  }
}

static uint64_t load(const FarMapped *memory, FarPointer at) {
  return atomic_load_explicit(far_word(memory, far_offset(at)), memory_order_acquire);
}

bool far_change(const FarMapped *memory, FarOp *op, Fault *fault) {
  if (memory->words) return memory->words->change(memory->words->ctx, op, fault);
  _Atomic uint64_t *word = far_word(memory, far_offset(op->at));
  op->old = op->expected;
  if (op->code == FAR_CAS) {
    atomic_compare_exchange_strong(word, &op->old, op->value);
    op->status = op->old == op->expected ? FAR_DONE : FAR_DIFFERS;
  } else {
    op->old = atomic_fetch_add(word, op->value);
  }
  return true;
}

/* *at += the operation's value; .old is what was there. */
static bool add(const FarMapped *memory, FarOp *op, FarPointer at, Fault *fault) {
  FarOp it = {.code = FAR_ADD, .at = at, .value = op->value};
  const bool ok = far_change(memory, &it, fault);
  op->old = it.old;
  return ok;
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool word_fits(const FarMapped *memory, FarPointer at) {
  return inside(memory, at, 8) && far_offset(at) % 8 == 0;
}

/* Where an indirect operation leads to. */
static FarPointer target(const FarMapped *memory, FarOp *op, unsigned way) {
  op->old = load(memory, way == 2 ? op->at + op->index : op->at);
  return way == 1 && op->old ? op->old + op->index : op->old;
}

static bool through(const FarMapped *memory, FarOp *op, FarCode first, Fault *fault) {
  const unsigned way = op->code - first;
  if (!word_fits(memory, way == 2 ? op->at + op->index : op->at))
    return bad(fault, op, "no word of this memory");
  const FarPointer to = target(memory, op, way);
  if (first == FAR_ADD0 ? !word_fits(memory, to) : !inside(memory, to, op->length)) {
    op->status = FAR_NOWHERE;
  } else if (first == FAR_ADD0) {
    if (!add(memory, op, to, fault)) return false;
    if (far_board_watched(memory)) far_board_tell(memory, far_offset(to), 8); /* now: it is known */
  } else {
    move(memory, far_offset(to), op, first == FAR_LOAD0);
  }
  return true;
}

static bool step(const FarMapped *memory, FarOp *op, Fault *fault) {
  if (!word_fits(memory, op->at)) return bad(fault, op, "no word of this memory");
  if (!add(memory, op, op->at, fault)) return false;
  if (!inside(memory, op->old, op->length)) {
    op->status = FAR_NOWHERE;
  } else {
    move(memory, far_offset(op->old), op, op->code == FAR_FAAI);
  }
  return true;
}

static bool compare(const FarMapped *memory, FarOp *op, Fault *fault) {
  if (!word_fits(memory, op->at)) return bad(fault, op, "no word of this memory");
  if (op->code == FAR_CAS) return far_change(memory, op, fault);
  op->old = load(memory, op->at);
  op->status = op->old == op->expected ? FAR_DONE : FAR_DIFFERS;
  return true;
}

/* What the element's cells point to, behind it. `from`: bytes that are there already. */
static uint64_t follow(const FarMapped *memory, const FarOp *op, const unsigned char *element,
                       uint64_t from) {
  unsigned char *out = op->local;
  const FarSearch *search = op->search;
  for (uint32_t i = 0; i < search->nfollow && op->length - from >= 8; i++) {
    const FarFollow *cell = &search->follow[i];
    uint64_t words[2], came = FAR_NONE;
    if (cell->at > search->shape.stride - sizeof words) continue;
    memcpy(words, element + cell->at, sizeof words);
    const uint64_t padded = (words[0] + 7) & ~UINT64_C(7);
    if (words[0] > cell->room && words[0] <= op->length && padded <= op->length - from - 8 &&
        inside(memory, words[1], words[0])) {
      came = words[0];
      memset(out + from + padded, 0, 8); /* the padding, of which some is overwritten */
      memcpy(out + from + 8, memory->base + far_offset(words[1]), came);
    }
    memcpy(out + from, &came, 8);
    from += 8 + (came == FAR_NONE ? 0 : padded);
  }
  return from;
}

/* What FINDs that come one after the other have in common. */
typedef struct Aim {
  const FarSearch *search;
  bool valid;
  uint32_t head, size; /* of a bucket */
} Aim;

static void take_aim(Aim *aim, const FarSearch *search) {
  if (aim->search == search) return;
  *aim = (Aim){.search = search, .valid = search && far_shape_valid(&search->shape)};
  if (!aim->valid) return;
  aim->head = far_head_size(&search->shape);
  aim->size = far_bucket_size(&search->shape);
}

/* The head and the slot as they were at one time: see layout.h about versions. */
static bool find(const FarMapped *memory, FarOp *op, Aim *aim, Fault *fault) {
  take_aim(aim, op->search);
  if (!aim->valid || !op->key) return bad(fault, op, "no key");
  const FarShape *shape = &op->search->shape;
  const uint32_t head = aim->head;
  if (!inside(memory, op->at, aim->size) || far_offset(op->at) % 8)
    return bad(fault, op, "no bucket of this memory");
  if (op->length < head + shape->stride) return bad(fault, op, "too little room");
  const uint64_t at = far_offset(op->at);
  const unsigned char *bucket = memory->base + at;
  for (int i = 0; i < PATIENCE; i++) {
    const uint64_t version = atomic_load_explicit(far_word(memory, at), memory_order_acquire);
    if (version & 1) continue;
    memcpy(op->local, bucket, head);
    const int slot = far_bucket_find(shape, ((FarBucket *)op->local)->used, bucket, op->key);
    op->index = head;
    if (slot >= 0) {
      unsigned char *element = (unsigned char *)op->local + head;
      memcpy(element, bucket + far_slot_at(shape, slot), shape->stride);
      op->index = head + shape->stride;
      if (op->search->nfollow) op->index = follow(memory, op, element, op->index);
    }
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(far_word(memory, at), memory_order_relaxed) != version) continue;
    memcpy(op->local, &version, sizeof version);
    op->old = slot < 0 ? FAR_NONE : (uint64_t)slot;
    return true;
  }
  op->status = FAR_CHANGING;
  return true;
}

static bool execute(const FarMapped *memory, FarOp *op, Aim *aim, Fault *fault) {
  op->status = FAR_DONE;
  switch (op->code) {
  case FAR_FIND:
    return find(memory, op, aim, fault);
  case FAR_READ:
  case FAR_WRITE:
    if (!inside(memory, op->at, op->length)) return bad(fault, op, "outside of this memory");
    move(memory, far_offset(op->at), op, op->code == FAR_READ);
    return true;
  case FAR_CAS:
  case FAR_EXPECT:
    return compare(memory, op, fault);
  case FAR_ADD:
    if (!word_fits(memory, op->at)) return bad(fault, op, "no word of this memory");
    return add(memory, op, op->at, fault);
  case FAR_LOAD0:
  case FAR_LOAD1:
  case FAR_LOAD2:
    return through(memory, op, FAR_LOAD0, fault);
  case FAR_STORE0:
  case FAR_STORE1:
  case FAR_STORE2:
    return through(memory, op, FAR_STORE0, fault);
  case FAR_ADD0:
  case FAR_ADD1:
  case FAR_ADD2:
    return through(memory, op, FAR_ADD0, fault);
  case FAR_FAAI:
  case FAR_SAAI:
    return step(memory, op, fault);
  case FAR_NCODES:
    break;
  }
  return bad(fault, op, "no such operation");
}

/* ---- rounds ---------------------------------------------------------------------------------- */

#define CODE(name) (UINT32_C(1) << FAR_##name)

static bool writes(FarCode code) {
  static const uint32_t all = CODE(WRITE) | CODE(CAS) | CODE(ADD) | CODE(STORE0) | CODE(STORE1) |
                              CODE(STORE2) | CODE(FAAI) | CODE(SAAI);
  return all >> code & 1;
}

/* Those who wait for what a round has written. */
static void tell(const FarMapped *memory, const FarOp *ops, size_t n) {
  if (!far_board_watched(memory)) return;
  for (size_t i = 0; i < n; i++) {
    const FarOp *op = &ops[i];
    const bool done = op->status == FAR_DONE;
    if (op->code == FAR_WRITE) {
      far_board_tell(memory, far_offset(op->at), op->length);
    } else if (op->code == FAR_FAAI || op->code == FAR_SAAI ||
               (done && (op->code == FAR_CAS || op->code == FAR_ADD))) {
      far_board_tell(memory, far_offset(op->at), 8);
    }
    if (done && op->code >= FAR_STORE0 && op->code <= FAR_STORE2)
      far_board_tell(memory, far_offset(op->code == FAR_STORE1 ? op->old + op->index : op->old),
                     op->length);
    if (done && op->code == FAR_SAAI) far_board_tell(memory, far_offset(op->old), op->length);
  }
}

/* A list of keys takes the time of its cache misses, unless they are waited for together: the heads
** and tags of buckets that are looked at soon, and then the slots that their tags say it is. */
enum { LINE = 64, HEADS = 12, SLOTS = 6, MOST_LINES = 8 };

static void fetch(const unsigned char *from, size_t length) {
  for (size_t i = 0; i <= length / LINE && i < MOST_LINES; i++) __builtin_prefetch(from + i * LINE);
}

static void fetch_head(const FarMapped *memory, const FarOp *op) {
  const uint64_t offset = far_offset(op->at);
  if (op->code == FAR_FIND && offset < memory->size)
    fetch(memory->base + offset, sizeof(FarBucket) + FAR_SLOTS);
}

static void fetch_slot(const FarMapped *memory, const FarOp *op, Aim *aim) {
  uint64_t used;
  if (op->code != FAR_FIND) return;
  take_aim(aim, op->search);
  if (!aim->valid || !op->key || !inside(memory, op->at, aim->size)) return;
  const FarShape *shape = &op->search->shape;
  const unsigned char *bucket = memory->base + far_offset(op->at);
  memcpy(&used, bucket + offsetof(FarBucket, used), sizeof used);
  used = far_bucket_candidates(shape, used, bucket, op->key);
  if (used) fetch(bucket + far_slot_at(shape, (unsigned)__builtin_ctzll(used)), shape->stride);
}

static void look_ahead(const FarMapped *memory, const FarOp *ops, size_t n, size_t i, Aim *aim) {
  for (size_t j = i ? i + HEADS : 0; j <= i + HEADS && j < n; j++) fetch_head(memory, &ops[j]);
  for (size_t j = i ? i + SLOTS : 0; j <= i + SLOTS && j < n; j++) fetch_slot(memory, &ops[j], aim);
}

bool far_execute_onto(const FarMapped *memory, FarOp *ops, size_t n, FarTray *tray, bool *skip,
                      Fault *fault) {
  bool ok = true, wrote = false;
  Aim aim = {0};
  size_t i;
  for (i = 0; i < n && ok && !*skip; i++) {
    FarOp *op = &ops[i];
    if (n > 1) look_ahead(memory, ops, n, i, &aim);
    if (tray && far_op_reads(op)) op->local = tray->at + tray->before;
    ok = execute(memory, op, &aim, fault);
    if (tray) tray->at += tray->before + (far_op_came(op) + 7) / 8 * 8;
    wrote = wrote || (ok && writes(op->code));
    *skip = ok && op->guard && op->status != FAR_DONE;
  }
  if (wrote) tell(memory, ops, ok ? i : i - 1);
  for (; ok && i < n; i++) ops[i].status = FAR_SKIPPED;
  return ok;
}

bool far_execute(const FarMapped *memory, FarOp *ops, size_t n, bool *skip, Fault *fault) {
  return far_execute_onto(memory, ops, n, NULL, skip, fault);
}
