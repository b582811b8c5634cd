/*
** The program side of omni.so: its command line.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PROGRAM_H
#define TENFOLD_EXTENSIONS_OMNI_PROGRAM_H

#include "base/fault.h"

/* Exit status. */
int omni_main(int argc, char **argv);

/* Exit statuses of commands: a failure, a command line that makes no sense. */
enum { PROGRAM_FAILED = 1, PROGRAM_USAGE = 2 };

/* `omni: COMMAND: TEXT` on standard error. */
int program_fail(const char *command, const Fault *fault);
int program_usage(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The commands: argv[0] is the command's name. */
int program_record(int argc, char **argv);
int program_verify(int argc, char **argv);
int program_info(int argc, char **argv);
int program_shell(int argc, char **argv);
int program_gdb(int argc, char **argv); /* shell DIR --gdb MOMENT [ARGUMENT...] */

#endif
