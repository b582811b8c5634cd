/*
** What a host must not notice: no signal, no child, no descriptor, no process and no file left,
** whatever becomes of the helper and of what it runs.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/replay/scratch.h"

static char scratch[256];
static volatile sig_atomic_t signals;
static int kills; /* the helper is killed at so many calls of on_progress that see it at work */
static int interrupts; /* likewise, the query is interrupted when so many processes are at work */
static pid_t keeper, helper, program;

static void on_signal(int signal) {
  (void)signal;
  signals++;
}

static void check_no_child(void) {
  int status;
  assert(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD);
}

/* The newest child of a process, 0: none. Those without an exit signal are listed as well, and
** those that have ended but nobody has waited for. */
static pid_t child_of(pid_t pid) {
  char path[64];
  int child = 0;
  snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  while (fscanf(file, "%d", &child) == 1) {
  }
  fclose(file);
  return child;
}

/* What we start inherits a variable that we have not begun with ourselves. */
static const char marker[] = "TENFOLD_HOST_TEST";
static char mark[64];

static bool is_marked(const char *pid) {
  char path[300], text[65536];
  snprintf(path, sizeof path, "/proc/%s/environ", pid);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  size_t n = fread(text, 1, sizeof text, file);
  fclose(file);
  return memmem(text, n, mark, strlen(mark) + 1) != NULL;
}

static int count_marked(void) {
  DIR *all = opendir("/proc");
  int count = 0;
  assert(all);
  for (struct dirent *entry; (entry = readdir(all));) {
    if (entry->d_name[0] > '0' && entry->d_name[0] <= '9') count += is_marked(entry->d_name);
  }
  closedir(all);
  return count;
}

/* SQLite asks during the whole call, from inside. */
static int on_progress(void *ctx) {
  if (interrupts && count_marked() >= interrupts) {
    interrupts = 0;
    sqlite3_interrupt(*(sqlite3 **)ctx);
  }
  check_no_child();
  keeper = child_of(getpid());
  pid_t working = keeper ? child_of(keeper) : 0, recorded = working ? child_of(working) : 0;
  if (working) helper = working;
  if (recorded) program = recorded;
  if (recorded && kills > 0 && --kills == 0) assert(kill(helper, SIGKILL) == 0);
  return 0;
}

static bool lives(pid_t pid) {
  char path[64], state = 0;
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (!file) return false;
  if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1) state = 0;
  fclose(file);
  return state != 'Z';
}

/* Everything ends, sooner or later; nothing here depends on when. */
static void await_end(pid_t pid) {
  while (pid && lives(pid)) usleep(1000);
}

static int count_descriptors(void) {
  DIR *open = opendir("/proc/self/fd");
  int count = 0;
  assert(open);
  while (readdir(open)) count++;
  closedir(open);
  return count;
}

static sqlite3 *connect_host(void) {
  static sqlite3 *db;
  const char *build = getenv("TENFOLD_BUILD");
  char path[4096], *message = NULL;
  snprintf(path, sizeof path, "%s/omni.so", build ? build : "build");
  assert(sqlite3_open(":memory:", &db) == SQLITE_OK);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  if (sqlite3_load_extension(db, path, NULL, &message) != SQLITE_OK) {
    fprintf(stderr, "%s\n", message);
    abort();
  }
  sqlite3_progress_handler(db, 100, on_progress, &db);
  return db;
}

/* The result code; the text of the answer or of the error goes to `out`. */
static int ask(sqlite3 *db, char *out, size_t size, const char *sql) {
  sqlite3_stmt *statement;
  assert(sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK);
  int rc = sqlite3_step(statement);
  const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
  snprintf(out, size, "%s", text ? text : sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  return rc;
}

static int record(sqlite3 *db, char *out, size_t size, const char *name, const char *command) {
  char sql[1000];
  keeper = helper = program = 0;
  snprintf(sql, sizeof sql, "SELECT omni_record('%s/%s', %s)", scratch, name, command);
  return ask(db, out, size, sql);
}

static void check_untouched(sqlite3 *db) {
  char out[600];
  int before = count_descriptors();
  assert(record(db, out, sizeof out, "plain", "'sleep', '0.1'") == SQLITE_ROW);
  assert(strstr(out, "\"exit\":0") && keeper && helper && program);
  await_end(helper);
  check_no_child();
  assert(signals == 0 && count_descriptors() == before);
}

/* Killed at any moment: an error that says so, and nothing is left. */
static void check_killed(sqlite3 *db) {
  char out[600], name[32];
  for (int i = 1; i <= 4; i++) {
    kills = i;
    snprintf(name, sizeof name, "killed%d", i);
    assert(record(db, out, sizeof out, name, "'sleep', '1000'") == SQLITE_IOERR);
    assert(strcmp(out, "omni_record: the helper process has gone before it answered") == 0);
    await_end(helper);
    await_end(program);
    assert(signals == 0);
    check_no_child();
  }
  assert(record(db, out, sizeof out, "after", "'true'") == SQLITE_ROW);
}

static void await_all(void) {
  while (count_marked()) usleep(10000);
  check_no_child();
  assert(signals == 0);
}

/* A program that wants no end, and one that makes ever more of itself. */
static void check_interrupted(sqlite3 *db) {
  static const char *const commands[] = {
      "'sh', '-c', 'trap \"\" TERM INT HUP QUIT; while :; do :; done'",
      "'sh', '-c', 'while :; do sleep 1000 & done'",
      "'sh', '-c', 'setsid sh -c \"trap : TERM; while :; do sleep 1000; done\" & exit'",
  };
  static const int processes[] = {2, 40, 3};
  char out[600], name[32];
  int before = count_descriptors();
  for (int i = 0; i < 3; i++) {
    snprintf(name, sizeof name, "endless%d", i);
    interrupts = processes[i];
    assert(record(db, out, sizeof out, name, commands[i]) == SQLITE_INTERRUPT);
    assert(interrupts == 0);
    await_all();
  }
  assert(count_descriptors() == before);
}

/* The helper that stays with a recording: killed in the middle of a question, and between two. */
static void check_questions(sqlite3 *db) {
  char out[600], sql[1000];
  assert(record(db, out, sizeof out, "asked",
                "'sh', '-c', 'i=0; while [ $i -lt 3000 ]; do "
                "i=$((i+1)); done; kill -0 $$'") == SQLITE_ROW);
  snprintf(sql, sizeof sql,
           "SELECT count(*) > 2 FROM omni_stack((SELECT max(ev) FROM omni_syscalls('%s/asked') "
           "WHERE name = 'kill'), '%s/asked')",
           scratch, scratch);
  for (int i = 1; i <= 3; i++) {
    kills = i;
    int rc = ask(db, out, sizeof out, sql);
    assert(rc == SQLITE_ROW ? strcmp(out, "1") == 0 : rc == SQLITE_IOERR);
    kills = 0;
    assert(ask(db, out, sizeof out, sql) == SQLITE_ROW && strcmp(out, "1") == 0);
    keeper = child_of(getpid());
    helper = child_of(keeper);
    assert(keeper && helper && kill(helper, SIGKILL) == 0); /* nobody asks it anything now */
    await_end(helper);
    check_no_child();
    assert(ask(db, out, sizeof out, sql) == SQLITE_ROW && strcmp(out, "1") == 0);
  }
}

/* The host dies: so does everything else. */
static void check_orphans(void) {
  char out[600];
  pid_t host = fork();
  if (host == 0) {
    record(connect_host(), out, sizeof out, "orphan", "'sleep', '1000'");
    _exit(1);
  }
  keeper = helper = program = 0;
  while (!program) {
    usleep(1000);
    keeper = child_of(host);
    if (keeper) helper = child_of(keeper);
    if (helper) program = child_of(helper);
  }
  assert(kill(host, SIGKILL) == 0);
  assert(waitpid(host, NULL, 0) == host);
  await_end(program);
  await_end(helper);
  await_end(keeper);
}

int main(void) {
  char temporary[300];
  scratch_make(scratch, sizeof scratch);
  snprintf(temporary, sizeof temporary, "%s/tmp", scratch);
  assert(mkdir(temporary, 0700) == 0 && setenv("TMPDIR", temporary, 1) == 0);
  snprintf(mark, sizeof mark, "%s=%d", marker, getpid());
  assert(setenv(marker, mark + sizeof marker, 1) == 0);
  check_orphans();
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGCHLD, &action, NULL);
  signals = 0;
  sqlite3 *db = connect_host();
  check_untouched(db);
  check_killed(db);
  check_interrupted(db);
  check_questions(db);
  assert(sqlite3_close(db) == SQLITE_OK);
  assert(child_of(getpid()) == 0 && signals == 0 && count_marked() == 0);
  assert(rmdir(temporary) == 0); /* it is empty */
  scratch_remove(scratch);
  puts("host: ok");
  return 0;
}
