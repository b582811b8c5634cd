/*
** omni.so record and verify.
*/
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "extensions/omni/job.h"
#include "extensions/omni/omni.h"
#include "extensions/omni/program.h"

/* ---- record ---------------------------------------------------------------------------------- */

enum { KILLED_BY = 128 }; /* a shell's status for a program that a signal ended */

static bool read_number(const char *text, uint64_t *out) {
  char *end;
  errno = 0;
  unsigned long long value = strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end || errno) return false;
  *out = value;
  return true;
}

/* Index of the first word of the command, or 0 when the options make no sense (and said so). */
static int read_options(int argc, char **argv, RecordOptions *out) {
  uint64_t inside = UINT64_MAX; /* not said */
  int i = 1;
  while (i < argc && argv[i][0] == '-') {
    if (strcmp(argv[i], "--") == 0) {
      i++;
      break;
    }
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    uint64_t *number = strcmp(argv[i], "--chaos") == 0    ? &out->chaos
                       : strcmp(argv[i], "--hash") == 0   ? &out->hash_every
                       : strcmp(argv[i], "--inside") == 0 ? &inside
                                                          : NULL;
    if (!number && strcmp(argv[i], "-o") != 0) {
      program_usage(argv[0], "unknown option \"%s\"", argv[i]);
      return 0;
    }
    if (!value || (number && !read_number(value, number))) {
      program_usage(argv[0], "%s wants %s, not \"%s\"", argv[i], number ? "a number" : "a folder",
                    value ? value : "");
      return 0;
    }
    if (!number) out->dir = value;
    i += 2;
  }
  if (inside != UINT64_MAX) out->calls = inside ? CALLS_INSIDE : CALLS_STOP;
  if (i < argc) return i;
  program_usage(argv[0], "a program is wanted");
  return 0;
}

/* What a terminal sends to all of us is for the program. A handler, since what is ignored would be
** ignored by the program, too. */
static void on_signal(int signal) { (void)signal; }

static void leave_keys_to_program(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGQUIT, &action, NULL);
}

static void print_summary(const RecordOptions *options, const RecordSummary *summary) {
  fprintf(stderr,
          "omni: %" PRIu64 " events of %d process%s and %d thread%s in %.2f s, %.1f KB: %s\n",
          summary->events, summary->processes, summary->processes == 1 ? "" : "es",
          summary->threads, summary->threads == 1 ? "" : "s", (double)summary->ns / 1e9,
          (double)summary->stored / 1024, options->dir);
}

int program_record(int argc, char **argv) {
  RecordOptions options = {0};
  RecordSummary summary = {0};
  Fault fault = {0};
  Text name = {0};
  int first = read_options(argc, argv, &options);
  if (!first) return PROGRAM_USAGE;
  options.argv = argv + first;
  if (!options.dir) {
    const char *slash = strrchr(argv[first], '/');
    text_addf(&name, "%s.omni", slash ? slash + 1 : argv[first]);
    options.dir = text_get(&name);
  }
  leave_keys_to_program();
  bool ok = options.dir ? record_run(&options, NULL, &summary, &fault) : fault_oom(&fault);
  if (ok) print_summary(&options, &summary);
  text_finish(&name);
  if (!ok) return program_fail(argv[0], &fault);
  return WIFSIGNALED(summary.status) ? KILLED_BY + WTERMSIG(summary.status)
                                     : WEXITSTATUS(summary.status);
}

/* ---- verify ---------------------------------------------------------------------------------- */

int program_verify(int argc, char **argv) {
  if (argc != 2) return program_usage(argv[0], "one DIR is wanted");
  Fault fault = {0};
  VerifySummary summary;
  if (!job_verify(argv[1], NULL, &summary, &fault)) return program_fail(argv[0], &fault);
  printf("identical: %" PRIu64 " events, %" PRIu64 " hashes%s\n", summary.events, summary.hashes,
         summary.cut ? ", up to where the recorder stopped" : "");
  return fflush(stdout) == 0 ? 0 : PROGRAM_FAILED;
}
