/*
** link.h as a program uses it: pins, types, operations; and what fork() leaves.
*/
#include <assert.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "extensions/link/link.h"
#include "test/link/processes.h"

typedef struct Cart {
  uint64_t nulls;
  LinkBytes id;
  double total;
  LinkBytes items;
  int64_t n;
} Cart;

static const LinkField fields[] = {{"id", LINK_TEXT, offsetof(Cart, id)},
                                   {"total", LINK_REAL, offsetof(Cart, total)},
                                   {"items", LINK_TEXT, offsetof(Cart, items)},
                                   {"n", LINK_INTEGER, offsetof(Cart, n)}};

static char folder[] = "/tmp/tenfold-link-api-XXXXXX";
static const LinkApi *api;

static sqlite3 *open_database(void) {
  const char *build = getenv("TENFOLD_BUILD");
  char text[1000];
  sqlite3 *db;
  snprintf(text, sizeof text, "%s/app.db", folder);
  assert(sqlite3_open(text, &db) == SQLITE_OK);
  sqlite3_busy_timeout(db, 2000); /* who takes slices up writes, too */
  sqlite3_enable_load_extension(db, 1);
  snprintf(text, sizeof text, "%s/link.so", build ? build : "build");
  assert(sqlite3_load_extension(db, text, NULL, NULL) == SQLITE_OK);
  return db;
}

static void run(sqlite3 *db, const char *sql) {
  char *why = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &why) == SQLITE_OK) return;
  printf("Bail out! %s: %s\n", sql, why);
  exit(1);
}

/* The first value as text: malloc'ed; an error begins with "!". */
static char *answer(sqlite3 *db, const char *sql) {
  sqlite3_stmt *statement = NULL;
  char *out = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK) {
    const int rc = sqlite3_step(statement);
    const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (rc == SQLITE_ROW) out = strdup(text ? text : "NULL");
    if (rc == SQLITE_DONE) out = strdup("no row");
  }
  if (!out && (out = malloc(600))) snprintf(out, 600, "!%s", sqlite3_errmsg(db));
  sqlite3_finalize(statement);
  return out;
}

static bool differs(sqlite3 *db, const char *sql, const char *wanted) {
  char *got = answer(db, sql);
  const bool yes = strcmp(got, wanted) != 0;
  free(got);
  return yes;
}

/* Open files, or threads. */
static int entries(const char *path) {
  DIR *at = opendir(path);
  int n = 0;
  assert(at);
  while (readdir(at)) n++;
  closedir(at);
  return n;
}

static void check(sqlite3 *db, const char *sql, const char *wanted) {
  char *got = answer(db, sql);
  if (strcmp(got, wanted)) {
    printf("Bail out! %s: \"%s\", not \"%s\"\n", sql, got, wanted);
    exit(1);
  }
  free(got);
}

/* "items" grows by a letter for each unit of the argument; the result says how long it is. */
static int grow(LinkCall *call, void *row, int nargs, const LinkValue *args, LinkValue *result,
                void *ctx) {
  Cart *cart = row;
  int *calls = ctx;
  ++*calls;
  if (nargs != 1 || args[0].type != LINK_INTEGER) return api->fail(call, "an integer is wanted");
  const uint64_t length = cart->items.length + (uint64_t)args[0].integer;
  char *bytes = api->alloc(call, length + 1);
  if (!bytes) return api->fail(call, "out of memory");
  memcpy(bytes, cart->items.bytes ? cart->items.bytes : "", cart->items.length);
  memset(bytes + cart->items.length, 'x', (size_t)args[0].integer);
  cart->items = (LinkBytes){bytes, length};
  cart->nulls &= ~(UINT64_C(1) << 2);
  cart->n++;
  *result = (LinkValue){.type = LINK_INTEGER, .integer = (int64_t)length};
  return 0;
}

static int spoil(LinkCall *call, void *row, int nargs, const LinkValue *args, LinkValue *result,
                 void *ctx) {
  (void)call;
  (void)nargs;
  (void)args;
  (void)result;
  (void)ctx;
  ((Cart *)row)->id = (LinkBytes){"other", 5};
  return 0;
}

static void check_pins(sqlite3 *db, LinkTable *carts) {
  const Cart *cart, *later;
  assert(api->pin_text(carts, "a", 1, (const void **)&cart) == SQLITE_OK);
  assert(cart->total == 1.5 && cart->items.length == 2 && !strcmp(cart->items.bytes, "[]"));
  assert(cart->nulls == 1 << 3);
  run(db, "UPDATE carts SET total = 2, n = 7 WHERE id = 'a'");
  assert(cart->total == 1.5); /* as it was when it was pinned */
  assert(api->pin_text(carts, "a", 1, (const void **)&later) == SQLITE_OK);
  assert(later != cart && later->total == 2 && later->n == 7 && later->nulls == 0);
  run(db, "DELETE FROM carts WHERE id = 'a'");
  assert(!strcmp(cart->id.bytes, "a") && later->n == 7);
  api->unpin(later);
  assert(api->pin_text(carts, "a", 1, (const void **)&later) == SQLITE_NOTFOUND);
  api->unpin(cart);
  api->unpin(NULL);
  assert(api->pin_integer(carts, 1, (const void **)&later) == SQLITE_MISMATCH);
  assert(api->pin_text(carts, "loaded", 6, (const void **)&later) == SQLITE_OK && later->n == 3);
  api->unpin(later);
}

static void check_types(LinkTable *carts) {
  char why[200];
  LinkField wrong[4];
  assert(api->agree(carts, fields, 4, sizeof(Cart), why, sizeof why) == SQLITE_OK && !*why);
  assert(api->agree(carts, fields, 3, sizeof(Cart), why, sizeof why) == SQLITE_MISMATCH);
  memcpy(wrong, fields, sizeof wrong);
  wrong[1].type = LINK_INTEGER;
  assert(api->agree(carts, wrong, 4, sizeof(Cart), why, sizeof why) == SQLITE_MISMATCH);
  assert(strstr(why, "total"));
}

static void check_operations(sqlite3 *db, LinkTable *carts) {
  static int calls;
  assert(api->define(carts, "grow", grow, &calls) == SQLITE_OK);
  assert(api->define(carts, "spoil", spoil, NULL) == SQLITE_OK);
  run(db, "INSERT INTO carts VALUES ('g', 0, NULL, 0)");
  check(db, "SELECT link_call('carts', 'g', 'grow', 300)", "300");
  check(db, "SELECT link_call('carts', 'g', 'GROW', 5)", "305");
  check(db, "SELECT length(items) || ' ' || n FROM carts WHERE id = 'g'", "305 2");
  check(db, "SELECT length(items) || ' ' || n FROM cart WHERE id = 'g'", "305 2");
  check(db, "SELECT link_call('carts', 'g', 'grow')",
        "!link_call: carts: grow: an integer is wanted");
  check(db, "SELECT link_call('carts', 'g', 'spoil')",
        "!link_call: carts: spoil: it changes the key");
  check(db, "SELECT length(items) || ' ' || n FROM carts WHERE id = 'g'", "305 2");
  assert(calls == 3);
}

/* A child must not be taken for the owner, nor keep the parent's place. */
static void check_fork(sqlite3 *db) {
  const pid_t child = fork();
  if (child == 0) {
    char *got = answer(db, "SELECT total FROM shared WHERE id = 'loaded'");
    const bool refused = got && strstr(got, "fork()");
    check(db, "SELECT value FROM link_stats WHERE name = 'standby'", "0");
    if (!refused) printf("# a child was told %s\n", got);
    _exit(refused ? 0 : 1);
  }
  int status;
  assert(waitpid(child, &status, 0) == child && status == 0);
  check(db, "SELECT total FROM shared WHERE id = 'loaded'", "9.0");
}

int main(void) {
  char text[1000];
  const int files = entries("/proc/self/fd"), threads = entries("/proc/self/task");
  assert(mkdtemp(folder));
  sqlite3 *db = open_database();
  run(db, "CREATE TABLE cart(id TEXT PRIMARY KEY, total REAL, items TEXT, n INTEGER);"
          "INSERT INTO cart VALUES ('a', 1.5, '[]', NULL), ('loaded', 9, NULL, 3);"
          "CREATE VIRTUAL TABLE carts USING link(id TEXT PRIMARY KEY, total REAL, items TEXT, "
          "n INTEGER, load='SELECT id, total, items, n FROM cart WHERE id = ?')");
  assert((api = link_api(db)) && api->version == 1);
  assert(!api->table(db, "nothing"));
  LinkTable *carts = api->table(db, "main.carts");
  assert(carts && carts == api->table(db, "carts"));
  check_types(carts);
  check_pins(db, carts);
  check_operations(db, carts);
  snprintf(text, sizeof text,
           "CREATE VIRTUAL TABLE shared USING link(id TEXT PRIMARY KEY, total REAL, items TEXT, "
           "n INTEGER, load='SELECT id, total, items, n FROM cart WHERE id = ?', "
           "coord='local:%s/map.db', me='unix:%s/1.sock', standby='file:%s/copies')",
           folder, folder, folder);
  run(db, text);
  check(db, "SELECT total FROM shared WHERE id = 'loaded'", "9.0");
  while (differs(db, "SELECT sum(standby) FROM link_slices", "64")) pause_ms(2);
  check_fork(db);
  check(db, "SELECT link_api(1)",
        "!link_api: it is for programs in C, which bind a pointer (link.h)");
  assert(sqlite3_close(db) == SQLITE_OK);
  assert(entries("/proc/self/fd") == files && entries("/proc/self/task") == threads);
  snprintf(text, sizeof text, "rm -rf '%s'", folder);
  assert(system(text) == 0);
  puts("1..1\nok 1 - link.h");
  return 0;
}
