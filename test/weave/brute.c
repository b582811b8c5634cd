/*
** Random small models: what weave_solve answers against what plain SQLite finds by trying every
** assignment.
**
**   brute [count [seed [folder]]]
**
** Case i has the seed `seed + i` and depends on nothing else, so that `brute 1 SEED` repeats it. A
** wrong case is made smaller by leaving out rules, printed, and written to folder/wrong-SEED.sql
** (default: the build folder, $TENFOLD_BUILD, which also holds weave.so).
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/weave/brute/check.h"

/* Leave out rules as long as the case stays wrong. */
static char *shrink(Case *c, const char *extension, char *message) {
  for (int i = 0; i < c->nrules; i++) {
    char *smaller;
    c->rules[i].off = true;
    if (check_case(c, extension, &smaller) == CASE_WRONG && !strstr(smaller, "oracle")) {
      sqlite3_free(message);
      message = smaller;
    } else {
      c->rules[i].off = false;
      sqlite3_free(smaller);
    }
  }
  return message;
}

static void report(const Case *c, const char *message, const char *folder) {
  char *script = case_script(c);
  char *path = sqlite3_mprintf("%s/wrong-%llu.sql", folder, (unsigned long long)c->seed);
  FILE *file = fopen(path, "w");
  fprintf(stderr, "seed %llu: %s\n%s\n", (unsigned long long)c->seed, message, script);
  if (file) {
    fprintf(file, "-- seed %llu: %s\n.load weave.so\n%sSELECT weave_solve('m');\n",
            (unsigned long long)c->seed, message, script);
    fclose(file);
  }
  sqlite3_free(path);
  sqlite3_free(script);
}

static bool loads(const char *extension) {
  sqlite3 *db = NULL;
  char *error = NULL;
  bool ok = sqlite3_open(":memory:", &db) == SQLITE_OK &&
            sqlite3_enable_load_extension(db, 1) == SQLITE_OK &&
            sqlite3_load_extension(db, extension, NULL, &error) == SQLITE_OK;
  if (!ok) fprintf(stderr, "%s\n", error ? error : "no connection");
  sqlite3_free(error);
  sqlite3_close(db);
  return ok;
}

int main(int argc, char **argv) {
  const char *build = getenv("TENFOLD_BUILD");
  long count = argc > 1 ? strtol(argv[1], NULL, 10) : 2000, counts[CASE_VERDICTS] = {0};
  unsigned long long seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
  const char *folder = argc > 3 ? argv[3] : build ? build : ".";
  bool talk = getenv("BRUTE_REFUSALS") != NULL;
  char *extension = sqlite3_mprintf("%s/weave.so", build ? build : ".");
  if (!loads(extension)) return 2;
  for (long i = 0; i < count; i++) {
    Case c;
    char *message = NULL;
    case_make(&c, seed + (unsigned long long)i);
    Verdict verdict = check_case(&c, extension, &message);
    counts[verdict]++;
    if (verdict == CASE_WRONG) {
      message = shrink(&c, extension, message);
      report(&c, message, folder);
    }
    if (talk && verdict == CASE_REFUSED) printf("%s\n", message);
    sqlite3_free(message);
    case_finish(&c);
  }
  sqlite3_free(extension);
  printf("%ld models: %ld optimal, %ld infeasible, %ld refused, %ld wrong\n", count,
         counts[CASE_OPTIMAL], counts[CASE_INFEASIBLE], counts[CASE_REFUSED], counts[CASE_WRONG]);
  /* Some of what the grammar makes may be refused. When it is a lot, something is lost. */
  bool timid = count >= 500 && counts[CASE_REFUSED] * 6 > count;
  if (timid) fprintf(stderr, "more than one in six was refused\n");
  return counts[CASE_WRONG] > 0 || timid;
}
