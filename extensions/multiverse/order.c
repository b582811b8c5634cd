/*
** The order that rows come in.
**
** An inner statement gives rows as its plan finds them. Along an index over a rewritten column
** that is the order of what is not shown; and where a plan joins several scans with OR, a row comes
** with the first that finds it, which tells of the rule by which it is seen. Rows of such scans are
** sorted by their keys, which are shown, behind what the query asks for. Memory gives rows by
** their rowids, so what it might have answered is sorted as well: how much of the cache is taken by
** rows that are not seen must not show.
*/
#include <string.h>

#include "extensions/multiverse/shadow.h"

enum { PLAN_PARENT = 1, PLAN_DETAIL = 3 };

/* Rows that the statement finds by this index may differ there in what is not shown. */
static bool is_telling(const Shadow *shadow, const BaseIndex *index, const VtPlan *plan) {
  bool any = false;
  for (int i = 0; i < shadow->base->ncolumns; i++) any |= shadow->table->rewritten[i];
  for (int i = 0; i < index->ncolumns; i++) {
    const int column = index->columns[i];
    if (column < 0 ? any : shadow->table->rewritten[column] && !vt_term(plan, column, VT_OP_EQ)) {
      return true;
    }
  }
  return false;
}

static bool tells(const Shadow *shadow, const VtPlan *plan, const char *detail) {
  if (!strcmp(detail, "MULTI-INDEX OR")) return true;
  for (int i = 0; i < shadow->base->nindexes; i++) {
    const BaseIndex *index = &shadow->base->indexes[i];
    if (strstr(detail, index->name) && is_telling(shadow, index, plan)) return true;
  }
  return false;
}

static bool ask(const Shadow *shadow, const VtPlan *plan, const char *sql, bool *out,
                Fault *fault) {
  sqlite3_stmt *lines = query_printf(shadow->tab.db, fault, "EXPLAIN QUERY PLAN %s", sql);
  int step = -1;
  *out = false;
  while (lines && (step = query_step(lines, fault)) == 1) {
    const bool top = sqlite3_column_int(lines, PLAN_PARENT) == 0;
    *out |= top && tells(shadow, plan, query_text(lines, PLAN_DETAIL));
  }
  query_finish(lines);
  return step == 0;
}

bool order_settle(const Question *question, Text *sql, bool *sorted, Fault *fault) {
  const Shadow *shadow = question->shadow;
  const VtPlan *plan = question->plan;
  const BaseTable *base = shadow->base;
  *sorted = false;
  if (sql->oom) return fault_oom(fault);
  if (base->nindexes && !ask(shadow, plan, text_get(sql), sorted, fault)) return false;
  const int n = base->rowid ? 1 : base->nkeys;
  const bool by_keys = *sorted || served_might(question);
  for (int i = 0; by_keys && i < n; i++) {
    text_add(sql, i || plan->nsort ? ", " : " ORDER BY ");
    meaning_raw(shadow->table, base->rowid ? -1 : base->keys[i], sql);
  }
  return true;
}
