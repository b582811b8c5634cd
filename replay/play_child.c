/*
** The processes and threads of the system in which a recording is played.
**
** The first is forked from us, and stripped of everything but SPACE_PAGE; the others are made by
** calls in its name, with us as the parent, so that we can reap them. Nothing of the C library may
** be under way in the first one: no robust list, no restartable sequences, no identity in memory.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/play_inner.h"

enum {
  OPTIONS = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
            PTRACE_O_TRACEVFORK,
  THREAD_FLAGS = 0x00000100 | 0x00000200 | 0x00000400 | 0x00000800 | 0x00010000 |
                 0x00040000, /* CLONE_VM FS FILES SIGHAND THREAD SYSVSEM */
  PROCESS_FLAGS = 0x00008000 /* CLONE_PARENT */
};

PlayThread *child_find(const Player *player, int32_t tid) {
  for (size_t i = 0; i < player->nthreads; i++) {
    if (player->threads[i]->tid == tid) return player->threads[i];
  }
  return NULL;
}

PlaySpace *child_space(const Player *player, int32_t pid) {
  for (size_t i = 0; i < player->nspaces; i++) {
    if (player->spaces[i]->pid == pid) return player->spaces[i];
  }
  return NULL;
}

bool child_call(PlayThread *thread, const char *what, long nr, const uint64_t args[6],
                int64_t *out_ret, Fault *fault) {
  int64_t ret;
  if (!tracee_syscall(&thread->tracee, nr, args, &ret, fault)) return false;
  if (ret < 0 && ret > -4096) {
    return fault_set(fault, ret == -ENOMEM ? FAULT_NOMEM : FAULT_IO, "thread %d: %s: %s",
                     (int)thread->tid, what, strerror((int)-ret));
  }
  if (out_ret) *out_ret = ret;
  return true;
}

/* ---- the first */

/* The kernel would write to a place that is no longer there. */
static bool leave_rseq(void) {
  if (!__rseq_size) return true;
  char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
  return syscall(SYS_rseq, area, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0 ||
         syscall(SYS_rseq, area, __rseq_size, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) == 0;
}

static bool put_page(void) {
  uint8_t *page = mmap((void *)(uintptr_t)SPACE_PAGE, SPACE_PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (page == MAP_FAILED) return false;
  page[0] = 0x0f; /* syscall; int3 */
  page[1] = 0x05;
  page[2] = 0xcc;
  return mprotect(page, SPACE_PAGE_SIZE, PROT_READ | PROT_EXEC) == 0;
}

/* Of a parent that is dead before that is asked for, init would be the tracer, and nobody would let
** the child go on. */
static bool die_with(pid_t parent) {
  return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && syscall(SYS_getppid) == parent;
}

static _Noreturn void be_child(pid_t parent) {
  const struct rlimit none = {0, 0};
  uint64_t faults = 0;
  const int kept[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
  for (size_t i = 0; i < countof(kept); i++) faults |= (uint64_t)1 << (kept[i] - 1);
  faults = ~faults;
  int step = 1;
  if (die_with(parent) && step++ && leave_rseq() && step++ && put_page() && step++ &&
      setrlimit(RLIMIT_CORE, &none) == 0 && step++ && setsid() >= 0 && step++ &&
      syscall(SYS_close_range, 0, ~0u, 0) == 0 && step++ &&
      syscall(SYS_rt_sigprocmask, SIG_SETMASK, &faults, NULL, sizeof faults) == 0 && step++ &&
      prctl(PR_SET_TSC, PR_TSC_SIGSEGV) == 0 && step++ &&
      ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && step++) {
    syscall(SYS_kill, syscall(SYS_getpid), SIGSTOP);
  }
  syscall(SYS_exit_group, step);
  for (;;) {
  }
}

/* All of what a fork brought along. */
static bool strip(PlayThread *thread, Fault *fault) {
  MapList maps;
  if (!maps_read(thread->space->space.pid, &maps, fault)) return false;
  bool ok = true;
  for (size_t i = 0; ok && i < maps.count; i++) {
    const MapRange *range = &maps.ranges[i];
    if (range->start == SPACE_PAGE || range->start >= SPACE_TOP) continue;
    const uint64_t args[6] = {range->start, range->end - range->start};
    ok = child_call(thread, "munmap", SYS_munmap, args, NULL, fault);
  }
  maps_finish(&maps);
  return ok;
}

static pid_t fork_quietly(void) {
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, &before);
  const pid_t parent = getpid();
  pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) be_child(parent);
  int error = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  errno = error;
  return pid;
}

/* A place for a thread in the lists; its space gets it as the leader if it has none. */
static PlayThread *enlist(Player *player, PlaySpace *space, int32_t tid, pid_t os_tid) {
  PlayThread *thread = calloc(1, sizeof *thread);
  if (!thread || !array_grow(player->threads, player->threads_capacity, player->nthreads + 1)) {
    free(thread);
    return NULL;
  }
  *thread =
      (PlayThread){.tid = tid, .space = space, .tracee = {.tid = os_tid, .space = &space->space}};
  player->threads[player->nthreads++] = thread;
  space->nthreads++;
  if (!space->leader) space->leader = thread;
  return thread;
}

static PlaySpace *enlist_space(Player *player, int32_t pid, pid_t os_pid) {
  PlaySpace *space = calloc(1, sizeof *space);
  if (!space || !array_grow(player->spaces, player->spaces_capacity, player->nspaces + 1)) {
    free(space);
    return NULL;
  }
  space->pid = pid;
  space->space =
      (Space){.pid = os_pid, .mem_fd = -1, .call_site = {SPACE_PAGE}, .stop = player->options.stop};
  player->spaces[player->nspaces++] = space;
  return space;
}

static void reap(pid_t tid) {
  for (;;) {
    int status;
    pid_t n = waitpid(tid, &status, __WALL);
    if (n < 0 && errno != EINTR) return;
    if (n == tid && (WIFEXITED(status) || WIFSIGNALED(status))) return;
  }
}

bool child_start(Player *player, int32_t pid, int32_t tid, PlayThread **out, Fault *fault) {
  pid_t os = fork_quietly();
  if (os < 0) return fault_set(fault, FAULT_IO, "player: no process: %s", strerror(errno));
  PlaySpace *space = enlist_space(player, pid, os);
  PlayThread *thread = space ? enlist(player, space, tid, os) : NULL;
  if (!thread) { /* with a space and no thread, child_kill() would not know it */
    kill(os, SIGKILL);
    reap(os);
    return fault_oom(fault);
  }
  if (!tracee_wait(&thread->tracee, fault)) return false;
  if (!tracee_stopped_by(&thread->tracee, SIGSTOP)) {
    return fault_set(fault, FAULT_IO, "player: its child could not be set up: status 0x%x",
                     (unsigned)thread->tracee.status);
  }
  if (ptrace(PTRACE_SETOPTIONS, os, NULL, (void *)(intptr_t)OPTIONS) != 0) {
    return fault_set(fault, FAULT_IO, "player: ptrace: %s", strerror(errno));
  }
  *out = thread;
  return strip(thread, fault);
}

/* ---- the others */

static bool adopt(Player *player, PlayThread *thread, Fault *fault) {
  (void)player;
  return tracee_wait(&thread->tracee, fault) &&
         (WIFSTOPPED(thread->tracee.status) ||
          fault_set(fault, FAULT_NOTFOUND, "thread %d: it was killed", (int)thread->tid));
}

bool child_spawn(Player *player, PlayThread *thread, bool copy, int32_t pid, int32_t tid,
                 PlayThread **out, Fault *fault) {
  const uint64_t args[6] = {copy ? PROCESS_FLAGS | SIGCHLD : THREAD_FLAGS};
  int64_t made;
  if (!tracee_regs(&thread->tracee, fault)) return false;
  const struct user_regs_struct regs = thread->tracee.regs;
  if (!child_call(thread, "clone", SYS_clone, args, &made, fault)) return false;
  PlaySpace *space = thread->space;
  if (copy) {
    space = enlist_space(player, pid, (pid_t)made);
    if (space &&
        (!maps_copy(&thread->space->maps, &space->maps, fault) ||
         !maps_copy(&thread->space->shared, &space->shared, fault) ||
         !reply_fork(thread->space, space, fault) || !patch_fork(thread->space, space, fault))) {
      space = NULL;
    }
  }
  PlayThread *born = space ? enlist(player, space, tid, (pid_t)made) : NULL;
  if (!born) {
    if (copy) kill((pid_t)made, SIGKILL);
    if (copy) reap((pid_t)made);
    return fault_oom(fault);
  }
  if (!adopt(player, born, fault)) return false;
  born->tracee.regs = regs;
  born->tracee.has_regs = born->tracee.regs_changed = true;
  *out = born;
  return true;
}

/* ---- the end */

static void delist(Player *player, const PlayThread *thread) {
  size_t kept = 0;
  for (size_t i = 0; i < player->nthreads; i++) {
    if (player->threads[i] != thread) player->threads[kept++] = player->threads[i];
  }
  player->nthreads = kept;
}

void child_shelve(Player *player, PlaySpace *space) {
  size_t kept = 0;
  for (size_t i = 0; i < player->nspaces; i++) {
    if (player->spaces[i] != space) player->spaces[kept++] = player->spaces[i];
  }
  player->nspaces = kept;
  delist(player, space->leader);
}

void child_park(Player *player, PlaySpace *space) {
  delist(player, space->leader);
  space->nthreads--;
}

void child_kill(Player *player, PlaySpace *space) {
  kill(space->space.pid, SIGKILL);
  for (size_t i = 0; i < player->nthreads;) {
    PlayThread *thread = player->threads[i];
    if (thread->space != space || thread == space->leader) {
      i++;
      continue;
    }
    reap(thread->tracee.tid);
    delist(player, thread);
    free(thread);
  }
  if (space->leader) reap(space->leader->tracee.tid); /* reported when it is the last */
  child_shelve(player, space);
  free(space->leader);
  patch_finish(player, space);
  state_finish(&space->state);
  maps_finish(&space->maps);
  maps_finish(&space->shared);
  inside_finish(&space->inside);
  space_finish(&space->space);
  free(space);
}

/* A thread that is not the first of its process ends by itself. */
static bool finish(PlayThread *thread, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  if (!tracee_regs(tracee, fault)) return false;
  tracee->regs.rip = SPACE_PAGE;
  tracee->regs.rax = SYS_exit;
  tracee->regs.orig_rax = (unsigned long long)-1;
  tracee->regs.rdi = 0;
  tracee->regs_changed = true;
  if (!tracee_resume(tracee, PTRACE_CONT, 0, fault) || !tracee_wait(tracee, fault)) return false;
  return WIFEXITED(tracee->status) ||
         fault_set(fault, FAULT_INTERNAL, "thread %d: it does not end, status 0x%x",
                   (int)thread->tid, (unsigned)tracee->status);
}

bool child_end(Player *player, PlayThread *thread, Fault *fault) {
  PlaySpace *space = thread->space;
  if (space->nthreads == 1) {
    child_kill(player, space);
    return true;
  }
  if (thread != space->leader && !finish(thread, fault)) return false;
  space->nthreads--;
  delist(player, thread);
  if (thread != space->leader) free(thread);
  return true;
}

bool child_alone(Player *player, PlaySpace *space, int32_t tid, PlayThread **out, Fault *fault) {
  for (size_t i = player->nthreads; i-- > 0;) {
    PlayThread *thread = player->threads[i];
    if (thread->space != space || thread == space->leader) continue;
    if (!finish(thread, fault)) return false;
    delist(player, thread);
    free(thread);
  }
  PlayThread *leader = space->leader;
  delist(player, leader);
  player->threads[player->nthreads++] = leader; /* it had room there before */
  space->nthreads = 1;
  leader->tid = tid;
  leader->again = 0;
  leader->execs = false;
  *out = leader;
  return true;
}
