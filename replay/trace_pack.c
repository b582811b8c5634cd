/*
** See trace_pack.h. Three blocks are in play: one is filled by the recorder, one may wait, one is
** compressed and written, by one write(), so that a killed recorder leaves at most one torn block.
*/
#define _GNU_SOURCE
#include "replay/trace_pack.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/array.h"

struct Packer {
  int fd;
  const char *dir;
  cpu_set_t cpus; /* where the thread may run */
  bool has_cpus, has_thread;
  pthread_t thread;
  pthread_mutex_t mutex; /* guards the rest up to `fault` */
  pthread_cond_t changed;
  EventBlock waiting;
  bool is_waiting, ends;
  bool failed; /* the disk refused: what follows would leave a hole */
  Fault fault;
  EventBlock working; /* the thread's own, as is what follows */
  uint8_t *packed;
  size_t packed_capacity;
  uint64_t stored;
  ZSTD_CCtx *zstd;
};

uint64_t block_hash(const BlockHead *head, const void *payload) {
  BlockHead clean = *head;
  clean.hash = 0;
  uint64_t h = XXH3_64bits(&clean, sizeof clean);
  return head->stored ? XXH3_64bits_withSeed(payload, head->stored, h) : h;
}

/* ---- the thread */

static bool write_all(Packer *packer, const void *bytes, size_t size, Fault *fault) {
  const char *next = bytes;
  for (size_t left = size; left;) {
    ssize_t n = write(packer->fd, next, left);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return fault_set(fault, FAULT_IO, "recording \"%s\": events cannot be written: %s",
                       packer->dir, n < 0 ? strerror(errno) : "the disk is full");
    }
    next += n;
    left -= (size_t)n;
  }
  packer->stored += size;
  return true;
}

static bool pack(Packer *packer, const EventBlock *block, Fault *fault) {
  const size_t bound = ZSTD_compressBound(block->length);
  BlockHead head = {.magic = BLOCK_MAGIC,
                    .codec = CODEC_ZSTD,
                    .raw = (uint32_t)block->length,
                    .first_ev = block->first_ev,
                    .events = block->events};
  if (!array_extend(packer->packed, packer->packed_capacity, sizeof head + bound)) {
    return fault_oom(fault);
  }
  uint8_t *payload = packer->packed + sizeof head;
  size_t n = ZSTD_compressCCtx(packer->zstd, payload, bound, block->bytes, block->length, 1);
  if (ZSTD_isError(n) || n >= block->length) {
    head.codec = CODEC_RAW;
    n = block->length;
    memcpy(payload, block->bytes, n);
  }
  head.stored = (uint32_t)n;
  head.hash = block_hash(&head, payload);
  memcpy(packer->packed, &head, sizeof head);
  return write_all(packer, packer->packed, sizeof head + n, fault);
}

static void swap(EventBlock *a, EventBlock *b) {
  const EventBlock block = *a;
  *a = *b;
  *b = block;
}

static void *work(void *ctx) {
  Packer *packer = ctx;
  pthread_mutex_lock(&packer->mutex);
  for (;;) {
    while (!packer->is_waiting && !packer->ends) {
      pthread_cond_wait(&packer->changed, &packer->mutex);
    }
    if (!packer->is_waiting) break;
    swap(&packer->waiting, &packer->working);
    packer->is_waiting = false;
    pthread_cond_broadcast(&packer->changed);
    if (packer->failed) continue;
    pthread_mutex_unlock(&packer->mutex);
    Fault fault = {0};
    const bool ok = pack(packer, &packer->working, &fault);
    pthread_mutex_lock(&packer->mutex);
    packer->failed = !ok;
    packer->fault = fault;
  }
  pthread_mutex_unlock(&packer->mutex);
  return NULL;
}

/* ---- the recorder's side */

/* Signals are the recorder's: its timer wakes it from its waiting. */
static bool start(Packer *packer, Fault *fault) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int failure = pthread_create(&packer->thread, NULL, work, packer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  packer->has_thread = failure == 0;
  if (failure) {
    return fault_set(fault, FAULT_IO, "recording \"%s\": no thread can be made: %s", packer->dir,
                     strerror(failure));
  }
  if (packer->has_cpus) pthread_setaffinity_np(packer->thread, sizeof packer->cpus, &packer->cpus);
  return true;
}

static void end(Packer *packer) {
  if (!packer->has_thread) return;
  pthread_mutex_lock(&packer->mutex);
  packer->ends = true;
  pthread_cond_broadcast(&packer->changed);
  pthread_mutex_unlock(&packer->mutex);
  pthread_join(packer->thread, NULL);
  packer->has_thread = false;
}

void packer_destroy(Packer *packer) {
  if (!packer) return;
  end(packer);
  pthread_mutex_destroy(&packer->mutex);
  pthread_cond_destroy(&packer->changed);
  ZSTD_freeCCtx(packer->zstd);
  close(packer->fd);
  free(packer->waiting.bytes);
  free(packer->working.bytes);
  free(packer->packed);
  free(packer);
}

bool packer_create(int fd, const char *dir, const FileHead *head, Packer **out, Fault *fault) {
  Packer *packer = calloc(1, sizeof *packer);
  if (!packer) {
    close(fd);
    return fault_oom(fault);
  }
  packer->fd = fd;
  packer->dir = dir;
  packer->has_cpus = sched_getaffinity(0, sizeof packer->cpus, &packer->cpus) == 0;
  pthread_mutex_init(&packer->mutex, NULL);
  pthread_cond_init(&packer->changed, NULL);
  packer->zstd = ZSTD_createCCtx();
  if ((!packer->zstd && !fault_oom(fault)) || !write_all(packer, head, sizeof *head, fault)) {
    packer_destroy(packer);
    return false;
  }
  *out = packer;
  return true;
}

bool packer_take(Packer *packer, EventBlock *block, Fault *fault) {
  if (!packer->has_thread && !start(packer, fault)) return false;
  pthread_mutex_lock(&packer->mutex);
  while (packer->is_waiting) pthread_cond_wait(&packer->changed, &packer->mutex);
  const bool ok = !packer->failed;
  if (ok) {
    swap(&packer->waiting, block);
    packer->is_waiting = true;
    pthread_cond_broadcast(&packer->changed);
  } else {
    fault_set(fault, packer->fault.code, "%s", packer->fault.text);
  }
  pthread_mutex_unlock(&packer->mutex);
  block->length = 0;
  block->events = 0;
  return ok;
}

bool packer_finish(Packer *packer, bool complete, Fault *fault) {
  end(packer);
  if (packer->failed) return fault_set(fault, packer->fault.code, "%s", packer->fault.text);
  if (!complete) return true;
  BlockHead head = {.magic = BLOCK_MAGIC, .codec = CODEC_END};
  head.hash = block_hash(&head, NULL);
  return write_all(packer, &head, sizeof head, fault);
}

uint64_t packer_stored(const Packer *packer) { return packer->stored; }
