/*
** Schemas and rows.
*/
#include <string.h>

#include "test/multiverse/shared/world.h"

World world;
Table tables[NTABLES];

static const char *const column_types[] = {"INT",  "INTEGER", "TEXT", "TEXT COLLATE NOCASE",
                                           "REAL", "NUMERIC", "",     "BLOB"};

void literal(Words *out) {
  switch (pick(12)) {
  case 0:
    say(out, "NULL");
    break;
  case 1:
    say(out, "%u.5", pick(4));
    break;
  case 2:
    say(out, "'%u'", pick(5));
    break;
  case 3:
    say(out, "'%c'", "aAbB"[pick(4)]);
    break;
  case 4:
    say(out, "'x%u'", pick(3));
    break;
  case 5:
    say(out, chance(50) ? "x'61'" : "'+1'");
    break;
  case 6:
    say(out, "%u.0", pick(4));
    break;
  default:
    say(out, "%u", pick(5));
  }
}

/* # is the column. */
static void say_more(Words *out, int column, const char *more) {
  say(out, " ");
  for (; *more; more++) {
    if (*more == '#') {
      say(out, "c%d", column);
    } else {
      say(out, "%c", *more);
    }
  }
}

void make_table(Words *out, Table *table, bool plain) {
  say(out, "CREATE TABLE %s(", table->name);
  for (int i = 0; i < NCOLS; i++) {
    say(out, "%sc%d %s%s", i ? ", " : "", i, table->types[i],
        i == 0 && !plain && !table->pair ? " PRIMARY KEY" : "");
    if (i == 0 && !plain && table->without_rowid) say(out, " NOT NULL");
    if (!plain && table->more[i]) say_more(out, i, table->more[i]);
  }
  if (table->pair && !plain) say(out, ", PRIMARY KEY (c1, c0)");
  say(out, ")%s;\n", table->without_rowid && !plain ? " WITHOUT ROWID" : "");
}

static void make_row(Words *out, const Table *table, int key) {
  say(out, "INSERT OR IGNORE INTO %s VALUES (", table->name);
  say(out, strcmp(table->types[0], "INTEGER") ? "'k%d'" : "%d", key);
  for (int i = 1; i < NCOLS; i++) {
    say(out, ", ");
    if (table->unique[i] && chance(50)) {
      say(out, "%u", 10 + pick(100));
    } else {
      literal(out);
    }
  }
  say(out, ");\n");
}

static void make_rows(Words *out, const Table *table) {
  if (world.secrets) {
    say(out, "INSERT INTO %s(%sc0", table->name, table->without_rowid ? "" : "rowid, ");
    say(out, table->without_rowid ? ") VALUES (" : ") VALUES (%d, ", LAST_KEY);
    say(out, strcmp(table->types[0], "INTEGER") ? "'k%d');\n" : "%d);\n", LAST_KEY);
  }
  for (int r = 0; r < ROWS; r++) make_row(out, table, r);
}

static const char *choose_more(void) {
  static const char *const more[] = {"DEFAULT 3", "DEFAULT 'x1'", "CHECK (# IS NOT 4)",
                                     "NOT NULL DEFAULT 2", "DEFAULT (1 + 1)"};
  return more[pick(5)];
}

static void make_indexes(Words *out, const Table *table) {
  for (int i = 1; i < NCOLS; i++) {
    if (chance(40)) {
      say(out, "CREATE INDEX %s_%d ON %s(c%d, c%d);\n", table->name, i, table->name, i,
          pick(NCOLS));
    }
    if (!world.rich) continue;
    if (table->unique[i]) {
      say(out, "CREATE UNIQUE INDEX %s_u%d ON %s(c%d);\n", table->name, i, table->name, i);
    }
    if (chance(10)) {
      say(out, "CREATE INDEX %s_p%d ON %s(c%d) WHERE c%d > %u;\n", table->name, i, table->name, i,
          pick(NCOLS), pick(4));
    }
    if (chance(10)) {
      say(out, "CREATE INDEX %s_e%d ON %s(c%d, typeof(c%d), c%d DESC);\n", table->name, i,
          table->name, i, pick(NCOLS), pick(NCOLS));
    }
  }
}

void make_schema(Words *out) {
  for (int t = 0; t < NTABLES; t++) {
    Table *table = &tables[t];
    *table = (Table){.name = t ? "U" : "T", .without_rowid = chance(25)};
    table->types[0] = table->without_rowid || chance(20) ? "TEXT" : "INTEGER";
    table->pair = table->without_rowid && world.writes && !world.secrets && chance(50);
    for (int i = 1; i < NCOLS; i++) {
      table->types[i] = column_types[pick(8)];
      if (world.writes && chance(20)) table->more[i] = choose_more();
      table->unique[i] = world.rich && chance(8);
    }
    make_table(out, table, false);
    make_indexes(out, table);
    make_rows(out, table);
  }
  say(out, "CREATE TABLE M(uid INT, g INT, h TEXT, role INT);\n");
  for (int r = 0; r < 24; r++) {
    say(out, "INSERT INTO M VALUES (%u, %s%u, '%c', %u);\n", 1 + pick(4),
        chance(10) ? "NULL -" : "", pick(5), "abAx"[pick(4)], pick(3));
  }
  if (chance(50)) say(out, "ANALYZE;\n");
}
