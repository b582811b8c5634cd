/*
** Memory that a call of another thread, which is under way, may write at any time.
**
** Such a call has left its bytes there, or a part of them, or none, when a thread is made to stop
** at a place of its own; replay writes them all when the call ends. They tell nothing about the
** place.
*/
#include <string.h>

#include "base/array.h"
#include "replay/record_inner.h"

enum { UNSURE_MOST = 512, TOO_LARGE = 16 << 20 };

static size_t read_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  size_t got;
  space_peek(ctx, (RemoteAddr){addr}, out, size, &got);
  return got;
}

/* One call; *out is false when it is not known what it does, or does to more than bytes. */
static bool add_call(Recorder *recorder, const RecordThread *other, bool *out, Fault *fault) {
  const CallInfo *info = call_info(other->nr);
  int n;
  *out = info && (info->class == CALL_ANSWER || info->class == CALL_STATE);
  if (!*out) return true;
  for (;;) {
    const int room = (int)recorder->ranges_capacity;
    n = call_targets(other->means, other->args, read_memory, &other->process->space,
                     recorder->ranges, room);
    if (n <= room) break;
    if (!array_grow(recorder->ranges, recorder->ranges_capacity, (size_t)n)) {
      return fault_oom(fault);
    }
  }
  for (int i = 0; i < n; i++) {
    const CallRange *range = &recorder->ranges[i];
    if (!range->out || !range->size) continue;
    if (!array_grow(recorder->unsure, recorder->unsure_capacity, recorder->nunsure + 1)) {
      return fault_oom(fault);
    }
    recorder->unsure[recorder->nunsure++] = (StateRange){range->addr, range->size};
    *out = *out && range->size <= TOO_LARGE && range->addr + range->size > range->addr;
  }
  *out = *out && n >= 0 && recorder->nunsure <= UNSURE_MOST;
  return true;
}

bool unsure_find(Recorder *recorder, const RecordThread *thread, bool *out, Fault *fault) {
  recorder->nunsure = 0;
  *out = thread->process->has_image;
  for (size_t i = 0; *out && i < recorder->nthreads; i++) {
    const RecordThread *other = recorder->threads[i];
    if (other == thread || other->process != thread->process) continue;
    switch (other->stand) {
    case THREAD_NEW:
    case THREAD_RUNS:
      *out = false;
      break;
    case THREAD_ENDING:
      *out = other->told_exit;
      break;
    case THREAD_CALL:
      if (!add_call(recorder, other, out, fault)) return false;
      break;
    case THREAD_READY:
    case THREAD_HELD:
      break;
    }
  }
  if (!*out) recorder->nunsure = 0;
  return true;
}

bool unsure_tell(Recorder *recorder, Fault *fault) {
  for (size_t i = 0; i < recorder->nunsure; i++) {
    const StateRange *range = &recorder->unsure[i];
    if (!event_bytes(recorder, CHUNK_UNSURE, range->addr, &range->size, sizeof range->size,
                     fault)) {
      return false;
    }
  }
  return true;
}

static bool is_unsure(const Recorder *recorder, uint64_t word) {
  for (size_t i = 0; i < recorder->nunsure; i++) {
    const StateRange *range = &recorder->unsure[i];
    if (range->addr < word + 8 && word < range->addr + range->size) return true;
  }
  return false;
}

bool unsure_point(Recorder *recorder, uint64_t addr, uint64_t size, Fault *fault) {
  for (uint64_t from = 0, to; from < size; from = to) {
    const bool unsure = is_unsure(recorder, addr + from);
    for (to = from + 8; to < size && is_unsure(recorder, addr + to) == unsure;) to += 8;
    if (!unsure && !event_memory(recorder, CHUNK_POINT, addr + from, to - from, fault)) {
      return false;
    }
  }
  return true;
}

static bool tell_child(Recorder *recorder, const Space *child, const StateRange *range,
                       Fault *fault) {
  uint8_t bytes[4096];
  for (uint64_t done = 0; done < range->size;) {
    const uint64_t left = range->size - done;
    const size_t piece = left < sizeof bytes ? (size_t)left : sizeof bytes;
    size_t got;
    space_peek(child, (RemoteAddr){range->addr + done}, bytes, piece, &got);
    if (got && !event_bytes(recorder, CHUNK_CHILD, range->addr + done, bytes, got, fault)) {
      return false;
    }
    if (got < piece) return true;
    done += piece;
  }
  return true;
}

bool unsure_child(Recorder *recorder, const RecordThread *thread, Fault *fault) {
  const RecordThread *child = thread->child ? threads_find(recorder, thread->child) : NULL;
  bool known, ok = true;
  if (!child || child->process == thread->process) return true;
  if (!unsure_find(recorder, thread, &known, fault)) return false;
  for (size_t i = 0; ok && i < recorder->nunsure; i++) {
    ok = tell_child(recorder, &child->process->space, &recorder->unsure[i], fault);
  }
  recorder->nunsure = 0;
  return ok;
}
