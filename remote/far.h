/*
** Far memory: memory that many programs share and none of them owns, one round trip away.
**
** From "Designing Far Memory Data Structures: Think Outside the Box" (Aguilera, Keeton, Novakovic,
** Singhal, HotOS'19). A far memory holds words and bytes; what is done to it are the operations
** below, sent in *rounds*. A round is any number of operations that the memory does in their order;
** the caller waits once. Rounds are what costs, so they are what is counted.
**
**   FarMemory *memory = far_open("shm:demo", NULL, &fault);
**   FarOp ops[] = {{.code = FAR_ADD, .at = hits, .value = 1},
**                  {.code = FAR_READ, .at = name, .local = text, .length = sizeof text}};
**   if (!far_round(memory, ops, 2, NULL, &fault)) …   ops[0].old is the count before
**   far_close(memory);
**
** Structures made of it: map.h and its neighbours. Nothing here knows SQLite. One thread uses a
** FarMemory at a time.
*/
#ifndef TENFOLD_REMOTE_FAR_H
#define TENFOLD_REMOTE_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/stop.h"

typedef struct FarMemory FarMemory;

/* ---- pointers -------------------------------------------------------------------------------- */

/* What far memory stores as a pointer: region 12 bits, tag 8, offset 44. The region says which
** memory it belongs to, so that a pointer into another one, or into what was there before the
** memory was made anew, is found out. The tag is the structure's. 0 points nowhere. */
typedef uint64_t FarPointer;

enum { FAR_OFFSET_BITS = 44, FAR_TAG_BITS = 8, FAR_REGION_BITS = 12 };

static inline uint64_t far_offset(FarPointer p) { return p & ((UINT64_C(1) << 44) - 1); }
static inline unsigned far_tag(FarPointer p) { return p >> 44 & 0xff; }
static inline unsigned far_region(FarPointer p) { return (unsigned)(p >> 52); }
static inline FarPointer far_pointer(unsigned region, unsigned tag, uint64_t offset) {
  return (uint64_t)region << 52 | (uint64_t)(tag & 0xff) << 44 | offset;
}

/* ---- operations (the paper's section 4) ------------------------------------------------------ */

/* Words are 8 bytes, aligned to 8, in the machine's order (little-endian), and change at once.
** Longer ranges are read and written in no order, and others may see half of it. Below, *p is the
** word at p, and [p, n) the n bytes from p on. Every operation that changes a word tells the one
** before in .old. */
typedef enum FarCode {
  FAR_READ,   /* local = [at, length) */
  FAR_WRITE,  /* [at, length) = local */
  FAR_CAS,    /* if *at is `expected`, *at = value */
  FAR_ADD,    /* *at += value */
  FAR_EXPECT, /* nothing, but a guard: *at is `expected` */

  /* Through a pointer that is in far memory: one round instead of two. .old is that pointer. */
  FAR_LOAD0,  /* local = [*at, length) */
  FAR_LOAD1,  /* local = [*at + index, length) */
  FAR_LOAD2,  /* local = [*(at + index), length) */
  FAR_STORE0, /* … = local, in the same three ways */
  FAR_STORE1,
  FAR_STORE2,
  FAR_ADD0, /* **at += value */
  FAR_ADD1, /* *(*at + index) += value */
  FAR_ADD2, /* **(at + index) += value */
  FAR_FAAI, /* p = *at; *at += value; local = [p, length) */
  FAR_SAAI, /* p = *at; *at += value; [p, length) = local */

  /* The element under a key in the bucket at `at`, if it is there, and what its cells point to
  ** where the search says so (the paper's LOAD0): see FarSearch in layout.h. Not in the paper; a
  ** memory without processors reads the whole bucket for it. */
  FAR_FIND,
  FAR_RANGE, /* the same for all elements with keys between two */
  FAR_NCODES
} FarCode;

typedef enum FarStatus {
  FAR_DONE,
  FAR_DIFFERS,   /* CAS, EXPECT: the word was another one */
  FAR_NOWHERE,   /* the pointer found points nowhere */
  FAR_ELSEWHERE, /* FIND: the bucket does not hold such keys any more */
  FAR_CHANGING,  /* FIND, RANGE: somebody is changing the bucket, and did not come to an end */
  FAR_SKIPPED    /* a guard before it did not hold */
} FarStatus;

/* Some of what is read or written: READ and WRITE may have several (rscatter, wgather). */
typedef struct FarPiece {
  void *bytes;
  uint32_t length;
} FarPiece;

typedef struct FarOp {
  FarCode code;
  bool guard; /* CAS, EXPECT: unless it holds, the rest of the round is skipped */
  FarPointer at;
  uint64_t index; /* FIND, RANGE, out: bytes in local */
  uint64_t value, expected;
  void *local;     /* WRITE and its like only read it */
  uint32_t length; /* of local; FIND, RANGE: room there */
  uint32_t npieces;
  const FarPiece *pieces;         /* or these instead of local; `length` in all */
  const struct FarSearch *search; /* FIND, RANGE: in buckets of which shape, … */
  const void *key; /* … for what: shape.key bytes; what a text does not fill is 0 */

  FarStatus status; /* out */
  uint64_t old;     /* out; FIND: the element's slot, FAR_NONE; RANGE: a bit for each slot */
} FarOp;

#define FAR_NONE UINT64_MAX

/* All of them in their order, in one round trip. False, with a fault, when that could not be done:
** whether some of it was done is then not known. Retries nothing. */
bool far_round(FarMemory *memory, FarOp *ops, size_t n, Stop *stop, Fault *fault);

/* ---- a connection ---------------------------------------------------------------------------- */

typedef struct FarOptions {
  uint64_t size;       /* bytes of a memory that is made, 0: 1 GiB */
  int64_t deadline_ns; /* of one round, 0: a second */
  bool must_exist;     /* an error instead of making one */
  const char *secret;  /* that a server asks for; NULL: none */
} FarOptions;

/* `at`: "shm:NAME", memory that the programs of this machine share, or "file:PATH", a file that
** they map; made when it is not there. Or a server's (farmemd): "unix:PATH", "tcp:HOST:PORT", and
** "verbs:HOST:PORT", where the network card of its machine does what is asked (verbs.h). It cannot
** follow pointers or look for keys: rounds are then several round trips where one depends on
** another, or whole buckets (chain.h), and are counted so. Owner: the caller. NULL with a fault. */
FarMemory *far_open(const char *at, const FarOptions *options, Fault *fault);
void far_close(FarMemory *memory);

/* A connection that was lost is made anew, as another client: what this one held (locks, mutexes,
** prepared transactions) is gone with it, so it does not happen by itself. Does nothing to one that
** is well. FAULT_IO, also when the memory was made anew meanwhile. */
bool far_revive(FarMemory *memory, Stop *stop, Fault *fault);

/* Removes what "shm:NAME" or "file:PATH" names; who has it open keeps it. FAULT_NOTFOUND: there is
** none. */
bool far_unlink(const char *at, Fault *fault);

/* For tests: what the network and fate may do to this connection from now on. */
typedef struct FarInjection {
  int64_t ns;    /* that each round takes longer */
  uint64_t dies; /* the process is killed before so many operations more; 0: it is not */
  /* Of notices (watch.h), as they arrive: */
  unsigned lost;   /* one of so many is lost; 0: none, 1 is all */
  unsigned twice;  /* one of so many comes twice */
  int64_t late_ns; /* each comes so much later */
} FarInjection;
FarInjection *far_injection(FarMemory *memory);

const char *far_at(const FarMemory *memory);
unsigned far_region_of(const FarMemory *memory);
uint64_t far_client(const FarMemory *memory);      /* of this connection; never 0 */
uint64_t far_incarnation(const FarMemory *memory); /* another one when contents were lost */

/* ---- counts ---------------------------------------------------------------------------------- */

/* Since the memory was opened. A far access is a round trip that the caller waits for. */
typedef struct FarCounts {
  uint64_t rounds, messages; /* messages: operations */
  uint64_t bytes_out, bytes_in;
  uint64_t retries;  /* rounds that were done again: somebody was in the way */
  uint64_t timeouts; /* rounds that were given up */
  uint64_t hits;     /* answers from what was kept here */
  uint64_t notices;  /* that were delivered */
} FarCounts;

FarCounts *far_counts(FarMemory *memory);

#endif
