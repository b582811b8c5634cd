/*
** System calls: what is done at their entry and at their end, and the event that tells of them.
*/
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "replay/record_inner.h"

enum { RESTART_FIRST = 512, RESTART_ALWAYS = 513, RESTART_LAST = 516, ERROR_LAST = 4095 };

static size_t read_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  RecordThread *thread = ctx;
  size_t got;
  space_peek(&thread->process->space, (RemoteAddr){addr}, out, size, &got);
  return got;
}

static bool is_error(int64_t ret) { return ret < 0 && ret >= -ERROR_LAST; }

/* ---- entry: what is asked of the kernel instead */

static void answer(RecordThread *thread, int64_t ret) {
  thread->answered = true;
  thread->answer = ret;
}

static bool overlaps_ours(const RecordThread *thread, uint64_t start, uint64_t size) {
  if (thread->process->has_inside && inside_overlaps(&thread->process->inside, start, size)) {
    return true;
  }
  return start < SPACE_PAGE + SPACE_PAGE_SIZE && size > 0 &&
         (start >= SPACE_PAGE || size > SPACE_PAGE - start);
}

/* Calls that are answered here, and those that would touch what is ours. */
static bool choose_answer(Recorder *recorder, RecordThread *thread, Fault *fault) {
  const uint64_t *args = thread->args;
  int refusal = call_refusal(thread->nr, args);
  if (refusal) answer(thread, -refusal);
  switch (thread->nr) {
  case SYS_clone3: /* its flags are in memory: programs fall back to clone */
    answer(thread, -ENOSYS);
    return true;
  case SYS_sched_setaffinity: /* all stay on one CPU */
    answer(thread, 0);
    return true;
  case SYS_clone:
    if (args[0] & CLONE_NEWPID) answer(thread, -EPERM); /* threads are named by their numbers */
    if (args[0] & CLONE_VM && !(args[0] & (CLONE_THREAD | CLONE_VFORK))) {
      return record_unsupported(recorder, thread, fault, "clone of a process that shares memory");
    }
    return true;
  case SYS_unshare:
    if (args[0] & CLONE_NEWPID) answer(thread, -EPERM);
    return true;
  case SYS_munmap:
  case SYS_mprotect:
  case SYS_pkey_mprotect:
  case SYS_madvise:
    if (overlaps_ours(thread, args[0], args[1])) answer(thread, -EINVAL);
    return true;
  case SYS_mremap:
    if (overlaps_ours(thread, args[0], args[1])) answer(thread, -EINVAL);
    return inside_moves(thread, args[0], args[0] + args[1], fault);
  case SYS_mmap:
    if (args[3] & MAP_FIXED && overlaps_ours(thread, args[0], args[1])) answer(thread, -EINVAL);
    return true;
  default:
    return true;
  }
}

/* Registers that make another call of it. */
static void rewrite(RecordThread *thread, struct user_regs_struct *regs) {
  const uint64_t both = CLONE_VM | CLONE_VFORK;
  switch (thread->nr) {
  case SYS_vfork:
    regs->orig_rax = SYS_fork;
    break;
  case SYS_clone:
    if ((regs->rdi & both) == both && !(regs->rdi & CLONE_THREAD)) regs->rdi &= ~both;
    regs->rdi &= ~(uint64_t)CLONE_UNTRACED;
    break;
  case SYS_madvise:
    if (regs->rdx == MADV_FREE) regs->rdx = MADV_DONTNEED;
    break;
  default:
    break;
  }
}

static bool is_rewritten(long nr) {
  return nr == SYS_vfork || nr == SYS_clone || nr == SYS_madvise;
}

static bool change_registers(RecordThread *thread, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!thread->answered && !is_rewritten(thread->nr)) return true;
  if (!tracee_regs(tracee, fault)) return false;
  thread->saved = tracee->regs;
  if (thread->answered)
    tracee->regs.orig_rax = (unsigned long long)-1;
  else
    rewrite(thread, &tracee->regs);
  thread->rewritten = memcmp(&thread->saved, &tracee->regs, sizeof thread->saved) != 0;
  tracee->regs_changed = thread->rewritten;
  return true;
}

/* ---- entry */

static bool read_call(Recorder *recorder, RecordThread *thread, bool *out_left, Fault *fault) {
  struct __ptrace_syscall_info info;
  pid_t tid = thread->tracee.tid;
  long n = ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof info, &info);
  if (n <= 0) {
    return fault_set(fault, errno == ESRCH ? FAULT_NOTFOUND : FAULT_IO,
                     "thread %d: its call cannot be read: %s", (int)tid, strerror(errno));
  }
  if (info.entry.nr != SYS_restart_syscall) thread->means = (int)info.entry.nr;
  thread->nr = (int)info.entry.nr;
  memcpy(thread->args, info.entry.args, sizeof thread->args);
  if (info.arch != AUDIT_ARCH_X86_64) {
    return record_unsupported(recorder, thread, fault, "a 32-bit system call (int 0x80)");
  }
  return inside_call(recorder, thread, info.instruction_pointer, out_left, fault);
}

/* What an exec names is gone when it has succeeded. */
static bool keep_path(RecordThread *thread, Fault *fault) {
  thread->path_at = thread->args[thread->nr == SYS_execveat ? 1 : 0];
  free(thread->path);
  thread->path = malloc(4097);
  if (!thread->path) return fault_oom(fault);
  thread->path[0] = '\0';
  Fault ignored = {0};
  space_read_text(&thread->process->space, (RemoteAddr){thread->path_at}, thread->path, 4097,
                  &ignored);
  return true;
}

/* The call is not made: as if a signal had come before the kernel began with it. */
static bool interrupt_call(RecordThread *thread, Fault *fault) {
  answer(thread, -RESTART_ALWAYS);
  thread->stand = THREAD_RUNS;
  return change_registers(thread, fault);
}

/* Signals that are due come at the end of a call, unless that may be never. Others are made, or a
** program that gets signals faster than it makes calls would not come on. */
static bool waits_or_leaves(const CallInfo *info, RecordThread *thread) {
  if (!info || info->class == CALL_EXIT || info->class == CALL_EXEC) return true;
  return call_may_block(thread->means, thread->args, read_memory, thread);
}

bool call_entry(Recorder *recorder, RecordThread *thread, bool *out_left, Fault *fault) {
  if (!read_call(recorder, thread, out_left, fault)) return false;
  if (*out_left) return true;
  const CallInfo *info = call_info(thread->nr);
  thread->in_call = true;
  thread->entered = thread->answered = thread->rewritten = thread->has_place = false;
  thread->child = 0;
  if (signal_is_due(thread) && waits_or_leaves(info, thread)) return interrupt_call(thread, fault);
  if (info && info->class == CALL_EXEC && !keep_path(thread, fault)) return false;
  if (!choose_answer(recorder, thread, fault) || !change_registers(thread, fault)) return false;
  if (info && info->class == CALL_EXIT && !thread->answered) {
    if (!call_record(recorder, thread, 0, fault)) return false;
  }
  bool blocks = !thread->answered && !schedule_is_fixed(thread) &&
                (!info || call_may_block(thread->means, thread->args, read_memory, thread));
  thread->stand = blocks ? THREAD_CALL : THREAD_RUNS;
  thread->asleep = false;
  return true;
}

/* ---- the end */

static bool add_ranges(Recorder *recorder, RecordThread *thread, int64_t ret, Fault *fault) {
  int n;
  for (;;) {
    int room = (int)recorder->ranges_capacity;
    n = call_ranges(thread->means, thread->args, ret, read_memory, thread, recorder->ranges, room);
    if (n <= room) break;
    if (!array_grow(recorder->ranges, recorder->ranges_capacity, (size_t)n)) {
      return fault_oom(fault);
    }
  }
  if (n < 0) {
    const char *name = call_name(thread->nr);
    char unknown[40];
    snprintf(unknown, sizeof unknown, "system call %ld", (long)thread->nr);
    return record_unsupported(recorder, thread, fault, "%s(%#llx, %#llx, ...)",
                              name ? name : unknown, (unsigned long long)thread->args[0],
                              (unsigned long long)thread->args[1]);
  }
  for (int i = 0; i < n; i++) {
    const CallRange *range = &recorder->ranges[i];
    if (!event_memory(recorder, range->out ? CHUNK_OUT : CHUNK_IN, range->addr, range->size,
                      fault)) {
      return false;
    }
  }
  return true;
}

static bool add_targets(Recorder *recorder, RecordThread *thread, Fault *fault) {
  int n;
  for (;;) {
    int room = (int)recorder->ranges_capacity;
    n = call_targets(thread->means, thread->args, read_memory, thread, recorder->ranges, room);
    if (n <= room) break;
    if (!array_grow(recorder->ranges, recorder->ranges_capacity, (size_t)n)) {
      return fault_oom(fault);
    }
  }
  for (int i = 0; i < n; i++) {
    const CallRange *range = &recorder->ranges[i];
    if (!event_memory(recorder, CHUNK_OUT, range->addr, range->size, fault)) return false;
  }
  return true;
}

static bool add_paths(Recorder *recorder, RecordThread *thread, Fault *fault) {
  const CallInfo *info = call_info(thread->nr);
  if (!info || !info->path_args) return true;
  if (info->class == CALL_EXEC) {
    return !thread->path || event_bytes(recorder, CHUNK_PATH, thread->path_at, thread->path,
                                        strlen(thread->path), fault);
  }
  for (int i = 0; i < info->nargs; i++) {
    char text[4097];
    Fault ignored = {0};
    uint64_t at = thread->args[i];
    if (!(info->path_args >> i & 1) || !at) continue;
    if (!space_read_text(&thread->process->space, (RemoteAddr){at}, text, sizeof text, &ignored)) {
      continue;
    }
    if (!event_bytes(recorder, CHUNK_PATH, at, text, strlen(text), fault)) return false;
  }
  return true;
}

/* The list of mappings follows the call. */
static bool follow_memory(Recorder *recorder, RecordThread *thread, int64_t ret, uint64_t *out_aux,
                          Fault *fault) {
  char path[4097] = "";
  uint32_t file = 0;
  *out_aux = 0;
  if (is_error(ret)) return true;
  if (thread->nr == SYS_mmap && !(thread->args[3] & MAP_ANONYMOUS)) {
    bool shared = (thread->args[3] & MAP_TYPE) != MAP_PRIVATE;
    if (!file_of_fd(recorder, thread, (int)thread->args[4], shared, &file, path, fault)) {
      return false;
    }
  }
  *out_aux = file;
  return maps_apply(&thread->process->maps, thread->nr, thread->args, ret, file, path, fault);
}

/* Code has appeared. */
static bool patch_code(Recorder *recorder, RecordThread *thread, int64_t ret, Fault *fault) {
  const uint64_t *args = thread->args;
  bool maps = thread->nr == SYS_mmap, protects = thread->nr == SYS_mprotect;
  if (is_error(ret) || !(maps || protects) || !(args[2] & PROT_EXEC)) return true;
  uint64_t start = maps ? (uint64_t)ret : args[0];
  return file_patch(recorder, thread, start, start + args[1], true, fault);
}

bool call_record(Recorder *recorder, RecordThread *thread, int64_t ret, Fault *fault) {
  const CallInfo *info = call_info(thread->nr);
  uint64_t aux = 0;
  if (info && info->class == CALL_MEMORY && !follow_memory(recorder, thread, ret, &aux, fault)) {
    return false; /* a file it maps has an event of its own, before */
  }
  event_begin(recorder, thread, EVENT_SYSCALL);
  Event *event = &recorder->event;
  event->nr = thread->nr;
  event->ret = ret;
  event->aux = aux;
  if (thread->former) event->tid = thread->former;
  int nargs = info ? info->nargs : 6;
  memcpy(event->args, thread->args, (size_t)nargs * sizeof *event->args);
  bool again = ret <= -RESTART_FIRST && ret >= -RESTART_LAST;
  bool execs = info && info->class == CALL_EXEC && ret == 0;
  event->has_hash = !again && !execs && !(info && info->class == CALL_EXIT);
  if (!thread->answered && !execs && !add_ranges(recorder, thread, ret, fault)) return false;
  if (!shared_follow(recorder, thread, ret, fault) || !unsure_child(recorder, thread, fault)) {
    return false;
  }
  if (!add_paths(recorder, thread, fault) || !patch_code(recorder, thread, ret, fault))
    return false;
  if (thread->nr == SYS_rt_sigreturn && !thread->answered &&
      (!event_regs(recorder, thread, fault) || !event_xstate(recorder, thread, fault))) {
    return false;
  }
  return event_end(recorder, thread, fault);
}

/* Memory that the kernel has changed before the call is over, and others see: told now. */
static bool writes_early(const RecordThread *thread) {
  switch (thread->means) {
  case SYS_recvfrom:
  case SYS_recvmsg:
  case SYS_recvmmsg:
  case SYS_readv:
  case SYS_preadv:
  case SYS_preadv2:
    return true;
  case SYS_futex:
    return true; /* locks that inherit priority */
  default:
    return false;
  }
}

bool call_enter(Recorder *recorder, RecordThread *thread, Fault *fault) {
  const CallInfo *info = call_info(thread->nr);
  event_begin(recorder, thread, EVENT_ENTER);
  recorder->event.nr = thread->nr;
  memcpy(recorder->event.args, thread->args,
         (size_t)(info ? info->nargs : 6) * sizeof *thread->args);
  if (writes_early(thread) && !add_targets(recorder, thread, fault)) return false;
  return event_end(recorder, thread, fault);
}

/* What of the thread's state is ours to know. */
static void follow_state(RecordThread *thread, int64_t ret) {
  if (is_error(ret)) return;
  if (thread->nr == SYS_set_tid_address) thread->clear_tid = thread->args[0];
  if (thread->nr == SYS_set_robust_list) thread->robust_list = thread->args[0];
}

/* The registers as the program left them, and the result. */
static bool restore_registers(RecordThread *thread, int64_t *ret, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!tracee_regs(tracee, fault)) return false;
  *ret = thread->answered ? thread->answer : (int64_t)tracee->regs.rax;
  struct user_regs_struct now = tracee->regs;
  tracee->regs.rdi = thread->saved.rdi;
  tracee->regs.rdx = thread->saved.rdx;
  tracee->regs.rax = (unsigned long long)*ret;
  tracee->regs.orig_rax = thread->saved.orig_rax;
  tracee->regs_changed = memcmp(&now, &tracee->regs, sizeof now) != 0;
  return true;
}

static bool read_result(RecordThread *thread, int64_t *out, Fault *fault) {
  if (thread->rewritten) return restore_registers(thread, out, fault);
  if (!tracee_regs(&thread->tracee, fault)) return false;
  *out = (int64_t)thread->tracee.regs.rax;
  return true;
}

/* Calls in code that has gone. */
static void follow_code(RecordThread *thread, int64_t ret) {
  const uint64_t *args = thread->args, at = (uint64_t)ret;
  InsidePatches *patches = &thread->process->inside;
  if (!thread->process->has_inside || is_error(ret)) return;
  switch (thread->nr) {
  case SYS_munmap:
  case SYS_madvise:
    if (thread->nr == SYS_munmap || args[2] == MADV_DONTNEED || args[2] == MADV_FREE) {
      inside_forget(patches, args[0], args[0] + args[1]);
    }
    return;
  case SYS_mremap:
    inside_forget(patches, at, at + args[2]);
    return;
  case SYS_mmap:
    inside_forget(patches, at, at + args[1]);
    return;
  default:
    return;
  }
}

bool call_exit(Recorder *recorder, RecordThread *thread, Fault *fault) {
  int64_t ret;
  if (!read_result(thread, &ret, fault)) return false;
  const CallInfo *info = call_info(thread->nr);
  bool first = thread->nr < 0; /* the exec that recording begins with */
  bool ok = first || call_record(recorder, thread, ret, fault);
  follow_state(thread, ret);
  if (first || (info && info->class == CALL_EXEC && ret == 0)) {
    ok = ok && image_record(recorder, thread, fault);
  }
  follow_code(thread, ret);
  ok = ok && inside_learn(recorder, thread, fault);
  life_announce(recorder, thread);
  thread->former = 0;
  thread->in_call = thread->rewritten = thread->answered = false;
  thread->yields = thread->nr == SYS_sched_yield;
  if (thread->nr == SYS_rt_sigreturn && ret != -RESTART_ALWAYS) {
    event_place(thread); /* anywhere, perhaps in a loop */
  } else {
    event_place_called(thread);
  }
  signal_send_late(thread);
  return ok;
}
