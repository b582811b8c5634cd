/*
** multiverse_explain: rule by rule, what shows, hides or rewrites one row for one user.
**
**   SELECT * FROM multiverse_explain('Post', 3, '{"uid":7}');
**
** Each condition is asked as plain SQL about the base row, with the user's memberships beside it:
** no inner statement, no set of members and no partial evaluation of the engine's takes part.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/inquiry.h"
#include "extensions/multiverse/lines.h"

enum {
  EXPLAIN_RULE,
  EXPLAIN_ACTION,
  EXPLAIN_GRP,
  EXPLAIN_GID,
  EXPLAIN_MEMBER,
  EXPLAIN_VERDICT,
  EXPLAIN_EFFECT,
  EXPLAIN_TBL,
  EXPLAIN_KEY,
  EXPLAIN_CONTEXT,
  EXPLAIN_NCOL,
  EXPLAIN_WIDTH = EXPLAIN_TBL
};

typedef struct Explanation {
  Inquiry inquiry;
  Context context;
  Meaning meaning;
  LinesCursor *lines;
  const Rule *shown, *hidden; /* the first allow and the first deny that apply */
  bool *rewritten;            /* columns that a rule before this one rewrites */
  Fault *fault;
} Explanation;

/* What a condition is worth for the row. */
typedef struct Verdict {
  int truth; /* 1, 0, or -1 for NULL */
  bool member;
  sqlite3_value *gid; /* owned */
  char *whole;        /* the membership, as SQL would compare it; sqlite3_malloc'ed */
} Verdict;

static void verdict_finish(Verdict *verdict) {
  sqlite3_value_free(verdict->gid);
  sqlite3_free(verdict->whole);
}

/* ---- conditions ------------------------------------------------------------------------------ */

/* The membership that decides comes first: one for which it is true, else NULL, else any. */
static bool judge(Explanation *explanation, const Condition *condition, Verdict *out) {
  Fault *fault = explanation->fault;
  Text sql = {0};
  *out = (Verdict){0};
  meaning_verdict(&explanation->meaning, condition, &sql);
  inquiry_where(&explanation->inquiry, &sql);
  text_add(&sql, " ORDER BY multiverse_verdict IS TRUE DESC, multiverse_verdict IS NULL DESC");
  if (condition->group) text_add(&sql, ", multiverse_gid");
  text_add(&sql, " LIMIT 1");
  sqlite3_stmt *ask = inquiry_prepare(&explanation->inquiry, &sql, fault);
  const int step = ask ? query_step(ask, fault) : -1;
  if (step == 1) {
    out->truth = sqlite3_column_type(ask, 0) == SQLITE_NULL ? -1 : sqlite3_column_int(ask, 0);
    out->member = condition->group != NULL;
  }
  if (step == 1 && condition->group) {
    out->gid = sqlite3_value_dup(sqlite3_column_value(ask, 1));
    out->whole = sqlite3_mprintf("%s", query_text(ask, 2));
    if (!out->gid || !out->whole) fault_oom(fault);
  }
  query_finish(ask);
  text_finish(&sql);
  return !fault->code;
}

/* ---- effects --------------------------------------------------------------------------------- */

static bool tell_cells(Explanation *explanation, const Rule *rule, Text *out) {
  Text sql = {0};
  text_add(&sql, "SELECT quote(");
  meaning_raw(explanation->inquiry.table, rule->column, &sql);
  text_add(&sql, "), quote(");
  meaning_replacement(&explanation->meaning, rule, &sql);
  text_add(&sql, ")");
  meaning_from(explanation->inquiry.table, &sql);
  inquiry_where(&explanation->inquiry, &sql);
  sqlite3_stmt *ask = inquiry_prepare(&explanation->inquiry, &sql, explanation->fault);
  const int step = ask ? query_step(ask, explanation->fault) : -1;
  if (step == 1) text_addf(out, ": %s becomes ", query_text(ask, 0));
  if (step == 1) text_add(out, query_text(ask, 1));
  query_finish(ask);
  text_finish(&sql);
  return step >= 0;
}

static bool tell_rewrite(Explanation *explanation, const Rule *rule, Text *out) {
  text_add(out, explanation->inquiry.table->base->columns[rule->column].name);
  if (explanation->rewritten[rule->column]) {
    text_add(out, ": an earlier rule rewrites it");
    return true;
  }
  explanation->rewritten[rule->column] = true;
  return tell_cells(explanation, rule, out);
}

static bool tell_peephole(Explanation *explanation, const Rule *rule, Text *out) {
  text_add(out, explanation->inquiry.table->base->columns[rule->column].name);
  const bool ok = tell_cells(explanation, rule, out);
  text_add(out, " in a view");
  return ok;
}

static void tell_update(const Explanation *explanation, const Rule *rule, Text *out) {
  const BaseTable *base = explanation->inquiry.table->base;
  const char *comma = "lets ";
  for (int i = 0; rule->columns && i < base->ncolumns; i++) {
    if (!rule->columns[i]) continue;
    text_add(out, comma);
    text_add(out, base->columns[i].name);
    comma = ", ";
  }
  text_add(out, rule->columns ? " be set" : "lets any column be set");
}

/* The rule applies. */
static bool tell(Explanation *explanation, const Rule *rule, Text *out) {
  switch (rule->action) {
  case ACTION_ALLOW:
    if (!explanation->shown) explanation->shown = rule;
    text_add(out, "shows the row");
    return true;
  case ACTION_DENY:
    if (!explanation->hidden) explanation->hidden = rule;
    text_add(out, "hides the row");
    return true;
  case ACTION_REWRITE:
    return tell_rewrite(explanation, rule, out);
  case ACTION_PEEPHOLE:
    return tell_peephole(explanation, rule, out);
  case ACTION_INSERT:
    text_add(out, "lets such a row in");
    return true;
  case ACTION_UPDATE:
    tell_update(explanation, rule, out);
    return true;
  default:
    text_add(out, "lets the row be deleted");
    return true;
  }
}

static void tell_why_not(const Rule *rule, const Verdict *when, const Verdict *unless, Text *out) {
  if (when->truth == 1) {
    text_add(out, "does not apply: unless is true");
    if (unless->whole) text_addf(out, ", for the member %s", unless->whole);
  } else if (rule->when.group && !when->member) {
    text_addf(out, "does not apply: no member of %s", rule->when.group->name);
  } else {
    text_add(out, "does not apply");
  }
}

static bool explain_rule(Explanation *explanation, const Rule *rule) {
  Verdict when, unless = {0};
  Text effect = {0};
  bool ok = judge(explanation, &rule->when, &when);
  if (ok && rule->has_unless) ok = judge(explanation, &rule->unless, &unless);
  if (ok && when.truth == 1 && unless.truth != 1) {
    ok = tell(explanation, rule, &effect);
  } else if (ok) {
    tell_why_not(rule, &when, &unless, &effect);
  }
  if (effect.oom) fault_oom(explanation->fault);
  const Cell cells[EXPLAIN_WIDTH] = {
      [EXPLAIN_RULE] = line_integer(rule->id),
      [EXPLAIN_ACTION] = line_text(action_names[rule->action]),
      [EXPLAIN_GRP] = line_text(rule->when.group ? rule->when.group->name : NULL),
      [EXPLAIN_GID] = line_value(when.gid),
      [EXPLAIN_MEMBER] = line_text(when.whole),
      [EXPLAIN_VERDICT] = when.truth < 0 ? (Cell){0} : line_integer(when.truth),
      [EXPLAIN_EFFECT] = line_text(text_get(&effect))};
  ok = ok && !explanation->fault->code && lines_add(explanation->lines, cells, explanation->fault);
  text_finish(&effect);
  verdict_finish(&when);
  verdict_finish(&unless);
  return ok;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The rule of any action with the lowest id above `last`; `first` when there is no last. */
static const Rule *next_rule(const TablePolicy *table, const Rule *last) {
  const Rule *best = NULL;
  for (int i = 0; i < ACTIONS; i++) {
    for (const Rule *rule = table->rules[i]; rule; rule = rule->next) {
      if ((!last || rule->id > last->id) && (!best || rule->id < best->id)) best = rule;
    }
  }
  return best;
}

static bool conclude(Explanation *explanation, bool found) {
  const bool visible = found && explanation->shown && !explanation->hidden;
  Text why = {0};
  if (!found) {
    text_add(&why, "not visible: there is no such row");
  } else if (visible) {
    text_addf(&why, "visible: rule %lld shows it", (long long)explanation->shown->id);
  } else if (explanation->hidden) {
    text_addf(&why, "not visible: rule %lld hides it", (long long)explanation->hidden->id);
  } else {
    text_add(&why, "not visible: no rule shows it");
  }
  const Cell cells[EXPLAIN_WIDTH] = {
      [EXPLAIN_VERDICT] = line_integer(visible), [EXPLAIN_EFFECT] = line_text(text_get(&why))};
  const bool ok = (!why.oom || fault_oom(explanation->fault)) &&
                  lines_add(explanation->lines, cells, explanation->fault);
  text_finish(&why);
  return ok;
}

static bool explain(Explanation *explanation, const char *json) {
  const Inquiry *inquiry = &explanation->inquiry;
  Fault *fault = explanation->fault;
  bool found;
  bool ok = context_read(inquiry->db, json, &explanation->context, fault) &&
            context_suits(&explanation->context, inquiry->policy, fault);
  if (!ok || !inquiry_find(inquiry, &found, fault)) return false;
  explanation->meaning = (Meaning){
      .policy = inquiry->policy, .table = inquiry->table, .context = &explanation->context};
  explanation->rewritten = calloc((size_t)inquiry->table->base->ncolumns + 1, sizeof(bool));
  if (!explanation->rewritten) return fault_oom(fault);
  const Rule *rule = found ? next_rule(inquiry->table, NULL) : NULL;
  for (; rule; rule = next_rule(inquiry->table, rule)) {
    if (!explain_rule(explanation, rule)) return false;
  }
  return conclude(explanation, found);
}

static int explain_seek(VtCursor *cur, const VtPlan *plan) {
  LinesCursor *lines = (LinesCursor *)cur;
  Fault fault = {0};
  Explanation explanation = {.lines = lines, .fault = &fault};
  const char *table, *json;
  lines_begin(lines, EXPLAIN_WIDTH);
  if (!vt_arg_text(cur->tab, plan, EXPLAIN_TBL, NULL, &table) ||
      !vt_arg_text(cur->tab, plan, EXPLAIN_CONTEXT, NULL, &json)) {
    return SQLITE_ERROR;
  }
  vt_internal_enter(cur->tab->conn);
  if (inquiry_begin(cur->tab, table, vt_arg(plan, EXPLAIN_KEY), &explanation.inquiry, &fault)) {
    explain(&explanation, json);
  }
  vt_internal_leave(cur->tab->conn);
  free(explanation.rewritten);
  context_finish(&explanation.context);
  inquiry_finish(&explanation.inquiry);
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [EXPLAIN_RULE] = {"rule", "INTEGER", VT_OUT, 1, "id of the rule; NULL: the last line, of all"},
    [EXPLAIN_ACTION] = {"action", "TEXT", VT_OUT, 0, "of the rule"},
    [EXPLAIN_GRP] = {"grp", "TEXT", VT_OUT, 0, "group of the rule"},
    [EXPLAIN_GID] = {"gid", "", VT_OUT, 0, "the user's membership that decided"},
    [EXPLAIN_MEMBER] = {"member", "TEXT", VT_OUT, 0, "the whole row of it"},
    [EXPLAIN_VERDICT] = {"verdict", "INTEGER", VT_OUT, 0,
                         "1, 0 or NULL: what the rule's condition is for the row, unless left "
                         "aside; on the last line: is the row visible?"},
    [EXPLAIN_EFFECT] = {"effect", "TEXT", VT_OUT, 0, "what the rule does to the row"},
    [EXPLAIN_TBL] = {"tbl", "TEXT", VT_ARG | VT_MUST, 0, "a table that the policy opens"},
    [EXPLAIN_KEY] = {"key", "", VT_ARG | VT_MUST, 0,
                     "primary key of the row, a JSON array where it has several columns; the rowid "
                     "where it has none"},
    [EXPLAIN_CONTEXT] = {"context", "TEXT (JSON)", VT_ARG | VT_MUST, 0,
                         "the user, as for multiverse_enter()"}};

static const VtError errors[] = {
    {"no rule opens t", "the policy", "such a table is not there in any universe"},
    {"key of t: a JSON array of 2 values is wanted, not 7", "a primary key of two columns",
     "json_array(a, b)"},
    {0}};

const VtTable multiverse_explain_table = {
    .name = "multiverse_explain",
    .doc = "Rule by rule: what shows, hides or rewrites one row for one user.",
    .errors = errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = EXPLAIN_NCOL,
    .rows = 10,
    .seek_cost = 1000,
    .cursor_size = sizeof(LinesCursor),
    .seek = explain_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
