/*
** Another process that writes to the database: a child that is forked before SQLite is used, and is
** told what to do through a pipe. It ends when the other end of the pipe does.
*/
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/multiverse/writes/writes.h"

enum { TEXT_MOST = 1 << 16 };

static int orders = -1, answers = -1;

static bool read_all(int fd, void *out, size_t size) {
  for (char *at = out; size;) {
    const ssize_t n = read(fd, at, size);
    if (n <= 0) return false;
    at += n;
    size -= (size_t)n;
  }
  return true;
}

static void write_all(int fd, const void *bytes, size_t size) {
  if (write(fd, bytes, size) == (ssize_t)size) return;
  printf("Bail out! the other process is gone\n");
  exit(1);
}

static bool read_text(int fd, char *out) {
  uint32_t length;
  if (!read_all(fd, &length, sizeof length) || length >= TEXT_MOST) return false;
  if (!read_all(fd, out, length)) return false;
  out[length] = '\0';
  return true;
}

static void write_text(int fd, const char *text) {
  const uint32_t length = (uint32_t)strlen(text);
  write_all(fd, &length, sizeof length);
  write_all(fd, text, length);
}

static int write_there(const char *path, const char *sql) {
  sqlite3 *db;
  int rc = sqlite3_open(path, &db);
  if (rc == SQLITE_OK) rc = sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  sqlite3_close(db);
  return rc;
}

static void serve(int in, int out) {
  static char path[TEXT_MOST], sql[TEXT_MOST];
  while (read_text(in, path) && read_text(in, sql)) {
    const int rc = write_there(path, sql);
    write_all(out, &rc, sizeof rc);
  }
  _exit(0);
}

void elsewhere_begin(void) {
  int to[2], from[2];
  pid_t child = -1;
  if (pipe(to) == 0 && pipe(from) == 0) child = fork();
  if (child < 0) {
    printf("Bail out! no other process\n");
    exit(1);
  }
  if (child == 0) {
    close(to[1]);
    close(from[0]);
    serve(to[0], from[1]);
  }
  close(to[0]);
  close(from[1]);
  orders = to[1];
  answers = from[0];
}

int elsewhere_run(const char *path, const char *sql) {
  int rc = SQLITE_ERROR;
  write_text(orders, path);
  write_text(orders, sql);
  if (!read_all(answers, &rc, sizeof rc)) write_all(-1, "", 1);
  return rc;
}
