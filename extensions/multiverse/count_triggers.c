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
            "INSERT INTO _multiverse_ticks SELECT %lld, 1 + coalesce(max(tick), 0), randomblob(%d) "
            "FROM _multiverse_ticks WHERE tally = %lld",
            (long long)pen->count->tally, NONCE_BYTES, (long long)pen->count->tally);
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

/* The new row, unless its unit has had its share. */
static void write_count_new(const Pen *pen) {
  text_addf(pen->out, "INSERT INTO _multiverse_tallied SELECT %lld, ",
            (long long)pen->count->tally);
  write_cells(pen);
  write_from(pen);
  write_column(pen, pen->table->base->rowid_column);
  text_add(pen->out, " = ");
  write_key(pen, "NEW.");
  text_add(pen->out, " AND ");
  write_matches(pen);
  write_not_counted(pen);
  text_addf(pen->out,
            " AND NOT EXISTS (SELECT 1 FROM _multiverse_units AS u WHERE u.tally = %lld AND u.unit "
            "= +",
            (long long)pen->count->tally);
  write_column(pen, pen->count->unit);
  text_addf(pen->out, " AND u.used >= %lld)", (long long)pen->count->most);
}

void count_recount(const TablePolicy *table, Text out[RECOUNT_STATEMENTS]) {
  const Count *count = table->count;
  Pen pen = {table, count, &out[0]};
  write_tick(&pen);
  pen.out = &out[1];
  write_take_back(&pen);
  pen.out = &out[2];
  text_addf(pen.out,
            "INSERT INTO _multiverse_tallied SELECT %lld, rid, unit, k1, k2, k3, k4 FROM (SELECT ",
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
}

/* ---- triggers -------------------------------------------------------------------------------- */

typedef struct Uniques { /* conditions, by which rows would be in the way of the new one */
  Text text;
  int count;
} Uniques;

/* INSERT INTO _multiverse_doubtful …; for each UNIQUE index. */
static bool list_uniques(sqlite3 *db, const Pen *pen, Uniques *out, Fault *fault) {
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
    const char *column = (const char *)sqlite3_column_text(list, 1);
    const bool first = sqlite3_column_int(list, 3) == 0;
    if (!column) {
      fault_set(fault, FAULT_UNSUPPORTED,
                "index %s is UNIQUE and over an expression: what REPLACE deletes by it could not "
                "be told",
                query_text(list, 0));
      step = -1;
      break;
    }
    if (first) {
      text_addf(&out->text, "%sINSERT INTO _multiverse_doubtful SELECT %lld, ",
                out->count++ ? "; " : "", (long long)pen->count->tally);
      write_column(&own, pen->table->base->rowid_column);
      write_from(&own);
      write_column(&own, pen->table->base->rowid_column);
      text_addf(&out->text, " NOT IN (SELECT rid FROM _multiverse_doubtful WHERE tally = %lld)",
                (long long)pen->count->tally);
    }
    text_add(&out->text, " AND multiverse_row.");
    text_add_name(&out->text, column);
    text_add(&out->text, " COLLATE ");
    text_add_name(&out->text, query_text(list, 2));
    text_add(&out->text, " = NEW.");
    text_add_name(&out->text, column);
  }
  query_finish(list);
  return step == 0;
}

static void begin(Pen *pen, Trigger *trigger, const char *what, const char *when) {
  text_addf(&trigger->name, "_multiverse_%lld_%s", (long long)pen->count->tally, what);
  pen->out = &trigger->text;
  text_add(pen->out, text_get(&trigger->name) ? text_get(&trigger->name) : "");
  text_addf(pen->out, " %s ON ", when);
  write_table(pen);
  text_add(pen->out, " BEGIN ");
}

/* Behind a write; `keys`: of the rows that it was about. */
static void write_after(Pen *pen, Trigger *trigger, const char *what, const char *when,
                        bool has_old, bool has_new, bool doubts) {
  begin(pen, trigger, what, when);
  write_tick(pen);
  text_add(pen->out, "; ");
  write_take_back(pen);
  text_add(pen->out, " AND rid IN (");
  if (has_old) write_key(pen, "OLD.");
  if (has_old && has_new) text_add(pen->out, ", ");
  if (has_new) write_key(pen, "NEW.");
  text_add(pen->out, "); ");
  if (doubts) {
    write_take_back(pen);
    text_addf(pen->out,
              " AND rid IN (SELECT rid FROM _multiverse_doubtful WHERE tally = %lld); DELETE FROM "
              "_multiverse_doubtful WHERE tally = %lld; ",
              (long long)pen->count->tally, (long long)pen->count->tally);
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
  text_addn(pen->out, uniques->text.data, uniques->text.length);
  text_add(pen->out, "; END");
}

bool count_triggers(sqlite3 *db, const TablePolicy *table, Trigger out[MOST_TRIGGERS], int *n,
                    Fault *fault) {
  Pen pen = {.table = table, .count = table->count};
  Uniques uniques = {0};
  bool ok = list_uniques(db, &pen, &uniques, fault);
  *n = 0;
  write_after(&pen, &out[(*n)++], "insert", "AFTER INSERT", false, true, uniques.count > 0);
  write_after(&pen, &out[(*n)++], "update", "AFTER UPDATE", true, true, uniques.count > 0);
  write_after(&pen, &out[(*n)++], "delete", "AFTER DELETE", true, false, false);
  if (ok && uniques.count) {
    write_before(&pen, &out[(*n)++], "before_insert", "BEFORE INSERT", &uniques);
    write_before(&pen, &out[(*n)++], "before_update", "BEFORE UPDATE", &uniques);
  }
  bool oom = uniques.text.oom;
  for (int i = 0; i < *n; i++) oom |= out[i].name.oom || out[i].text.oom;
  text_finish(&uniques.text);
  return ok && (!oom || fault_oom(fault));
}

void count_triggers_finish(Trigger triggers[MOST_TRIGGERS]) {
  for (int i = 0; i < MOST_TRIGGERS; i++) {
    text_finish(&triggers[i].name);
    text_finish(&triggers[i].text);
  }
}
