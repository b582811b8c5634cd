/*
** Whatever goes in, valid XML and JSON come out: random labels (any bytes), numbers and sizes into
** every picture, checked by a small strict XML reader of its own and by SQLite's json_valid().
**
**   valid [COUNT [SEED]]
*/
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a strict reader of the XML that an SVG needs -------------------------------------------- */

typedef struct Reader {
  const unsigned char *at, *end;
  const char *wrong; /* NULL: nothing so far */
  char open[32][32]; /* elements that are open */
  int depth;
} Reader;

static void fail(Reader *r, const char *what) {
  if (!r->wrong) r->wrong = what;
  r->at = r->end;
}

/* One character that XML 1.0 allows, or a fault. */
static void read_char(Reader *r) {
  unsigned c = *r->at++;
  int more = c < 0x80 ? 0 : c >= 0xF0 ? 3 : c >= 0xE0 ? 2 : 1;
  if (c >= 0x80 && (c < 0xC2 || c > 0xF4)) fail(r, "bad lead byte");
  unsigned code = more == 0 ? c : more == 1 ? c & 0x1F : more == 2 ? c & 0x0F : c & 0x07;
  for (int i = 0; i < more; i++) {
    if (r->at == r->end || (*r->at & 0xC0) != 0x80) {
      fail(r, "bad continuation");
      return;
    }
    code = code * 64 + (*r->at++ & 0x3F);
  }
  bool allowed = code == 9 || code == 10 || code == 13 || (code >= 0x20 && code <= 0xD7FF) ||
                 (code >= 0xE000 && code <= 0xFFFD) || (code >= 0x10000 && code <= 0x10FFFF);
  bool shortest = more == 0 || (more == 1 && code >= 0x80) || (more == 2 && code >= 0x800) ||
                  (more == 3 && code >= 0x10000);
  if (!allowed || !shortest) fail(r, "character not allowed");
}

static void read_entity(Reader *r) {
  static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
  for (int i = 0; i < 5; i++) {
    size_t n = strlen(names[i]);
    if ((size_t)(r->end - r->at) >= n && memcmp(r->at, names[i], n) == 0) {
      r->at += n;
      return;
    }
  }
  fail(r, "unknown entity");
}

static bool take(Reader *r, const char *text) {
  size_t n = strlen(text);
  if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0) return false;
  r->at += n;
  return true;
}

static void read_name(Reader *r, char *out) {
  int n = 0;
  while (r->at < r->end && n < 31 &&
         ((*r->at >= 'a' && *r->at <= 'z') || (*r->at >= 'A' && *r->at <= 'Z') || *r->at == '-' ||
          (n > 0 && *r->at >= '0' && *r->at <= '9'))) {
    out[n++] = (char)*r->at++;
  }
  out[n] = '\0';
  if (n == 0) fail(r, "name expected");
}

/* Shapes lie on the picture, whatever the numbers were. */
static void check_coordinate(Reader *r, const char *name, const unsigned char *value) {
  static const char *const names[] = {"x", "y", "x1", "x2", "y1", "y2", "width", "height"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(name, names[i]) != 0) continue;
    char *end;
    double number = strtod((const char *)value, &end);
    if (strncmp(end, "%\"", 2) == 0) end++;
    if (*end != '"' || !(number >= 0 && number <= 30000)) fail(r, "shape outside of the picture");
  }
}

static void read_attributes(Reader *r) {
  char seen[24][32];
  int count = 0;
  while (r->at < r->end && take(r, " ")) {
    read_name(r, seen[count]);
    for (int i = 0; i < count; i++) {
      if (strcmp(seen[i], seen[count]) == 0) fail(r, "attribute twice");
    }
    if (++count == 24) fail(r, "too many attributes");
    if (!take(r, "=\"")) fail(r, "=\" expected");
    const unsigned char *value = r->at;
    while (r->at < r->end && *r->at != '"') {
      if (*r->at == '<')
        fail(r, "< in an attribute");
      else if (*r->at == '&')
        read_entity(r);
      else
        read_char(r);
    }
    check_coordinate(r, seen[count - 1], value);
    if (!take(r, "\"")) fail(r, "attribute does not end");
  }
}

static void read_tag(Reader *r) {
  char name[32];
  if (take(r, "</")) {
    read_name(r, name);
    if (!take(r, ">") || r->depth == 0 || strcmp(r->open[--r->depth], name) != 0) {
      fail(r, "end tag does not match");
    }
    return;
  }
  take(r, "<");
  read_name(r, name);
  if (strcmp(name, "script") == 0) fail(r, "script");
  read_attributes(r);
  if (take(r, "/>")) return;
  if (!take(r, ">") || r->depth == 32) {
    fail(r, "tag does not end");
  } else {
    strcpy(r->open[r->depth++], name);
  }
}

/* NULL, or what is wrong. */
static const char *check_xml(const char *text) {
  Reader r = {.at = (const unsigned char *)text};
  r.end = r.at + strlen(text);
  if (strncmp(text, "<svg ", 5) != 0) return "does not begin with <svg";
  while (r.at < r.end) {
    if (*r.at == '<') {
      read_tag(&r);
      if (r.depth == 0) break;
    } else if (*r.at == '&') {
      read_entity(&r);
    } else if (*r.at == '>' || r.depth == 0) {
      fail(&r, "stray character");
    } else {
      read_char(&r);
    }
  }
  if (!r.wrong && strcmp((const char *)r.at, "\n") != 0) r.wrong = "more after the end";
  return r.wrong;
}

/* ---- random rows ----------------------------------------------------------------------------- */

static unsigned long long seed = 1;

static unsigned pick(unsigned count) {
  seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
  return (unsigned)(seed >> 33) % count;
}

static void bind_label(sqlite3_stmt *stmt, int i) {
  static const char *const nasty[] = {"<b>",
                                      "&amp;",
                                      "\"'",
                                      "]]>",
                                      "a;b;c",
                                      "<!--",
                                      "\xEF\xBF\xBE",
                                      "\xED\xA0\x80",
                                      "\xF0\x9F\x98\x80",
                                      "",
                                      "x\x01y",
                                      "\x7F"};
  char bytes[80];
  int n = 0;
  if (pick(2)) {
    sqlite3_bind_text(stmt, i, nasty[pick(12)], -1, SQLITE_STATIC);
    return;
  }
  for (n = 0; n < (int)pick(78); n++) bytes[n] = (char)(1 + pick(255));
  sqlite3_bind_text(stmt, i, bytes, n, SQLITE_TRANSIENT);
}

static void bind_number(sqlite3_stmt *stmt, int i, bool positive) {
  static const double sizes[] = {0,    1,   0.001, 1e-9,   123456.789, 1e15, 1e16,
                                 1e90, 2.5, 7,     1e-300, 3e9,        4e18};
  double value = sizes[pick(13)] * (1 + pick(1000) / 250.0);
  if (value > 1e90) value = 1e90;
  if (!positive && pick(2)) value = -value;
  if (pick(3) == 0 && value < 9e18 && value > -9e18) {
    sqlite3_bind_int64(stmt, i, (sqlite3_int64)value);
  } else {
    sqlite3_bind_double(stmt, i, value);
  }
}

/* Fills the table with rows for all pictures; a2 >= a1 where spans are drawn. */
static void fill(sqlite3 *db, sqlite3_stmt *insert) {
  int rows = 1 + (int)pick(pick(10) == 0 ? 300 : 12);
  sqlite3_exec(db, "DELETE FROM r", NULL, NULL, NULL);
  for (int i = 0; i < rows; i++) {
    bind_label(insert, 1);
    bind_label(insert, 2);
    bind_number(insert, 3, false);
    bind_number(insert, 4, true);
    sqlite3_step(insert);
    sqlite3_reset(insert);
  }
}

static const char *const pictures[] = {
    "SELECT viz_heat(a, b, x) FROM r",
    "SELECT viz_heat(a, b, y) FROM r",
    "SELECT viz_flame(a || ';' || b, y) FROM r",
    "SELECT viz_flame(a) FROM r",
    "SELECT viz_timeline(min(x, y), iif(rowid % 9, max(x, y), NULL), a, b) FROM r",
    "SELECT viz_timeline(min(x, y), max(x, y), a, b, 'us') FROM r",
    "SELECT viz_timeline(datetime(abs(x) % 1e9, 'unixepoch'), datetime(2e9 + y % 1e9, "
    "'unixepoch'), a, b) FROM r",
};

static int check_pictures(sqlite3 *db, int round) {
  int wrong = 0;
  for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
    sqlite3_stmt *stmt = NULL;
    const char *what = NULL;
    sqlite3_prepare_v2(db, pictures[i], -1, &stmt, NULL);
    int rc = sqlite3_step(stmt);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    what = text ? check_xml(text) : sqlite3_errmsg(db);
    if (what) {
      printf("# round %d: %s: %s\n", round, pictures[i], what);
      if (text) printf("# %.2000s\n", text);
      wrong++;
    }
    sqlite3_finalize(stmt);
  }
  return wrong;
}

static int count(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  int result = -1;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK &&
      sqlite3_step(stmt) == SQLITE_ROW) {
    result = sqlite3_column_int(stmt, 0);
  }
  sqlite3_finalize(stmt);
  return result;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 300;
  if (argc > 2) seed = strtoull(argv[2], NULL, 10);
  const char *build = getenv("TENFOLD_BUILD");
  char path[600], *err = NULL;
  sqlite3 *db = NULL;
  sqlite3_stmt *insert = NULL;
  snprintf(path, sizeof path, "%s/viz", build ? build : "build");
  sqlite3_open(":memory:", &db);
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, path, NULL, &err) != SQLITE_OK) {
    printf("Bail out! %s\n", err);
    return 1;
  }
  sqlite3_exec(db, "CREATE TABLE r(a TEXT, b TEXT, x, y)", NULL, NULL, NULL);
  sqlite3_prepare_v2(db, "INSERT INTO r VALUES (?, ?, ?, ?)", -1, &insert, NULL);
  int wrong = 0, bad_json = 0;
  for (int i = 0; i < rounds && wrong + bad_json < 5; i++) {
    fill(db, insert);
    wrong += check_pictures(db, i);
    bad_json += count(db, "SELECT json_valid(viz_trace(rowid, rowid + 5, a, b, json_object(b, a))) "
                          "FROM (SELECT rowid, CAST(hex(a) AS TEXT) AS a, b FROM r)") != 1;
    bad_json += count(db, "SELECT json_valid(viz_trace(rowid, rowid + 5, a, b)) FROM r") != 1;
  }
  sqlite3_finalize(insert);
  printf("%s 1 - %d rounds of random pictures are valid XML\n", wrong ? "not ok" : "ok", rounds);
  printf("%s 2 - and traces are valid JSON\n", bad_json ? "not ok" : "ok");
  bool broken = check_xml("<svg a=\"1\"><b></svg>\n") && check_xml("<svg x=\"&\"></svg>\n") &&
                check_xml("<svg ><a>\x01</a></svg>\n") && check_xml("<svg ><script/></svg>\n") &&
                check_xml("<svg >\xff</svg>\n") && check_xml("<svg a=\"1\" a=\"1\"></svg>\n");
  printf("%s 3 - the reader refuses what is no XML\n", broken ? "ok" : "not ok");
  int closed = sqlite3_close(db);
  bool clean = closed == SQLITE_OK && sqlite3_memory_used() == 0;
  printf("%s 4 - closes\n1..4\n", clean ? "ok" : "not ok");
  return wrong || bad_json || !broken || !clean;
}
