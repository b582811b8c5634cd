/*
** What a network card does by itself to the memory of another machine: it reads, it writes, and it
** changes a word. No processor there takes part.
**
** Works are posted in chains; one chain is under way at a time. They are done in their order, with
** the exceptions that RDMA makes (InfiniBand's ordering of work requests): a write or a change
** may overtake reads and changes before it, unless it has a fence. A word (8 bytes, aligned) is
** read and written at once; more than that in no order, and others may see half of it.
**
** rdma_nic.c makes them of verbs; tests have one that works on memory of their own.
*/
#ifndef TENFOLD_REMOTE_NIC_H
#define TENFOLD_REMOTE_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

typedef enum NicCode { NIC_READ, NIC_WRITE, NIC_CAS, NIC_ADD } NicCode;

typedef struct NicWork {
  NicCode code;
  bool fence;      /* not before everything that was read before it is here */
  uint64_t at;     /* offset in the far memory */
  uint32_t local;  /* offset in `room` of what is written, or of where what is read goes */
  uint32_t length; /* CAS, ADD: 8, the word as it was */
  uint64_t value, expected;
} NicWork;

typedef enum NicState { NIC_BUSY, NIC_DONE, NIC_FAILED } NicState;

typedef struct Nic Nic;

typedef struct NicKind {
  /* At most `depth` works. False: the card refuses, and the connection is of no more use. */
  bool (*post)(Nic *nic, const NicWork *works, size_t n, Fault *fault);
  /* What became of the chain. NIC_FAILED: *out_why says what the card says, and the connection is
  ** of no more use. Does not wait. */
  NicState (*poll)(Nic *nic, const char **out_why);
  /* The chain takes long: makes a card look again at what it waits for. At most NIC_NUDGES times
  ** a chain. */
  void (*nudge)(Nic *nic);
  /* Afterwards nothing comes into `room` any more. `inherited`: by fork(); the parent uses it. */
  void (*close)(Nic *nic, bool inherited);
} NicKind;

struct Nic {
  const NicKind *kind;
  unsigned char *room; /* memory here that works name; aligned to a page */
  size_t nroom, depth;
  bool fences;   /* works may have one. Else chains end where one would be needed */
  uint64_t base; /* where the far memory lies for its own machine, and the key to it */
  uint32_t key;
};

/* So much room is enough for any work that chain.c makes. */
enum { NIC_ROOM = 2 << 20, NIC_DEPTH = 512, NIC_NUDGES = 6 };

#endif
