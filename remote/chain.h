/*
** Rounds for a memory without processors: as chains of works for a network card (nic.h).
**
** What does not depend on what comes back goes in one chain, and so in one trip: reads, writes,
** changes of words, and whole buckets for FAR_FIND. A chain ends
**
**   before a write or a change behind a guard, whose outcome must be known (what only reads goes
**   along, and is thrown away when the guard does not hold);
**   before a write or a change behind a read, where the card's fences are of no use (nic.h);
**   before an indirect operation follows the pointer that it has read;
**   behind FINDs, since one that met a bucket in the middle of a change comes again; what cells
**   point to is then one trip more for all of them.
**
** Each chain is a round trip, and is counted as a round. Results are those of far_execute().
**
** No processor tells the notice board (board.h) of what a card has written: so a chain that writes
** ends with a look whether anybody watches anything, and if so, its client has to see to it.
*/
#ifndef TENFOLD_REMOTE_CHAIN_H
#define TENFOLD_REMOTE_CHAIN_H

#include "remote/memory.h"
#include "remote/nic.h"

typedef struct Chain Chain;

/* For a memory of this region and size, whose name (for messages) stays the caller's, like the card
** and the counts. */
Chain *chain_open(Nic *nic, const char *at, unsigned region, uint64_t size, FarCounts *counts,
                  Fault *fault);
void chain_close(Chain *chain);

/* The memory has a notice board: chain_wrote() is asked after each round. */
void chain_has_board(Chain *chain);
/* The slots of the board, a bit each, where the last round may have written; NULL: nobody
** watches. */
const uint64_t *chain_wrote(const Chain *chain);

/* False, with *out_lost: the card must not be used any more. Without: an operation was wrong in
** itself, and those before it are done. */
bool chain_round(Chain *chain, const FarSegment *segments, int n, int64_t deadline, Stop *stop,
                 bool *out_lost, Fault *fault);

#endif
