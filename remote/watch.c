#include "remote/watch.h"

#include <stdlib.h>
#include <string.h>

#include "remote/memory.h"

static const int64_t slice_ns = 10000000; /* between two looks whether to stop */

size_t far_watch_count(const FarMemory *memory) { return memory->looks.count; }

/* ---- beginning and ending -------------------------------------------------------------------- */

static bool fits(const FarMemory *memory, const FarWatch *watch, Fault *fault) {
  const char *wrong = far_watch_fault(watch, far_region_of(memory), memory->head.size);
  if (wrong) {
    return fault_set(fault, FAULT_LIMIT, "%s: %s: %u bytes at %llu", memory->at, wrong,
                     (unsigned)watch->length, (unsigned long long)far_offset(watch->at));
  }
  return memory->looks.count < FAR_WATCHES ||
         fault_set(fault, FAULT_LIMIT, "%s: there are %d watches already", memory->at, FAR_WATCHES);
}

static bool begin(FarMemory *memory, const FarWatch *watch, uint64_t known, uint64_t *out,
                  Fault *fault) {
  FarLook look = {.id = memory->last_watch + 1, .what = *watch, .known = known};
  if (watch->kind == FAR_CHANGED_DATA && !(look.data = calloc(1, watch->length)))
    return fault_oom(fault);
  FarLook *added = far_looks_add(&memory->looks, &look);
  if (!added) {
    free(look.data);
    return fault_oom(fault);
  }
  if (!memory->transport->watch(memory, added, fault)) {
    far_looks_remove(&memory->looks, added);
    return false;
  }
  *out = memory->last_watch = look.id;
  return true;
}

bool far_watch_word(FarMemory *memory, const FarWatch *watch, uint64_t known, uint64_t *out,
                    Fault *fault) {
  return fits(memory, watch, fault) && begin(memory, watch, known, out, fault);
}

/* The watcher tells what it knows: so a change that comes before the watch is not missed. */
bool far_watch(FarMemory *memory, const FarWatch *watch, uint64_t *out, Stop *stop, Fault *fault) {
  if (!fits(memory, watch, fault)) return false;
  if (watch->kind >= FAR_EQUAL) return begin(memory, watch, 0, out, fault);
  void *bytes = malloc(watch->length);
  if (!bytes) return fault_oom(fault);
  FarOp op = far_read_op(watch->at, bytes, watch->length);
  const bool ok = far_round(memory, &op, 1, stop, fault) &&
                  begin(memory, watch, far_look_state(watch, bytes), out, fault);
  free(bytes);
  return ok;
}

static void end(FarMemory *memory, FarLook *look) {
  memory->transport->unwatch(memory, look);
  far_looks_remove(&memory->looks, look);
}

bool far_unwatch(FarMemory *memory, uint64_t watch) {
  FarLook *look = far_looks_get(&memory->looks, watch);
  if (look) end(memory, look);
  return look != NULL;
}

bool far_watch_again(FarMemory *memory, Fault *fault) {
  for (size_t i = 0; i < memory->looks.count; i++) {
    FarLook *look = &memory->looks.list[i];
    if (!memory->transport->watch(memory, look, fault)) return false;
    look->gap = !look->what.once;
    if (look->gap && !look->due) look->due = 1;
  }
  return true;
}

void far_watch_finish(FarMemory *memory) {
  far_looks_finish(&memory->looks);
  free(memory->spent);
  memory->spent = NULL;
}

/* ---- what comes ------------------------------------------------------------------------------ */

/* Every n-th time. */
static bool chance(FarMemory *memory, unsigned n) { return n && memory->last_chance % n == 0; }

bool far_notice_lost(FarMemory *memory) {
  memory->last_chance++;
  return chance(memory, memory->injection.lost);
}

void far_told(FarMemory *memory, FarLook *look, uint64_t state, uint64_t word, const void *data) {
  if (look->what.kind < FAR_EQUAL && state == look->known) return; /* it was sent again */
  look->known = state;
  look->word = word;
  if (look->data && data) memcpy(look->data, data, look->what.length);
  if (look->due) return; /* one notice for both */
  look->due = chance(memory, memory->injection.twice) ? 2 : 1;
  look->due_at = memory->injection.late_ns ? clock_now() + memory->injection.late_ns : 0;
}

/* One that is to be told, or the one of this watch. They take turns: the next one after who was
** told last. */
static FarLook *due(const FarMemory *memory, uint64_t watch) {
  FarLook *next = NULL;
  for (size_t i = 0; i < memory->looks.count; i++) {
    FarLook *look = &memory->looks.list[i];
    if (!look->due || (watch && look->id != watch) || (look->due_at && look->due_at > clock_now()))
      continue;
    if (!next || look->id - memory->last_told - 1 < next->id - memory->last_told - 1) next = look;
  }
  return next;
}

static void deliver(FarMemory *memory, FarLook *look, FarNotice *out) {
  *out = (FarNotice){.watch = look->id,
                     .number = ++memory->counts.notices,
                     .gap = look->gap,
                     .word = look->word,
                     .data = look->data,
                     .length = look->data ? look->what.length : 0};
  memory->last_told = look->id;
  look->due--;
  look->gap = false;
  if (!look->what.once || look->due) return;
  free(memory->spent);
  memory->spent = look->data;
  look->data = NULL;
  end(memory, look);
}

/* Until there is something to tell, of this watch or any (0). */
static bool await(FarMemory *memory, uint64_t watch, int64_t wait_ns, FarLook **out, Stop *stop,
                  Fault *fault) {
  const int64_t until = clock_now() + wait_ns;
  int64_t ns = 0;
  for (;;) {
    if (memory->inherited)
      return fault_set(fault, FAULT_DENIED,
                       "%s was opened before fork(), and belongs to the parent", memory->at);
    if (!memory->transport->hear(memory, ns, fault)) return false;
    if ((*out = due(memory, watch))) return true;
    if (stop && stop_now(stop))
      return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", memory->at);
    ns = until - clock_now();
    if (ns <= 0) return true;
    if (ns > slice_ns) ns = slice_ns;
  }
}

bool far_notices(FarMemory *memory, int64_t wait_ns, FarNotice *out, size_t most, size_t *out_n,
                 Stop *stop, Fault *fault) {
  FarLook *look;
  size_t n = 0;
  *out_n = 0;
  if (!most) return true;
  if (!await(memory, 0, wait_ns, &look, stop, fault)) return false;
  for (; look && n < most; look = due(memory, 0)) {
    if (n && look->what.once && look->data) break; /* data of one that ends are kept, not of two */
    deliver(memory, look, &out[n++]);
    if (look->due) break; /* the same again: the next time */
  }
  *out_n = n;
  return true;
}

bool far_notice_of(FarMemory *memory, uint64_t watch, int64_t wait_ns, bool *out_came, Stop *stop,
                   Fault *fault) {
  FarLook *look;
  FarNotice notice;
  *out_came = false;
  if (!await(memory, watch, wait_ns, &look, stop, fault)) return false;
  *out_came = look != NULL;
  if (!look) return true;
  if (look->what.once) look->due = 1; /* then it is over */
  deliver(memory, look, &notice);
  return true;
}
