/*
** The far memory's side of copies: what standby.c does in it.
**
** A head is the element of a slice's number in one map. In the other, hash and number of a part
** (together 10 bytes, so that they come in the order of hashes) lead to a part of what is known of
** the keys with that hash: the length of it all (a word), then for each row its version, flags (1:
** gone, 2: not in the database yet) and cells, as object.h writes them.
*/
#ifndef TENFOLD_REMOTE_OWNERS_STANDBY_FAR_H
#define TENFOLD_REMOTE_OWNERS_STANDBY_FAR_H

#include "remote/owners/standby.h"
#include "remote/scan.h"

enum { OWN_PART = 232 };

typedef struct OwnHead {
  uint64_t generation, epoch, doubts[OWN_DOUBTS];
} OwnHead;

typedef struct OwnFar {
  FarMemory *memory;
  FarMap *heads, *rows;
} OwnFar;

/* Both maps, made when they are not there. */
bool own_far_open(OwnFar *far, const char *name, const char *at, const char *secret, Fault *fault);
void own_far_close(OwnFar *far);

/* Heads of slices, where they are those that are said to be there (NULL: whatever is there), become
** others. FAULT_CONFLICT: they are not. */
bool own_far_put_heads(OwnFar *far, const int *slices, const OwnHead *there, const OwnHead *heads,
                       size_t n, Fault *fault);
/* Generation 0: there is none. */
bool own_far_get_heads(OwnFar *far, const int *slices, OwnHead *out, size_t n, Fault *fault);

/* Rows and what is in doubt, if the head is still ours. *out_long: rows that were too long. */
bool own_far_write(OwnFar *far, const OwnType *type, int slice, const OwnBatch *batch,
                   uint64_t *out_long, Fault *fault);

/* What stands under each hash from `low` to `high`, in their order. Bytes are not looked at; NULL:
** they are not whole. */
typedef bool OwnFarEach(void *ctx, uint64_t hash, const unsigned char *bytes, size_t length,
                        Fault *fault);
bool own_far_read(OwnFar *far, uint64_t low, uint64_t high, OwnFarEach *each, void *ctx,
                  Fault *fault);

#endif
