/*
** Growing text: quoting, JSON, reals, and what happens when memory is refused. SQLite is the
** judge of quoting, JSON and reals.
*/
#define _GNU_SOURCE
#include "base/text.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/base/check.h"
#include "test/runner/failing.h"

static sqlite3 *db;

/* The first column of the first row, NULL for none. */
static sqlite3_stmt *query(const char *sql) {
  sqlite3_stmt *statement = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK) return NULL;
  if (sqlite3_step(statement) == SQLITE_ROW) return statement;
  sqlite3_finalize(statement);
  return NULL;
}

static void test_add(void) {
  Text text = {0};
  check_text(text_get(&text), "", "empty is \"\", not NULL");
  text_add(&text, "");
  check_text(text_get(&text), "", "and stays so");
  text_add(&text, "ab");
  text_addn(&text, "cdef", 2);
  text_addn(&text, NULL, 0);
  text_addc(&text, 'e');
  text_addf(&text, "%d%s", 42, "z");
  check_text(text_get(&text), "abcde42z", "pieces are joined");
  check(text.length == 8, "and counted");
  text_addn(&text, "\0!", 2);
  check(text.length == 10 && memcmp(text.data, "abcde42z\0!", 11) == 0, "NUL bytes are kept");
  text_clear(&text);
  check(text.length == 0 && text.capacity, "clear keeps the memory");
  check_text(text_get(&text), "", "but not the text");
  for (int i = 0; i < 100000; i++) text_addc(&text, (char)('a' + i % 26));
  bool ok = text.length == 100000 && strlen(text_get(&text)) == 100000;
  for (int i = 0; i < 100000; i++) ok = ok && text.data[i] == 'a' + i % 26;
  check(ok, "grows byte by byte");
  text_addf(&text, "%*d", 300000, 7);
  check(text.length == 400000 && text.data[399999] == '7', "formats more than its capacity");
  text_finish(&text);
  check(!text.data && !text.length && !text.capacity, "finish leaves it empty");
}

/* Lengths around every power of two, where the terminating NUL may not fit. */
static void test_boundaries(void) {
  bool ok = true;
  static char piece[5000];
  memset(piece, 'p', sizeof piece);
  for (size_t first = 0; first < 300; first++) {
    for (size_t second = 0; second < 130; second += 1 + second / 8) {
      Text text = {0};
      text_addn(&text, piece, first);
      text_addf(&text, "%.*s", (int)second, piece);
      ok = ok && strlen(text_get(&text)) == first + second && text.length == first + second;
      ok = ok && text.capacity != 1 && (!text.data || text.capacity > text.length);
      text_finish(&text);
    }
  }
  check(ok, "every length has room for its NUL");
}

static void test_quotes(void) {
  Text text = {0};
  text_add_name(&text, "a\"b");
  text_add_name(&text, "");
  check_text(text_get(&text), "\"a\"\"b\"\"\"", "names");
  text_clear(&text);
  text_add_string(&text, "it's", 4);
  text_add_string(&text, "''", 1);
  check_text(text_get(&text), "'it''s'''''", "strings");
  bool ok = true;
  for (int byte = 1; byte < 256; byte++) {
    char value[] = {'x', (char)byte, (char)byte, 'y', 0};
    text_clear(&text);
    text_add(&text, "SELECT ");
    text_add_string(&text, value, 4);
    text_add(&text, " AS ");
    text_add_name(&text, value);
    sqlite3_stmt *row = query(text_get(&text));
    ok = ok && row && strcmp((const char *)sqlite3_column_text(row, 0), value) == 0 &&
         strcmp(sqlite3_column_name(row, 0), value) == 0;
    sqlite3_finalize(row);
  }
  check(ok, "SQLite reads back every byte, as a string and as a name");
  text_finish(&text);
}

static void test_json(void) {
  Text text = {0};
  text_add_json(&text, "a\"\\\n\x01\x7f/", 7);
  check_text(text_get(&text), "\"a\\\"\\\\\\u000a\\u0001\x7f/\"", "JSON escapes");
  static const struct {
    const char *bytes, *json, *what;
  } cases[] = {
      {"\xc3\xa9", "\"\xc3\xa9\"", "two bytes stay"},
      {"\xe2\x82\xac", "\"\xe2\x82\xac\"", "three bytes stay"},
      {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"", "four bytes stay"},
      {"\xff", "\"\xef\xbf\xbd\"", "0xff becomes U+FFFD"},
      {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", "an overlong NUL"},
      {"\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "an overlong slash"},
      {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "a surrogate"},
      {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "over U+10FFFF"},
      {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"", "a sequence cut short"},
      {"\xc3x", "\"\xef\xbf\xbdx\"", "a sequence broken off"},
      {"\x80", "\"\xef\xbf\xbd\"", "a lone continuation"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    text_clear(&text);
    text_add_json(&text, cases[i].bytes, strlen(cases[i].bytes));
    check_text(text_get(&text), cases[i].json, cases[i].what);
  }
  bool ok = true;
  for (int a = 1; a < 256; a++) {
    char value[] = {(char)a, 'z', 0};
    text_clear(&text);
    text_add_json(&text, value, 2);
    sqlite3_stmt *row = NULL;
    sqlite3_prepare_v2(db, "SELECT json_extract(?1, '$')", -1, &row, NULL);
    sqlite3_bind_text(row, 1, text_get(&text), -1, SQLITE_STATIC);
    ok = ok && sqlite3_step(row) == SQLITE_ROW;
    const char *back = (const char *)sqlite3_column_text(row, 0);
    ok = ok && back && (a < 128 ? strcmp(back, value) == 0 : strstr(back, "z") != NULL);
    sqlite3_finalize(row);
  }
  check(ok, "SQLite's JSON reads every byte");
  text_clear(&text);
  text_add_json(&text, "a\0b", 3);
  check_text(text_get(&text), "\"a\\u0000b\"", "a NUL byte is escaped");
  text_finish(&text);
}

/* A double of random bits. */
static double next_double(uint64_t *state) {
  uint64_t bits = *state ^= *state << 13, copy;
  bits = *state ^= bits >> 7;
  copy = *state ^= bits << 17;
  double value;
  memcpy(&value, &copy, sizeof value);
  return value;
}

/* Printed, read by libc: the same double? And no shorter form of %g does it. */
static bool real_is_right(double value, Text *text) {
  text_clear(text);
  text_add_real(text, value);
  const char *digits = text_get(text);
  char shorter[40];
  bool ok = strtod(digits, NULL) == value && strpbrk(digits, ".e");
  for (int precision = 1; ok && precision < 15; precision++) {
    snprintf(shorter, sizeof shorter, "%.*g", precision, value);
    if (strtod(shorter, NULL) == value) return strlen(digits) <= strlen(shorter) + 2;
  }
  return ok;
}

static void test_real(uint64_t seed) {
  static const struct {
    double value;
    const char *digits;
  } cases[] = {{0, "0.0"},
               {-0.0, "-0.0"},
               {1, "1.0"},
               {-2.5, "-2.5"},
               {0.1, "0.1"},
               {1e300, "1e+300"},
               {1e15, "1e+15"},
               {123456, "123456.0"},
               {1.0 / 3, "0.3333333333333333"},
               {0.1 + 0.2, "0.30000000000000004"},
               {INFINITY, "9e999"},
               {-INFINITY, "-9e999"},
               {NAN, "null"},
               {DBL_MAX, "1.7976931348623157e+308"}};
  Text text = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    text_clear(&text);
    text_add_real(&text, cases[i].value);
    check_text(text_get(&text), cases[i].digits, cases[i].digits);
  }
  bool ok = real_is_right(DBL_MIN, &text) && real_is_right(DBL_TRUE_MIN, &text) &&
            real_is_right(nextafter(1, 2), &text) && real_is_right(9007199254740993.0, &text);
  for (int i = 0; i < 20000 && ok; i++) {
    double value = next_double(&seed);
    if (isfinite(value)) ok = real_is_right(value, &text);
  }
  check(ok, "random doubles read back the same, from the shortest digits");
  if (!ok) printf("# %s\n", text_get(&text));
  text_clear(&text);
  text_add(&text, "SELECT ");
  text_add_real(&text, -INFINITY);
  sqlite3_stmt *row = query(text_get(&text));
  check(row && sqlite3_column_double(row, 0) == -INFINITY, "SQLite reads infinity");
  sqlite3_finalize(row);
  text_finish(&text);
}

/* A host may have a locale whose decimal point is a comma: numbers are SQL's all the same. */
static void test_locale(void) {
  char folder[] = "/tmp/tenfold-locale-XXXXXX", command[200];
  if (!mkdtemp(folder)) return;
  snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 %s/de_DE.UTF-8 >/dev/null 2>&1",
           folder);
  int made = system(command);
  setenv("LOCPATH", folder, 1);
  check(made == 0 && setlocale(LC_NUMERIC, "de_DE.UTF-8") && *localeconv()->decimal_point == ',',
        "a locale with a decimal comma can be had");
  Text text = {0};
  text_add_real(&text, -1234.5);
  text_add(&text, " ");
  text_add_real(&text, 1.5e-7);
  text_add(&text, " ");
  text_add_real(&text, 3);
  text_add(&text, " ");
  text_add_real(&text, 0.1 + 0.2);
  check_text(text_get(&text), "-1234.5 1.5e-07 3.0 0.30000000000000004",
             "reals have a point under a locale with a comma");
  text_finish(&text);
  char *end;
  check(text_read_real("-12.25e1;", &end) == -122.5 && *end == ';',
        "reals are read with a point under a locale with a comma");
  setlocale(LC_NUMERIC, "C");
  snprintf(command, sizeof command, "rm -r %s", folder);
  if (system(command) != 0) printf("# cannot remove %s\n", folder);
}

static void test_refused(void) {
  bool ok = true;
  failing_enable(true);
  for (long victim = 1; victim <= 4; victim++) {
    Text text = {0};
    failing_start(victim);
    failing_resume();
    for (int i = 0; i < 500; i++) text_add(&text, "0123456789");
    failing_pause();
    if (!failing_refused()) ok = false;
    ok = ok && text.oom && !text_get(&text) && text.length < 5000;
    text_add_json(&text, "more", 4);
    ok = ok && text.oom;
    text_clear(&text);
    text_add(&text, "again");
    ok = ok && text_get(&text) && strcmp(text_get(&text), "again") == 0;
    text_finish(&text);
  }
  failing_enable(false);
  check(ok, "refused memory sticks until clear");
  Text text = {0};
  text_addn(&text, "x", SIZE_MAX / 2 + 1);
  check(text.oom && !text_get(&text), "an impossible length is out of memory");
  text_finish(&text);
}

int main(int argc, char **argv) {
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) return 1;
  test_add();
  test_boundaries();
  test_quotes();
  test_json();
  test_real(argc > 1 ? strtoull(argv[1], NULL, 10) : 88172645463325252u);
  test_locale();
  test_refused();
  sqlite3_close(db);
  return checks_end();
}
