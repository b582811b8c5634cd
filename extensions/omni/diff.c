/*
** Where two recordings part: see diff.h.
*/
#include "extensions/omni/diff.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "extensions/omni/omni.h"
#include "replay/syscalls.h"

/* Where the heap, the stack and libraries are may depend on the schedule: arguments beyond are no
** more than "an address". */
enum { ADDRESSES = 1 << 16 };

/* ---- what counts ----------------------------------------------------------------------------- */

/* Decided by the scheduler, by the size of heaps that threads share, or by the clock alone. */
static bool is_noise(int nr) {
  static const int noise[] = {SYS_futex,
                              SYS_sched_yield,
                              SYS_brk,
                              SYS_mmap,
                              SYS_munmap,
                              SYS_mremap,
                              SYS_mprotect,
                              SYS_madvise,
                              SYS_set_robust_list,
                              SYS_restart_syscall,
                              SYS_clock_gettime,
                              SYS_gettimeofday,
                              SYS_time,
                              SYS_nanosleep,
                              SYS_clock_nanosleep,
                              SYS_getrandom,
                              SYS_rseq,
                              SYS_rt_sigreturn,
                              SYS_membarrier};
  for (size_t i = 0; i < countof(noise); i++) {
    if (noise[i] == nr) return true;
  }
  return false;
}

/* The bytes that came in are the program's input, not times, numbers of inodes and the like. */
static bool is_input(int nr) {
  return nr == SYS_read || nr == SYS_pread64 || nr == SYS_readv || nr == SYS_preadv ||
         nr == SYS_recvfrom || nr == SYS_recvmsg || nr == SYS_readlink || nr == SYS_readlinkat ||
         nr == SYS_getcwd;
}

/* Numbers that the system gives, anew in every run. */
static bool is_number(int nr) {
  return nr == SYS_getpid || nr == SYS_getppid || nr == SYS_gettid || nr == SYS_getpgrp ||
         nr == SYS_getpgid || nr == SYS_getsid || nr == SYS_setsid || nr == SYS_times ||
         nr == SYS_set_tid_address;
}

/* Which arguments are threads or processes: bit i for argument i. Other numbers may be equal to one
** by chance. */
static unsigned thread_arguments(int nr) {
  switch (nr) {
  case SYS_kill:
  case SYS_tkill:
  case SYS_wait4:
  case SYS_getpgid:
  case SYS_getsid:
  case SYS_prlimit64:
  case SYS_pidfd_open:
  case SYS_rt_sigqueueinfo:
  case SYS_sched_setaffinity:
  case SYS_sched_getaffinity:
  case SYS_sched_setscheduler:
  case SYS_sched_getscheduler:
  case SYS_sched_setparam:
  case SYS_sched_getparam:
    return 1;
  case SYS_tgkill:
  case SYS_rt_tgsigqueueinfo:
  case SYS_setpgid:
    return 1 | 2;
  case SYS_waitid:
  case SYS_getpriority:
  case SYS_setpriority:
    return 2;
  default:
    return 0;
  }
}

static int arguments(const Event *event) {
  const CallInfo *info = call_info(event->nr);
  return info ? info->nargs : 0;
}

static uint64_t plain(int64_t value) {
  return value >= ADDRESSES ? 0xadd0000000000000u : (uint64_t)value;
}

/* A thread or process is told by its place among all. */
static uint64_t plain_thread(const DiffRun *run, int64_t value) {
  for (size_t i = 0; value > 0 && i < run->count; i++) {
    if (run->threads[i].tid == value) return 0xfeed000000000000u + i;
  }
  return plain(value);
}

static uint64_t mix(uint64_t hash, uint64_t value) {
  return hash_bytes(&value, sizeof value, hash);
}

static uint64_t hash_chunks(const Event *event, ChunkKind kind, uint64_t hash) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind == kind) hash = hash_bytes(chunk->bytes, chunk->size, hash);
  }
  return hash;
}

static DiffStep step_of(const DiffRun *run, const Event *event) {
  DiffStep step = {.ev = event->ev, .call = mix(event->kind, (uint64_t)event->nr)};
  step.call = hash_chunks(event, CHUNK_PATH, step.call);
  if (event->kind != EVENT_SYSCALL) return step;
  const int nargs = arguments(event);
  const unsigned threads = thread_arguments(event->nr);
  for (int i = 0; i < nargs; i++) {
    const int64_t value = (int64_t)event->args[i];
    step.call = mix(step.call, threads >> i & 1 ? plain_thread(run, value) : plain(value));
  }
  step.call = hash_chunks(event, CHUNK_IN, step.call);
  /* A child has its place among all as soon as it does something. */
  const bool forks = event->nr == SYS_clone || event->nr == SYS_fork || event->nr == SYS_vfork;
  const bool given = event->ret > 0 && (forks || is_number(event->nr));
  step.result = given                    ? 1
                : event->nr == SYS_wait4 ? plain_thread(run, event->ret)
                                         : plain(event->ret);
  if (is_input(event->nr)) step.data = hash_chunks(event, CHUNK_OUT, 0);
  return step;
}

static bool counts(const Event *event) {
  switch (event->kind) {
  case EVENT_IMAGE:
  case EVENT_SIGNAL:
  case EVENT_EXIT:
    return true;
  case EVENT_SYSCALL: /* of one that a signal interrupted: what it comes to is told later */
    return !is_noise(event->nr) && !(event->ret <= -512 && event->ret >= -516);
  default:
    return false;
  }
}

/* ---- reading --------------------------------------------------------------------------------- */

static bool find_thread(DiffRun *run, int32_t tid, size_t *out, Fault *fault) {
  size_t i = run->nturns ? run->turns[run->nturns - 1].thread : 0;
  if (i >= run->count || run->threads[i].tid != tid) {
    for (i = 0; i < run->count && run->threads[i].tid != tid;) i++;
  }
  if (i == run->count) {
    if (!array_grow(run->threads, run->capacity, run->count + 1)) return fault_oom(fault);
    run->threads[run->count++] = (DiffThread){.tid = tid};
  }
  *out = i;
  return true;
}

static bool add(DiffRun *run, const Event *event, Fault *fault) {
  size_t i = 0;
  if (!find_thread(run, event->tid, &i, fault)) return false;
  if (!run->nturns || run->turns[run->nturns - 1].thread != i) {
    if (!array_grow(run->turns, run->turns_capacity, run->nturns + 1)) return fault_oom(fault);
    run->turns[run->nturns++] = (DiffTurn){(uint32_t)i, event->ev};
  }
  DiffThread *thread = &run->threads[i];
  if (!array_grow(thread->list, thread->capacity, thread->count + 1)) return fault_oom(fault);
  thread->list[thread->count++] = step_of(run, event);
  return true;
}

bool diff_read(DiffRun *run, VtPoll *poll, Fault *fault) {
  TraceCursor *cursor;
  const Event *event;
  uint64_t passed = 0;
  if (!trace_open(run->recording, &cursor, fault)) return false;
  bool ok;
  while ((ok = trace_next(cursor, &event, fault)) && event) {
    if (counts(event) && !(ok = add(run, event, fault))) break;
    if (++passed % 1024 == 0 && vt_poll(poll) != SQLITE_OK) {
      ok = fault_set(fault, FAULT_INTERRUPT, "interrupted");
      break;
    }
  }
  trace_close(cursor);
  return ok;
}

void diff_finish(DiffRun *run) {
  for (size_t i = 0; i < run->count; i++) free(run->threads[i].list);
  free(run->threads);
  free(run->turns);
  *run = (DiffRun){0};
}

/* ---- comparing ------------------------------------------------------------------------------- */

bool diff_thread(const DiffRun *a, const DiffRun *b, size_t thread, Diff *out) {
  static const DiffThread none = {0};
  const DiffThread *in_a = thread < a->count ? &a->threads[thread] : &none;
  const DiffThread *in_b = thread < b->count ? &b->threads[thread] : &none;
  size_t i = 0;
  *out = (Diff){.what = DIFF_END, .thread = thread, .tid = {in_a->tid, in_b->tid}};
  for (; i < in_a->count && i < in_b->count; i++) {
    const DiffStep *x = &in_a->list[i], *y = &in_b->list[i];
    if (x->call == y->call && x->result == y->result && x->data == y->data) continue;
    out->what = x->call != y->call ? DIFF_CALL : x->result != y->result ? DIFF_RESULT : DIFF_DATA;
    out->ev[0] = x->ev;
    out->ev[1] = y->ev;
    return true;
  }
  if (in_a->count == in_b->count) return false;
  if (i < in_a->count) out->ev[0] = in_a->list[i].ev;
  if (i < in_b->count) out->ev[1] = in_b->list[i].ev;
  return true;
}

/* The first turn that goes to another thread, or comes after another number of its steps. */
static size_t steps_before(const DiffThread *thread, uint64_t ev) {
  size_t low = 0, high = thread->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (thread->list[middle].ev < ev) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

bool diff_schedule(const DiffRun *a, const DiffRun *b, Diff *out) {
  for (size_t i = 0; i < a->nturns && i < b->nturns; i++) {
    const DiffTurn *x = &a->turns[i], *y = &b->turns[i];
    const size_t before_x = i ? steps_before(&a->threads[a->turns[i - 1].thread], x->ev) : 0;
    const size_t before_y = i ? steps_before(&b->threads[b->turns[i - 1].thread], y->ev) : 0;
    if (x->thread == y->thread && before_x == before_y) continue;
    *out = (Diff){.what = DIFF_SCHEDULE,
                  .thread = x->thread,
                  .ev = {x->ev, y->ev},
                  .tid = {a->threads[x->thread].tid, b->threads[y->thread].tid}};
    return true;
  }
  return false;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void tell_bytes(const Event *event, ChunkKind kind, Text *out) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != kind) continue;
    text_add(out, " \"");
    for (size_t k = 0; k < chunk->size && k < 40; k++) {
      const uint8_t byte = chunk->bytes[k];
      if (byte >= ' ' && byte < 127) {
        text_addc(out, (char)byte);
      } else {
        text_addf(out, byte == '\n' ? "\\n" : "\\x%02x", byte);
      }
    }
    text_add(out, chunk->size > 40 ? "\"..." : "\"");
    return;
  }
}

static void tell_call(const Event *event, Text *out) {
  const char *name = call_name(event->nr);
  const int nargs = arguments(event);
  text_addf(out, "%s(", name ? name : "?");
  for (int i = 0; i < nargs; i++) {
    text_addf(out, event->args[i] < ADDRESSES ? "%s%" PRIu64 : "%s0x%" PRIx64, i ? ", " : "",
              event->args[i]);
  }
  text_addf(out, ") = %" PRId64, event->ret);
  tell_bytes(event, CHUNK_PATH, out);
  tell_bytes(event, CHUNK_IN, out);
  if (is_input(event->nr)) tell_bytes(event, CHUNK_OUT, out);
}

bool diff_tell(Recording *recording, uint64_t ev, Text *out, Fault *fault) {
  TraceCursor *cursor;
  const Event *event = NULL;
  char name[SIGNAL_NAME];
  if (!trace_open(recording, &cursor, fault)) return false;
  bool ok = trace_seek(cursor, ev, fault) && trace_next(cursor, &event, fault);
  if (ok && event && event->kind == EVENT_SYSCALL) {
    tell_call(event, out);
  } else if (ok && event) {
    const char *signal = event->kind == EVENT_SIGNAL ? omni_signal_name(event->nr, name) : NULL;
    text_addf(out, "%s%s%s", omni_event_name(event->kind), signal ? " " : "", signal ? signal : "");
    tell_bytes(event, CHUNK_PATH, out);
  }
  trace_close(cursor);
  return ok;
}
