/*
** Copies of slices in far memory, so that whoever owns a slice next has its rows without the
** database. ("Designing Far Memory Data Structures" and "Fast key-value stores" are both of
** HotOS'19; here the one stands behind the other.)
**
** What has changed is written behind the changes, by a thread of the table's. A copy is believed
** only when it is surely not older than what was committed:
**
** - Before a change is prepared, its key is marked in the head of the slice's copy: the row there
**   is in *doubt*, until it was written anew. (With a table behind; what has none is as it was a
**   moment ago.) Two rounds for the first change of a key after it was written.
** - Whoever takes a slice over writes his epoch into the head first. The head is part of every
**   transaction that changes the copy, so that an owner who is one no longer cannot.
** - That there is a copy to be believed says the coordinator: "copy/TABLE/SLICE" is the generation
**   of it, which stands in the head as well. A far memory that does not answer, is full, or has
**   forgotten everything costs no more than what it was good for: the coordinator is told that
**   there is no copy before the next change is made without one. The item changes hands with the
**   slice, for it is changed on condition that the slice is as it was.
**
** In far memory there are two maps for each table, its heads and its rows: under the hash of a key
** all rows with that hash, cut into parts of one size. A slice is a range of hashes, and so is read
** some hundred rows a round.
*/
#ifndef TENFOLD_REMOTE_OWNERS_STANDBY_H
#define TENFOLD_REMOTE_OWNERS_STANDBY_H

#include "remote/owners/table.h"

typedef struct OwnStandby OwnStandby;

/* Copies of this table's slices at a far memory (far.h), named by `coordinator` and the table. The
** memory is connected to when it is there, and again and again when it is not. `table` closes it
** with itself. NULL: no memory, no thread. */
OwnStandby *own_standby_open(OwnTable *table, const char *coordinator, const char *at,
                             const char *secret, Fault *fault);
void own_standby_close(OwnStandby *standby); /* NULL is fine */
const char *own_standby_at(const OwnStandby *standby);

/* Rows with these hashes are about to change, and pending already. OWN_WAIT: they may not yet. */
OwnAnswer own_standby_doubt(OwnTable *table, const uint64_t *hashes, size_t n);

/* Writes what is behind in the copy of a slice. OWN_COPY_KEPT: all of it is there, as it was
** when this was called; OWN_COPY_OFF: there is none; OWN_COPY_FAILED: there may be an old one. */
OwnCopyState own_standby_drain(OwnTable *table, int slice);

/* Copies of these generations become ours, at the slices' epochs; with `read` the rows are put into
** the slices, which are closed. Slices of which that failed are OWN_COPY_FAILED afterwards: the
** coordinator believes in a copy that is not here. */
void own_standby_adopt(OwnTable *table, const int *slices, const uint64_t *generations, size_t n,
                       bool read);

typedef struct OwnStandbyStats {
  uint64_t slices;                /* of which there is a copy now */
  uint64_t behind;                /* rows that wait to be written */
  uint64_t written, read, longer; /* rows; and that were too long to be written */
  uint64_t failures;              /* times that it was given up */
  char trouble[FAULT_TEXT];       /* what happened the last time; "": all is well */
} OwnStandbyStats;
void own_standby_stats(OwnTable *table, OwnStandbyStats *out);

/* ---- what is known here of a copy (copy.c); the slice's lock is held ------------------------- */

/* The row with this hash may be another one now. */
void own_copy_touch(OwnSlice *slice, uint64_t hash);
/* A copy is begun: all rows are to be written. What is being changed is in doubt, if `doubt`.
** False: no memory. */
bool own_copy_begin(OwnSlice *slice, uint64_t generation, bool doubt);
/* It could not be written. */
void own_copy_fail(OwnSlice *slice);
/* The coordinator says that there is one, of which we know nothing. */
void own_copy_distrust(OwnSlice *slice);
/* The slice is another's, or nobody's. */
void own_copy_end(OwnSlice *slice);
void own_copy_free(OwnSlice *slice);

void own_doubt(uint64_t *doubts, uint64_t hash);
bool own_doubted(const uint64_t *doubts, uint64_t hash);

enum { OWN_BATCH = 128, OWN_MOST_COPIED = 256 << 10 /* bytes of a row, or of a batch's */ };
typedef struct OwnBatchRow {
  uint64_t hash;
  OwnObject *object; /* NULL: there is none with this hash */
  bool gone, dirty;
} OwnBatchRow;
typedef struct OwnBatch {
  uint64_t generation, epoch, doubts[OWN_DOUBTS];
  OwnBatchRow rows[2 * OWN_BATCH]; /* those of one hash one behind the other */
  size_t n, nhashes;
} OwnBatch;

/* What is to be written next, and what will be in doubt then: less than before. False: nothing. */
bool own_copy_take(OwnSlice *slice, OwnBatch *out);
void own_batch_drop(OwnBatch *batch);

#endif
