/*
** One statement: prepare, step, print, with a time after which it is to stop.
*/
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/stop.h"
#include "test/runner/failing.h"
#include "test/runner/print.h"
#include "test/runner/stage.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { PATIENCE_MS = 2500 };
#else
enum { PATIENCE_MS = 1000 };
#endif

/* Stops a statement: by sqlite3_interrupt from another thread, or from a progress handler. */
typedef struct Alarm {
  sqlite3 *db;
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  bool interrupts, done; /* done: under the mutex */
  int64_t at;            /* clock_now() when to stop; 0: never */
} Alarm;

static void *interrupt_later(void *ctx) {
  Alarm *alarm = ctx;
  struct timespec at = {.tv_sec = alarm->at / 1000000000, .tv_nsec = alarm->at % 1000000000};
  int rc = 0;
  pthread_mutex_lock(&alarm->mutex);
  while (!alarm->done && rc == 0) rc = pthread_cond_timedwait(&alarm->wake, &alarm->mutex, &at);
  if (!alarm->done) sqlite3_interrupt(alarm->db);
  pthread_mutex_unlock(&alarm->mutex);
  return NULL;
}

static int late(void *ctx) { return clock_now() >= ((Alarm *)ctx)->at; }

static void alarm_start(Alarm *alarm, Stage *stage, sqlite3 *db) {
  *alarm = (Alarm){.db = db};
  int ms = stage->interrupt_after ? stage->interrupt_after : stage->progress_limit;
  if (!ms) return;
  alarm->at = clock_now() + (int64_t)ms * 1000000;
  if (!stage->interrupt_after) {
    sqlite3_progress_handler(db, 1000, late, alarm);
    return;
  }
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_mutex_init(&alarm->mutex, NULL);
  pthread_cond_init(&alarm->wake, &attributes);
  pthread_condattr_destroy(&attributes);
  alarm->interrupts = pthread_create(&alarm->thread, NULL, interrupt_later, alarm) == 0;
}

static void alarm_end(Alarm *alarm, Stage *stage) {
  if (!alarm->at) return;
  int64_t over = (clock_now() - alarm->at) / 1000000;
  if (over > PATIENCE_MS) {
    text_addf(&stage->output, "? ended %lld ms after it was told to\n", (long long)over);
  }
  if (alarm->interrupts) {
    pthread_mutex_lock(&alarm->mutex);
    alarm->done = true;
    pthread_cond_signal(&alarm->wake);
    pthread_mutex_unlock(&alarm->mutex);
    pthread_join(alarm->thread, NULL);
    pthread_cond_destroy(&alarm->wake);
    pthread_mutex_destroy(&alarm->mutex);
  }
  sqlite3_progress_handler(alarm->db, 0, NULL, NULL);
  stage->interrupt_after = stage->progress_limit = 0;
}

/* An entry point that answers SQLITE_NOMEM without a text gives the last of these. */
static bool says_starved(int code, const char *message) {
  return code == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM || strstr(message, "out of memory") ||
         strcmp(message, "error during initialization: ") == 0;
}

void stage_error(Stage *stage, int code, const char *message) {
  if (!message) message = sqlite3_errstr(code);
  if (says_starved(code, message)) stage->starved = true;
  text_addf(&stage->output, "! %d %s\n", code & 0xff, message);
}

typedef struct Rows {
  char **lines;
  size_t count, capacity;
} Rows;

static int compare_lines(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void rows_finish(Rows *rows, bool print, Text *out) {
  if (rows->count) qsort(rows->lines, rows->count, sizeof *rows->lines, compare_lines);
  for (size_t i = 0; i < rows->count; i++) {
    if (print) text_addf(out, "%s\n", rows->lines[i]);
    free(rows->lines[i]);
  }
  free(rows->lines);
}

static bool take_row(Stage *stage, Rows *rows, sqlite3_stmt *statement) {
  Text line = {0};
  bool ok = print_row(&line, statement, stage->raw);
  if (ok && stage->sort && array_grow(rows->lines, rows->capacity, rows->count + 1)) {
    rows->lines[rows->count++] = strdup(text_get(&line));
  } else if (ok) {
    text_addf(&stage->output, "%s\n", text_get(&line));
  } else {
    stage_error(stage, SQLITE_NOMEM, NULL);
  }
  text_finish(&line);
  return ok;
}

enum { TOLD = -1 }; /* not a result code: the error is in the output already */

void stage_execute(Stage *stage, const char *sql, size_t length) {
  sqlite3 *db = stage->connections[stage->current].db;
  sqlite3_stmt *statement = NULL;
  Alarm alarm;
  Rows rows = {0};
  alarm_start(&alarm, stage, db);
  failing_resume();
  int rc = sqlite3_prepare_v2(db, sql, (int)length, &statement, NULL);
  failing_pause();
  if (rc == SQLITE_OK && !statement) { /* a comment */
    alarm_end(&alarm, stage);
    return;
  }
  if (rc == SQLITE_OK && stage->header) print_header(&stage->output, statement);
  while (rc == SQLITE_OK) {
    failing_resume();
    rc = sqlite3_step(statement);
    failing_pause();
    if (rc != SQLITE_ROW) break;
    rc = take_row(stage, &rows, statement) ? SQLITE_OK : TOLD;
  }
  rows_finish(&rows, rc == SQLITE_DONE, &stage->output); /* a part, sorted, means nothing */
  if (rc != SQLITE_DONE && rc != TOLD) {
    stage_error(stage, sqlite3_extended_errcode(db), sqlite3_errmsg(db));
  }
  failing_resume();
  sqlite3_finalize(statement);
  failing_pause();
  alarm_end(&alarm, stage);
}
