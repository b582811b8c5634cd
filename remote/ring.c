/*
** What a queue's slots say: where it begins and ends, what can be taken and what waits.
*/
#include "remote/ring.h"

#include <string.h>

#include "remote/client.h"
#include "remote/memory.h"
#include "remote/root.h"

FarPointer far_queue_slot(const FarQueue *queue, uint64_t ticket) {
  return queue->slots + ticket % queue->length * queue->shape.stride;
}

/* ---- looking --------------------------------------------------------------------------------- */

bool far_ring_states(FarQueue *queue, uint64_t ticket, uint64_t n, uint64_t *out,
                     FarQueueRoot *root, Stop *stop, Fault *fault) {
  FarOp ops[FAR_WINDOW + 1];
  FarQueueRoot ignored;
  if (!root) root = &ignored;
  ops[0] = far_read_op(queue->root, root, sizeof *root);
  for (uint64_t i = 0; i < n; i++)
    ops[1 + i] = far_read_op(far_queue_slot(queue, ticket + i), &out[i], 8);
  if (!far_round(queue->memory, ops, 1 + n, stop, fault)) return false;
  if (root->head.owner != queue->serial)
    return far_root_gone(queue->memory, FAR_KIND_QUEUE, queue->name, fault);
  queue->front = root->front;
  queue->end = queue->told = root->end;
  return true;
}

bool far_ring_dead(FarQueue *queue, uint64_t state, bool *out, Fault *fault) {
  Fault doubt = {0};
  bool alive = true;
  const uint64_t client = state & FAR_CLAIMANT;
  if (client != queue->memory->client &&
      !queue->memory->transport->bury(queue->memory, client, &alive, &doubt)) {
    if (doubt.code != FAULT_BUSY) return fault_set(fault, doubt.code, "%s", doubt.text);
    alive = true;
  }
  *out = !alive;
  return true;
}

/* How many turns of the ring after the ticket a claim was made; before it: negative. */
static int64_t turns_after(const FarQueue *queue, uint64_t ticket, uint64_t claim) {
  const uint64_t turns = (claim >> FAR_TURNS_AT) - ticket / queue->length;
  return (int64_t)((turns + FAR_TURNS / 2) % FAR_TURNS) - FAR_TURNS / 2;
}

bool far_ring_clean(FarQueue *queue, uint64_t ticket, uint64_t state, Stop *stop, Fault *fault) {
  ticket += (uint64_t)turns_after(queue, ticket, state) * queue->length;
  FarOp op = {.code = FAR_CAS,
              .at = far_queue_slot(queue, ticket),
              .expected = state,
              .value = state & FAR_TAKING ? far_slot_ready(ticket)
                                          : far_slot_free(ticket + queue->length)};
  queue->memory->counts.retries++;
  return far_round(queue->memory, &op, 1, stop, fault);
}

FarSlotState far_ring_state(const FarQueue *queue, uint64_t ticket, uint64_t state) {
  if (!(state >> 63)) {
    const int64_t turns = turns_after(queue, ticket, state);
    return turns < 0 ? FAR_SLOT_BEFORE : turns > 0 ? FAR_SLOT_OVER : FAR_SLOT_HELD;
  }
  const uint64_t due = state << 1 >> 2;
  if (due == ticket) return state & 1 ? FAR_SLOT_READY : FAR_SLOT_FREE;
  return due < ticket ? FAR_SLOT_BEFORE : FAR_SLOT_OVER;
}

/* ---- along the ring -------------------------------------------------------------------------- */

typedef struct Held { /* a slot that a living client is at */
  uint64_t ticket, state;
} Held;

typedef struct Look { /* along the ring, for what can be taken */
  uint64_t at;
  uint64_t tickets[FAR_WINDOW];
  uint64_t n;
  Held held[FAR_WINDOW]; /* that need not be waited for, of each such client the first one */
  uint64_t nheld;
  Held awaited; /* what is behind it is not looked at; state 0: there is none */
  bool asks;    /* whether those who are at a slot live */
  bool unsure;  /* somebody is, and was not asked: what a dead one had may be there again */
  bool end;     /* nothing is behind that */
  bool cleaned; /* what a dead client left: it has to be looked at again */
} Look;

static void hold(Look *it, uint64_t ticket, uint64_t state) {
  for (uint64_t i = 0; i < it->nheld; i++)
    if (it->held[i].state == state) return;
  if (it->nheld < FAR_WINDOW) it->held[it->nheld++] = (Held){ticket, state};
}

/* A slot that a client is at. *out_on: what is behind it can be looked at. */
static bool look_at_held(FarQueue *queue, Look *it, uint64_t ticket, uint64_t state, bool *out_on,
                         Stop *stop, Fault *fault) {
  bool dead = false;
  *out_on = true;
  it->unsure = !it->asks;
  if (it->asks && (!far_ring_dead(queue, state, &dead, fault) ||
                   (dead && !far_ring_clean(queue, ticket, state, stop, fault))))
    return false;
  it->cleaned = dead;
  if (!dead && !(state & FAR_TAKING)) { /* else it is not in the queue any more */
    const bool lasts = state & FAR_LASTING || state == queue->passed;
    *out_on = lasts && !it->n;
    if (*out_on) hold(it, ticket, state);
    if (!lasts && !it->n) it->awaited = (Held){ticket, state};
  }
  return true;
}

/* A window from it->at on. What is behind a slot that is held is not taken together with what is
** before it. */
static bool look(FarQueue *queue, Look *it, Stop *stop, Fault *fault) {
  uint64_t states[FAR_WINDOW];
  const uint64_t window = queue->length < FAR_WINDOW ? queue->length : FAR_WINDOW;
  it->n = 0;
  it->end = it->cleaned = false;
  if (!far_ring_states(queue, it->at, window, states, NULL, stop, fault)) return false;
  for (uint64_t i = 0; i < window && !it->end && !it->cleaned; i++) {
    const uint64_t ticket = it->at + i;
    bool on;
    switch (far_ring_state(queue, ticket, states[i])) {
    case FAR_SLOT_READY:
      it->tickets[it->n++] = ticket;
      if (it->nheld) return true;
      break;
    case FAR_SLOT_OVER:
      if (ticket == queue->head) queue->head++;
      break;
    case FAR_SLOT_HELD:
      if (!look_at_held(queue, it, ticket, states[i], &on, stop, fault)) return false;
      if (!on) return true;
      break;
    default:
      it->end = true;
    }
  }
  it->at += window;
  return true;
}

/* ---- tickets --------------------------------------------------------------------------------- */

static bool full(const FarQueue *queue, uint64_t n, Fault *fault) {
  return fault_set(fault, FAULT_FULL,
                   "%s: the queue \"%s\" is full: it has room for %llu elements, and not for %llu "
                   "more",
                   queue->memory->at, queue->name, (unsigned long long)queue->length,
                   (unsigned long long)n);
}

/* The slot is still that of the ticket a turn before. Who is at it will be done soon, or dead;
** unless it is a transaction that takes its time, or is our own. */
static bool wait_for_slot(FarQueue *queue, uint64_t ticket, uint64_t state, uint64_t n,
                          FarWait *wait, Stop *stop, Fault *fault) {
  const uint64_t holder = state & FAR_CLAIMANT;
  Fault waited = {0};
  uint64_t dead;
  if (state >> 63 || holder == queue->memory->client) return full(queue, n, fault);
  if (far_wait(queue->memory, wait, holder, &dead, stop, &waited))
    return !dead || far_ring_clean(queue, ticket, state, stop, fault);
  return waited.code == FAULT_BUSY ? full(queue, n, fault)
                                   : fault_set(fault, waited.code, "%s", waited.text);
}

/* Moves the hint, when it is far behind what we have seen. */
static bool tell_end(FarQueue *queue, Stop *stop, Fault *fault) {
  enum { FAR_BEHIND = 16 };
  if (queue->tail < queue->end + FAR_BEHIND) return true;
  FarOp op = far_queue_move_op(queue, queue->tail);
  if (!far_round(queue->memory, &op, 1, stop, fault)) return false;
  far_queue_moved(queue, &op);
  return true;
}

/* Others are always faster; or the slots are damaged, and we go round and round. */
static bool in_time(const FarQueue *queue, int64_t until, Stop *stop, Fault *fault) {
  if (stop && stop_now(stop))
    return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", queue->memory->at);
  return clock_now() <= until ||
         fault_set(fault, FAULT_BUSY, "%s: others use the queue \"%s\" all the time",
                   queue->memory->at, queue->name);
}

static int64_t time_limit(const FarQueue *queue) {
  return clock_now() + queue->memory->options.deadline_ns;
}

bool far_queue_tickets(FarQueue *queue, uint64_t n, uint64_t *out, Stop *stop, Fault *fault) {
  uint64_t states[FAR_WINDOW], run = 0;
  FarQueueRoot root;
  FarWait wait = {0};
  if (n > queue->length) return full(queue, n, fault);
  /* Who finds out too late that not all have room has used up the tickets of those that had. */
  if (queue->tail + n > far_ring_over(queue) + queue->length) queue->tail_known = false;
  const int64_t until = queue->tail_known ? 0 : time_limit(queue);
  while (!queue->tail_known) {
    if (!in_time(queue, until, stop, fault)) return false;
    const uint64_t at = queue->tail + run;
    const uint64_t window = queue->length < FAR_WINDOW ? queue->length : FAR_WINDOW;
    if (!far_ring_states(queue, at, window, states, &root, stop, fault)) return false;
    if (root.end > at) { /* a hint that is never too large */
      queue->tail = root.end;
      run = 0;
      continue;
    }
    for (uint64_t i = 0; i < window && run < n; i++) {
      const uint64_t ticket = at + i;
      const FarSlotState what = far_ring_state(queue, ticket, states[i]);
      if (what == FAR_SLOT_BEFORE) {
        if (!wait_for_slot(queue, ticket, states[i], n, &wait, stop, fault)) return false;
        run = 0;
        break;
      }
      run = what == FAR_SLOT_FREE ? run + 1 : 0;
      if (what != FAR_SLOT_FREE) queue->tail = ticket + 1;
    }
    queue->tail_known = run >= n;
  }
  *out = queue->tail;
  return tell_end(queue, stop, fault);
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Tells how far all is done with, and takes elements with these tickets in their order, until one
** is not ready; but none when a slot before them is not held any more as it was (`over`, NULL:
** there are none). *out_n of them were; *out_state is what stands in the way. */
static bool take(FarQueue *queue, const uint64_t *tickets, uint64_t n, const Look *over,
                 unsigned char *out, uint64_t *out_n, uint64_t *out_state, Stop *stop,
                 Fault *fault) {
  FarOp ops[3 * FAR_MOST_TAKEN + FAR_WINDOW + 2];
  const uint64_t first = 2 + (over ? over->nheld : 0);
  uint64_t after[FAR_MOST_TAKEN];
  const uint32_t stride = queue->shape.stride;
  ops[0] = far_queue_there_op(queue);
  ops[1] = (FarOp){.code = FAR_CAS,
                   .at = queue->root + offsetof(FarQueueRoot, front),
                   .expected = queue->front,
                   .value = queue->head};
  for (uint64_t i = 2; i < first; i++) {
    ops[i] = (FarOp){.code = FAR_EXPECT,
                     .guard = true,
                     .at = far_queue_slot(queue, over->held[i - 2].ticket),
                     .expected = over->held[i - 2].state};
  }
  for (uint64_t i = 0; i < n; i++) {
    const FarPointer slot = far_queue_slot(queue, tickets[i]);
    FarOp *op = &ops[first + 3 * i];
    after[i] = far_slot_free(tickets[i] + queue->length);
    op[0] = (FarOp){.code = FAR_CAS,
                    .guard = true,
                    .at = slot,
                    .expected = far_slot_ready(tickets[i]),
                    .value = far_slot_claim(tickets[i], queue->length, queue->memory->client) |
                             FAR_TAKING};
    op[1] = far_read_op(slot + FAR_STAMP, out + i * stride + FAR_STAMP, stride - FAR_STAMP);
    op[2] = far_write_op(slot, &after[i], 8);
  }
  *out_n = 0;
  if (!far_round(queue->memory, ops, first + 3 * n, stop, fault)) return false;
  if (ops[0].status != FAR_DONE)
    return far_root_gone(queue->memory, FAR_KIND_QUEUE, queue->name, fault);
  queue->front = ops[1].status == FAR_DONE ? queue->head : ops[1].old;
  for (uint64_t i = 0; i < n; i++) {
    *out_state = ops[first + 3 * i].old;
    if (ops[first + 3 * i].status != FAR_DONE) break;
    memcpy(out + i * stride, &(uint64_t){far_slot_ready(tickets[i])}, FAR_STAMP);
    ++*out_n;
  }
  return true;
}

typedef struct Patience { /* with who holds a slot */
  uint64_t state;         /* what stands there */
  int64_t until;
  FarWait wait;
} Patience;

/* What can be taken is behind a slot where something is being put: usually that is done in no time,
** and comes first. A transaction of two phases may take longer: after some milliseconds it is not
** waited for. *out_again: it is worth looking again. */
static bool be_patient(FarQueue *queue, const Look *it, Patience *patience, bool *out_again,
                       Stop *stop, Fault *fault) {
  enum { LASTING = 5000000 };
  const bool awaited = it->awaited.state != 0;
  const Held *who = awaited ? &it->awaited : it->held;
  const uint64_t holder = who->state & FAR_CLAIMANT;
  Fault waited = {0};
  uint64_t dead = 0;
  if (patience->state != who->state) {
    const int64_t ns = awaited ? queue->memory->options.deadline_ns / 2 : LASTING;
    *patience = (Patience){.state = who->state, .until = clock_now() + ns};
  }
  *out_again = clock_now() < patience->until && holder != queue->memory->client;
  if (*out_again && !far_wait(queue->memory, &patience->wait, holder, &dead, stop, &waited)) {
    if (waited.code != FAULT_BUSY) return fault_set(fault, waited.code, "%s", waited.text);
    *out_again = false;
  }
  if (!*out_again && awaited) queue->passed = who->state;
  return !dead || far_ring_clean(queue, who->ticket, who->state, stop, fault);
}

/* What is not where we thought it is: goes along the ring. Whether those who are at it live is
** asked when it takes a second look. */
static bool pop_slowly(FarQueue *queue, uint64_t most, unsigned char *out, uint64_t *out_n,
                       Stop *stop, Fault *fault) {
  const int64_t until = time_limit(queue);
  Patience patience = {0};
  for (Look it = {.at = queue->head}; *out_n < most;) {
    uint64_t n = 0, state;
    bool again = false;
    if (!in_time(queue, until, stop, fault)) return false;
    if (queue->head < queue->front) queue->head = it.at = queue->front;
    if (!look(queue, &it, stop, fault)) return false;
    if ((it.awaited.state || (it.n && it.nheld)) &&
        !be_patient(queue, &it, &patience, &again, stop, fault))
      return false;
    if (it.n > most - *out_n) it.n = most - *out_n;
    if (it.n && !again) {
      if (!take(queue, it.tickets, it.n, &it, out + *out_n * queue->shape.stride, &n, &state, stop,
                fault))
        return false;
      queue->memory->counts.retries += n < it.n;
      *out_n += n;
    }
    if (it.end && !it.n && !it.unsure) break;
    if (it.n || it.end || it.cleaned || it.awaited.state)
      it = (Look){.at = queue->head, .asks = true};
  }
  return true;
}

bool far_queue_pop(FarQueue *queue, uint64_t most, unsigned char *out, uint64_t *out_n, Stop *stop,
                   Fault *fault) {
  uint64_t tickets[FAR_MOST_TAKEN], state = 0;
  if (most > FAR_MOST_TAKEN) most = FAR_MOST_TAKEN;
  if (most > queue->length) most = queue->length;
  *out_n = 0;
  queue->head = far_ring_over(queue);
  for (uint64_t i = 0; i < most; i++) tickets[i] = queue->head + i;
  if (!take(queue, tickets, most, NULL, out, out_n, &state, stop, fault)) return false;
  queue->head += *out_n;
  if (*out_n == most || far_ring_state(queue, queue->head, state) == FAR_SLOT_FREE) return true;
  return pop_slowly(queue, most, out, out_n, stop, fault);
}

/* ---- what waits ------------------------------------------------------------------------------ */

/* Slots in a row, up to the end of the ring, with their words before and after. */
static bool read_slots(FarQueue *queue, uint64_t ticket, uint64_t n, unsigned char *out,
                       uint64_t *before, uint64_t *after, Stop *stop, Fault *fault) {
  FarOp ops[2 * FAR_WINDOW + 2];
  FarBucket head;
  size_t count = 0;
  ops[count++] = far_read_op(queue->root, &head, sizeof head);
  for (uint64_t i = 0; i < n; i++)
    ops[count++] = far_read_op(far_queue_slot(queue, ticket + i), &before[i], 8);
  ops[count++] = far_read_op(far_queue_slot(queue, ticket), out, n * queue->shape.stride);
  for (uint64_t i = 0; i < n; i++)
    ops[count++] = far_read_op(far_queue_slot(queue, ticket + i), &after[i], 8);
  if (!far_round(queue->memory, ops, count, stop, fault)) return false;
  return head.owner == queue->serial ||
         far_root_gone(queue->memory, FAR_KIND_QUEUE, queue->name, fault);
}

bool far_queue_peek(FarQueue *queue, uint64_t from, uint64_t most, unsigned char *out,
                    uint64_t *out_n, uint64_t *out_next, Stop *stop, Fault *fault) {
  const uint32_t stride = queue->shape.stride;
  uint64_t before[FAR_WINDOW], after[FAR_WINDOW];
  *out_n = 0;
  if (!from) {
    uint64_t waiting;
    if (!far_queue_waiting(queue, &waiting, stop, fault)) return false;
    from = queue->front;
  }
  *out_next = from > queue->front ? from : queue->front;
  for (const int64_t until = time_limit(queue); *out_next && *out_n < most;) {
    if (!in_time(queue, until, stop, fault)) return false;
    const uint64_t at = *out_next, left = queue->length - at % queue->length;
    uint64_t n = most - *out_n < left ? most - *out_n : left;
    if (n > FAR_WINDOW) n = FAR_WINDOW;
    unsigned char *room = out + *out_n * stride;
    if (!read_slots(queue, at, n, room, before, after, stop, fault)) return false;
    *out_next = at + n;
    for (uint64_t i = 0; i < n && *out_next; i++) {
      const FarSlotState what = far_ring_state(queue, at + i, before[i]);
      bool dead = false;
      if (what == FAR_SLOT_HELD && !far_ring_dead(queue, before[i], &dead, fault)) return false;
      if (dead) { /* it may be there again */
        if (!far_ring_clean(queue, at + i, before[i], stop, fault)) return false;
        *out_next = at + i;
        break;
      }
      if (what == FAR_SLOT_FREE || what == FAR_SLOT_BEFORE) *out_next = 0;
      if (what != FAR_SLOT_READY || before[i] != after[i]) continue;
      memmove(out + *out_n * stride, room + i * stride, stride);
      ++*out_n;
    }
  }
  return true;
}

bool far_queue_waiting(FarQueue *queue, uint64_t *out, Stop *stop, Fault *fault) {
  FarQueueRoot root;
  if (!far_ring_states(queue, 0, 0, NULL, &root, stop, fault)) return false;
  *out = root.end > root.front ? root.end - root.front : 0;
  if (*out > queue->length) *out = queue->length;
  return true;
}
