/*
** omni.so shell DIR --gdb MOMENT: gdb at a moment of a recording. From a terminal it starts gdb,
** which starts it again, with a pipe for its protocol.
*/
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extensions/omni/moment.h"
#include "extensions/omni/omni.h"
#include "extensions/omni/program.h"
#include "extensions/omni/stub.h"

/* A word for /bin/sh, by which gdb runs what stands behind the bar. */
static void add_word(Text *out, const char *word) {
  text_add(out, " '");
  for (; *word; word++) {
    if (*word == '\'') {
      text_add(out, "'\\''");
    } else {
      text_addc(out, *word);
    }
  }
  text_addc(out, '\'');
}

static bool run_gdb(const char *dir, const char *moment, char **argv, int nargs, Fault *fault) {
  Text command = {0};
  char *library = NULL;
  char **args = calloc((size_t)nargs + 5, sizeof *args);
  bool ok = args && omni_library_path(&library);
  if (ok && !library) ok = fault_set(fault, FAULT_IO, "the path of omni.so is not known");
  if (ok) {
    text_add(&command, "target remote |");
    const char *const words[] = {library, "shell", dir, "--gdb", moment};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) add_word(&command, words[i]);
    ok = !command.oom;
  }
  if (ok) {
    char *const head[] = {"gdb", "-q", "-ex", command.data};
    memcpy(args, head, sizeof head);
    memcpy(args + sizeof head / sizeof *head, argv, (size_t)nargs * sizeof *argv);
    execvp("gdb", args);
    fault_set(fault, FAULT_IO, "gdb cannot be run: %s", strerror(errno));
  }
  free(library);
  free(args);
  text_finish(&command);
  return fault_oom(fault); /* unless there is a better reason already */
}

int program_gdb(int argc, char **argv) {
  const char *dir = argv[1];
  Fault fault = {0};
  Moment moment;
  if (argc < 4) return program_usage(argv[0], "--gdb wants a moment");
  if (!moment_parse(argv[3], &moment, &fault)) return program_fail(argv[0], &fault);
  if (isatty(STDIN_FILENO)) {
    Recording *recording;
    if (recording_open(dir, &recording, &fault)) {
      recording_close(recording);
      run_gdb(dir, argv[3], argv + 4, argc - 4, &fault);
    }
    return program_fail(argv[0], &fault);
  }
  if (argc > 4) return program_usage(argv[0], "arguments for gdb, without a terminal");
  return stub_run(dir, &moment, STDIN_FILENO, STDOUT_FILENO, &fault)
             ? 0
             : program_fail(argv[0], &fault);
}
