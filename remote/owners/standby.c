/*
** The thread that keeps copies, and what others ask of them. One thread at a time uses the far
** memory; slices' locks are taken inside of that, and never while a round is under way.
*/
#define _GNU_SOURCE /* getrandom */
#include "remote/owners/standby.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/array.h"
#include "remote/owners/node.h"
#include "remote/owners/standby_inside.h"

enum { TICK = 10000000, MOST_BATCHES = 1 << 20 };
static const int64_t first_pause = 500000000, longest_pause = 30000000000;

const char *own_standby_at(const OwnStandby *it) { return it->at; }

/* ---- when it fails --------------------------------------------------------------------------- */

static void note(OwnStandby *it, const Fault *fault) {
  pthread_mutex_lock(&it->news);
  memcpy(it->stats.trouble, fault->text, sizeof it->stats.trouble);
  it->stats.failures += fault->code != FAULT_NONE;
  pthread_mutex_unlock(&it->news);
}

static void fail_slice(OwnStandby *it, int number) {
  OwnSlice *slice = own_slice_lock(it->table, number);
  own_copy_fail(slice);
  own_slice_unlock(slice);
}

/* What was written may be there or not: all copies begin anew, once there is a memory again. */
static void fail_all(OwnStandby *it) {
  own_far_close(&it->far);
  it->pause = it->pause ? it->pause * 2 : first_pause;
  if (it->pause > longest_pause) it->pause = longest_pause;
  it->again = clock_now() + it->pause;
  for (int i = 0; i < it->table->nslices; i++) fail_slice(it, i);
}

/* Another owner's copy is no fault of the memory's. */
void own_standby_failed(OwnStandby *it, const int *numbers, size_t n, const Fault *fault) {
  note(it, fault);
  if (fault->code == FAULT_CONFLICT) {
    for (size_t i = 0; i < n; i++) fail_slice(it, numbers[i]);
  } else {
    fail_all(it);
  }
  own_node_hurry(it->table->node);
}

bool own_standby_connected(OwnStandby *it, Fault *fault) {
  return it->far.memory || own_far_open(&it->far, it->name, it->at, it->secret, fault);
}

/* ---- doubts ---------------------------------------------------------------------------------- */

/* OWN_FOUND: all of them are marked. OWN_ABSENT: some are not, yet. */
static OwnAnswer look_at_doubts(OwnTable *table, const uint64_t *hashes, size_t n) {
  OwnAnswer answer = OWN_FOUND;
  for (size_t i = 0; i < n && answer != OWN_WAIT; i++) {
    OwnSlice *slice = own_slice_lock(table, own_slice_of(table, hashes[i]));
    const OwnCopy *copy = &slice->copy;
    if (copy->state == OWN_COPY_FAILED) answer = OWN_WAIT;
    if (copy->state == OWN_COPY_KEPT && !own_doubted(copy->doubts, hashes[i])) answer = OWN_ABSENT;
    own_slice_unlock(slice);
  }
  return answer;
}

typedef struct Marks {
  int *slices;
  OwnHead *there, *heads; /* of each */
  size_t n;
} Marks;

static void marks_free(Marks *marks) {
  free(marks->slices);
  free(marks->there);
  free(marks->heads);
}

static size_t mark_of(const Marks *marks, int number) {
  size_t i = 0;
  while (i < marks->n && marks->slices[i] != number) i++;
  return i;
}

/* The heads as they have to become. */
static OwnAnswer gather(OwnTable *table, const uint64_t *hashes, size_t n, Marks *out) {
  const size_t most = n < (size_t)table->nslices ? n : (size_t)table->nslices;
  out->slices = malloc(most * sizeof *out->slices + 1);
  out->there = calloc(most + 1, sizeof *out->there);
  out->heads = calloc(most + 1, sizeof *out->heads);
  if (!out->slices || !out->there || !out->heads) return OWN_NOMEM;
  for (size_t i = 0; i < n; i++) {
    const int number = own_slice_of(table, hashes[i]);
    OwnSlice *slice = own_slice_lock(table, number);
    const OwnCopyState state = slice->copy.state;
    const size_t at = mark_of(out, number);
    if (state == OWN_COPY_KEPT && at == out->n) {
      out->there[at] = (OwnHead){slice->copy.generation, slice->epoch, {0}};
      out->heads[at] = out->there[at];
      memcpy(out->heads[at].doubts, slice->copy.doubts, sizeof slice->copy.doubts);
      out->slices[out->n++] = number;
    }
    own_slice_unlock(slice);
    if (state == OWN_COPY_FAILED) return OWN_WAIT;
    if (state == OWN_COPY_KEPT) own_doubt(out->heads[at].doubts, hashes[i]);
  }
  return OWN_FOUND;
}

static OwnAnswer mark(OwnStandby *it, const uint64_t *hashes, size_t n) {
  OwnTable *table = it->table;
  Marks marks = {0};
  Fault fault = {0};
  OwnAnswer answer = gather(table, hashes, n, &marks);
  if (answer == OWN_FOUND && marks.n) {
    if (!it->far.memory) {
      answer = OWN_WAIT; /* it has just failed */
    } else if (!own_far_put_heads(&it->far, marks.slices, marks.there, marks.heads, marks.n,
                                  &fault)) {
      own_standby_failed(it, marks.slices, marks.n, &fault);
      answer = OWN_WAIT;
    }
  }
  for (size_t i = 0; answer == OWN_FOUND && i < marks.n; i++) {
    OwnSlice *slice = own_slice_lock(table, marks.slices[i]);
    for (int j = 0; j < OWN_DOUBTS; j++) slice->copy.doubts[j] |= marks.heads[i].doubts[j];
    own_slice_unlock(slice);
  }
  marks_free(&marks);
  return answer;
}

OwnAnswer own_standby_doubt(OwnTable *table, const uint64_t *hashes, size_t n) {
  OwnStandby *it = table->standby;
  const OwnAnswer answer = look_at_doubts(table, hashes, n);
  if (answer != OWN_ABSENT) return answer;
  pthread_mutex_lock(&it->lock);
  const OwnAnswer marked = mark(it, hashes, n);
  pthread_mutex_unlock(&it->lock);
  return marked;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* False: there is nothing to be written any more, for whatever reason. */
static bool write_some(OwnStandby *it, int number) {
  OwnTable *table = it->table;
  OwnBatch batch;
  Fault fault = {0};
  uint64_t longer = 0;
  OwnSlice *slice = own_slice_lock(table, number);
  const bool any = own_copy_take(slice, &batch);
  const bool whole = slice->copy.state == OWN_COPY_KEPT && !slice->copy.full && !any;
  if (whole) slice->copy.full = true;
  own_slice_unlock(slice);
  if (whole) own_node_hurry(table->node);
  if (!any) return false;
  const bool ok = own_far_write(&it->far, &table->type, number, &batch, &longer, &fault);
  pthread_mutex_lock(&it->news);
  if (ok) it->stats.written += batch.n;
  it->stats.longer += longer;
  pthread_mutex_unlock(&it->news);
  own_batch_drop(&batch);
  pthread_mutex_lock(&slice->lock);
  slice->copy.writing = 0;
  own_slice_unlock(slice);
  if (!ok) own_standby_failed(it, &number, 1, &fault);
  return ok;
}

/* Others have their turn between two batches. */
static bool write_turn(OwnStandby *it, int number) {
  pthread_mutex_lock(&it->lock);
  const bool more = it->far.memory && write_some(it, number);
  pthread_mutex_unlock(&it->lock);
  return more;
}

OwnCopyState own_standby_drain(OwnTable *table, int number) {
  for (int i = 0; table->standby && i < MOST_BATCHES && write_turn(table->standby, number); i++) {
  }
  OwnSlice *slice = own_slice_lock(table, number);
  const OwnCopyState state = slice->copy.state;
  own_slice_unlock(slice);
  return state;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* What an earlier copy has left is written over, or removed. */
static bool touch(void *ctx, uint64_t hash, const unsigned char *bytes, size_t length,
                  Fault *fault) {
  OwnSlice *slice = ctx;
  (void)bytes;
  (void)length;
  (void)fault;
  pthread_mutex_lock(&slice->lock);
  own_copy_touch(slice, hash);
  own_slice_unlock(slice);
  return true;
}

static void begin_copy(OwnStandby *it, int number) {
  OwnHead head = {0};
  Fault fault = {0};
  uint64_t low, high;
  OwnSlice *slice = own_slice_lock(it->table, number);
  bool begun = slice->state == OWN_HERE && slice->copy.state == OWN_COPY_OFF && !slice->copy.said;
  begun = begun && getrandom(&head.generation, sizeof head.generation, 0) == 8;
  head.generation |= 1;
  begun = begun && own_copy_begin(slice, head.generation, it->table->write == OWN_WRITE_THROUGH);
  head.epoch = slice->epoch;
  memcpy(head.doubts, slice->copy.doubts, sizeof head.doubts);
  own_slice_unlock(slice);
  if (!begun) return;
  own_slice_range(it->table, number, &low, &high);
  if (!own_far_put_heads(&it->far, &number, NULL, &head, 1, &fault) ||
      !own_far_read(&it->far, low, high, touch, slice, &fault))
    own_standby_failed(it, &number, 1, &fault);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool anything_here(const OwnTable *table) {
  bool any = false;
  for (int i = 0; i < table->nslices && !any; i++) {
    OwnSlice *slice = own_slice_lock((OwnTable *)table, i);
    any = slice->state == OWN_HERE;
    own_slice_unlock(slice);
  }
  return any;
}

static bool ready(OwnStandby *it) {
  Fault fault = {0};
  if (it->far.memory) return true;
  if (clock_now() < it->again || !anything_here(it->table)) return false;
  const bool ok = own_standby_connected(it, &fault);
  if (!ok) own_standby_failed(it, NULL, 0, &fault);
  return ok;
}

static bool ending(OwnStandby *it) {
  pthread_mutex_lock(&it->news);
  const bool yes = it->ending;
  pthread_mutex_unlock(&it->news);
  return yes;
}

/* What is behind. fork() waits while a batch is written: a child finds no lock taken. */
static bool look_at(OwnStandby *it, int number) {
  own_gate_enter();
  pthread_mutex_lock(&it->lock);
  if (ready(it)) begin_copy(it, number);
  const bool more = it->far.memory && write_some(it, number);
  pthread_mutex_unlock(&it->lock);
  own_gate_leave();
  return more;
}

static void look(OwnStandby *it) {
  for (int i = 0; i < it->table->nslices; i++)
    while (!ending(it) && look_at(it, i)) {
    }
  pthread_mutex_lock(&it->lock);
  const Fault well = {0};
  if (it->far.memory) { /* all was well with all of them */
    it->pause = 0;
    note(it, &well);
  }
  pthread_mutex_unlock(&it->lock);
}

static void *tend(void *ctx) {
  OwnStandby *it = ctx;
  while (!ending(it)) {
    struct timespec until;
    look(it);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += TICK;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&it->news);
    if (!it->ending) pthread_cond_timedwait(&it->wake, &it->news, &until);
    pthread_mutex_unlock(&it->news);
  }
  return NULL;
}

/* Tables of other columns or slices have other maps. */
static void name_maps(OwnStandby *it, const char *coordinator) {
  const OwnTable *table = it->table;
  uint64_t hash = hash_bytes(coordinator, strlen(coordinator), (uint64_t)table->nslices);
  hash = hash_bytes(table->name, strlen(table->name), hash);
  for (int i = 0; i < table->type.ncolumns; i++) {
    const OwnColumn *column = &table->type.columns[i];
    hash = hash_bytes(column->name, strlen(column->name), hash + (uint64_t)column->kind);
    hash += column->not_null + 2 * (uint64_t)(i == table->type.key);
  }
  snprintf(it->name, sizeof it->name, "link:%.20s:%016llx", table->name, (unsigned long long)hash);
}

OwnStandby *own_standby_open(OwnTable *table, const char *coordinator, const char *at,
                             const char *secret, Fault *fault) {
  OwnStandby *it = calloc(1, sizeof *it);
  pthread_condattr_t monotonic;
  if (!it) {
    fault_oom(fault);
    return NULL;
  }
  it->table = table;
  it->at = strdup(at);
  it->secret = secret ? strdup(secret) : NULL;
  pthread_mutex_init(&it->lock, NULL);
  pthread_mutex_init(&it->news, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&it->wake, &monotonic);
  pthread_condattr_destroy(&monotonic);
  name_maps(it, coordinator);
  const bool ok = (it->at && (it->secret || !secret)) || fault_oom(fault);
  const int rc = ok ? pthread_create(&it->thread, NULL, tend, it) : 0;
  it->running = ok && rc == 0;
  if (it->running) return it;
  if (ok) fault_set(fault, FAULT_IO, "no thread: %s", strerror(rc));
  own_standby_close(it);
  return NULL;
}

void own_standby_close(OwnStandby *it) {
  if (!it) return;
  if (it->running) {
    pthread_mutex_lock(&it->news);
    it->ending = true;
    pthread_cond_signal(&it->wake);
    pthread_mutex_unlock(&it->news);
    pthread_join(it->thread, NULL);
  }
  own_far_close(&it->far);
  pthread_mutex_destroy(&it->lock);
  pthread_mutex_destroy(&it->news);
  pthread_cond_destroy(&it->wake);
  free(it->at);
  free(it->secret);
  free(it);
}

void own_standby_stats(OwnTable *table, OwnStandbyStats *out) {
  OwnStandby *it = table->standby;
  *out = (OwnStandbyStats){0};
  if (!it || own_node_inherited(table->node)) return;
  pthread_mutex_lock(&it->news);
  *out = it->stats;
  pthread_mutex_unlock(&it->news);
  for (int i = 0; i < table->nslices; i++) {
    OwnSlice *slice = own_slice_lock(table, i);
    out->slices += slice->copy.state == OWN_COPY_KEPT && slice->copy.told;
    out->behind += slice->copy.ntodo + slice->copy.writing;
    own_slice_unlock(slice);
  }
}
