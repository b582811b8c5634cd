/*
** A network card that works on memory of this process, as badly as a real one may: writes and
** changes overtake reads unless a fence keeps them back, long ranges are read and written in bits
** and pieces while others write, it is late, and it fails.
*/
#ifndef TENFOLD_TEST_FAKE_NIC_H
#define TENFOLD_TEST_FAKE_NIC_H

#include "remote/execute.h"
#include "remote/nic.h"

typedef struct FakeNic {
  Nic nic;
  FarMapped memory;
  uint64_t chance; /* state of what it decides by */
  /* Somebody else: called between any two steps. NULL: nobody. */
  void (*meanwhile)(void *ctx);
  void *ctx;
  uint64_t fails;  /* the work, counted from now, that fails; 0: none */
  const char *why; /* what it says then */
  unsigned nudges; /* so far */
  bool silent;     /* it never answers */
  unsigned late;   /* polls until it answers */
  uint64_t chains, works;
  /* Its own. */
  const char *failed;
  unsigned polls;
} FakeNic;

/* The memory stays the caller's. Ended by nic->kind->close(). */
FakeNic *fake_nic_open(const FarMapped *memory, size_t room, size_t depth, uint64_t seed);

#endif
