/*
** A queue from inside: its ring of slots.
*/
#ifndef TENFOLD_REMOTE_RING_H
#define TENFOLD_REMOTE_RING_H

#include "remote/queue.h"

enum { FAR_WINDOW = 64 }; /* slots that are looked at in a round */

typedef struct FarQueueRoot {
  FarBucket head;
  uint64_t shape, length;
  FarPointer slots;
  uint64_t spare[5];
  /* Hints, never ahead of what they say: all tickets before `front` are done with, all before `end`
  ** were had. Each on a line of its own, for each is written by others. */
  uint64_t front, away[7];
  uint64_t end, far_away[7];
} FarQueueRoot;

struct FarQueue {
  FarMemory *memory;
  char *name;
  FarShape shape;
  uint64_t schema, serial, length;
  FarPointer root, slots;
  uint64_t head, tail; /* hints of ours */
  bool tail_known;     /* the ticket there can be had, as far as we know */
  uint64_t told;       /* what the root said of the end, */
  uint64_t front, end; /* and holds of both, as far as we know */
  uint64_t passed;     /* a claim that was waited for in vain; 0: none */
};

/* The words of n slots (at most FAR_WINDOW) from a ticket on; and what the root says, first (NULL:
** it is not asked). A round. FAULT_NOTFOUND: it was dropped. */
bool far_ring_states(FarQueue *queue, uint64_t ticket, uint64_t n, uint64_t *out,
                     FarQueueRoot *root, Stop *stop, Fault *fault);

typedef enum FarSlotState {
  FAR_SLOT_FREE,   /* nobody had this ticket yet */
  FAR_SLOT_READY,  /* its element waits */
  FAR_SLOT_HELD,   /* a client is at it */
  FAR_SLOT_BEFORE, /* the slot is still that of an earlier ticket */
  FAR_SLOT_OVER    /* of a later one: this one is done with */
} FarSlotState;

/* What a slot's word says of a ticket that is due there. */
FarSlotState far_ring_state(const FarQueue *queue, uint64_t ticket, uint64_t state);

/* All tickets before this one are done with, as far as we know. */
static inline uint64_t far_ring_over(const FarQueue *queue) {
  return queue->front > queue->head ? queue->front : queue->head;
}

/* Is the client in a slot's word dead? One that is in doubt counts as alive. */
bool far_ring_dead(FarQueue *queue, uint64_t state, bool *out, Fault *fault);

/* What a dead client left in a slot: what it was taking is there again, what it was putting is
** skipped. `ticket`: one of that slot, of about that time. A round. */
bool far_ring_clean(FarQueue *queue, uint64_t ticket, uint64_t state, Stop *stop, Fault *fault);

#endif
