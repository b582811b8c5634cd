/*
** What the random tests of remote/ have in common.
*/
#ifndef TENFOLD_TEST_REMOTE_CHECK_H
#define TENFOLD_TEST_REMOTE_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"

static Fault fault;           /* of what must not fail */
static uint64_t random_state; /* of draw() */
static int tests_done;        /* tests */

static inline void must(bool ok) {
  if (ok) return;
  printf("Bail out! %s\n", fault.text);
  exit(1);
}

static inline void ok(const char *what) { printf("ok %d - %s\n", ++tests_done, what); }

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static inline uint64_t draw(void) {
  random_state += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = random_state;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return z ^ z >> 31;
}
static inline unsigned pick(unsigned n) { return (unsigned)(draw() % n); }

#endif
