#include "remote/execute.h"

#include <string.h>

#include "remote/board.h"

bool far_op_wrong(Fault *fault, const FarOp *op, const char *what) {
  return fault_set(fault, FAULT_INVALID, "operation %d at far pointer %u:%llu, %u bytes: %s",
                   (int)op->code, far_region(op->at), (unsigned long long)far_offset(op->at),
                   (unsigned)op->length, what);
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
  return far_inside(memory, at, 8) && far_offset(at) % 8 == 0;
}

/* Where an indirect operation leads to. */
static FarPointer target(const FarMapped *memory, FarOp *op, unsigned way) {
  op->old = load(memory, way == 2 ? op->at + op->index : op->at);
  return way == 1 && op->old ? op->old + op->index : op->old;
}

static bool through(const FarMapped *memory, FarOp *op, FarCode first, Fault *fault) {
  const unsigned way = op->code - first;
  if (!word_fits(memory, way == 2 ? op->at + op->index : op->at))
    return far_op_wrong(fault, op, "no word of this memory");
  const FarPointer to = target(memory, op, way);
  if (first == FAR_ADD0 ? !word_fits(memory, to) : !far_inside(memory, to, op->length)) {
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
  if (!word_fits(memory, op->at)) return far_op_wrong(fault, op, "no word of this memory");
  if (!add(memory, op, op->at, fault)) return false;
  if (!far_inside(memory, op->old, op->length)) {
    op->status = FAR_NOWHERE;
  } else {
    move(memory, far_offset(op->old), op, op->code == FAR_FAAI);
  }
  return true;
}

static bool compare(const FarMapped *memory, FarOp *op, Fault *fault) {
  if (!word_fits(memory, op->at)) return far_op_wrong(fault, op, "no word of this memory");
  if (op->code == FAR_CAS) return far_change(memory, op, fault);
  op->old = load(memory, op->at);
  op->status = op->old == op->expected ? FAR_DONE : FAR_DIFFERS;
  return true;
}

static bool execute(const FarMapped *memory, FarOp *op, Fault *fault) {
  op->status = FAR_DONE;
  switch (op->code) {
  case FAR_RANGE:
    return far_range(memory, op, fault);
  case FAR_READ:
  case FAR_WRITE:
    if (!far_inside(memory, op->at, op->length))
      return far_op_wrong(fault, op, "outside of this memory");
    move(memory, far_offset(op->at), op, op->code == FAR_READ);
    return true;
  case FAR_CAS:
  case FAR_EXPECT:
    return compare(memory, op, fault);
  case FAR_ADD:
    if (!word_fits(memory, op->at)) return far_op_wrong(fault, op, "no word of this memory");
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
  case FAR_FIND: /* far_find() */
  case FAR_NCODES:
    break;
  }
  return far_op_wrong(fault, op, "no such operation");
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

/* FINDs that come one after the other are done together: see find.c. */
static size_t finds_from(const FarOp *ops, size_t n) {
  size_t i = 0;
  while (i < n && ops[i].code == FAR_FIND && ops[i].search == ops->search)
    if (ops[i++].guard) break;
  return i;
}

bool far_execute_onto(const FarMapped *memory, FarOp *ops, size_t n, FarTray *tray, bool *skip,
                      Fault *fault) {
  bool ok = true, wrote = false;
  size_t i = 0;
  while (i < n && ok && !*skip) {
    const size_t finds = finds_from(ops + i, n - i);
    size_t did = 1;
    if (finds) {
      ok = far_find(memory, ops + i, finds, tray, &did, fault);
    } else {
      if (tray && far_op_reads(&ops[i])) ops[i].local = tray->at + tray->before;
      ok = execute(memory, &ops[i], fault);
      far_tray_move(tray, &ops[i]);
      wrote = wrote || (ok && writes(ops[i].code));
    }
    i += did;
    *skip = ok && ops[i - 1].guard && ops[i - 1].status != FAR_DONE;
  }
  if (wrote) tell(memory, ops, ok ? i : i - 1);
  for (; ok && i < n; i++) ops[i].status = FAR_SKIPPED;
  return ok;
}

bool far_execute(const FarMapped *memory, FarOp *ops, size_t n, bool *skip, Fault *fault) {
  return far_execute_onto(memory, ops, n, NULL, skip, fault);
}
