/*
** A child of a test under our hand: it stops itself, is given probes, and runs on to its end.
*/
#ifndef TENFOLD_TEST_REPLAY_PROBED_H
#define TENFOLD_TEST_REPLAY_PROBED_H

#include <assert.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "replay/probe.h"

typedef struct Probed {
  Space space;
  Tracee tracee;
  Probes *probes;
} Probed;

/* A free gap of /proc/PID/maps. */
static inline bool probed_place(void *ctx, uint64_t low, uint64_t high, uint64_t size,
                                uint64_t *out) {
  const Probed *probed = ctx;
  char path[64], line[512];
  snprintf(path, sizeof path, "/proc/%d/maps", (int)probed->space.pid);
  FILE *maps = fopen(path, "r");
  uint64_t free_from = (low + 0xffff) & ~(uint64_t)0xffff;
  bool found = false;
  assert(maps);
  while (!found && fgets(line, sizeof line, maps)) {
    unsigned long long start, end;
    if (sscanf(line, "%llx-%llx", &start, &end) != 2) continue;
    found = start > free_from && start - free_from >= size + 0x100000 && free_from + size <= high;
    if (!found && end > free_from) free_from = (end + 0x10ffff) & ~(uint64_t)0xffff;
  }
  fclose(maps);
  *out = free_from;
  return found || (free_from + size <= high && free_from < (uint64_t)1 << 46);
}

static inline void probed_die(const Fault *fault) {
  printf("# %s\n", fault->text);
  abort();
}

/* The child runs `body` after it has stopped; its status is 0 or what body returned. */
static inline void probed_start(Probed *probed, int (*body)(void *), void *arg) {
  Fault fault = {0};
  uint8_t *site =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert(site != MAP_FAILED);
  memcpy(site, "\x0f\x05\xcc", 3);
  fflush(stdout);
  pid_t pid = fork();
  assert(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    /* Not by raise(): no function of libc is under way then. */
    const long nr = SYS_kill, self = getpid();
    long ret;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(self), "S"(SIGSTOP)
                     : "rcx", "r11", "memory");
    _exit(body(arg));
  }
  probed->space = (Space){.pid = pid, .mem_fd = -1, .call_site = {(uint64_t)(uintptr_t)site}};
  probed->tracee = (Tracee){.tid = pid, .space = &probed->space};
  if (!tracee_wait(&probed->tracee, &fault)) probed_die(&fault);
  munmap(site, 4096);
  if (!probes_create(&probed->tracee, probed_place, probed, &probed->probes, &fault))
    probed_die(&fault);
  probes_words(probed->probes)->tid = (uint64_t)pid;
}

/* The executable mappings that hold an address are announced. */
static inline void probed_map(Probed *probed, uint64_t inside) {
  char path[64], line[512];
  Fault fault = {0};
  snprintf(path, sizeof path, "/proc/%d/maps", (int)probed->space.pid);
  FILE *maps = fopen(path, "r");
  assert(maps);
  while (fgets(line, sizeof line, maps)) {
    unsigned long long start, end;
    char prot[8];
    if (sscanf(line, "%llx-%llx %7s", &start, &end, prot) != 3 || prot[2] != 'x') continue;
    if (inside < start || inside >= end) continue;
    const ProbeMapping mapping = {.start = start, .end = end, .file = PROBE_NO_FILE};
    if (!probes_map(probed->probes, &probed->tracee, &mapping, &fault)) probed_die(&fault);
  }
  fclose(maps);
}

/* On to its end or to a stop that is for us; the number of stops is added to *stops. */
static inline ProbeStop probed_run(Probed *probed, uint64_t *stops, int *out_status) {
  for (;;) {
    Fault fault = {0};
    ProbeStop stop;
    int set, signal = 0;
    if (!tracee_resume(&probed->tracee, PTRACE_CONT, 0, &fault) ||
        !tracee_wait(&probed->tracee, &fault)) {
      probed_die(&fault);
    }
    *out_status = probed->tracee.status;
    if (!WIFSTOPPED(*out_status)) return PROBE_FOREIGN;
    ++*stops;
    if (!probes_stop(probed->probes, &probed->tracee, &stop, &set, &fault)) probed_die(&fault);
    if (stop == PROBE_HANDLED) continue;
    if (stop != PROBE_FOREIGN) return stop;
    signal = WSTOPSIG(*out_status);
    printf("# signal %d at 0x%llx\n", signal, (unsigned long long)probed->tracee.regs.rip);
    return PROBE_FOREIGN;
  }
}

static inline void probed_end(Probed *probed) {
  if (WIFSTOPPED(probed->tracee.status)) {
    kill(probed->space.pid, SIGKILL);
    waitpid(probed->space.pid, NULL, 0);
  }
  probes_free(probed->probes);
  space_finish(&probed->space);
}

#endif
