/*
** sqltest: runs SQL fixtures and the SQL in the documentation, and compares what SQLite answers.
**
**   sqltest [--extensions FOLDER] [--modes plain,untrusted,oom] [--seed N] [--every] [--update]
**           FILE...
**
** A FILE.sql is a fixture, its answers in FILE.expected beside it; each `-- case:` has a fresh
** database, runs once in every mode, and must leave nothing behind. A FILE.md is a page: its
** ```sql blocks run in one database and must answer what the ```text blocks say. --update writes
** the answers instead; read the difference before committing it. In mode oom a sample of the
** allocations, drawn from the seed, is refused; with --every each one is. Directives: run.h.
*/
#define _GNU_SOURCE /* realpath */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/runner/fixture.h"
#include "test/runner/residue.h"
#include "test/runner/run.h"
#include "test/runner/tap.h"

static int usage(void) {
  fputs("usage: sqltest [--extensions FOLDER] [--modes plain,untrusted,oom] [--seed N] [--every] "
        "[--update] FILE...\n",
        stderr);
  return 2;
}

static unsigned parse_modes(const char *list) {
  char script[128];
  snprintf(script, sizeof script, "-- mode: %s", list);
  for (char *comma = strchr(script, ','); comma; comma = strchr(comma, ',')) *comma = ' ';
  return script_modes(script, 0);
}

/* How far the options go, or -1 when they are wrong. */
static int parse_options(int argc, char **argv, FixtureOptions *options) {
  int i = 1;
  for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
    const char *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(argv[i], "--update") == 0 || strcmp(argv[i], "--every") == 0) {
      *(argv[i][2] == 'u' ? &options->update : &options->every) = true;
      continue;
    }
    if (!value) return -1;
    if (strcmp(argv[i], "--extensions") == 0) {
      options->folder = value;
    } else if (strcmp(argv[i], "--seed") == 0) {
      options->seed = (unsigned)strtoul(value, NULL, 10);
    } else if (strcmp(argv[i], "--modes") != 0 || !(options->modes = parse_modes(value))) {
      return -1;
    }
    i++;
  }
  return i < argc ? i : -1;
}

int main(int argc, char **argv) {
  const char *build = getenv("TENFOLD_BUILD");
  FixtureOptions options = {.folder = build ? build : "build", .modes = ~0u, .seed = 1};
  int first = parse_options(argc, argv, &options);
  if (first < 0) return usage();
  char *folder = realpath(options.folder, NULL); /* scripts may run elsewhere */
  if (folder) options.folder = folder;
  int output = residue_capture_stdout();
  if (output < 0) return 1;
  tap_start(output);
  /* Small allocations must reach malloc, or they could neither be refused nor be checked. */
  sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1);
  sqlite3_initialize();
  for (int i = first; i < argc; i++) {
    size_t length = strlen(argv[i]);
    if (length > 3 && strcmp(argv[i] + length - 3, ".md") == 0) {
      markdown_run(argv[i], &options);
    } else {
      fixture_run(argv[i], &options);
    }
  }
  sqlite3_shutdown();
  free(folder);
  return tap_end();
}
