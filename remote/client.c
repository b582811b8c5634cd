#include "remote/client.h"

#include <time.h>

#include "remote/memory.h"

/* Changes under a lock take a round or two: a few tries at once, then milliseconds. */
enum { TRIES = 4, SHORTEST = 2000, LONGEST = 1000000 };

static void sleep_ns(int64_t ns) {
  const struct timespec time = {0, ns};
  nanosleep(&time, NULL);
}

bool far_wait(FarMemory *memory, FarWait *wait, uint64_t holder, uint64_t *out_expected, Stop *stop,
              Fault *fault) {
  *out_expected = 0;
  memory->counts.retries++;
  if (!wait->until) wait->until = clock_now() + memory->options.deadline_ns;
  if (++wait->attempts < TRIES) return true;
  bool alive = true;
  if (holder && !memory->transport->bury(memory, holder, &alive, fault)) return false;
  if (!alive && wait->dead != holder) {
    *out_expected = wait->dead = holder;
    return true;
  }
  if (stop && stop_now(stop))
    return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", memory->at);
  if (clock_now() > wait->until) {
    memory->counts.timeouts++;
    return fault_set(fault, FAULT_BUSY, "%s: in use by another client (client %llu)", memory->at,
                     (unsigned long long)holder);
  }
  if (!alive) *out_expected = holder;
  const int64_t pause = (int64_t)SHORTEST << (wait->attempts < 16 ? wait->attempts - TRIES : 12);
  sleep_ns(pause < LONGEST ? pause : LONGEST);
  return true;
}

FarOp far_unlock_op(FarPointer lock) {
  static uint64_t zero;
  return (FarOp){.code = FAR_WRITE, .at = lock, .local = &zero, .length = sizeof zero};
}

bool far_lock_round(FarMemory *memory, FarPointer lock, FarOp *ops, size_t n, Stop *stop,
                    Fault *fault) {
  FarWait wait = {0};
  ops[0] = (FarOp){.code = FAR_CAS, .guard = true, .at = lock, .value = memory->client};
  for (;;) {
    if (!far_round(memory, ops, n, stop, fault)) return false;
    if (ops[0].status == FAR_DONE) return true;
    if (!far_wait(memory, &wait, ops[0].old, &ops[0].expected, stop, fault)) return false;
  }
}
