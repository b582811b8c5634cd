/*
** The program's first process, and the event that tells what is recorded.
*/
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "replay/record_inner.h"

extern char **environ;
static const char tunables[] = "GLIBC_TUNABLES", no_rseq[] = "glibc.pthread.rseq=0";

/* ---- in the child */

/* Of the child alone, which may allocate: this process has one thread. */
static bool set_tunables(char *const *env) {
  if (env) {
    clearenv();
    for (; *env; env++) {
      char *copy = strdup(*env);
      if (!copy || putenv(copy) != 0) return false;
    }
  }
  const char *before = getenv(tunables);
  char text[4096];
  int n = snprintf(text, sizeof text, "%s%s%s", before ? before : "", before ? ":" : "", no_rseq);
  return n > 0 && (size_t)n < sizeof text && setenv(tunables, text, 1) == 0;
}

/* Our copy of the writing end must go: a recorder that is killed before it traces us is seen by the
** end of the pipe. */
static void become(const Recorder *recorder, const int go[2], int report) {
  const RecordOptions *options = recorder->options;
  char byte;
  close(go[1]);
  if (read(go[0], &byte, 1) != 1) _exit(127);
  int persona = personality(0xffffffff);
  if (persona != -1) personality((unsigned long)persona | ADDR_NO_RANDOMIZE);
  errno = ENOMEM;
  if (set_tunables(options->env) && (!recorder->inside || filter_install()))
    execvp(options->argv[0], options->argv);
  int failure = errno;
  ssize_t n = write(report, &failure, sizeof failure);
  _exit(n > 0 ? 127 : 126);
}

/* ---- here */

static bool seize(pid_t pid, Fault *fault) {
  enum {
    OPTIONS = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
              PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESECCOMP
  };
  return ptrace(PTRACE_SEIZE, pid, 0, (void *)(uintptr_t)OPTIONS) == 0 ||
         fault_set(fault, FAULT_DENIED, "process %d cannot be traced: %s", (int)pid,
                   strerror(errno));
}

/* On until it stands in the exec of the program. */
static bool await_exec(Recorder *recorder, RecordThread *thread, int report, Fault *fault) {
  Tracee *tracee = &thread->tracee;
  for (;;) {
    if (!tracee_wait(tracee, fault)) return false;
    if (!WIFSTOPPED(tracee->status)) {
      int failure = 0;
      ssize_t n = read(report, &failure, sizeof failure);
      return fault_set(fault, failure == ENOENT ? FAULT_NOTFOUND : FAULT_IO, "program \"%s\": %s",
                       recorder->options->argv[0],
                       n == sizeof failure ? strerror(failure) : "ended before it began");
    }
    if (tracee->status >> 16 == PTRACE_EVENT_EXEC) return true;
    int signal = tracee->status >> 16 ? 0 : WSTOPSIG(tracee->status);
    if (!tracee_resume(tracee, PTRACE_CONT, signal, fault)) return false;
  }
}

static bool take(Recorder *recorder, pid_t pid, int go, int report, RecordThread **out,
                 Fault *fault) {
  RecordProcess *process = process_create(pid, recorder->stop, fault);
  if (!process) return false;
  if (!threads_add(recorder, pid, process, out, fault)) {
    process_destroy(process);
    return false;
  }
  recorder->first_pid = pid;
  return seize(pid, fault) &&
         (write(go, "", 1) == 1 || fault_set(fault, FAULT_IO, "pipe: %s", strerror(errno))) &&
         await_exec(recorder, *out, report, fault);
}

bool start_program(Recorder *recorder, RecordThread **out, Fault *fault) {
  int go[2] = {-1, -1}, report[2] = {-1, -1};
  bool ok = pipe2(go, O_CLOEXEC) == 0 && pipe2(report, O_CLOEXEC) == 0;
  pid_t pid = ok ? fork() : -1;
  if (pid == 0) become(recorder, go, report[1]);
  if (pid < 0) fault_set(fault, FAULT_IO, "no process can be made: %s", strerror(errno));
  if (ok) close(report[1]);
  ok = pid > 0 && take(recorder, pid, go[1], report[0], out, fault);
  if (!ok && pid > 0) {
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR) {
    }
  }
  for (int i = 0; i < 2; i++) {
    if (go[i] >= 0) close(go[i]);
  }
  if (report[0] >= 0) close(report[0]);
  return ok;
}

/* ---- META */

static bool add_meta(Recorder *recorder, const char *key, const char *value, Fault *fault) {
  char text[1 << 13];
  size_t key_size = strlen(key) + 1, size = strlen(value);
  char *bytes = key_size + size <= sizeof text ? text : malloc(key_size + size);
  if (!bytes) return fault_oom(fault);
  memcpy(bytes, key, key_size);
  memcpy(bytes + key_size, value, size);
  bool ok = event_bytes(recorder, CHUNK_META, 0, bytes, key_size + size, fault);
  if (bytes != text) free(bytes);
  return ok;
}

static void cpu_model(char out[49]) {
  uint32_t words[12] = {0};
  for (uint32_t i = 0; i < 3; i++) {
    uint32_t *w = words + 4 * i;
    __get_cpuid(0x80000002 + i, &w[0], &w[1], &w[2], &w[3]);
  }
  memcpy(out, words, 48);
  out[48] = '\0';
  for (size_t n = strlen(out); n > 0 && out[n - 1] == ' '; n--) out[n - 1] = '\0';
}

bool start_meta(Recorder *recorder, RecordThread *thread, Fault *fault) {
  char exe[64], program[4097], cwd[4097], cpu[49], started[64], processor[16];
  snprintf(exe, sizeof exe, "/proc/%d/exe", (int)thread->tracee.tid);
  ssize_t n = readlink(exe, program, sizeof program - 1);
  program[n > 0 ? n : 0] = '\0';
  if (!getcwd(cwd, sizeof cwd)) cwd[0] = '\0';
  struct utsname names;
  if (uname(&names) != 0) names.release[0] = '\0';
  time_t now = time(NULL);
  struct tm utc;
  strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
  cpu_model(cpu);
  snprintf(processor, sizeof processor, "%d", sched_getcpu());
  const char *pairs[][2] = {
      {"program", program},      {"cwd", cwd},         {"cpu", cpu},
      {"kernel", names.release}, {"started", started}, {"version", TENFOLD_VERSION},
      {"processor", processor}};
  event_begin(recorder, thread, EVENT_META);
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    if (!add_meta(recorder, pairs[i][0], pairs[i][1], fault)) return false;
  }
  for (char *const *arg = recorder->options->argv; *arg; arg++) {
    if (!add_meta(recorder, "argv", *arg, fault)) return false;
  }
  for (char *const *env = recorder->options->env ? recorder->options->env : environ; *env; env++) {
    if (!add_meta(recorder, "env", *env, fault)) return false;
  }
  return event_end(recorder, thread, fault);
}
