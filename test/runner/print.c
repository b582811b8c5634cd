/*
** Printing values: see print.h.
*/
#include "test/runner/print.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/runner/failing.h"

/* 12 digits: what survives another order of additions. */
static void print_real(Text *out, double value) {
  char digits[40];
  snprintf(digits, sizeof digits, "%.12g", value);
  text_add(out, digits);
  if (isfinite(value) && !strpbrk(digits, ".e")) text_add(out, ".0");
}

static bool looks_like_number(const char *text) {
  char *end;
  if (!strchr("+-.0123456789", text[0])) return false;
  strtod(text, &end);
  return *end == '\0';
}

/* Text that could be another value, another column or another row. */
static bool ambiguous(const char *text, size_t length, bool alone) {
  if (length == 0) return true;
  if (text[0] == ' ' || text[length - 1] == ' ' || text[0] == '\'') return true;
  if (strcmp(text, "NULL") == 0 || looks_like_number(text)) return true;
  if (strchr("!?-.", text[0]) && strchr(" -", text[1])) return true; /* reads as the runner's own */
  return !alone && strpbrk(text, "|\n\r") != NULL;
}

static void print_bytes(Text *out, const unsigned char *bytes, size_t count) {
  text_add(out, "x'");
  for (size_t i = 0; i < count; i++) text_addf(out, "%02x", bytes[i]);
  text_add(out, "'");
}

static bool print_value(Text *out, sqlite3_stmt *statement, int column, bool alone, bool raw) {
  switch (sqlite3_column_type(statement, column)) {
  case SQLITE_INTEGER:
    text_addf(out, "%lld", (long long)sqlite3_column_int64(statement, column));
    return true;
  case SQLITE_FLOAT:
    print_real(out, sqlite3_column_double(statement, column));
    return true;
  case SQLITE_NULL:
    text_add(out, "NULL");
    return true;
  case SQLITE_BLOB: {
    const unsigned char *bytes = sqlite3_column_blob(statement, column);
    int count = sqlite3_column_bytes(statement, column);
    print_bytes(out, bytes, bytes ? (size_t)count : 0);
    return bytes || count == 0;
  }
  default:
    break;
  }
  failing_resume();
  const char *text = (const char *)sqlite3_column_text(statement, column);
  failing_pause();
  if (!text) return false;
  size_t length = (size_t)sqlite3_column_bytes(statement, column);
  if (strlen(text) != length) {
    text_add(out, "text ");
    print_bytes(out, (const unsigned char *)text, length);
  } else if (!raw && ambiguous(text, length, alone)) {
    text_add_string(out, text, length);
  } else {
    text_addn(out, text, length);
  }
  return true;
}

bool print_row(Text *out, sqlite3_stmt *statement, bool raw) {
  int count = sqlite3_data_count(statement);
  for (int i = 0; i < count; i++) {
    if (i) text_add(out, "|");
    if (!print_value(out, statement, i, count == 1, raw)) return false;
  }
  return true;
}

void print_header(Text *out, sqlite3_stmt *statement) {
  int count = sqlite3_column_count(statement);
  for (int i = 0; i < count; i++) {
    if (i) text_add(out, "|");
    const char *name = sqlite3_column_name(statement, i);
    text_add(out, name ? name : "");
  }
  if (count) text_add(out, "\n");
}
