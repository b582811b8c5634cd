/*
** multiverse_diff: what a change of policy reveals or hides.
**
**   SELECT * FROM multiverse_diff(?1, multiverse_policy_json());
**
** The solver says whether there can be a row and a user for whom the policies differ. If so, one
** is looked for in the database; where there is none, the solver's example is told. Without a
** solver the database alone is looked at.
*/
#include <string.h>

#include "extensions/multiverse/check.h"
#include "extensions/multiverse/count.h"
#include "extensions/multiverse/logic.h"

enum {
  DIFF_TBL,
  DIFF_CHANGE,
  DIFF_COL,
  DIFF_WITNESS,
  DIFF_EXAMPLE,
  DIFF_CERTAIN,
  DIFF_OLD,
  DIFF_NEW,
  DIFF_NCOL,
  DIFF_WIDTH = DIFF_OLD
};

typedef struct Diff {
  sqlite3 *db;
  LinesCursor *lines;
  VtPoll *poll;
  Fault *fault;
  Policy *policies[2]; /* the old and the new one */
  Sample samples[2];
  Smt *smt; /* NULL: there is none */
} Diff;

/* A way in which a table can differ, as logic and as SQL. */
typedef struct Aspect {
  const char *change, *column;
  const char *claim;
  Text sql;
} Aspect;

/* ---- one difference -------------------------------------------------------------------------- */

static bool tell(Diff *diff, const char *table, const Aspect *aspect, const Text *witness,
                 const Text *example, const char *certain) {
  if (witness->oom || example->oom) return fault_oom(diff->fault);
  const Cell cells[DIFF_WIDTH] = {
      [DIFF_TBL] = line_text(table),
      [DIFF_CHANGE] = line_text(aspect->change),
      [DIFF_COL] = line_text(aspect->column),
      [DIFF_WITNESS] = line_text(witness->length ? text_get(witness) : NULL),
      [DIFF_EXAMPLE] = line_text(example->length ? text_get(example) : NULL),
      [DIFF_CERTAIN] = line_text(certain)};
  return lines_add(diff->lines, cells, diff->fault);
}

/* An example of the solver's, first one that looks like a row. */
static bool solve(Diff *diff, const Logic *logic, const char *claim, SmtAnswer *out,
                  Text *example) {
  for (int typed = 1; typed >= 0; typed--) {
    Text script = {0};
    logic_script(logic, claim, typed == 1, &script);
    const bool ok = (!script.oom || fault_oom(diff->fault)) &&
                    smt_ask(diff->smt, text_get(&script), out, diff->fault);
    text_finish(&script);
    if (!ok) return false;
    if (*out == SMT_SAT) return logic_example(logic, diff->smt, true, example, diff->fault);
  }
  return true;
}

static bool find_row(Diff *diff, const TablePolicy *table, const Aspect *aspect, Text *witness) {
  for (int i = 0; i < 2 && !witness->length; i++) {
    if (!sample_find(diff->db, &diff->samples[i], diff->policies[i], table, &aspect->sql,
                     diff->poll, witness, diff->fault)) {
      return false;
    }
  }
  return true;
}

static bool examine(Diff *diff, const Logic *logic, const TablePolicy *table,
                    const Aspect *aspect) {
  Text witness = {0}, example = {0};
  SmtAnswer answer = SMT_UNKNOWN;
  bool ok = !diff->fault->code;
  if (ok && diff->smt) ok = solve(diff, logic, aspect->claim, &answer, &example);
  if (ok && answer != SMT_UNSAT) {
    ok = find_row(diff, table, aspect, &witness);
    const char *certain = witness.length                           ? "seen"
                          : answer == SMT_SAT && !logic->guessed   ? "possible"
                          : answer == SMT_SAT || diff->smt != NULL ? "perhaps"
                                                                   : NULL;
    if (ok && certain) ok = tell(diff, table->base->name, aspect, &witness, &example, certain);
  }
  text_finish(&witness);
  text_finish(&example);
  return ok;
}

/* ---- one table ------------------------------------------------------------------------------- */

/* Both ways round: what is so in the new policy alone, and what was in the old one alone. */
static bool compare(Diff *diff, Logic *logic, const TablePolicy *table, const char *terms[2],
                    const Text sqls[2], const char *const changes[2]) {
  for (int way = 0; way < 2; way++) {
    Aspect aspect = {.change = changes[way]};
    const int has = way == 0 ? 1 : 0;
    aspect.claim = logic_term(logic, "(and %s (not %s))", terms[has], terms[1 - has]);
    text_addf(&aspect.sql, "(%s) IS TRUE AND (", sqls[has].length ? text_get(&sqls[has]) : "0");
    text_add(&aspect.sql, sqls[1 - has].length ? text_get(&sqls[1 - has]) : "0");
    text_add(&aspect.sql, ") IS NOT TRUE");
    const bool ok = examine(diff, logic, table, &aspect);
    text_finish(&aspect.sql);
    if (!ok) return false;
  }
  return true;
}

static Meaning meaning_of(const Policy *policy, const TablePolicy *table) {
  return (Meaning){.policy = policy, .table = table, .queried = true, .named = true};
}

/* A table that a policy does not open has no rules there. */
static void look(Logic *logic, const Policy *policies[2], const TablePolicy *tables[2], int i,
                 Action action, const char **term, Text *sql) {
  *term = "false";
  if (!tables[i]) return;
  const Meaning meaning = meaning_of(policies[i], tables[i]);
  logic_use(logic, policies[i], tables[i]);
  if (action == ACTION_ALLOW) {
    *term = logic_visible(logic);
    meaning_visible(&meaning, sql);
    return;
  }
  const char *any = logic_any(logic, tables[i]->rules[action]);
  *term = logic_term(logic, "(and %s %s)", any, logic_visible(logic));
  const size_t start = sql->length;
  text_add(sql, "(0");
  for (const Rule *rule = tables[i]->rules[action]; rule; rule = rule->next) {
    text_add(sql, " OR ");
    meaning_rule(&meaning, rule, sql);
  }
  text_add(sql, ") AND ");
  if (!tables[i]->rules[ACTION_ALLOW]) text_cut(sql, start);
  if (tables[i]->rules[ACTION_ALLOW]) meaning_visible(&meaning, sql);
}

static const char *const changes[ACTIONS][2] = {
    [ACTION_ALLOW] = {"reveals", "hides"},
    [ACTION_INSERT] = {"lets insert", "forbids to insert"},
    [ACTION_UPDATE] = {"lets change", "forbids to change"},
    [ACTION_DELETE] = {"lets delete", "forbids to delete"},
};

static bool compare_action(Diff *diff, const TablePolicy *tables[2], Action action) {
  const TablePolicy *any = tables[1] ? tables[1] : tables[0];
  const Policy *policies[2] = {diff->policies[0], diff->policies[1]};
  Logic logic = {.fault = diff->fault};
  const char *terms[2];
  Text sqls[2] = {{0}};
  for (int i = 0; i < 2; i++) look(&logic, policies, tables, i, action, &terms[i], &sqls[i]);
  const bool ok = ((!sqls[0].oom && !sqls[1].oom) || fault_oom(diff->fault)) &&
                  compare(diff, &logic, any, terms, sqls, changes[action]);
  text_finish(&sqls[0]);
  text_finish(&sqls[1]);
  logic_finish(&logic);
  return ok;
}

/* Rows that are seen with both, and a cell that shows something else. */
static bool compare_column(Diff *diff, const TablePolicy *tables[2], int column) {
  Logic logic = {.fault = diff->fault};
  Aspect aspect = {.change = "shows otherwise",
                   .column = tables[0]->base->columns[column].name,
                   .claim = "true"};
  const char *shown[2];
  for (int i = 0; i < 2; i++) {
    const Meaning meaning = meaning_of(diff->policies[i], tables[i]);
    logic_use(&logic, diff->policies[i], tables[i]);
    shown[i] = logic_shown(&logic, column);
    aspect.claim = logic_term(&logic, "(and %s %s)", aspect.claim, logic_visible(&logic));
    text_addc(&aspect.sql, '(');
    meaning_visible(&meaning, &aspect.sql);
    text_add(&aspect.sql, ") IS TRUE AND ");
  }
  aspect.claim = logic_term(&logic, "(and %s (not (= %s %s)))", aspect.claim, shown[0], shown[1]);
  for (int i = 0; i < 2; i++) {
    const Meaning meaning = meaning_of(diff->policies[i], tables[i]);
    text_add(&aspect.sql, i ? " IS NOT quote(" : "quote(");
    meaning_column(&meaning, column, &aspect.sql);
    text_addc(&aspect.sql, ')');
  }
  const bool ok =
      (!aspect.sql.oom || fault_oom(diff->fault)) && examine(diff, &logic, tables[1], &aspect);
  text_finish(&aspect.sql);
  logic_finish(&logic);
  return ok;
}

static bool is_same_text(const char *a, const char *b) { return a && b ? !strcmp(a, b) : a == b; }

/* Rules that count are compared as they are written: another text is other noise. */
static bool compare_counts(Diff *diff, const TablePolicy *tables[2]) {
  const Count *old = tables[0] ? tables[0]->count : NULL;
  const Count *new = tables[1] ? tables[1]->count : NULL;
  const bool same = old && new && !strcmp(old->text.rule, new->text.rule) &&
                    is_same_text(old->text.column, new->text.column) &&
                    !strcmp(old->text.value, new->text.value);
  if (same || (!old && !new)) return true;
  const Aspect aspect = {.change = !old   ? "counts"
                                   : !new ? "no longer counts"
                                          : "counts otherwise"};
  const Text none = {0};
  return tell(diff, (old ? tables[0] : tables[1])->base->name, &aspect, &none, &none, "seen");
}

static bool compare_table(Diff *diff, const char *name) {
  static const Action actions[] = {ACTION_ALLOW, ACTION_INSERT, ACTION_UPDATE, ACTION_DELETE};
  const TablePolicy *tables[2] = {policy_table(diff->policies[0], name),
                                  policy_table(diff->policies[1], name)};
  if (!compare_counts(diff, tables)) return false;
  for (size_t i = 0; i < countof(actions); i++) {
    const bool any =
        (tables[0] && tables[0]->rules[actions[i]]) || (tables[1] && tables[1]->rules[actions[i]]);
    if (any && !compare_action(diff, tables, actions[i])) return false;
  }
  if (!tables[0] || !tables[1]) return true;
  if (!tables[0]->rules[ACTION_ALLOW] || !tables[1]->rules[ACTION_ALLOW]) return true;
  for (int i = 0; i < tables[0]->base->ncolumns; i++) {
    if ((tables[0]->rewritten[i] || tables[1]->rewritten[i]) && !compare_column(diff, tables, i)) {
      return false;
    }
  }
  return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool compare_policies(Diff *diff) {
  for (int p = 0; p < 2; p++) {
    for (int i = 0; i < diff->policies[p]->ntables; i++) {
      const char *name = diff->policies[p]->tables[i]->base->name;
      if (p && policy_table(diff->policies[0], name)) continue;
      if (!compare_table(diff, name)) return false;
    }
  }
  return true;
}

static bool begin(Diff *diff, const char *const texts[2]) {
  static const char *const names[] = {"the old policy: ", "the new policy: "};
  for (int i = 0; i < 2; i++) {
    diff->policies[i] = policy_of_document(diff->db, texts[i], diff->fault);
    if (!diff->policies[i]) return fault_prefix(diff->fault, "%s", names[i]);
    if (!sample_take(diff->db, diff->policies[i], &diff->samples[i], diff->fault)) return false;
  }
  Fault absent = {0};
  diff->smt = smt_open(&absent);
  if (diff->smt || absent.code == FAULT_UNSUPPORTED) return true;
  *diff->fault = absent;
  return false;
}

static int diff_seek(VtCursor *cur, const VtPlan *plan) {
  LinesCursor *lines = (LinesCursor *)cur;
  Fault fault = {0};
  Diff diff = {.db = cur->tab->db, .lines = lines, .poll = &cur->poll, .fault = &fault};
  const char *texts[2];
  lines_begin(lines, DIFF_WIDTH);
  if (!vt_arg_text(cur->tab, plan, DIFF_OLD, NULL, &texts[0]) ||
      !vt_arg_text(cur->tab, plan, DIFF_NEW, NULL, &texts[1])) {
    return SQLITE_ERROR;
  }
  vt_internal_enter(cur->tab->conn);
  if (state_is_admin(vt_state(cur->tab->conn), &fault) && begin(&diff, texts)) {
    compare_policies(&diff);
  }
  vt_internal_leave(cur->tab->conn);
  for (int i = 0; i < 2; i++) {
    sample_finish(&diff.samples[i]);
    policy_destroy(diff.policies[i]);
  }
  smt_close(diff.smt);
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [DIFF_TBL] = {"tbl", "TEXT", VT_OUT, 1, "table whose rows are concerned"},
    [DIFF_CHANGE] =
        {"change", "TEXT", VT_OUT, 0,
         "what the new policy does: reveals, hides, shows otherwise, lets or forbids to "
         "insert, change or delete; counts, no longer or otherwise"},
    [DIFF_COL] = {"col", "TEXT", VT_OUT, 0, "column that is shown otherwise"},
    [DIFF_WITNESS] = {"witness", "TEXT", VT_OUT, 0,
                      "a row of the database and a user for whom it is so, where one was found"},
    [DIFF_EXAMPLE] = {"example", "TEXT", VT_OUT, 0,
                      "a row and a user as the solver thinks of them"},
    [DIFF_CERTAIN] = {"certain", "TEXT", VT_OUT, 0,
                      "seen: there is a witness; possible: the solver has an example; perhaps: "
                      "rules hold what the solver does not understand"},
    [DIFF_OLD] = {"old", "TEXT (JSON)", VT_ARG | VT_MUST, 0,
                  "a policy, as of multiverse_policy_json()"},
    [DIFF_NEW] = {"new", "TEXT (JSON)", VT_ARG | VT_MUST, 0, "another one"}};

static const VtError errors[] = {{"the new policy: rules[2]: rule 3 of t: no such column: c",
                                  "that rule, counted from 0", "as for multiverse_policy_load"},
                                 {0}};

const VtTable multiverse_diff_table = {
    .name = "multiverse_diff",
    .doc = "What a change of policy reveals, hides, shows otherwise, allows and forbids. Where "
           "nothing is told, there is a proof that nothing changes, if Z3 is installed.",
    .needs = "solver: Z3, optional",
    .errors = errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = DIFF_NCOL,
    .rows = 10,
    .seek_cost = 100000,
    .cursor_size = sizeof(LinesCursor),
    .seek = diff_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
