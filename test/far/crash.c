/*
** Both or neither: a program is killed before each operation of a transaction that changes far
** memory and its database. Whoever comes later finds both changed, or none.
*/
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 16 << 20 };

static char folder[] = "/tmp/tenfold-far-XXXXXX";

typedef struct File {
  char path[64];
  void *contents;
  size_t size;
} File;

static File database, memory;

static void fail(sqlite3 *db, const char *sql) {
  printf("Bail out! %s: %s\n", sql, sqlite3_errmsg(db));
  exit(1);
}

static void run(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(db, sql);
}

static int64_t number(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) fail(db, sql);
  if (sqlite3_step(statement) != SQLITE_ROW) fail(db, sql);
  const int64_t value = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return value;
}

static sqlite3 *open_database(const char *path) {
  const char *build = getenv("TENFOLD_BUILD");
  char library[1000];
  sqlite3 *db;
  snprintf(library, sizeof library, "%s/far.so", build ? build : "build");
  if (sqlite3_open(path, &db) != SQLITE_OK) fail(db, path);
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, library, NULL, NULL) != SQLITE_OK) fail(db, library);
  run(db, "PRAGMA synchronous = OFF");
  return db;
}

static void keep(File *file) {
  const int fd = open(file->path, O_RDONLY);
  file->contents = malloc(MOST);
  assert(fd >= 0 && file->contents);
  file->size = (size_t)read(fd, file->contents, MOST);
  close(fd);
}

static void restore(const File *file) {
  char journal[80];
  snprintf(journal, sizeof journal, "%s-journal", file->path);
  unlink(journal);
  const int fd = open(file->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  assert(fd >= 0 && pwrite(fd, file->contents, file->size, 0) == (ssize_t)file->size);
  close(fd);
}

/* False: the program came to its end. */
static bool crash_at(int operation) {
  const pid_t child = fork();
  if (child == 0) {
    sqlite3 *db = open_database(database.path);
    char inject[200];
    number(db, "SELECT count(*) FROM users");
    snprintf(inject, sizeof inject, "SELECT far_inject('dies', %d, 'file:%s')", operation,
             memory.path);
    run(db, inject);
    run(db, "BEGIN; UPDATE users SET n = n + 1 WHERE id IN (1, 20, 40); INSERT INTO log VALUES (1);"
            "INSERT INTO users VALUES (100, 1, zeroblob(200)); DELETE FROM others;"
            "INSERT INTO jobs VALUES ('a'), ('b'); UPDATE hist SET n = 1 WHERE i IN (3, 40);"
            "COMMIT");
    _exit(0);
  }
  int status;
  assert(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) assert(WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

/* Somebody who has another database: he sees all or nothing, and can be told to wait at worst. */
static int64_t ask_stranger(void) {
  char create[300];
  sqlite3 *db = open_database(":memory:");
  snprintf(create, sizeof create,
           "CREATE VIRTUAL TABLE users USING far_map(id INTEGER PRIMARY KEY, n INTEGER, b BLOB, "
           "at='file:%s', leaf=4, deadline=20)",
           memory.path);
  run(db, create);
  const int64_t n = number(db, "SELECT sum(n) FROM users");
  const int rc = sqlite3_exec(db, "UPDATE users SET n = n WHERE id = 20", NULL, NULL, NULL);
  assert(rc == SQLITE_OK || rc == SQLITE_BUSY);
  assert(sqlite3_close(db) == SQLITE_OK);
  return n;
}

int main(void) {
  char create[300], command[100];
  assert(mkdtemp(folder));
  snprintf(database.path, sizeof database.path, "%s/app.db", folder);
  snprintf(memory.path, sizeof memory.path, "%s/m.far", folder);
  sqlite3 *db = open_database(database.path);
  snprintf(create, sizeof create,
           "CREATE VIRTUAL TABLE users USING far_map(id INTEGER PRIMARY KEY, n INTEGER, b BLOB, "
           "at='file:%s', leaf=4, size='6M')",
           memory.path);
  run(db, create);
  snprintf(create, sizeof create,
           "CREATE VIRTUAL TABLE others USING far_map(k TEXT(8) PRIMARY KEY, at='file:%s')",
           memory.path);
  run(db, create);
  snprintf(
      create, sizeof create,
      "CREATE VIRTUAL TABLE jobs USING far_queue(x TEXT(10), at='file:%s', length=5);"
      "CREATE VIRTUAL TABLE hist USING far_vector(n INTEGER NOT NULL, at='file:%s', length=50)",
      memory.path, memory.path);
  run(db, create);
  run(db, "CREATE TABLE log(x); INSERT INTO others VALUES ('a'), ('b')");
  run(db, "WITH RECURSIVE c(x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < 50) "
          "INSERT INTO users SELECT x, 0, zeroblob(x * 2) FROM c");
  assert(sqlite3_close(db) == SQLITE_OK);
  keep(&database);
  keep(&memory);
  int operation = 1, happened = 0;
  for (bool alive = false; !alive; operation++) {
    restore(&database);
    restore(&memory);
    alive = !crash_at(operation);
    ask_stranger();
    db = open_database(database.path);
    const int64_t log = number(db, "SELECT count(*) FROM log");
    const int64_t users = number(db, "SELECT sum(n) FROM users");
    const int64_t others = number(db, "SELECT count(*) FROM others");
    const int64_t jobs = number(db, "SELECT count(*) FROM jobs");
    const int64_t hist = number(db, "SELECT sum(n) FROM hist");
    if (!(log == 1 && users == 4 && others == 0 && jobs == 2 && hist == 2) &&
        !(log == 0 && users == 0 && others == 2 && jobs == 0 && hist == 0)) {
      printf("not ok 1 - killed before operation %d: log %lld, users %lld, others %lld, jobs %lld, "
             "hist %lld\n",
             operation, (long long)log, (long long)users, (long long)others, (long long)jobs,
             (long long)hist);
      return 1;
    }
    happened += log == 1;
    assert(!alive || log == 1);
    run(db, "UPDATE users SET n = 7; DELETE FROM users WHERE id = 100; DELETE FROM others;"
            "UPDATE hist SET n = 5; SELECT far_pop('jobs', 5);"
            "INSERT INTO jobs VALUES (1), (2), (3), (4), (5)");
    assert(number(db, "SELECT count(*) FROM jobs") == 5);
    assert(number(db, "SELECT sum(n) FROM users") == 350);
    assert(ask_stranger() == 350);
    assert(sqlite3_close(db) == SQLITE_OK);
  }
  printf("# %d operations, after %d of them it happened\n", operation - 2, happened);
  printf("%s 1 - both or neither, wherever it is killed\n1..1\n",
         happened > 1 && happened < operation - 2 ? "ok" : "not ok");
  free(database.contents);
  free(memory.contents);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command);
}
