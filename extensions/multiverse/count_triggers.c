/*
** What keeps a tally: triggers on the base table, in SQL that needs no extension, so that whoever
** writes is counted.
**
** They look at the rows as they are after the write, not at what was written: a row is counted if
** it should be, under the unit and the groups that it now has. So it does not matter which other
** triggers there are, and what REPLACE has replaced. A REPLACE also deletes rows that have the same
** value under another UNIQUE index, without a trigger of theirs: those are noted before it, as
** doubtful, and looked at behind it.
*/
#include <string.h>

#include "extensions/multiverse/count.h"

typedef struct Pen {
  const TablePolicy *table;
  const Count *count;
  Text *out;
} Pen;

static void write_name(const Pen *pen, int column) {
  text_add_name(pen->out, pen->table->base->columns[column].name);
}

static void write_column(const Pen *pen, int column) {
  text_add(pen->out, "multiverse_row.");
  write_name(pen, column);
}

static void write_table(const Pen *pen) { text_add_name(pen->out, pen->table->base->name); }

static void write_from(const Pen *pen) {
  text_add(pen->out, " FROM ");
  write_table(pen);
  text_add(pen->out, " AS multiverse_row WHERE ");
}

/* NEW."id" */
static void write_key(const Pen *pen, const char *of) {
  text_add(pen->out, of);
  write_name(pen, pen->table->base->rowid_column);
}

/* The row is one to be counted. */
static void write_matches(const Pen *pen) {
  const Meaning meaning = {.table = pen->table};
  meaning_expr(&meaning, pen->count->when, pen->out);
  text_add(pen->out, " AND ");
  write_column(pen, pen->count->unit);
  text_add(pen->out, " IS NOT NULL");
  for (int i = 0; i < pen->count->nby; i++) {
    text_add(pen->out, " AND ");
    write_column(pen, pen->count->by[i]);
    text_add(pen->out, " IS NOT NULL");
  }
}

/* ---- a tally's statements -------------------------------------------------------------------- */

static void write_tick(const Pen *pen) {
  text_addf(pen->out,
            "INSERT INTO _multiverse_ticks VALUES (%lld, 1 + (SELECT coalesce(max(tick), 0) FROM "
            "_multiverse_ticks WHERE tally = %lld), randomblob(%d))",
            (long long)pen->count->tally, (long long)pen->count->tally, NONCE_BYTES);
}

/* Up to and without a condition on _multiverse_tallied.rid: rows that are counted and should not
** be, or not so. The + keeps a column's affinity out of comparisons. */
static void write_take_back(const Pen *pen) {
  text_addf(pen->out, "DELETE FROM _multiverse_tallied WHERE tally = %lld AND NOT EXISTS (SELECT 1",
            (long long)pen->count->tally);
  write_from(pen);
  write_column(pen, pen->table->base->rowid_column);
  text_add(pen->out, " = _multiverse_tallied.rid AND ");
  write_matches(pen);
  text_add(pen->out, " AND +");
  write_column(pen, pen->count->unit);
  text_add(pen->out, " IS _multiverse_tallied.unit");
  for (int i = 0; i < pen->count->nby; i++) {
    text_add(pen->out, " AND +");
    write_column(pen, pen->count->by[i]);
    text_addf(pen->out, " IS _multiverse_tallied.k%d", i + 1);
  }
  text_addc(pen->out, ')');
}

static void write_cells(const Pen *pen) {
  const char *names[] = {" AS k1", " AS k2", " AS k3", " AS k4"};
  write_column(pen, pen->table->base->rowid_column);
  text_add(pen->out, " AS rid, ");
  write_column(pen, pen->count->unit);
  text_add(pen->out, " AS unit");
  for (int i = 0; i < MOST_BY; i++) {
    text_add(pen->out, ", ");
    if (i < pen->count->nby) {
      write_column(pen, pen->count->by[i]);
    } else {
      text_add(pen->out, "''");
    }
    text_add(pen->out, names[i]);
  }
}

static void write_not_counted(const Pen *pen) {
  text_addf(pen->out,
            " AND NOT EXISTS (SELECT 1 FROM _multiverse_tallied AS t WHERE t.tally = %lld AND "
            "t.rid = ",
            (long long)pen->count->tally);
  write_column(pen, pen->table->base->rowid_column);
  text_addc(pen->out, ')');
}

/* Up to and without a condition on rid. */
static void write_settle(const Pen *pen) {
  text_addf(pen->out, "UPDATE _multiverse_tallied SET fresh = 0 WHERE tally = %lld AND fresh",
            (long long)pen->count->tally);
}

/* The new row, unless its unit has had its share. */
static void write_count_new(const Pen *pen) {
  text_addf(pen->out, "INSERT INTO _multiverse_tallied SELECT %lld, ",
            (long long)pen->count->tally);
  write_cells(pen);
  text_add(pen->out, ", 1");
  write_from(pen);
  write_column(pen, pen->table->base->rowid_column);
  text_add(pen->out, " = ");
  write_key(pen, "NEW.");
  text_add(pen->out, " AND ");
  write_matches(pen);
  text_addf(pen->out,
            " AND NOT EXISTS (SELECT 1 FROM _multiverse_units AS u WHERE u.tally = %lld AND u.unit "
            "= +",
            (long long)pen->count->tally);
  write_column(pen, pen->count->unit);
  text_addf(pen->out, " AND u.used >= %lld) ON CONFLICT DO NOTHING; ", (long long)pen->count->most);
  write_settle(pen);
  text_add(pen->out, " AND rid = ");
  write_key(pen, "NEW.");
}

void count_recount(const TablePolicy *table, Text out[RECOUNT_STATEMENTS]) {
  const Count *count = table->count;
  Pen pen = {table, count, &out[0]};
  write_tick(&pen);
  pen.out = &out[1];
  write_take_back(&pen);
  pen.out = &out[2];
  text_addf(
      pen.out,
      "INSERT INTO _multiverse_tallied SELECT %lld, rid, unit, k1, k2, k3, k4, 1 FROM (SELECT ",
      (long long)count->tally);
  write_cells(&pen);
  text_add(pen.out, ", row_number() OVER (PARTITION BY ");
  write_column(&pen, count->unit);
  text_add(pen.out, " ORDER BY ");
  write_column(&pen, table->base->rowid_column);
  text_add(pen.out, ") AS nth");
  write_from(&pen);
  write_matches(&pen);
  write_not_counted(&pen);
  text_addf(pen.out,
            ") AS a WHERE nth + coalesce((SELECT u.used FROM _multiverse_units AS u WHERE u.tally "
            "= %lld AND u.unit = +a.unit), 0) <= %lld",
            (long long)count->tally, (long long)count->most);
  pen.out = &out[3];
  write_settle(&pen);
}

/* ---- triggers -------------------------------------------------------------------------------- */

typedef struct Uniques {
  Text text; /* statements that note the rows with a value of the new one's */
  int count; /* of UNIQUE indexes */
} Uniques;

static void begin_unique(const Pen *pen, bool of_update, Uniques *out) {
  if (out->count++) text_add(pen->out, " ON CONFLICT DO NOTHING; ");
  text_addf(pen->out, "INSERT INTO _multiverse_doubtful SELECT %lld, ",
            (long long)pen->count->tally);
  write_column(pen, pen->table->base->rowid_column);
  write_from(pen);
  if (!of_update) return;
  write_column(pen, pen->table->base->rowid_column);
  text_add(pen->out, " <> ");
  write_key(pen, "OLD.");
  text_add(pen->out, " AND ");
}

/* A column of an index, in order; a new index begins with number 0. */
static bool add_unique(const Pen *pen, sqlite3_stmt *list, bool of_update, Uniques *out,
                       Fault *fault) {
  const char *column = (const char *)sqlite3_column_text(list, 1);
  const bool first = sqlite3_column_int(list, 3) == 0;
  if (!column) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "index %s is UNIQUE and over an expression: what REPLACE deletes by it could "
                     "not be told",
                     query_text(list, 0));
  }
  if (first) begin_unique(pen, of_update, out);
  if (!first) text_add(pen->out, " AND ");
  text_add(pen->out, "multiverse_row.");
  text_add_name(pen->out, column);
  text_add(pen->out, " COLLATE ");
  text_add_name(pen->out, query_text(list, 2));
  text_add(pen->out, " = NEW.");
  text_add_name(pen->out, column);
  return true;
}

static bool list_uniques(sqlite3 *db, const Pen *pen, bool of_update, Uniques *out, Fault *fault) {
  sqlite3_stmt *list = query_printf(
      db, fault,
      "SELECT l.name, x.name, x.coll, x.seqno FROM pragma_index_list(%Q, 'main') AS l, "
      "pragma_index_xinfo(l.name, 'main') AS x WHERE l.\"unique\" AND x.key ORDER BY l.seq, "
      "x.seqno",
      pen->table->base->name);
  Pen own = *pen;
  own.out = &out->text;
  int step = -1;
  while (list && (step = query_step(list, fault)) == 1) {
    if (add_unique(&own, list, of_update, out, fault)) continue;
    step = -1;
    break;
  }
  query_finish(list);
  text_add(own.out, " ON CONFLICT DO NOTHING; ");
  return step == 0;
}

/* `when` and whatever stands between the table's name and BEGIN. */
static void begin(Pen *pen, Trigger *trigger, const char *what, const char *when) {
  text_addf(&trigger->name, "_multiverse_%lld_%s", (long long)pen->count->tally, what);
  pen->out = &trigger->text;
  text_addf(pen->out, "_multiverse_%lld_%s %s ON ", (long long)pen->count->tally, what, when);
  write_table(pen);
}

/* Behind a write: a tick, and the rows that it was about. */
static void write_after(Pen *pen, Trigger *trigger, const char *what, const char *when,
                        bool has_old, bool has_new) {
  begin(pen, trigger, what, when);
  text_add(pen->out, " BEGIN ");
  write_tick(pen);
  text_add(pen->out, "; ");
  for (int i = 0; i < 2; i++) {
    if (!(i ? has_new : has_old)) continue;
    write_take_back(pen);
    text_add(pen->out, " AND rid = ");
    write_key(pen, i ? "NEW." : "OLD.");
    text_add(pen->out, "; ");
  }
  if (has_new) {
    write_count_new(pen);
    text_add(pen->out, "; ");
  }
  text_add(pen->out, "END");
}

static void write_before(Pen *pen, Trigger *trigger, const char *what, const char *when,
                         const Uniques *uniques) {
  begin(pen, trigger, what, when);
  text_add(pen->out, " BEGIN ");
  text_addn(pen->out, uniques->text.data, uniques->text.length);
  text_add(pen->out, "END");
}

/* A trigger of its own, since there are hardly ever any. */
static void write_doubts(Pen *pen, Trigger *trigger, const char *what, const char *when) {
  const long long tally = pen->count->tally;
  begin(pen, trigger, what, when);
  text_addf(pen->out, " WHEN EXISTS (SELECT 1 FROM _multiverse_doubtful WHERE tally = %lld) BEGIN ",
            tally);
  write_take_back(pen);
  text_addf(pen->out,
            " AND rid IN (SELECT rid FROM _multiverse_doubtful WHERE tally = %lld); DELETE FROM "
            "_multiverse_doubtful WHERE tally = %lld; END",
            tally, tally);
}

bool count_triggers(sqlite3 *db, const TablePolicy *table, Trigger out[MOST_TRIGGERS], int *n,
                    Fault *fault) {
  Pen pen = {.table = table, .count = table->count};
  Uniques inserted = {0}, updated = {0};
  const bool ok = list_uniques(db, &pen, false, &inserted, fault) &&
                  list_uniques(db, &pen, true, &updated, fault);
  *n = 0;
  write_after(&pen, &out[(*n)++], "insert", "AFTER INSERT", false, true);
  write_after(&pen, &out[(*n)++], "update", "AFTER UPDATE", true, true);
  write_after(&pen, &out[(*n)++], "delete", "AFTER DELETE", true, false);
  if (ok && inserted.count) {
    write_before(&pen, &out[(*n)++], "insert_doubts", "BEFORE INSERT", &inserted);
    write_before(&pen, &out[(*n)++], "update_doubts", "BEFORE UPDATE", &updated);
    write_doubts(&pen, &out[(*n)++], "insert_doubted", "AFTER INSERT");
    write_doubts(&pen, &out[(*n)++], "update_doubted", "AFTER UPDATE");
  }
  bool oom = inserted.text.oom || updated.text.oom;
  for (int i = 0; i < *n; i++) oom |= out[i].name.oom || out[i].text.oom;
  text_finish(&inserted.text);
  text_finish(&updated.text);
  return ok && (!oom || fault_oom(fault));
}

void count_triggers_finish(Trigger triggers[MOST_TRIGGERS]) {
  for (int i = 0; i < MOST_TRIGGERS; i++) {
    text_finish(&triggers[i].name);
    text_finish(&triggers[i].text);
  }
}
