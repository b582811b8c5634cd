/*
** Schemas and rows.
*/
#include <string.h>

#include "test/multiverse/oracle/oracle.h"

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

void make_table(Words *out, Table *table, bool plain) {
  say(out, "CREATE TABLE %s(", table->name);
  for (int i = 0; i < NCOLS; i++) {
    say(out, "%sc%d %s%s", i ? ", " : "", i, table->types[i],
        i == 0 && !plain ? " PRIMARY KEY" : "");
    if (i == 0 && !plain && table->without_rowid) say(out, " NOT NULL");
  }
  say(out, ")%s;\n", table->without_rowid && !plain ? " WITHOUT ROWID" : "");
}

static void make_rows(Words *out, const Table *table) {
  for (int r = 0; r < ROWS; r++) {
    say(out, "INSERT OR IGNORE INTO %s VALUES (", table->name);
    if (!strcmp(table->types[0], "INTEGER")) {
      say(out, "%d", r);
    } else {
      say(out, "'k%d'", r);
    }
    for (int i = 1; i < NCOLS; i++) {
      say(out, ", ");
      literal(out);
    }
    say(out, ");\n");
  }
}

void make_schema(Words *out) {
  for (int t = 0; t < NTABLES; t++) {
    Table *table = &tables[t];
    *table = (Table){.name = t ? "U" : "T", .without_rowid = chance(25)};
    table->types[0] = table->without_rowid || chance(20) ? "TEXT" : "INTEGER";
    for (int i = 1; i < NCOLS; i++) table->types[i] = column_types[pick(8)];
    make_table(out, table, false);
    make_rows(out, table);
    for (int i = 1; i < NCOLS; i++) {
      if (chance(40))
        say(out, "CREATE INDEX %s_%d ON %s(c%d, c%d);\n", table->name, i, table->name, i,
            pick(NCOLS));
    }
  }
  say(out, "CREATE TABLE M(uid INT, g INT, h TEXT, role INT);\n");
  for (int r = 0; r < 24; r++) {
    say(out, "INSERT INTO M VALUES (%u, %s%u, '%c', %u);\n", 1 + pick(4),
        chance(10) ? "NULL -" : "", pick(5), "abAx"[pick(4)], pick(3));
  }
  if (chance(50)) say(out, "ANALYZE;\n");
}
