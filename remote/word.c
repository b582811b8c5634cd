#include "remote/word.h"

#include <string.h>

#include "remote/alloc.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/watch.h"

bool far_word_open(FarMemory *memory, const char *name, FarPointer *out, Stop *stop, Fault *fault) {
  static const uint64_t zero;
  FarName it;
  bool found, added;
  if (!far_name_find(memory, name, &it, &found, stop, fault)) return false;
  if (!found) {
    it = (FarName){.kind = FAR_KIND_WORD};
    memcpy(it.name, name, strlen(name));
    if (!far_alloc(memory, sizeof zero, FAR_USE_BYTES, &it.root, stop, fault)) return false;
    const FarPointer word = it.root;
    FarOp op = {.code = FAR_WRITE, .at = word, .local = (void *)&zero, .length = sizeof zero};
    if (!far_round(memory, &op, 1, stop, fault) ||
        !far_name_add(memory, &it, &added, stop, fault) ||
        (!added && !far_free(memory, word, sizeof zero, FAR_USE_BYTES, stop, fault)))
      return false;
  }
  if (it.kind != FAR_KIND_WORD)
    return fault_set(fault, FAULT_INVALID, "%s: \"%s\" is no counter or mutex", memory->at, name);
  *out = it.root;
  return true;
}

bool far_word_add(FarMemory *memory, FarPointer word, int64_t n, int64_t *out, Stop *stop,
                  Fault *fault) {
  FarOp op = {.code = FAR_ADD, .at = word, .value = (uint64_t)n};
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  *out = (int64_t)(op.old + op.value);
  return true;
}

/* ---- mutexes --------------------------------------------------------------------------------- */

/* How long to wait before asking whether the holder lives: soon, then now and then. */
enum { SOON = 1000000, LATER = 64000000 };

typedef struct Waiting {
  int64_t until, pause;
  uint64_t watch; /* 0: none */
} Waiting;

/* Until the mutex seems to be free, or its holder dead: then *out_expected is what to expect in the
** word. *out_over: neither, in time. */
static bool await_free(FarMemory *memory, FarPointer word, uint64_t holder, Waiting *it,
                       uint64_t *out_expected, bool *out_over, Stop *stop, Fault *fault) {
  const FarWatch free = {.kind = FAR_EQUAL, .once = true, .at = word, .length = 8};
  bool came = false, alive;
  *out_expected = 0;
  const int64_t left = it->until - clock_now();
  *out_over = left <= 0;
  if (!holder) return true; /* free again, meanwhile */
  if (left > 0) {
    if (!it->watch && !far_watch(memory, &free, &it->watch, stop, fault)) return false;
    if (!far_notice_of(memory, it->watch, left < it->pause ? left : it->pause, &came, stop, fault))
      return false;
    if (came) it->watch = 0;
    if (it->pause < LATER) it->pause *= 2;
    if (came) return true;
  }
  if (!memory->transport->bury(memory, holder, &alive, fault)) return false;
  if (!alive) *out_expected = holder;
  *out_over = *out_over && alive;
  return true;
}

bool far_mutex_lock(FarMemory *memory, FarPointer word, int64_t wait_ns, FarLocked *out, Stop *stop,
                    Fault *fault) {
  FarOp op = {.code = FAR_CAS, .at = word, .value = memory->client};
  Waiting it = {.until = clock_now() + wait_ns, .pause = SOON};
  bool ok, over = false;
  *out = FAR_NOT_LOCKED;
  while ((ok = far_round(memory, &op, 1, stop, fault)) && op.status != FAR_DONE && !over) {
    memory->counts.retries++;
    ok = op.old != memory->client ||
         fault_set(fault, FAULT_BUSY, "%s: this connection holds the mutex already", memory->at);
    ok = ok && await_free(memory, word, op.old, &it, &op.expected, &over, stop, fault);
    if (!ok || over) break;
  }
  if (it.watch) far_unwatch(memory, it.watch);
  if (!ok) return false;
  if (over) memory->counts.timeouts++;
  if (op.status == FAR_DONE) *out = op.expected ? FAR_LOCKED_RECOVERED : FAR_LOCKED;
  return true;
}

bool far_mutex_unlock(FarMemory *memory, FarPointer word, Stop *stop, Fault *fault) {
  FarOp op = {.code = FAR_CAS, .at = word, .expected = memory->client};
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  return op.status == FAR_DONE ||
         fault_set(fault, FAULT_DENIED, "%s: this connection does not hold the mutex", memory->at);
}

/* ---- barriers -------------------------------------------------------------------------------- */

/* It is as if we had not come, unless all have come after all. */
static bool take_back(FarMemory *memory, FarPointer word, uint64_t target, bool *out_passed,
                      Fault *fault) {
  FarOp op = {.code = FAR_EXPECT, .at = word};
  do {
    if (!far_round(memory, &op, 1, NULL, fault)) return false;
    *out_passed = (int64_t)(op.old - target) >= 0;
    if (*out_passed) return true;
    if (op.code == FAR_CAS && op.status == FAR_DONE) return true;
    op = (FarOp){.code = FAR_CAS, .at = word, .expected = op.old, .value = op.old - 1};
  } while (true);
}

bool far_barrier(FarMemory *memory, FarPointer word, int64_t parties, int64_t wait_ns,
                 bool *out_passed, Stop *stop, Fault *fault) {
  FarOp come = {.code = FAR_ADD, .at = word, .value = 1};
  FarWatch all = {.kind = FAR_REACHED, .once = true, .at = word, .length = 8};
  uint64_t watch = 0;
  *out_passed = false;
  if (parties < 1 || parties > FAR_PARTIES)
    return fault_set(fault, FAULT_LIMIT, "%s: a barrier is for 1 to %d, not %lld", memory->at,
                     FAR_PARTIES, (long long)parties);
  if (!far_round(memory, &come, 1, stop, fault)) return false;
  all.value = come.old - come.old % (uint64_t)parties + (uint64_t)parties;
  *out_passed = come.old + 1 == all.value;
  if (*out_passed) return true;
  Fault first = {0};
  bool ok = far_watch(memory, &all, &watch, stop, &first) &&
            far_notice_of(memory, watch, wait_ns, out_passed, stop, &first);
  if (watch) far_unwatch(memory, watch);
  if (!*out_passed && !take_back(memory, word, all.value, out_passed, ok ? fault : NULL) && ok)
    return false;
  return ok || *out_passed || fault_set(fault, first.code, "%s", first.text);
}
