/*
** A program that has just been loaded: what makes it run differently from one time to the next is
** taken away, and what it begins with is written down.
**
** It stands at the end of its execve, before its first instruction. The only `syscall` in its space
** that can be used to make calls is the vdso's; with it SPACE_PAGE is mapped, and from there the
** vdso itself unmapped. No page of the program is written for that, which hashes would show.
*/
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "replay/record_inner.h"

static const uint8_t call_code[] = {0x0f, 0x05, 0xcc}; /* syscall; int3 */

/* ---- calls in its name */

/* Signals wait while a call is made for the thread. */
static bool hold_signals(RecordThread *thread, uint64_t *mask, bool hold, Fault *fault) {
  uint64_t all = ~(uint64_t)0;
  pid_t tid = thread->tracee.tid;
  if (hold && ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof *mask, mask) != 0) goto refused;
  if (ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof *mask, hold ? &all : mask) != 0) goto refused;
  return true;
refused:
  return fault_set(fault, FAULT_NOTFOUND, "thread %d: its signals cannot be held", (int)tid);
}

static bool inject(RecordThread *thread, const char *what, long nr, const uint64_t args[6],
                   Fault *fault) {
  int64_t ret;
  if (!tracee_syscall(&thread->tracee, nr, args, &ret, fault)) return false;
  return ret >= 0 || fault_set(fault, FAULT_UNSUPPORTED, "process %d: %s in its name: %s",
                               (int)thread->process->pid, what, errno_name((int)-ret));
}

/* The same through any `syscall` instruction, which is not followed by a breakpoint. */
static bool inject_at(RecordThread *thread, uint64_t at, long nr, const uint64_t args[6],
                      int64_t *out_ret, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!tracee_regs(tracee, fault)) return false;
  struct user_regs_struct saved = tracee->regs, *regs = &tracee->regs;
  regs->rip = at;
  regs->rax = (unsigned long long)nr;
  regs->orig_rax = (unsigned long long)-1;
  regs->rdi = args[0];
  regs->rsi = args[1];
  regs->rdx = args[2];
  regs->r10 = args[3];
  regs->r8 = args[4];
  regs->r9 = args[5];
  tracee->regs_changed = true;
  for (int stop = 0; stop < 2; stop++) {
    if (!tracee_resume(tracee, PTRACE_SYSCALL, 0, fault) || !tracee_wait(tracee, fault)) {
      return false;
    }
    if (tracee->status >> 16 == PTRACE_EVENT_SECCOMP &&
        (!tracee_resume(tracee, PTRACE_SYSCALL, 0, fault) || !tracee_wait(tracee, fault))) {
      return false;
    }
    if (!tracee_stopped_by(tracee, SIGTRAP | 0x80)) {
      return fault_set(fault, FAULT_INTERNAL, "thread %d: stopped by %#x in a call made for it",
                       (int)tracee->tid, (unsigned)tracee->status);
    }
  }
  if (!tracee_regs(tracee, fault)) return false;
  *out_ret = (int64_t)tracee->regs.rax;
  tracee->regs = saved;
  tracee->regs_changed = true;
  return true;
}

/* ---- what it must not see */

/* AT_SYSINFO_EHDR becomes AT_IGNORE, in the vector behind argc, argv and environment. */
static bool hide_vdso(RecordThread *thread, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!tracee_regs(tracee, fault)) return false;
  uint64_t at = tracee->regs.rsp + 8, words[64];
  int zeros = 0;
  while (zeros < 2) {
    size_t got;
    space_peek(tracee->space, (RemoteAddr){at}, words, sizeof words, &got);
    if (got < 8) return fault_set(fault, FAULT_INTERNAL, "a program without auxiliary vector");
    for (size_t i = 0; i < got / 8 && zeros < 2; i++, at += 8) zeros += !words[i];
  }
  for (;; at += 16) {
    uint64_t pair[2];
    if (!space_read(tracee->space, (RemoteAddr){at}, pair, sizeof pair, fault)) return false;
    if (pair[0] == AT_NULL) return true;
    if (pair[0] != AT_SYSINFO_EHDR) continue;
    uint64_t ignore = AT_IGNORE;
    return space_write(tracee->space, (RemoteAddr){at}, &ignore, sizeof ignore, fault);
  }
}

static const MapRange *find_named(const MapList *maps, const char *name) {
  for (size_t i = 0; i < maps->count; i++) {
    if (strcmp(maps->ranges[i].name, name) == 0) return &maps->ranges[i];
  }
  return NULL;
}

static bool find_call(RecordThread *thread, uint64_t *out, Fault *fault) {
  const MapRange *vdso = find_named(&thread->process->maps, "[vdso]");
  uint8_t bytes[2 * PAGE];
  if (vdso) {
    size_t size = vdso->end - vdso->start, got;
    space_peek(&thread->process->space, (RemoteAddr){vdso->start}, bytes,
               size < sizeof bytes ? size : sizeof bytes, &got);
    for (size_t i = 0; i + 1 < got; i++) {
      if (bytes[i] != 0x0f || bytes[i + 1] != 0x05) continue;
      *out = vdso->start + i;
      return true;
    }
  }
  return fault_set(fault, FAULT_UNSUPPORTED, "process %d: no vdso to make calls with",
                   (int)thread->process->pid);
}

static bool make_page(RecordThread *thread, Fault *fault) {
  int64_t ret = 0;
  uint64_t at = 0, anywhere = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  if (!find_call(thread, &at, fault)) return false;
  const uint64_t args[6] = {SPACE_PAGE, SPACE_PAGE_SIZE, PROT_READ | PROT_EXEC, anywhere,
                            (uint64_t)-1};
  if (!inject_at(thread, at, SYS_mmap, args, &ret, fault)) return false;
  if ((uint64_t)ret != SPACE_PAGE) {
    return fault_set(fault, FAULT_UNSUPPORTED, "process %d: our page cannot be mapped: %s",
                     (int)thread->process->pid, errno_name((int)-ret));
  }
  Space *space = &thread->process->space;
  if (!space_write(space, (RemoteAddr){SPACE_PAGE}, call_code, sizeof call_code, fault)) {
    return false;
  }
  space->call_site.at = SPACE_PAGE;
  return true;
}

static bool is_of_kernel(const MapRange *range) {
  static const char *const names[] = {"[vdso]", "[vvar]", "[vvar_vclock]", "[vsyscall]"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(range->name, names[i]) == 0) return true;
  }
  return false;
}

/* Kernel's own mappings go, from the space (vsyscall cannot be) and from the list. */
static bool drop_kernels(RecordThread *thread, Fault *fault) {
  MapList *maps = &thread->process->maps;
  for (size_t i = 0; i < maps->count;) {
    const MapRange *range = &maps->ranges[i];
    uint64_t start = range->start, end = range->end;
    if (!is_of_kernel(range)) {
      i++;
      continue;
    }
    const uint64_t args[6] = {start, end - start};
    bool fixed = strcmp(range->name, "[vsyscall]") == 0;
    if (!fixed && !inject(thread, "munmap", SYS_munmap, args, fault)) return false;
    if (!maps_remove(maps, start, end, fault)) return false;
  }
  return true;
}

static bool trap_tsc(RecordThread *thread, Fault *fault) {
  const uint64_t args[6] = {PR_SET_TSC, PR_TSC_SIGSEGV};
  return inject(thread, "prctl", SYS_prctl, args, fault);
}

static bool prepare(Recorder *recorder, RecordThread *thread, Fault *fault) {
  RecordProcess *process = thread->process;
  uint64_t mask;
  (void)recorder;
  maps_finish(&process->maps);
  if (!maps_read(process->pid, &process->maps, fault) ||
      !hold_signals(thread, &mask, true, fault)) {
    return false;
  }
  return hide_vdso(thread, fault) && make_page(thread, fault) && drop_kernels(thread, fault) &&
         trap_tsc(thread, fault) && hold_signals(thread, &mask, false, fault);
}

/* ---- what it begins with */

/* As replay does: the stack has all the room that it may come to need. */
static bool widen_stack(MapList *maps, Fault *fault) {
  enum { STACK_BYTES = 8 << 20 };
  for (size_t i = 0; i < maps->count; i++) {
    if (!(maps->ranges[i].flags & MAP_GROWSDOWN)) continue;
    MapRange range = maps->ranges[i];
    uint64_t low = range.end > STACK_BYTES ? range.end - STACK_BYTES : 0;
    if (i > 0 && maps->ranges[i - 1].end > low) low = maps->ranges[i - 1].end;
    if (low >= range.start) return true;
    range.start = low;
    char *name = strdup(range.name);
    if (!name) return fault_oom(fault);
    range.name = name;
    bool ok = maps_add(maps, &range, fault);
    free(name);
    return ok;
  }
  return true;
}

/* Files that are mapped at the beginning: the program, its interpreter. */
static bool number_files(Recorder *recorder, RecordThread *thread, Fault *fault) {
  RecordProcess *process = thread->process;
  char exe[64], program[4097], rooted[4200];
  snprintf(exe, sizeof exe, "/proc/%d/exe", (int)process->pid);
  ssize_t n = readlink(exe, program, sizeof program - 1);
  program[n > 0 ? n : 0] = '\0';
  for (size_t i = 0; i < process->maps.count; i++) {
    MapRange *range = &process->maps.ranges[i];
    if (range->name[0] != '/') continue;
    snprintf(rooted, sizeof rooted, "/proc/%d/root%s", (int)process->pid, range->name);
    const char *through = strcmp(range->name, program) == 0 ? exe : rooted;
    uint32_t number;
    if (!writer_file(recorder->writer, through, range->name, &number, fault)) return false;
    range->file = number + 1;
  }
  return true;
}

static bool write_map(Recorder *recorder, const MapRange *range, Fault *fault) {
  uint8_t bytes[sizeof(TraceMap) + 4096];
  TraceMap map = {.start = range->start,
                  .end = range->end,
                  .offset = range->offset,
                  .prot = range->prot,
                  .flags = range->flags,
                  .file = range->file};
  size_t length = strlen(range->name);
  if (length > 4096) length = 4096;
  memcpy(bytes, &map, sizeof map);
  memcpy(bytes + sizeof map, range->name, length);
  return event_bytes(recorder, CHUNK_MAP, range->start, bytes, sizeof map + length, fault);
}

static bool write_pages(Recorder *recorder, RecordThread *thread, Fault *fault) {
  RecordProcess *process = thread->process;
  StatePages pages;
  if (!state_pages(&process->state, &process->space, &process->maps, &pages, fault)) return false;
  for (size_t i = 0; i < pages.count; i++) {
    uint64_t start = pages.list[i].start, size = pages.list[i].end - start;
    if (!event_memory(recorder, CHUNK_OUT, start, size, fault)) return false;
  }
  return true;
}

bool image_record(Recorder *recorder, RecordThread *thread, Fault *fault) {
  RecordProcess *process = thread->process;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  if (thread->tracee.regs.cs == 0x23) {
    return record_unsupported(recorder, thread, fault, "a 32-bit program");
  }
  space_finish(&process->space);
  state_finish(&process->state);
  inside_finish(&process->inside);
  process->has_inside = false;
  process->space.call_site.at = 0;
  if (!prepare(recorder, thread, fault) || !number_files(recorder, thread, fault) ||
      !file_patch(recorder, thread, 0, UINT64_MAX, false, fault)) {
    return false;
  }
  event_begin(recorder, thread, EVENT_IMAGE);
  for (size_t i = 0; i < process->maps.count; i++) {
    if (!write_map(recorder, &process->maps.ranges[i], fault)) return false;
  }
  if (!write_pages(recorder, thread, fault)) return false;
  if (thread->path && !event_bytes(recorder, CHUNK_PATH, thread->path_at, thread->path,
                                   strlen(thread->path), fault)) {
    return false;
  }
  if (!event_regs(recorder, thread, fault) || !widen_stack(&process->maps, fault)) return false;
  process->has_image = true;
  recorder->event.has_hash = true;
  return event_end(recorder, thread, fault) && inside_begin(recorder, thread, fault);
}
