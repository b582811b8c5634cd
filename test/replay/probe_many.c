/*
** Every function of SQLite's library and of libc is probed at once, while they work: the answer
** stays the same, and natively there are the rows that there are by int3.
*/
#define _GNU_SOURCE
#include <sqlite3.h>

#include "replay/probe.h"

#include "test/base/check.h"
#include "test/replay/loaded.h"
#include "test/replay/probed.h"

static char expected[256];

static void work(char *out, size_t size) {
  sqlite3 *db;
  sqlite3_stmt *statement;
  if (sqlite3_open(":memory:", &db)) abort();
  sqlite3_exec(db,
               "CREATE TABLE t(a INTEGER PRIMARY KEY, b, c);"
               "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
               "INSERT INTO t SELECT i, hex(i * 7919), i * 0.37 FROM n; CREATE INDEX x ON t(b);"
               "DELETE FROM t WHERE a % 7 = 3; UPDATE t SET c = c * 2 WHERE b LIKE '3%'",
               NULL, NULL, NULL);
  sqlite3_prepare_v2(db, "SELECT printf('%d %.9g %s', count(*), sum(c), max(b || a)) FROM t", -1,
                     &statement, NULL);
  sqlite3_step(statement);
  snprintf(out, size, "%s", (const char *)sqlite3_column_text(statement, 0));
  sqlite3_finalize(statement);
  sqlite3_close(db);
}

static int same(void *arg) {
  char text[sizeof expected];
  (void)arg;
  work(text, sizeof text);
  return strcmp(text, expected) != 0;
}

enum { MOST = 8192 };

/* Shared with the process that traces. */
typedef struct Tally {
  uint64_t count, unpaired, entries[MOST], returns[MOST];
  ProbeCounts counts;
  int status;
} Tally;

/* Each return must have the entry with its rsp before it, on a stack of our own. */
static uint64_t unpaired(const Rows *rows, uint64_t count) {
  const uint8_t *word = rows->layout.word;
  uint64_t *stack = calloc(count + 1, sizeof *stack), depth = 0, wrong = 0;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t *row = rows_at(rows, i), rsp = row[word[ROW_RSP]];
    if (row_kind(row[0]) == ROW_ENTRY) {
      while (depth > 0 && stack[depth - 1] < rsp) depth--; /* left by a tail call or a longjmp */
      if (!depth || stack[depth - 1] != rsp) stack[depth++] = rsp;
    } else if (row_kind(row[0]) == ROW_RETURN) {
      while (depth > 0 && stack[depth - 1] < rsp) depth--;
      if (!depth || stack[depth - 1] != rsp) {
        wrong++;
      } else {
        depth--;
      }
    }
  }
  free(stack);
  return wrong;
}

static void trace(const Functions *functions, bool returns, bool int3, Tally *tally) {
  Probed probed;
  Fault fault = {0};
  uint64_t stops = 0;
  int set;
  probed_start(&probed, same, NULL);
  int fd = memfd_create("rows", MFD_CLOEXEC);
  const ProbeSpec spec = {.columns = (uint64_t)1 << ROW_RSP | (uint64_t)1 << ROW_HIT |
                                     (uint64_t)1 << ROW_R15,
                          .returns = returns,
                          .always_int3 = int3,
                          .functions = functions->all,
                          .nfunctions = functions->count};
  if (!probes_add(probed.probes, &probed.tracee, &spec, fd, "", 0, &set, &fault)) {
    probed_die(&fault);
  }
  probed_map(&probed, functions->text);
  probed_run(&probed, &stops, &tally->status);
  Rows rows;
  RowState state;
  if (!rows_open(fd, &rows, &fault) || !rows_count(&rows, &tally->count, &state, &fault)) {
    probed_die(&fault);
  }
  for (uint64_t i = 0; i < tally->count; i++) {
    uint64_t tag = rows_at(&rows, i)[0];
    ++(row_kind(tag) == ROW_ENTRY ? tally->entries : tally->returns)[row_site(tag)];
  }
  tally->unpaired = unpaired(&rows, tally->count);
  tally->counts = probes_counts(probed.probes, set);
  printf("# %s%s: %zu functions, %llu rows, %llu stops; sites: %llu native, %llu int3\n",
         functions->library, int3 ? " by int3" : "", functions->count,
         (unsigned long long)tally->count, (unsigned long long)stops,
         (unsigned long long)tally->counts.native, (unsigned long long)tally->counts.int3);
  rows_close(&rows);
  probed_end(&probed);
  close(fd);
}

/* In a process of its own, so that each starts with the same heap. */
static Tally *run(const Functions *functions, bool returns, bool int3) {
  Tally *tally =
      mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(tally != MAP_FAILED && functions->count <= MOST);
  fflush(stdout);
  pid_t pid = fork();
  int status;
  assert(pid >= 0);
  if (pid == 0) {
    trace(functions, returns, int3, tally);
    fflush(stdout);
    _exit(0);
  }
  if (waitpid(pid, &status, 0) != pid || status) tally->status = -1;
  return tally;
}

/* "what" of the library is so. */
static void check_of(const Functions *functions, bool ok, const char *what) {
  char text[160];
  snprintf(text, sizeof text, "%s: %s", functions->library, what);
  check(ok, text);
}

static void test_library(const char *library) {
  Functions functions = functions_of(library);
  Tally *entries = run(&functions, false, false), *all = run(&functions, true, false),
        *slow = run(&functions, true, true);
  const size_t bytes = sizeof all->entries;
  check_of(&functions, entries->status == 0 && entries->count > 1000,
           "right with every entry probed");
  check_of(&functions, entries->counts.native * 100 >= 97 * functions.count,
           "97 of 100 are native");
  check_of(&functions, all->status == 0 && memcmp(all->entries, entries->entries, bytes) == 0,
           "right with every return probed as well");
  check_of(&functions, all->unpaired == 0, "a return follows an entry with its rsp");
  check_of(&functions,
           slow->status == 0 && memcmp(all->entries, slow->entries, bytes) == 0 &&
               memcmp(all->returns, slow->returns, bytes) == 0,
           "the same rows by int3");
  munmap(entries, sizeof *entries);
  munmap(all, sizeof *all);
  munmap(slow, sizeof *slow);
  free(functions.all);
}

int main(void) {
  work(expected, sizeof expected);
  printf("# %s\n", expected);
  test_library("libsqlite3");
  test_library("libc.so");
  return checks_end();
}
