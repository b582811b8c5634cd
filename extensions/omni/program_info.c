/*
** omni.so info: what a recording says of itself. omni.so shell: the sqlite3 shell on it.
*/
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extensions/omni/omni.h"
#include "extensions/omni/program.h"

/* ---- info */

static void print_command(const Recording *recording) {
  const char *word;
  for (int i = 0; (word = recording_argv(recording, i)); i++) printf("%s%s", i ? " " : "", word);
  putchar('\n');
}

static bool print_info(const char *dir, Fault *fault) {
  static const char *const keys[] = {"program", "cwd", "started", "cpu", "kernel"};
  Recording *recording;
  if (!recording_open(dir, &recording, fault)) return false;
  uint64_t first, last;
  bool ok = trace_range(recording, &first, &last, fault);
  if (ok) {
    printf("%-10s", "command");
    print_command(recording);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
      const char *value = recording_meta(recording, keys[i]);
      if (value) printf("%-10s%s\n", keys[i], value);
    }
    printf("%-10s%" PRIu64 "\n", "events", last);
    printf("%-10s%s\n", "complete",
           recording_is_cut(recording) ? "no: the recorder stopped" : "yes");
  }
  recording_close(recording);
  return ok;
}

int program_info(int argc, char **argv) {
  if (argc != 2) return program_usage(argv[0], "one DIR is wanted");
  Fault fault = {0};
  if (!print_info(argv[1], &fault)) return program_fail(argv[0], &fault);
  return fflush(stdout) == 0 ? 0 : PROGRAM_FAILED;
}

/* ---- shell */

/* In the shell's commands a word in double quotes is read with C's escapes. */
static void add_word(Text *text, const char *word) {
  text_addc(text, '"');
  for (; *word; word++) {
    if (*word == '"' || *word == '\\') text_addc(text, '\\');
    text_addc(text, *word);
  }
  text_addc(text, '"');
}

/* Not the symbolic link, but where it leads: that is what SQLite finds the entry point by. */
static bool add_load(Text *text, Fault *fault) {
  char *path;
  if (!omni_library_path(&path)) return fault_oom(fault);
  if (!path) return fault_set(fault, FAULT_IO, "the path of omni.so is not known");
  text_add(text, ".load ");
  add_word(text, path);
  text_add(text, " sqlite3_omni_init");
  free(path);
  return true;
}

static int run_shell(char **argv, int nargs, const char *load, const char *use) {
  char **args = calloc((size_t)nargs + 10, sizeof *args);
  if (!args) return ENOMEM;
  /* What omni_use() answers is not for the user. */
  char *const head[] = {"sqlite3", "-cmd",      (char *)load, "-cmd",   ".output /dev/null",
                        "-cmd",    (char *)use, "-cmd",       ".output"};
  size_t n = sizeof head / sizeof *head;
  memcpy(args, head, sizeof head);
  for (int i = 0; i < nargs; i++) args[n++] = argv[i];
  execvp("sqlite3", args);
  int failed = errno;
  free(args);
  return failed;
}

static int sqlite_shell(int argc, char **argv) {
  Fault fault = {0};
  Recording *recording;
  if (!recording_open(argv[1], &recording, &fault)) return program_fail(argv[0], &fault);
  recording_close(recording);
  Text load = {0}, use = {0};
  bool ok = add_load(&load, &fault);
  text_add(&use, "SELECT omni_use(");
  text_add_string(&use, argv[1], strlen(argv[1]));
  text_add(&use, ");");
  if (ok && (load.oom || use.oom)) ok = fault_oom(&fault);
  if (ok) {
    int failed = run_shell(argv + 2, argc - 2, load.data, use.data);
    fault_set(&fault, FAULT_IO, "sqlite3 cannot be run: %s", strerror(failed));
  }
  text_finish(&load);
  text_finish(&use);
  return program_fail(argv[0], &fault);
}

int program_shell(int argc, char **argv) {
  if (argc < 2) return program_usage(argv[0], "a DIR is wanted");
  const bool gdb = argc > 2 && strcmp(argv[2], "--gdb") == 0;
  return gdb ? program_gdb(argc, argv) : sqlite_shell(argc, argv);
}
