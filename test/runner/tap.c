/*
** TAP: see tap.h.
*/
#include "test/runner/tap.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};

enum { CASE_SECONDS = 300, COUNT = sizeof signals / sizeof *signals };

static struct sigaction previous[COUNT];

static int output = STDOUT_FILENO;
static int done, failed;
static char running[256];
static volatile long running_step;

static void put(const char *text, size_t length) {
  while (length) {
    ssize_t written = write(output, text, length);
    if (written <= 0) return;
    text += written;
    length -= (size_t)written;
  }
}

/* Only calls that are safe in a signal handler; the number is that of the case under way. */
static void on_signal(int signal_number) {
  static const char digits[] = "0123456789";
  char line[400];
  size_t length = 0;
  const char *parts[] = {
      "not ok ",   NULL, " - ", running, signal_number == SIGALRM ? ": hangs" : ": crashes",
      " at step ", NULL, "\n"};
  long numbers[] = {done + 1, running_step};
  for (size_t i = 0, n = 0; i < sizeof parts / sizeof *parts; i++) {
    char number[24];
    const char *part = parts[i];
    if (!part) {
      char *at = number + sizeof number - 1;
      *at = '\0';
      for (long rest = numbers[n++]; rest || !*at; rest /= 10) *--at = digits[rest % 10];
      part = at;
    }
    size_t size = strlen(part);
    if (length + size < sizeof line) memcpy(line + length, part, size);
    if (length + size < sizeof line) length += size;
  }
  put(line, length);
  /* A sanitizer's handler, if there was one, tells more. */
  for (size_t i = 0; i < COUNT; i++) {
    if (signals[i] == signal_number) sigaction(signal_number, &previous[i], NULL);
  }
  raise(signal_number);
}

void tap_start(int descriptor) {
  struct sigaction action = {.sa_handler = on_signal};
  output = descriptor;
  for (size_t i = 0; i < COUNT; i++) sigaction(signals[i], &action, &previous[i]);
}

void tap_running(const char *name, long step) {
  if (name) snprintf(running, sizeof running, "%s", name);
  running_step = step;
  alarm(CASE_SECONDS);
}

void tap_result(bool ok, const char *name, const char *why) {
  char line[512];
  alarm(0);
  done++;
  failed += !ok;
  int length = snprintf(line, sizeof line, "%sok %d - %s", ok ? "" : "not ", done, name);
  if (length >= (int)sizeof line) length = sizeof line - 1;
  put(line, (size_t)length);
  put("\n", 1);
  while (why && *why) {
    size_t count = strcspn(why, "\n");
    put("# ", 2);
    put(why, count);
    put("\n", 1);
    why += count + (why[count] == '\n');
  }
}

int tap_end(void) {
  char line[64];
  put(line, (size_t)snprintf(line, sizeof line, "1..%d\n", done));
  return failed || !done;
}
