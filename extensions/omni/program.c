/*
** The command line: omni.so record, verify, info, shell.
*/
#include "extensions/omni/program.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/omni.h"
#include "extensions/omni/serve.h"

static const char help[] =
    "omni: a run of a program, recorded once, asked any number of times\n"
    "\n"
    "  omni.so record [-o DIR] [--chaos SEED] [--hash N] [--inside 0|1] -- PROGRAM [ARGUMENT...]\n"
    "                                   run it and record it; ends as it does. DIR is\n"
    "                                   PROGRAM.omni unless given. --chaos: a hostile schedule;\n"
    "                                   --hash: hash the memory at every N-th event;\n"
    "                                   --inside 0: every system call is a stop, 1: none is that\n"
    "                                   ends at once (the default, unless --chaos is given)\n"
    "  omni.so verify DIR               play it and compare everything\n"
    "  omni.so info DIR                 what the recording says of itself\n"
    "  omni.so shell DIR [ARGUMENT...]  the sqlite3 shell with that recording chosen;\n"
    "                                   the arguments are sqlite3's\n"
    "  omni.so shell DIR --gdb MOMENT [ARGUMENT...]\n"
    "                                   gdb at that moment (ev:tid:addr:hit, ev:tid or ev); the\n"
    "                                   arguments are gdb's. Without a terminal: gdb's remote\n"
    "                                   protocol on standard input and output, for\n"
    "                                   target remote | omni.so shell DIR --gdb MOMENT\n"
    "  omni.so version\n"
    "  omni.so --help\n"
    "\n"
    "In SQL: .load ./omni, then SELECT omni_use('DIR'); SELECT * FROM omni_syscalls;\n";

/* ---- messages */

int program_fail(const char *command, const Fault *fault) {
  fprintf(stderr, "omni: %s: %s\n", command, fault->text);
  return PROGRAM_FAILED;
}

int program_usage(const char *command, const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "omni: %s: ", command);
  vfprintf(stderr, format, args);
  fputs("; see omni.so --help\n", stderr);
  va_end(args);
  return PROGRAM_USAGE;
}

/* ---- commands */

static int show_help(int argc, char **argv) {
  (void)argc, (void)argv;
  fputs(help, stdout);
  return fflush(stdout) == 0 ? 0 : PROGRAM_FAILED;
}

static int show_version(int argc, char **argv) {
  (void)argc, (void)argv;
  puts(VT_VERSION);
  return fflush(stdout) == 0 ? 0 : PROGRAM_FAILED;
}

static const struct {
  const char *name;
  int (*run)(int argc, char **argv);
} commands[] = {
    {"--help", show_help},       {"-h", show_help},          {"help", show_help},
    {"record", program_record},  {"verify", program_verify}, {"helper", program_helper},
    {"info", program_info},      {"shell", program_shell},   {"version", show_version},
    {"--version", show_version},
};

int omni_main(int argc, char **argv) {
  if (argc < 2) {
    fputs(help, stderr);
    return PROGRAM_USAGE;
  }
  for (size_t i = 0; i < countof(commands); i++) {
    if (strcmp(argv[1], commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
  }
  fprintf(stderr, "omni: no such command \"%s\"; see omni.so --help\n", argv[1]);
  return PROGRAM_USAGE;
}
