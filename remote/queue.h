/*
** A queue in far memory: a ring of slots; what goes in first comes out first.
**
** The paper's queue (section 5.3) is an array with a head and a tail, which faai and saai move and
** use at once. Its fast path is one round, and so is this one's; but those two write and read
** blindly, wherever the counter has come to, and clients that die, or are late by a turn of the
** ring, would lose what others put there. Here the slots themselves say what they are, and head and
** tail are hints: every slot has a word that is, for the ticket t that is due there,
**
**   far_slot_free(t)    nothing yet: whoever puts his claim there has the ticket
**   a claim             it is being put there, and that is over in a round or two
**   a claim | FAR_LASTING       the same in two phases: it may last, and may come to nothing
**   far_slot_ready(t)   an element waits
**   a claim | FAR_TAKING        it was taken, and is being read
**   far_slot_free(t + length)   the ticket is done with: taken, or given up
**
** A client knows where head or tail was when it last looked, and goes for that slot in the round
** that also reads or writes the element; if another one was faster, it learns so, and goes on from
** there. What a dead client had begun to put is skipped, what it had begun to take is there again;
** if it was logged (txn.h), it is there. A client that died after the round in which it took an
** element has taken it, whether its caller saw it or not. Nothing else is ever lost, and nothing
** comes twice.
**
** The order is that of claims: an element is in the queue when its ticket was claimed, and out of
** it when it was claimed for taking. Who comes to an element that is being put waits for it, and
** does not say that nothing waits, since others may have been told that there is no room because of
** it. That holds however long it takes between two operations of a round (by verbs: a trip). Passed
** over are those whose transaction has two phases, after some milliseconds, and who is not done in
** half of the round's deadline (a client that was stopped): what they put comes when it is there.
** What comes back from the dead comes out of its turn.
*/
#ifndef TENFOLD_REMOTE_QUEUE_H
#define TENFOLD_REMOTE_QUEUE_H

#include "remote/layout.h"

typedef struct FarQueue FarQueue;

/* A claim is a client's id, which has 55 bits, and in which turn of the ring it was made. */
#define FAR_TAKING (UINT64_C(1) << 62)
#define FAR_LASTING (UINT64_C(1) << 61)
enum { FAR_TURNS_AT = 55, FAR_TURNS = 64 };
#define FAR_CLAIMANT ((UINT64_C(1) << FAR_TURNS_AT) - 1)
static inline uint64_t far_slot_claim(uint64_t ticket, uint64_t length, uint64_t client) {
  return (ticket / length % FAR_TURNS) << FAR_TURNS_AT | client;
}
static inline uint64_t far_slot_free(uint64_t ticket) { return UINT64_C(1) << 63 | ticket << 1; }
static inline uint64_t far_slot_ready(uint64_t ticket) { return far_slot_free(ticket) | 1; }

enum { FAR_MOST_LENGTH_LOG = 28 };
#define FAR_LONGEST_QUEUE (UINT64_C(1) << FAR_MOST_LENGTH_LOG)

/* Opens the queue of this name, or makes it, with room for `length` elements (0: as it was made).
** `shape`: an INTEGER key, which is the ticket, and a stride of stamp, key and cells.
** FAULT_INVALID: it was made with another shape, schema or length. Two rounds. Owner: the
** caller. */
bool far_queue_open(FarMemory *memory, const char *name, const FarShape *shape, uint64_t schema,
                    uint64_t length, FarQueue **out, Stop *stop, Fault *fault);
void far_queue_close(FarQueue *queue);

/* Removes it with all that waits. FAULT_BUSY: somebody is putting or taking something. */
bool far_queue_drop(FarMemory *memory, const char *name, Stop *stop, Fault *fault);

FarMemory *far_queue_memory(const FarQueue *queue);
const FarShape *far_queue_shape(const FarQueue *queue);
const char *far_queue_name(const FarQueue *queue);
uint64_t far_queue_length(const FarQueue *queue);
uint64_t far_queue_serial(const FarQueue *queue); /* of no other thing in this memory */

/* Puts elements (n times the cells of one) behind all others, all of them or none: one round when
** nobody else does so at the same time. Together with other changes: far_txn_push(). FAULT_FULL:
** there is no room for all of them, and none is put. */
bool far_queue_push(FarQueue *queue, const void *cells, uint64_t n, Stop *stop, Fault *fault);

/* Takes up to `most` elements (at most FAR_MOST_TAKEN) from the front, as stamp, ticket, cells:
** *out_n of them, 0 when nothing waits. One round when nobody else does so at the same time; one
** also to find that nothing waits. On failure what was taken before it is in `out` all the same. */
enum { FAR_MOST_TAKEN = 256 };
bool far_queue_pop(FarQueue *queue, uint64_t most, unsigned char *out, uint64_t *out_n, Stop *stop,
                   Fault *fault);

/* What waits, from the ticket `from` on (0: from the front): up to `most` elements, without taking
** them. *out_next: where to go on, 0: that was all. A round, and one to find the front. */
bool far_queue_peek(FarQueue *queue, uint64_t from, uint64_t most, unsigned char *out,
                    uint64_t *out_n, uint64_t *out_next, Stop *stop, Fault *fault);

/* About how many wait: tickets between head and tail. A round. */
bool far_queue_waiting(FarQueue *queue, uint64_t *out, Stop *stop, Fault *fault);

/* ---- for commit.c and group.c ---------------------------------------------------------------- */

/* The first of n tickets in a row that can be had, as far as is known; a round or more when that is
** not much. FAULT_FULL. */
bool far_queue_tickets(FarQueue *queue, uint64_t n, uint64_t *out, Stop *stop, Fault *fault);
FarPointer far_queue_slot(const FarQueue *queue, uint64_t ticket);
FarOp far_queue_there_op(const FarQueue *queue);
FarOp far_queue_tail_op(FarQueue *queue);
/* The tail is there now, for all to know; what came of it. */
FarOp far_queue_move_op(const FarQueue *queue, uint64_t to);
void far_queue_moved(FarQueue *queue, const FarOp *op);
/* The ticket was had, or not (`status` of the operation that went for it, and what it found). */
void far_queue_behind(FarQueue *queue, uint64_t ticket, FarStatus status, uint64_t found);
void far_queue_forget(FarQueue *queue); /* what is known of its end may be wrong */
void far_queue_pushed(FarQueue *queue, uint64_t ticket);

#endif
