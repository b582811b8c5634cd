/*
** Functions on the tables of this connection: far_add_at, far_observe, far_refresh, far_turn.
** far_pop is in queue_table.c; all are described in functions.c.
*/
#include "extensions/far/far.h"

typedef struct Call {
  sqlite3_context *ctx;
  FarTab *tab;
  VtPoll poll;
  Stop stop;
  Fault fault;
} Call;

/* False after an error. */
static bool begin(Call *it, sqlite3_context *ctx, sqlite3_value *name, FarKind kind) {
  *it = (Call){.ctx = ctx, .tab = far_tab_find(ctx, name, kind)};
  if (!it->tab) return false;
  it->poll = vt_poll_begin(vt_conn(ctx));
  it->stop = (Stop){.asked = vt_asked, .ctx = &it->poll};
  if (far_link_ready(it->tab->link, &it->stop, &it->fault)) return true;
  vt_poll_end(&it->poll);
  func_fault(ctx, &it->fault);
  return false;
}

static void end(Call *it, bool ok, int64_t result) {
  vt_poll_end(&it->poll);
  if (ok) {
    sqlite3_result_int64(it->ctx, result);
  } else {
    func_fault(it->ctx, &it->fault);
  }
}

/* The column of a vector that is counted in; -1 after an error. */
static int column_of(Call *it, sqlite3_value *name) {
  const FarRecord *record = &it->tab->record;
  const char *wanted = name ? func_text(it->ctx, name, NULL) : record->columns[1].name;
  for (int i = 1; wanted && i < record->ncolumns; i++) {
    if (sqlite3_stricmp(record->columns[i].name, wanted)) continue;
    if (record->columns[i].type == FAR_INTEGER && record->columns[i].not_null) return i;
  }
  if (wanted)
    fault_set(&it->fault, FAULT_INVALID,
              "\"%s\" has no column \"%s\" that is INTEGER NOT NULL, to add to", it->tab->table,
              wanted);
  return -1;
}

void far_add_at(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  int64_t sum = 0;
  if (sqlite3_value_numeric_type(argv[1]) != SQLITE_INTEGER ||
      sqlite3_value_numeric_type(argv[2]) != SQLITE_INTEGER) {
    func_fail(ctx, SQLITE_MISMATCH, "an index and what is added are integers, not '%s' and '%s'",
              sqlite3_value_text(argv[1]), sqlite3_value_text(argv[2]));
    return;
  }
  if (!begin(&it, ctx, argv[0], FAR_KIND_VECTOR)) return;
  const int column = column_of(&it, argc > 3 ? argv[3] : NULL);
  const bool ok =
      column > 0 && far_vector_add(it.tab->map, (uint64_t)sqlite3_value_int64(argv[1]),
                                   it.tab->record.columns[column].at, sqlite3_value_int64(argv[2]),
                                   &sum, &it.stop, &it.fault);
  end(&it, ok, sum);
}

void far_observe(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  const int type = sqlite3_value_numeric_type(argv[1]);
  const sqlite3_int64 n = argc > 2 ? sqlite3_value_int64(argv[2]) : 1;
  if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) {
    func_fail(ctx, SQLITE_MISMATCH, "what is counted is a number, not '%s'",
              sqlite3_value_text(argv[1]));
    return;
  }
  if (n < 0) {
    func_fail(ctx, SQLITE_RANGE, "it is counted 0 times or more, not %lld", (long long)n);
    return;
  }
  const double value = sqlite3_value_double(argv[1]);
  if (!begin(&it, ctx, argv[0], FAR_KIND_HISTOGRAM)) return;
  const bool ok = far_histogram_observe(it.tab->histogram, value, (uint64_t)n, &it.stop, &it.fault);
  end(&it, ok, (int64_t)far_histogram_bucket(far_histogram_plan(it.tab->histogram), value));
}

void far_turn(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  uint64_t window = 0;
  (void)argc;
  if (!begin(&it, ctx, argv[0], FAR_KIND_HISTOGRAM)) return;
  const bool ok = far_histogram_turn(it.tab->histogram, &window, &it.stop, &it.fault);
  end(&it, ok, (int64_t)window);
}

void far_refresh(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  uint64_t changed = 0;
  (void)argc;
  if (!begin(&it, ctx, argv[0], FAR_KIND_VECTOR)) return;
  bool ok =
      it.tab->declared.refresh_ns >= 0 ||
      fault_set(&it.fault, FAULT_INVALID, "\"%s\" was not declared with refresh=", it.tab->table);
  ok = ok && far_vector_refresh(it.tab->map, &changed, &it.stop, &it.fault);
  end(&it, ok, (int64_t)changed);
}

static const char table_doc[] = "a far_histogram table of this connection";

const VtArgument far_add_at_arguments[] = {
    {"vector", "TEXT", NULL, "a far_vector table of this connection"},
    {"i", "INTEGER", NULL, "the index"},
    {"n", "INTEGER", NULL, "what is added"},
    {"column", "TEXT", "the first", "which column, INTEGER NOT NULL"},
    {0}};
const VtArgument far_observe_arguments[] = {{"histogram", "TEXT", NULL, table_doc},
                                            {"value", "REAL", NULL, "what is counted"},
                                            {"n", "INTEGER", "1", "how many times"},
                                            {0}};
const VtArgument far_pop_arguments[] = {
    {"queue", "TEXT", NULL, "a far_queue table of this connection"},
    {"n", "INTEGER", "one, by itself", "take up to n, as a JSON array"},
    {0}};
const VtArgument far_refresh_arguments[] = {
    {"vector", "TEXT", NULL, "a far_vector table with refresh="}, {0}};
const VtArgument far_turn_arguments[] = {{"histogram", "TEXT", NULL, table_doc}, {0}};
