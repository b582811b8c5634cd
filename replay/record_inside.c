/*
** The in-process log, on the recorder's side: see inside_inner.h for what is done to a program.
**
** One memory for the whole tree, shared with the recorder, holds the code, its words and the log:
** a single thread of the tree runs at a time, so one of each is enough, and the log is in order.
** A thread that stops within what is ours is let go on to where it is outside again before anything
** else happens: nobody else ever finds it in use. What is in the log has happened before any stop
** that is told next, so it is written first.
**
** Who may not map our memory (another user's process after a setuid, a changed root) does without:
** the tracer then sees all of its calls, as it sees those that are not rewritten.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/array.h"
#include "replay/record_inner.h"

struct RecordInside {
  int fd;
  uint8_t *memory;
  InsideWords *words;
  uint64_t drained; /* bytes of the log that are in the recording */
  uint64_t seen;    /* head at the last tick */
};

enum { SYSCALL_BYTES = 2 };

/* ---- beginning and end */

bool inside_open(Recorder *recorder, Fault *fault) {
  struct stat proc = {0};
  size_t size;
  const uint8_t *code = inside_code(&size);
  RecordInside *inside = calloc(1, sizeof *inside);
  if (!inside) return fault_oom(fault);
  inside->fd = memfd_create("tenfold", MFD_CLOEXEC);
  inside->memory = MAP_FAILED;
  recorder->inside = inside;
  if (inside->fd >= 0 && ftruncate(inside->fd, INSIDE_SIZE) == 0) {
    inside->memory = mmap(NULL, INSIDE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, inside->fd, 0);
  }
  if (inside->memory == MAP_FAILED) {
    return fault_set(fault, FAULT_IO, "recorder: no memory to share: %s", strerror(errno));
  }
  memcpy(inside->memory, code, size);
  inside->words = (InsideWords *)(void *)(inside->memory + INSIDE_WORDS);
  stat("/proc", &proc);
  inside->words->mode = INSIDE_RECORD;
  inside->words->proc_dev = proc.st_dev;
  inside->words->exit = INSIDE_BASE + INSIDE_GO;
  return true;
}

void inside_close(Recorder *recorder) {
  RecordInside *inside = recorder->inside;
  if (!inside) return;
  if (inside->memory != MAP_FAILED) munmap(inside->memory, INSIDE_SIZE);
  if (inside->fd >= 0) close(inside->fd);
  free(inside);
  recorder->inside = NULL;
}

/* ---- into a program */

static bool hold_signals(const RecordThread *thread, uint64_t *mask, bool hold) {
  uint64_t all = ~(uint64_t)0;
  const pid_t tid = thread->tracee.tid;
  if (hold && ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof *mask, mask) != 0) return false;
  return ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof *mask, hold ? &all : mask) == 0;
}

static bool map_part(RecordThread *thread, int64_t fd, uint64_t offset, uint64_t size, int prot,
                     int64_t *out, Fault *fault) {
  const uint64_t args[6] = {INSIDE_BASE + offset, size,
                            (uint64_t)prot,       MAP_SHARED | MAP_FIXED_NOREPLACE,
                            (uint64_t)fd,         offset};
  return tracee_syscall(&thread->tracee, SYS_mmap, args, out, fault);
}

static bool map_memory(Recorder *recorder, RecordThread *thread, Fault *fault) {
  char path[64];
  const int length =
      snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), recorder->inside->fd);
  const uint64_t at = SPACE_PAGE + SPACE_SCRATCH;
  const uint64_t open_args[6] = {(uint64_t)AT_FDCWD, at, O_RDWR | O_CLOEXEC};
  int64_t fd, code = -1, data = -1, closed;
  if (!space_write(&thread->process->space, (RemoteAddr){at}, path, (size_t)length + 1, fault) ||
      !tracee_syscall(&thread->tracee, SYS_openat, open_args, &fd, fault)) {
    return false;
  }
  if (fd < 0) return true;
  const uint64_t close_args[6] = {(uint64_t)fd};
  if (!map_part(thread, fd, 0, INSIDE_CODE_SIZE, PROT_READ | PROT_EXEC, &code, fault) ||
      !map_part(thread, fd, INSIDE_WORDS, INSIDE_SIZE - INSIDE_WORDS, PROT_READ | PROT_WRITE, &data,
                fault) ||
      !tracee_syscall(&thread->tracee, SYS_close, close_args, &closed, fault)) {
    return false;
  }
  thread->process->has_inside = code == (int64_t)INSIDE_BASE && data > 0;
  return true;
}

/* ---- rewriting */

/* Pages from `start` on that nobody has written yet: they are the file's. */
static bool note_pages(RecordProcess *process, const MapRange *range, const uint8_t *bytes,
                       const InsideArea *area, Fault *fault) {
  InsidePatches *patches = &process->inside;
  MapRange one = *range;
  MapList only = {.ranges = &one, .count = 1, .capacity = 1};
  StatePages written;
  uint64_t last = 0;
  if (!state_pages(&process->state, &process->space, &only, &written, fault)) return false;
  for (size_t i = 0; i < area->count; i++) {
    const uint64_t end = area->list[i].at + area->list[i].size;
    for (uint64_t page = area->list[i].at & ~(uint64_t)(PAGE - 1); page < end; page += PAGE) {
      bool clean = page > last;
      if (!clean) continue;
      last = page;
      for (size_t k = 0; k < written.count; k++) {
        clean &= page < written.list[k].start || page >= written.list[k].end;
      }
      if (!clean) continue;
      if (!array_grow(patches->pages, patches->pages_capacity, patches->npages + 1)) {
        return fault_oom(fault);
      }
      patches->pages[patches->npages++] =
          (InsidePage){page, XXH3_64bits(bytes + (page - range->start), PAGE)};
    }
  }
  return true;
}

static int compare_pages(const void *a, const void *b) {
  const InsidePage *x = a, *y = b;
  return x->at < y->at ? -1 : x->at > y->at;
}

static bool write_code(Space *space, uint64_t at, const void *bytes, size_t size, Fault *fault) {
  return pwrite(space->mem_fd, bytes, size, (off_t)at) == (ssize_t)size ||
         fault_set(fault, FAULT_NOTFOUND, "process %d: no memory to write at 0x%llx",
                   (int)space->pid, (unsigned long long)at);
}

/* Page by page, each in one go. */
static bool write_patches(Space *space, const MapRange *range, uint8_t *bytes,
                          const InsideArea *area, Fault *fault) {
  if (!space_open_mem(space, fault)) return false;
  for (size_t i = 0; i < area->count;) {
    const uint64_t first = area->list[i].at, page = first & ~(uint64_t)(PAGE - 1);
    uint64_t end = first;
    for (; i < area->count && area->list[i].at - page < PAGE; i++) {
      const InsidePatch *patch = &area->list[i];
      memcpy(bytes + (patch->at - range->start), patch->bytes, patch->size);
      end = patch->at + patch->size;
    }
    if (!write_code(space, first, bytes + (first - range->start), end - first, fault)) return false;
  }
  return true;
}

static bool map_thunks(RecordThread *thread, const InsideArea *area, const uint8_t *code,
                       bool *out_ok, Fault *fault) {
  const uint64_t size = area->end - area->start;
  const uint64_t args[6] = {area->start, size, PROT_READ | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1};
  int64_t ret;
  Space *space = &thread->process->space;
  *out_ok = false;
  if (!tracee_syscall(&thread->tracee, SYS_mmap, args, &ret, fault)) return false;
  if ((uint64_t)ret != area->start) return true;
  *out_ok = true;
  return space_open_mem(space, fault) &&
         write_code(space, area->start, code, area->count * INSIDE_THUNK, fault);
}

static bool rewrite_area(RecordThread *thread, const MapRange *range, uint8_t *bytes,
                         const InsideArea *area, const uint8_t *code, bool *out_kept,
                         Fault *fault) {
  RecordProcess *process = thread->process;
  InsidePatches *patches = &process->inside;
  *out_kept = false;
  if (!array_grow(patches->areas, patches->capacity, patches->count + 1)) return fault_oom(fault);
  bool mapped;
  if (!map_thunks(thread, area, code, &mapped, fault)) return false;
  if (!mapped) return true;
  patches->areas[patches->count++] = *area;
  *out_kept = true;
  if (!note_pages(process, range, bytes, area, fault) ||
      !write_patches(&process->space, range, bytes, area, fault)) {
    return false;
  }
  qsort(patches->pages, patches->npages, sizeof *patches->pages, compare_pages);
  return true;
}

/* All calls in one mapping. */
static bool rewrite_range(Recorder *recorder, RecordThread *thread, const MapRange *range,
                          Fault *fault) {
  RecordProcess *process = thread->process;
  const InsideSites *sites;
  const size_t size = (size_t)(range->end - range->start);
  if (!file_calls(recorder, range->file - 1, &sites, fault)) return false;
  const uint64_t start = sites->count ? inside_place(&process->maps, &process->inside, range,
                                                     sites->count * INSIDE_THUNK + PAGE)
                                      : 0;
  if (!start) return true;
  uint8_t *bytes = malloc(size), *code = NULL;
  InsideArea area = {0};
  size_t got;
  bool kept = false;
  if (!bytes) return fault_oom(fault);
  space_peek(&process->space, (RemoteAddr){range->start}, bytes, size, &got);
  bool ok = got != size || inside_area(range, bytes, sites, start, &area, &code, fault);
  if (ok && area.count) ok = rewrite_area(thread, range, bytes, &area, code, &kept, fault);
  if (!kept) free(area.list);
  free(code);
  free(bytes);
  return ok;
}

bool inside_rewrite(Recorder *recorder, RecordThread *thread, uint64_t start, uint64_t end,
                    Fault *fault) {
  const MapList *maps = &thread->process->maps;
  uint64_t mask;
  if (!thread->process->has_inside || !hold_signals(thread, &mask, true)) return true;
  bool ok = true;
  for (size_t i = 0; ok && i < maps->count && maps->ranges[i].start < end; i++) {
    const MapRange *range = &maps->ranges[i];
    if (range->end <= start || !range->file || !(range->prot & PROT_EXEC) ||
        range->flags & MAP_SHARED) {
      continue;
    }
    ok = rewrite_range(recorder, thread, range, fault);
  }
  hold_signals(thread, &mask, false);
  return ok;
}

bool inside_begin(Recorder *recorder, RecordThread *thread, Fault *fault) {
  uint64_t mask;
  if (!recorder->inside || !hold_signals(thread, &mask, true)) return true;
  const bool ok = map_memory(recorder, thread, fault);
  hold_signals(thread, &mask, false);
  return ok && inside_rewrite(recorder, thread, 0, UINT64_MAX, fault);
}

/* ---- running */

void inside_run(Recorder *recorder, RecordThread *thread) {
  RecordInside *inside = recorder->inside;
  if (!inside || !thread->process || !thread->process->has_inside) return;
  InsideWords *words = inside->words;
  if (words->head == inside->drained) words->head = inside->drained = inside->seen = 0;
  words->pid = thread->process->pid;
  words->tid = thread->tracee.tid;
  words->shared = recorder->nshared > 0;
  words->now = (uint64_t)clock_now();
  words->exit = INSIDE_BASE + (signal_is_late(thread) ? INSIDE_LEFT : INSIDE_GO);
  memset(words->fds, FD_UNKNOWN, sizeof words->fds);
}

bool inside_drain(Recorder *recorder, Fault *fault) {
  RecordInside *inside = recorder->inside;
  if (!inside || inside->words->head == inside->drained) return true;
  const uint64_t from = inside->drained, to = inside->words->head;
  if (to < from || to > INSIDE_LOG_SIZE) {
    return fault_set(fault, FAULT_CORRUPT, "process %d: it has written over the recorder's log",
                     (int)inside->words->pid);
  }
  RecordThread *thread = threads_find(recorder, inside->words->tid);
  uint64_t count = 0;
  if (thread) thread->has_place = false;
  inside->drained = to;
  if (!writer_add_raw(recorder->writer, inside->memory + INSIDE_LOG + from, (size_t)(to - from),
                      &count, fault)) {
    return false;
  }
  recorder->since_hash += count;
  recorder->summary->inside += count;
  return true;
}

bool inside_ask(Recorder *recorder, const RecordThread *thread) {
  RecordInside *inside = recorder->inside;
  if (!inside || !thread->process->has_inside) return false;
  const bool calls = inside->words->head != inside->seen;
  inside->words->exit = INSIDE_BASE + INSIDE_LEFT;
  inside->seen = inside->words->head;
  return calls;
}

void inside_tick(Recorder *recorder) {
  if (recorder->inside) recorder->inside->words->now = (uint64_t)clock_now();
}

/* ---- stops */

/* Where the thread's own code goes on after the call: registers as the kernel leaves them. */
static void stand_behind(RecordThread *thread, const InsidePatch *patch) {
  struct user_regs_struct *regs = &thread->tracee.regs;
  regs->rip = regs->rcx = patch->at + SYSCALL_BYTES;
  thread->tracee.regs_changed = true;
}

bool inside_call(Recorder *recorder, RecordThread *thread, uint64_t ip, bool *out_left,
                 Fault *fault) {
  RecordProcess *process = thread->process;
  *out_left = false;
  if (!process->has_inside) return true;
  const bool left = ip == INSIDE_BASE + INSIDE_LEFT_END;
  const InsidePatch *patch =
      inside_of_thunk(&process->inside, left ? recorder->inside->words->back : ip);
  if (!patch) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  stand_behind(thread, patch);
  if (!left) return true;
  thread->tracee.regs.rax = recorder->inside->words->rax;
  thread->tracee.regs.orig_rax = (unsigned long long)-1;
  *out_left = true;
  event_place_called(thread);
  if (thread->holds) ptrace(PTRACE_INTERRUPT, thread->tracee.tid, 0, 0);
  thread->holds = false;
  signal_send_late(thread);
  return true;
}

/* A fault of the code that all share: it looked at memory of the program's that is not there. The
** kernel has not been asked yet, and will say so itself. */
static bool abandon(Recorder *recorder, RecordThread *thread, Fault *fault) {
  struct user_regs_struct *regs = &thread->tracee.regs;
  if (recorder->inside->words->made || regs->rip - INSIDE_BASE >= INSIDE_CODE_SIZE) {
    return fault_set(fault, FAULT_INTERNAL, "thread %d: a fault at 0x%llx in the recorder's code",
                     (int)thread->tracee.tid, (unsigned long long)regs->rip);
  }
  regs->rip = INSIDE_BASE + INSIDE_ABANDON;
  thread->tracee.regs_changed = true;
  return true;
}

bool inside_stop(Recorder *recorder, RecordThread *thread, int signal, bool group, bool *out_done,
                 Fault *fault) {
  const InsidePatch *patch;
  *out_done = false;
  if (!thread->process || !thread->process->has_inside) return true;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  const struct user_regs_struct *regs = &thread->tracee.regs;
  switch (inside_where(&thread->process->inside, regs->rip, regs->rcx, &patch)) {
  case INSIDE_NOT:
    return true;
  case INSIDE_BEHIND:
    stand_behind(thread, patch);
    event_place_called(thread);
    return true;
  case INSIDE_WITHIN:
    break;
  }
  *out_done = true;
  if (group) {
    thread->holds |= signal != SIGTRAP;
    thread->interrupted = false;
  } else {
    siginfo_t info;
    if (ptrace(PTRACE_GETSIGINFO, thread->tracee.tid, 0, &info) != 0) {
      return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                       "thread %d: its signal cannot be read: %s", (int)thread->tracee.tid,
                       strerror(errno));
    }
    const bool own = signal_is_fault(signal, &info);
    if (own ? !abandon(recorder, thread, fault) : !signal_keep(thread, signal, &info, fault)) {
      return false;
    }
  }
  inside_ask(recorder, thread);
  return tracee_resume(&thread->tracee, PTRACE_CONT, 0, fault);
}
