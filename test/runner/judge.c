/*
** Judging output: see judge.h.
*/
#include "test/runner/judge.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_LINES = 12 };

static const char *next_line(const char *text) {
  text += strcspn(text, "\n");
  return text + (*text == '\n');
}

static size_t line_length(const char *line) { return strcspn(line, "\n"); }

static void show(const char *sign, const char *line, Text *why) {
  for (int i = 0; *line && i < SHOWN_LINES; i++, line = next_line(line)) {
    text_addf(why, "%s %.*s\n", sign, (int)line_length(line), line);
  }
  if (*line) text_addf(why, "%s …\n", sign);
}

static bool same_line(const char *a, const char *b) {
  size_t length = line_length(a);
  return length == line_length(b) && memcmp(a, b, length) == 0;
}

static void show_difference(const char *expected, const char *actual, Text *why) {
  show("-", expected, why);
  show("+", actual, why);
}

void judge_equal(const char *expected, const char *actual, Text *why) {
  if (strcmp(expected, actual) == 0) return;
  while (*expected && *actual && same_line(expected, actual)) {
    expected = next_line(expected);
    actual = next_line(actual);
  }
  show_difference(expected, actual, why);
}

/* `! 1 SQL logic error` instead of `! 1 the real reason`. */
static bool lost_message(const char *expected, const char *actual) {
  if (strncmp(expected, "! ", 2) != 0 || strncmp(actual, "! ", 2) != 0) return false;
  char *message;
  long code = strtol(actual + 2, &message, 10);
  if (strtol(expected + 2, NULL, 10) != code || *message != ' ') return false;
  const char *generic = sqlite3_errstr((int)code);
  return line_length(message + 1) == strlen(generic) &&
         strncmp(message + 1, generic, strlen(generic)) == 0;
}

void judge_starved(const char *expected, const char *actual, bool starved, Text *why) {
  while (*actual) {
    if (starved && !*next_line(actual)) return; /* the complaint itself */
    if (!*expected || (!same_line(expected, actual) && !lost_message(expected, actual))) {
      show_difference(expected, actual, why);
      return;
    }
    expected = next_line(expected);
    actual = next_line(actual);
  }
  if (*expected) show_difference(expected, actual, why);
}
