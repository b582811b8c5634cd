/*
** Changes that a user must not notice: whatever leaves all that the rules show as it is.
**
** That is decided here, by the plain SQL of rules.c on the base tables. Where users write there is
** more that they learn, by the policy's or the schema's own will (guide, "What is not"), and it is
** left out:
** - that a key or a value that must be unique is taken: rows that differ have keys and values no
**   user writes;
** - which automatic key comes next: the highest one is of a row that is in both, hidden;
** - what rules say about a row that was changed, whose cells they see as they are: cells that are
**   rewritten differ in columns that no condition mentions, and memberships in those of others.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/multiverse/noninterference/noninterference.h"

typedef struct Lines {
  char *at;
  size_t length, capacity;
} Lines;

static void add(Lines *lines, const char *text, size_t length) {
  if (lines->length + length + 1 > lines->capacity) {
    lines->capacity = 2 * (lines->length + length) + 1024;
    lines->at = realloc(lines->at, lines->capacity);
    if (!lines->at) abort();
  }
  memcpy(lines->at + lines->length, text, length);
  lines->length += length;
  lines->at[lines->length] = '\0';
}

static bool add_rows(Lines *lines, sqlite3 *db, const char *sql) {
  sqlite3_stmt *rows;
  int rc;
  if (sqlite3_prepare_v2(db, sql, -1, &rows, NULL) != SQLITE_OK) {
    printf("Bail out! %s\n%s\n", sqlite3_errmsg(db), sql);
    exit(1);
  }
  while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
    for (int i = 0; i < sqlite3_column_count(rows); i++) {
      const char type = (char)('0' + sqlite3_column_type(rows, i));
      add(lines, &type, 1);
      const char *text = (const char *)sqlite3_column_text(rows, i);
      add(lines, text ? text : "", text ? strlen(text) : 0);
      add(lines, "|", 1);
    }
    add(lines, "\n", 1);
  }
  sqlite3_finalize(rows);
  return rc == SQLITE_DONE;
}

char *view_of(sqlite3 *db, const User *user) {
  Lines lines = {0};
  add(&lines, "", 0);
  for (int t = 0; t < NTABLES; t++) {
    Words sql = {0};
    say(&sql, "SELECT * FROM (");
    write_oracle(&sql, t, user);
    say(&sql, ") ORDER BY c0");
    if (add_rows(&lines, db, sql.at)) continue;
    free(lines.at);
    return NULL;
  }
  return lines.at;
}

/* ---- changes */

static bool has_text_key(const Table *table) { return strcmp(table->types[0], "INTEGER") != 0; }

/* A value in a column of a row that is nobody's: no user writes it. */
static void hidden_value(Words *out, const Table *table, int column) {
  if (world.secrets && table->unique[column]) {
    say(out, "%d", -1000 - (int)pick(100000));
  } else {
    literal(out);
  }
}

static void insert_row(Words *out, const Table *table) {
  const int key = (int)pick(60);
  const bool rowid = world.secrets && !table->without_rowid;
  say(out, "INSERT INTO %s(%sc0, c1, c2, c3, c4, c5) VALUES (", table->name,
      rowid ? "rowid, " : "");
  if (rowid) say(out, "%d, ", -1 - key);
  if (has_text_key(table)) {
    say(out, world.secrets ? "'v%d'" : "'k%d'", key);
  } else {
    say(out, "%d", world.secrets ? -1 - key : key);
  }
  for (int i = 1; i < NCOLS; i++) {
    say(out, ", ");
    hidden_value(out, table, i);
  }
  say(out, ")");
}

static void say_key(Words *out, const Table *table) {
  const bool pool = world.secrets && chance(50);
  if (has_text_key(table)) {
    say(out, pool ? "c0 = 'v%u'" : "c0 = 'k%u'", pick(pool ? 60 : ROWS));
  } else {
    say(out, pool ? "c0 = -1 - %u" : "c0 = %u", pick(pool ? 60 : ROWS));
  }
}

static void delete_row(Words *out, const Table *table) {
  say(out, "DELETE FROM %s WHERE ", table->name);
  say_key(out, table);
  if (world.secrets) say(out, has_text_key(table) ? " AND c0 >= 'v'" : " AND c0 < 0");
}

static void update_row(Words *out, int t, const User *user) {
  const Table *table = &tables[t];
  const bool secret = world.secrets && chance(60);
  int column = secret ? SECRET + (int)pick(NCOLS - SECRET) : 1 + (int)pick(NCOLS - 1);
  say(out, "UPDATE %s SET c%d = ", table->name, column);
  hidden_value(out, table, column);
  say(out, " WHERE ");
  say_key(out, table);
  if (!world.secrets) return;
  if (table->unique[column]) {
    say(out, has_text_key(table) ? " AND c0 >= 'v'" : " AND c0 < 0");
  } else if (column < SECRET) {
    say(out, " AND c0 NOT IN (SELECT c0 FROM (");
    write_oracle(out, t, user);
    say(out, "))");
  }
}

static void change_members(Words *out, const User *user) {
  const unsigned what = pick(3), row = 1 + pick(30);
  if (what == 0) {
    say(out, "INSERT INTO M SELECT uid, %u, '%c', %u FROM (SELECT 1 + %u AS uid) WHERE 1", pick(5),
        "abAx"[pick(4)], pick(3), pick(5));
  } else if (what == 1) {
    say(out, "DELETE FROM M WHERE rowid = %u", row);
  } else {
    say(out, "UPDATE M SET g = %u, role = %u WHERE rowid = %u", pick(5), pick(3), row);
  }
  if (world.secrets) say(out, " AND uid <> %d", user->uid);
}

static void change(Words *out, const User *user) {
  const int t = (int)pick(NTABLES);
  switch (pick(5)) {
  case 0:
    insert_row(out, &tables[t]);
    break;
  case 1:
    delete_row(out, &tables[t]);
    break;
  case 2:
    change_members(out, user);
    break;
  default:
    update_row(out, t, user);
  }
}

int vary(sqlite3 *db, const User *user, int tries) {
  char *before = view_of(db, user);
  int kept = 0;
  for (int i = 0; before && i < tries; i++) {
    Words sql = {0};
    change(&sql, user);
    sqlite3_exec(db, "SAVEPOINT one", NULL, NULL, NULL);
    const sqlite3_int64 changes = sqlite3_total_changes64(db);
    bool same = sqlite3_exec(db, sql.at, NULL, NULL, NULL) == SQLITE_OK &&
                sqlite3_total_changes64(db) > changes;
    char *after = same ? view_of(db, user) : NULL;
    same = after && !strcmp(before, after);
    free(after);
    kept += same;
    if (!same) sqlite3_exec(db, "ROLLBACK TO one", NULL, NULL, NULL);
    sqlite3_exec(db, "RELEASE one", NULL, NULL, NULL);
  }
  free(before);
  return kept;
}
