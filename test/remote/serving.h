/*
** What tests with servers share: a server in a process of its own, at a socket in a folder of its
** own, and clients.
*/
#ifndef TENFOLD_TEST_REMOTE_SERVING_H
#define TENFOLD_TEST_REMOTE_SERVING_H

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote/server.h"

#define PATIENCE INT64_C(20000000000) /* ns: this is no test of speed */

static char folder[] = "/tmp/tenfold-serving-XXXXXX";
static char at[100], file[100]; /* of the server, and of the memory that it serves */
static Fault fault;
static int done;

static void must(bool ok) {
  if (ok) return;
  printf("Bail out! %s\n", fault.text);
  exit(1);
}

static void ok(const char *what) { printf("ok %d - %s\n", ++done, what); }

static void pause_ms(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

static pid_t start(const FarServerOptions *how) {
  unlink(at + strlen("unix:"));
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const FarOptions options = {.size = 16 << 20};
    FarMemory *memory = far_open(file, &options, &fault);
    must(memory != NULL);
    FarServer *server = far_server_open(memory, how, &fault);
    must(server && far_server_listen(server, at, &fault));
    must(far_server_run(server, -1, NULL, &fault));
    _exit(0);
  }
  while (access(at + strlen("unix:"), F_OK)) pause_ms(2);
  return child;
}

static void stop(pid_t process) {
  int status;
  kill(process, SIGKILL);
  assert(waitpid(process, &status, 0) == process);
}

static FarMemory *open_it(const char *where) {
  const FarOptions options = {.deadline_ns = PATIENCE};
  FarMemory *memory = far_open(where, &options, &fault);
  must(memory != NULL);
  return memory;
}

static void begin_tests(void) {
  assert(mkdtemp(folder));
  snprintf(at, sizeof at, "unix:%s/socket", folder);
  snprintf(file, sizeof file, "file:%s/memory", folder);
}

static int end_tests(void) {
  char command[100];
  printf("1..%d\n", done);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}

#endif
