/*
** Variables and expressions as gdb and compilers see them, in the same stopped process: programs of
** our own, compiled in many ways, are stopped at hundreds of places; every variable in scope in the
** innermost frames is read by both, with its type, and compared, and so are expressions made of
** them. Expressions of numbers are compared with what gcc makes of them.
**
** The same program is three things: run bare it compiles the subjects and runs gdb with a script,
** which drives; gdb runs it again with --serve, as the reader whose answers are compared
** (dwarf/reader.c). Registers come from gdb, memory from the process.
**
** Bare it runs what is fast; with --all the C library and python3.11d as well, at some hundred
** places of files that matter, with the debug information that Debian has for them.
** TENFOLD_ORACLE=name runs the case of that name alone.
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "test/replay/dwarf/reader.h"
#include "test/replay/scratch.h"

/* ---- the test */

typedef struct Case {
  const char *name, *compiler;
  const char *settings;    /* of the script */
  const char *expressions; /* made with this seed and so many; NULL: the subject is values.c */
  int least;               /* how much must have been compared */
  const char *program;     /* another subject */
} Case;

#define VARIABLES "ORACLE_MODULES=values=150 ORACLE_STOPS=400", NULL, 1000, NULL
#define WALKS "ORACLE_SCRIPT=expr ORACLE_MODULES=values=150 ORACLE_STOPS=200", NULL, 1000, NULL

static const Case cases[] = {
    {"O0", "gcc -g -O0", VARIABLES},
    {"O1", "gcc -g -O1", VARIABLES},
    {"O2", "gcc -g -O2", VARIABLES},
    {"O3", "gcc -g3 -O3", VARIABLES},
    {"Og4", "gcc -gdwarf-4 -Og", VARIABLES},
    {"O2v2", "gcc -gdwarf-2 -O2", VARIABLES},
    {"O2v3", "gcc -gdwarf-3 -O2 -no-pie", VARIABLES},
    {"clang0", "clang -g -O0", VARIABLES},
    {"clang2", "clang -g -O2", VARIABLES},
    {"walks0", "gcc -g -O0", WALKS},
    {"walks2", "gcc -g -O2", WALKS},
    {"walks-clang", "clang -gdwarf-4 -O1", WALKS},
    {"compiled", "gcc -g -O0 -fwrapv", "ORACLE_SCRIPT=expr", "1 3000", 3000, NULL},
};

#define PYTHON                                                                                     \
  "/usr/bin/python3.11d -I -S -c 'd = {str(i): [i] * 3 for i in range(99)}; print(sorted(d)[5], "  \
  "sum(map(len, d.values())), \"%5.2f\" % 1e10, [x for x in \"a b\".split()], 2 ** 99, {1, 2})'"
#define LIBC                                                                                       \
  "libc.so.6:vfprintf-internal.c,printf_fp.c,malloc.c,msort.c,fileops.c,genops.c,iofwide.c,"       \
  "wcsmbsload.c,vfprintf-process-arg.c,random.c,random_r.c,_itoa.c,libc-start.c,printf.c"

static const Case more_cases[] = {
    {"libc", "gcc -g -O1", "ORACLE_MODULES=" LIBC "=900 ORACLE_STOPS=400", NULL, 1000, NULL},
    {"libc-walks", "gcc -g -O1", "ORACLE_SCRIPT=expr ORACLE_MODULES=" LIBC "=900 ORACLE_STOPS=200",
     NULL, 1000, NULL},
    {"python", NULL,
     "ORACLE_MODULES=python3.11d:ceval.c,dictobject.c,listobject.c,longobject.c,unicodeobject.c,"
     "typeobject.c,object.c,obmalloc.c,gcmodule.c,marshal.c,compile.c,pegen.c,tokenizer.c=1500 "
     "ORACLE_STOPS=400 ORACLE_HITS=1",
     NULL, 1000, PYTHON},
};

/* The subject is dir/values; what it prints is what expressions are compared with. */
static void make_subject(const Case *which, const char *dir) {
  char command[2000], source[300] = "test/replay/subjects/values.c";
  if (which->program) return;
  if (which->expressions) {
    snprintf(source, sizeof source, "%s/made.c", dir);
    snprintf(command, sizeof command, "/usr/bin/python3 test/replay/expr_subject.py %s > %s",
             which->expressions, source);
    assert(system(command) == 0);
  }
  snprintf(command, sizeof command, "%s -w -o %s/values %s -lm", which->compiler, dir, source);
  assert(system(command) == 0);
  snprintf(command, sizeof command, "%s/values > %s/expected", dir, dir);
  assert(!which->expressions || system(command) == 0);
}

static bool run_case(const Case *which, const char *self, const char *dir, long totals[3]) {
  char command[3000], line[2000];
  make_subject(which, dir);
  const char *script = strstr(which->settings, "SCRIPT=expr") ? "expr" : "dwarf";
  snprintf(command, sizeof command,
           "ORACLE_READER='%s' %s ORACLE_EXPECTED='%s%s' timeout 600 gdb -nx -q -batch "
           "-x test/replay/%s_oracle.py --args %s%s 2>&1",
           self, which->settings, which->expressions ? dir : "",
           which->expressions ? "/expected" : "", script, which->program ? which->program : dir,
           which->program ? "" : "/values");
  FILE *gdb = popen(command, "r");
  long stops = 0, frames = 0, variables = -1, leaf = 0, absent = 0, types = 0, different = 1,
       beyond = 0;
  assert(gdb);
  while (fgets(line, sizeof line, gdb)) {
    if (sscanf(line,
               "COUNTS {\"stops\": %ld, \"frames\": %ld, \"variables\": %ld, \"leaves\": %ld, "
               "\"unavailable\": %ld, \"types\": %ld, \"different\": %ld, \"beyond\": %ld}",
               &stops, &frames, &variables, &leaf, &absent, &types, &different, &beyond) != 8)
      printf("# %s", line);
  }
  pclose(gdb);
  bool ok = different == 0 && variables >= which->least;
  printf("%s - %s: %ld stops, %ld frames, %ld variables (%ld numbers, %ld unavailable), "
         "%ld different, %ld beyond gdb\n",
         ok ? "ok" : "not ok", which->name, stops, frames, variables, leaf, absent, different,
         beyond);
  totals[0] += variables;
  totals[1] += leaf;
  totals[2] += different;
  fflush(stdout);
  return ok;
}

int main(int argc, char **argv) {
  char dir[200], self[500];
  if (argc > 1 && !strcmp(argv[1], "--serve")) return reader_serve();
  ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
  assert(length > 0);
  self[length] = 0;
  scratch_make(dir, sizeof dir);
  const char *only = getenv("TENFOLD_ORACLE");
  const bool all = argc > 1 && !strcmp(argv[1], "--all");
  bool ok = true;
  long totals[3] = {0};
  for (size_t i = 0; i < countof(cases); i++)
    if (!only || !strcmp(only, cases[i].name)) ok = run_case(&cases[i], self, dir, totals) && ok;
  for (size_t i = 0; all && i < countof(more_cases); i++)
    if (!only || !strcmp(only, more_cases[i].name))
      ok = run_case(&more_cases[i], self, dir, totals) && ok;
  printf("# %ld variables, %ld numbers, %ld differences\n", totals[0], totals[1], totals[2]);
  scratch_remove(dir);
  return ok ? 0 : 1;
}
