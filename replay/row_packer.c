/*
** Packing on another processor: see row_packer.h.
*/
#define _GNU_SOURCE /* memfd_create, cpu_set_t */
#include "replay/row_packer.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Part {
  uint64_t from, size; /* size 0: it is clear */
} Part;

struct RowPacker {
  PackWriter writer;
  RowTaker taker;
  int ring;
  const uint8_t *map;
  cpu_set_t set;
  bool has_set, has_thread;
  pthread_t thread;
  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t changed;
  Part parts[ROW_PARTS];
  int queue[ROW_PARTS]; /* parts that are full, the oldest first */
  int waiting;
  bool ending;
  Fault fault; /* once there is one nothing is packed any more */
};

/* ---- the thread ------------------------------------------------------------------------------ */

static bool pack_part(RowPacker *packer, const Part *part, Fault *fault) {
  const size_t row = packer->writer.layout.words * sizeof(uint64_t);
  return pack_add(&packer->writer, (const uint64_t *)(const void *)(packer->map + part->from),
                  part->size / row, fault);
}

static void *pack_all(void *ctx) {
  RowPacker *packer = ctx;
  pthread_mutex_lock(&packer->lock);
  for (;;) {
    while (!packer->waiting && !packer->ending) {
      pthread_cond_wait(&packer->changed, &packer->lock);
    }
    if (!packer->waiting) break;
    const int number = packer->queue[0];
    const Part part = packer->parts[number];
    Fault fault = packer->fault;
    pthread_mutex_unlock(&packer->lock);
    if (!fault.code) pack_part(packer, &part, &fault);
    pthread_mutex_lock(&packer->lock);
    packer->fault = fault;
    packer->parts[number].size = 0;
    packer->waiting--;
    memmove(packer->queue, packer->queue + 1, (size_t)packer->waiting * sizeof *packer->queue);
    pthread_cond_broadcast(&packer->changed);
  }
  pthread_mutex_unlock(&packer->lock);
  return NULL;
}

/* Signals are for the thread that traces: its timer ends its waiting. */
static bool start(RowPacker *packer, Fault *fault) {
  sigset_t all, before;
  if (packer->has_thread) return true;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failed = pthread_create(&packer->thread, NULL, pack_all, packer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed) return fault_set(fault, FAULT_IO, "packing: no thread: %s", strerror(failed));
  packer->has_thread = true;
  if (packer->has_set) pthread_setaffinity_np(packer->thread, sizeof packer->set, &packer->set);
  return true;
}

static void stop(RowPacker *packer) {
  if (!packer->has_thread) return;
  pthread_mutex_lock(&packer->lock);
  packer->ending = true;
  pthread_cond_broadcast(&packer->changed);
  pthread_mutex_unlock(&packer->lock);
  pthread_join(packer->thread, NULL);
  packer->has_thread = false;
}

/* ---- who fills the ring ---------------------------------------------------------------------- */

static bool take(void *ctx, int number, uint64_t from, uint64_t size, Fault *fault) {
  RowPacker *packer = ctx;
  if (from > ROW_RING || size > ROW_RING - from) {
    return fault_set(fault, FAULT_INTERNAL, "packing: a part outside of the ring");
  }
  if (!start(packer, fault)) return false;
  pthread_mutex_lock(&packer->lock);
  packer->parts[number] = (Part){from, size};
  packer->queue[packer->waiting++] = number;
  pthread_cond_broadcast(&packer->changed);
  pthread_mutex_unlock(&packer->lock);
  return true;
}

static bool clear(void *ctx, int number, Fault *fault) {
  RowPacker *packer = ctx;
  pthread_mutex_lock(&packer->lock);
  while (packer->parts[number].size) pthread_cond_wait(&packer->changed, &packer->lock);
  const Fault found = packer->fault;
  pthread_mutex_unlock(&packer->lock);
  return !found.code || fault_set(fault, found.code, "%s", found.text);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool make_ring(RowPacker *packer, Fault *fault) {
  packer->ring = memfd_create("omni ring", MFD_CLOEXEC);
  if (packer->ring < 0 || ftruncate(packer->ring, ROW_RING)) {
    return fault_set(fault, FAULT_IO, "packing: %s", strerror(errno));
  }
  void *map = mmap(NULL, ROW_RING, PROT_READ, MAP_SHARED, packer->ring, 0);
  if (map == MAP_FAILED) return fault_set(fault, FAULT_IO, "packing: %s", strerror(errno));
  packer->map = map;
  return true;
}

bool row_packer_create(int fd, const RowLayout *layout, const void *set, RowPacker **out,
                       Fault *fault) {
  RowPacker *packer = calloc(1, sizeof *packer);
  *out = NULL;
  if (!packer) return fault_oom(fault);
  packer->ring = -1;
  packer->taker = (RowTaker){packer, take, clear};
  packer->has_set = set != NULL;
  if (set) packer->set = *(const cpu_set_t *)set;
  pthread_mutex_init(&packer->lock, NULL);
  pthread_cond_init(&packer->changed, NULL);
  if (!make_ring(packer, fault) || !pack_begin(fd, layout, &packer->writer, fault)) {
    row_packer_free(packer);
    return false;
  }
  *out = packer;
  return true;
}

int row_packer_ring(const RowPacker *packer) { return packer->ring; }
const RowTaker *row_packer_taker(const RowPacker *packer) { return &packer->taker; }

bool row_packer_end(RowPacker *packer, const uint64_t *rows, uint64_t count, RowState state,
                    Fault *fault) {
  stop(packer);
  if (packer->fault.code) return fault_set(fault, packer->fault.code, "%s", packer->fault.text);
  return pack_add(&packer->writer, rows, count, fault) && pack_end(&packer->writer, state, fault);
}

void row_packer_free(RowPacker *packer) {
  if (!packer) return;
  stop(packer);
  pack_finish(&packer->writer);
  if (packer->map) munmap((void *)(uintptr_t)packer->map, ROW_RING);
  if (packer->ring >= 0) close(packer->ring);
  pthread_cond_destroy(&packer->changed);
  pthread_mutex_destroy(&packer->lock);
  free(packer);
}
