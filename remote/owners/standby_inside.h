/*
** What standby.c and standby_take.c share.
*/
#ifndef TENFOLD_REMOTE_OWNERS_STANDBY_INSIDE_H
#define TENFOLD_REMOTE_OWNERS_STANDBY_INSIDE_H

#include "remote/owners/standby_far.h"

struct OwnStandby {
  OwnTable *table;
  char *at, *secret;
  char name[FAR_NAME]; /* of the maps */
  pthread_t thread;
  bool running;

  pthread_mutex_t lock; /* of the far memory, and of what stands from here to the next lock */
  OwnFar far;
  int64_t again, pause; /* when it is connected to again, and how long that was waited for */

  pthread_mutex_t news; /* of the rest */
  pthread_cond_t wake;
  bool ending;
  OwnStandbyStats stats;
};

/* With `lock` held. The far memory is there. */
bool own_standby_connected(OwnStandby *it, Fault *fault);
/* These copies could not be written or read: they, or all of the table's, are given up. */
void own_standby_failed(OwnStandby *it, const int *numbers, size_t n, const Fault *fault);

static inline OwnSlice *own_slice_lock(OwnTable *table, int number) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  return slice;
}

static inline void own_slice_unlock(OwnSlice *slice) { pthread_mutex_unlock(&slice->lock); }

/* The hashes of a slice: from `low` to `high`. */
static inline void own_slice_range(const OwnTable *table, int number, uint64_t *low,
                                   uint64_t *high) {
  *low = own_slice_first(table, number);
  *high = number + 1 == table->nslices ? UINT64_MAX : own_slice_first(table, number + 1) - 1;
}

#endif
