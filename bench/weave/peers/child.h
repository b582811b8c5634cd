/*
** A peer runs in a process of its own, with a cap on its time: one that overruns its own limit, or
** aborts, then costs the benchmark nothing but that.
*/
#ifndef TENFOLD_BENCH_WEAVE_PEERS_CHILD_H
#define TENFOLD_BENCH_WEAVE_PEERS_CHILD_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>

#include "bench/weave/subject.h"

/* What came of one run of a peer. */
typedef struct PeerRun {
  double wall, cpu;
  bool capped;   /* stopped by its cap, whether by itself or by us */
  bool proven;   /* it says that nothing is better, within the gap it was given */
  bool answered; /* a placement that breaks nothing */
  double cost;
  const char *wrong; /* its placement breaks something: our model of it is wrong */
} PeerRun;

/* Waits for the child, at most so many seconds from the start; then kills it and what it started.
 */
static inline bool child_wait(pid_t child, double start, double cap) {
  const struct timespec pause = {0, 1000000};
  int status;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (now_wall() - start > cap) {
      kill(-child, SIGKILL);
      while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
      return false;
    }
    nanosleep(&pause, NULL);
  }
  return true;
}

/* Runs work(argument) in a child; true when it ended by itself before the cap. */
static inline bool child_run(int (*work)(void *), void *argument, double cap, PeerRun *out) {
  double start = now_wall(), cpu = cpu_of(RUSAGE_CHILDREN);
  fflush(NULL);
  pid_t child = fork();
  if (child < 0) exit(2);
  if (child == 0) {
    setpgid(0, 0);
    _exit(work(argument));
  }
  setpgid(child, child); /* by both, so that it holds before either goes on */
  bool ended = child_wait(child, start, cap);
  out->wall = now_wall() - start;
  out->cpu = cpu_of(RUSAGE_CHILDREN) - cpu;
  return ended;
}

typedef struct Program {
  const char *const *arguments; /* NULL at the end */
  const char *output;           /* file for what it prints */
} Program;

static inline int child_exec(void *argument) {
  const Program *program = argument;
  int out = open(program->output, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  int nothing = open("/dev/null", O_RDWR);
  if (out < 0 || nothing < 0) return 127;
  dup2(nothing, 0);
  dup2(out, 1);
  dup2(nothing, 2);
  execvp(program->arguments[0], (char *const *)program->arguments);
  return 127;
}

static inline bool child_run_program(const char *const *arguments, const char *output, double cap,
                                     PeerRun *out) {
  Program program = {arguments, output};
  return child_run(child_exec, &program, cap, out);
}

/* Judges a peer's placement. */
static inline void peer_judge(const Cluster *c, Goal goal, const int *placement, PeerRun *out) {
  Verdict verdict = judge(c, placement, goal);
  out->wrong = verdict.broken;
  out->answered = !verdict.broken;
  out->cost = verdict.cost[0];
}

/* Files of a run: a folder that is removed at the end. */
static inline const char *scratch_folder(void) {
  static char folder[256];
  if (!folder[0]) {
    const char *root = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/weave-bench-XXXXXX", root ? root : "/tmp");
    if (!mkdtemp(folder)) exit(2);
  }
  return folder;
}

enum { PATH_SIZE = 320 };

static inline const char *scratch_path(char *out, const char *name) {
  snprintf(out, PATH_SIZE, "%s/%s", scratch_folder(), name);
  return out;
}

static inline void scratch_remove(void) {
  static const char *const names[] = {"model.mps", "model.mzn", "answer", "printed"};
  char path[PATH_SIZE];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) unlink(scratch_path(path, names[i]));
  rmdir(scratch_folder());
}

#endif
