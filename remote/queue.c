#include "remote/queue.h"

#include <stdlib.h>
#include <string.h>

#include "remote/alloc.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/ring.h"
#include "remote/root.h"
#include "remote/txn.h"

FarMemory *far_queue_memory(const FarQueue *queue) { return queue->memory; }
const FarShape *far_queue_shape(const FarQueue *queue) { return &queue->shape; }
const char *far_queue_name(const FarQueue *queue) { return queue->name; }
uint64_t far_queue_length(const FarQueue *queue) { return queue->length; }
uint64_t far_queue_serial(const FarQueue *queue) { return queue->serial; }

/* ---- making and opening ---------------------------------------------------------------------- */

/* The words of all slots. The first ticket is the length: so each has one a turn before. */
static bool free_slots(FarMemory *memory, FarPointer slots, uint32_t stride, uint64_t length,
                       Stop *stop, Fault *fault) {
  enum { BYTES = 1 << 18 };
  const uint64_t some = BYTES / stride + 1;
  unsigned char *bytes = calloc(some, stride);
  bool ok = bytes || fault_oom(fault);
  for (uint64_t at = 0; ok && at < length; at += some) {
    const uint64_t n = length - at < some ? length - at : some;
    for (uint64_t i = 0; i < n; i++) {
      const uint64_t state = far_slot_free(length + at + i);
      memcpy(bytes + i * stride, &state, sizeof state);
    }
    FarOp op = far_write_op(slots + at * stride, bytes, n * stride);
    ok = far_round(memory, &op, 1, stop, fault);
  }
  free(bytes);
  return ok;
}

static bool make(FarQueue *queue, FarQueueRoot *root, uint64_t length, Stop *stop, Fault *fault) {
  FarMemory *memory = queue->memory;
  const uint64_t size = length * queue->shape.stride;
  *root = (FarQueueRoot){
      .shape = far_shape_word(&queue->shape), .length = length, .front = length, .end = length};
  if (!far_root_serial(memory, &root->head.owner, stop, fault) ||
      !far_alloc(memory, size, FAR_USE_BYTES, &root->slots, stop, fault))
    return false;
  const bool ok = free_slots(memory, root->slots, queue->shape.stride, length, stop, fault) &&
                  far_root_add(memory, FAR_KIND_QUEUE, queue->name, queue->schema, root->head.owner,
                               root, sizeof *root, &queue->root, stop, fault);
  if (!ok || !queue->root) far_free(memory, root->slots, size, FAR_USE_BYTES, NULL, NULL);
  return ok;
}

static bool open_root(FarQueue *queue, uint64_t length, Stop *stop, Fault *fault) {
  FarQueueRoot root;
  if (length > FAR_LONGEST_QUEUE)
    return fault_set(fault, FAULT_LIMIT, "%s: \"%s\": a queue has at most %llu slots, not %llu",
                     queue->memory->at, queue->name, (unsigned long long)FAR_LONGEST_QUEUE,
                     (unsigned long long)length);
  for (;;) {
    if (!far_root_find(queue->memory, FAR_KIND_QUEUE, queue->name, queue->schema, &root,
                       sizeof root, &queue->root, stop, fault))
      return false;
    if (queue->root) break;
    if (!length)
      return fault_set(fault, FAULT_NOTFOUND,
                       "%s: there is no queue \"%s\": to make it takes a "
                       "length",
                       queue->memory->at, queue->name);
    if (!make(queue, &root, length, stop, fault)) return false;
    if (queue->root) break;
  }
  if (length && length != root.length)
    return fault_set(fault, FAULT_INVALID,
                     "%s: the queue \"%s\" was made with length=%llu, not %llu", queue->memory->at,
                     queue->name, (unsigned long long)root.length, (unsigned long long)length);
  if (root.shape != far_shape_word(&queue->shape) || !root.length ||
      root.length > FAR_LONGEST_QUEUE)
    return fault_set(fault, FAULT_CORRUPT, "%s: the root of \"%s\" is damaged", queue->memory->at,
                     queue->name);
  queue->serial = root.head.owner;
  queue->slots = root.slots;
  queue->length = root.length;
  queue->head = queue->front = root.front;
  queue->tail = queue->end = root.end;
  queue->tail_known = true;
  return true;
}

bool far_queue_open(FarMemory *memory, const char *name, const FarShape *shape, uint64_t schema,
                    uint64_t length, FarQueue **out, Stop *stop, Fault *fault) {
  if (!far_shape_valid(shape) || shape->kind != FAR_KEY_INTEGER)
    return fault_set(fault, FAULT_LIMIT, "%s: elements of \"%s\" take %u bytes", memory->at, name,
                     (unsigned)shape->stride);
  FarQueue *queue = calloc(1, sizeof *queue);
  if (!queue || !(queue->name = strdup(name))) {
    far_queue_close(queue);
    return fault_oom(fault);
  }
  queue->memory = memory;
  queue->shape = *shape;
  queue->schema = schema;
  if (!open_root(queue, length, stop, fault)) {
    far_queue_close(queue);
    return false;
  }
  *out = queue;
  return true;
}

void far_queue_close(FarQueue *queue) {
  if (!queue) return;
  free(queue->name);
  free(queue);
}

/* ---- dropping -------------------------------------------------------------------------------- */

/* Every slot becomes ours, so that nobody begins anything there. */
static bool close_slots(FarQueue *queue, Stop *stop, Fault *fault) {
  uint64_t states[FAR_WINDOW];
  FarOp ops[FAR_WINDOW];
  FarWait wait = {0};
  for (uint64_t at = 0; at < queue->length;) {
    const uint64_t left = queue->length - at, n = left < FAR_WINDOW ? left : FAR_WINDOW;
    if (!far_ring_states(queue, at, n, states, NULL, stop, fault)) return false;
    uint64_t closed = 0, holder = 0;
    for (uint64_t i = 0; i < n; i++) {
      const uint64_t client = states[i] & FAR_CLAIMANT;
      const bool claimed = !(states[i] >> 63) && client != queue->memory->client;
      bool dead = false;
      if (claimed && !far_ring_dead(queue, states[i], &dead, fault)) return false;
      if (claimed && !dead) holder = client;
      ops[i] = (FarOp){.code = claimed && !dead ? FAR_EXPECT : FAR_CAS,
                       .at = far_queue_slot(queue, at + i),
                       .expected = states[i],
                       .value = queue->memory->client};
    }
    if (!far_round(queue->memory, ops, n, stop, fault)) return false;
    for (uint64_t i = 0; i < n; i++) closed += ops[i].status == FAR_DONE && ops[i].code == FAR_CAS;
    if (closed == n) {
      at += n;
    } else if (!far_wait(queue->memory, &wait, holder, &(uint64_t){0}, stop, fault)) {
      return false;
    }
  }
  return true;
}

bool far_queue_drop(FarMemory *memory, const char *name, Stop *stop, Fault *fault) {
  FarQueueRoot root;
  FarName it;
  bool found;
  if (!far_name_find(memory, name, &it, &found, stop, fault)) return false;
  if (!found || it.kind != FAR_KIND_QUEUE)
    return fault_set(fault, FAULT_NOTFOUND, "%s: there is no queue \"%s\"", memory->at, name);
  FarOp op = far_read_op(it.root, &root, sizeof root);
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  FarQueue queue = {.memory = memory,
                    .name = (char *)name,
                    .root = it.root,
                    .serial = root.head.owner,
                    .slots = root.slots,
                    .length = root.length};
  far_shape_of_word(root.shape, &queue.shape);
  if (!root.head.owner || !far_shape_valid(&queue.shape) || root.length > FAR_LONGEST_QUEUE)
    return far_root_gone(memory, FAR_KIND_QUEUE, name, fault);
  return far_name_remove(memory, name, it.root, stop, fault) && close_slots(&queue, stop, fault) &&
         far_root_drop(memory, it.root, sizeof root, stop, fault) &&
         far_free(memory, root.slots, root.length * queue.shape.stride, FAR_USE_BYTES, stop, fault);
}

/* ---- putting --------------------------------------------------------------------------------- */

bool far_queue_push(FarQueue *queue, const void *cells, uint64_t n, Stop *stop, Fault *fault) {
  const size_t each = queue->shape.stride - FAR_STAMP - queue->shape.key;
  FarTxn *txn = far_txn_begin(queue->memory, fault);
  bool ok = txn != NULL;
  for (uint64_t i = 0; ok && i < n; i++)
    ok = far_txn_push(txn, queue, (const char *)cells + i * each, fault);
  ok = ok && far_txn_commit(txn, stop, fault);
  far_txn_end(txn);
  return ok;
}

FarOp far_queue_there_op(const FarQueue *queue) {
  return far_root_there_op(queue->root, queue->serial);
}

FarOp far_queue_tail_op(FarQueue *queue) {
  return far_read_op(queue->root + offsetof(FarQueueRoot, end), &queue->told, 8);
}

/* All tickets before `to` were had. */
FarOp far_queue_move_op(const FarQueue *queue, uint64_t to) {
  return (FarOp){.code = FAR_CAS,
                 .at = queue->root + offsetof(FarQueueRoot, end),
                 .expected = queue->end,
                 .value = to};
}

void far_queue_moved(FarQueue *queue, const FarOp *op) {
  queue->end = op->status == FAR_DONE ? op->value : op->old;
}

void far_queue_pushed(FarQueue *queue, uint64_t ticket) {
  if (queue->tail <= ticket) queue->tail = ticket + 1;
}

void far_queue_forget(FarQueue *queue) { queue->tail_known = false; }

void far_queue_behind(FarQueue *queue, uint64_t ticket, FarStatus status, uint64_t found) {
  if (status == FAR_SKIPPED) return;
  queue->end = queue->told;
  if (status != FAR_DONE && far_ring_state(queue, ticket, found) == FAR_SLOT_BEFORE) {
    queue->tail_known = false; /* it has to be looked at */
    return;
  }
  far_queue_pushed(queue, ticket);
  if (queue->tail < queue->told) queue->tail = queue->told;
}
