/*
** multiverse_who: who can see one row.
**
**   SELECT context, rule, everyone FROM multiverse_who('Post', 3);
**
** The values of the context's parameters that can matter are listed (who_params.c), and each is
** asked about by the rules' plain SQL; so is a stranger, who has none of them: a blob that no
** context can hold and no row does. Who cannot be listed is described, by SQL.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/lines.h"
#include "extensions/multiverse/who.h"

enum { WHO_CONTEXT, WHO_SEES, WHO_RULE, WHO_EVERYONE, WHO_SQL, WHO_TBL, WHO_KEY, WHO_NCOL };
enum { WHO_WIDTH = WHO_TBL, MOST_COMBINATIONS = 1000000 };

typedef enum Answer { ANSWER_NO, ANSWER_YES, ANSWER_MAYBE } Answer;

typedef struct Judge { /* a condition */
  const Condition *condition;
  sqlite3_stmt *ask;
  bool open;
} Judge;

/* One value per parameter that matters: of its list, or one of these. */
enum { CHOICE_NULL = -1, CHOICE_STRANGER = -2, CHOICE_OPEN = -3 };

typedef struct Roll {
  Who who;
  LinesCursor *lines;
  Judge *judges;
  size_t njudges, capacity;
  int64_t *choices; /* per parameter of the policy */
  unsigned char stranger[16];
  bool strangers_see; /* any of them: then everybody else is told, too */
  bool emit, maybe;
} Roll;

/* ---- one user -------------------------------------------------------------------------------- */

static bool bind(Roll *roll, sqlite3_stmt *ask) {
  const Policy *policy = roll->who.inquiry.policy;
  const int n = sqlite3_bind_parameter_count(ask);
  for (int i = 0; i < policy->nparams && i < n; i++) {
    const Param *param = &roll->who.params[i];
    const int64_t choice = roll->choices[i];
    int rc = SQLITE_OK;
    if (choice >= 0) {
      rc = sqlite3_bind_value(ask, i + 1, param->values[choice]);
    } else if (choice == CHOICE_STRANGER) {
      rc = sqlite3_bind_blob(ask, i + 1, roll->stranger, sizeof roll->stranger, SQLITE_STATIC);
    } else {
      rc = sqlite3_bind_null(ask, i + 1);
    }
    if (rc != SQLITE_OK) return query_fault(roll->who.inquiry.db, rc, roll->who.fault);
  }
  return true;
}

static Judge *judge_of(Roll *roll, const Condition *condition) {
  Fault *fault = roll->who.fault;
  for (size_t i = 0; i < roll->njudges; i++) {
    if (roll->judges[i].condition == condition) return &roll->judges[i];
  }
  if (!array_grow(roll->judges, roll->capacity, roll->njudges + 1)) {
    fault_oom(fault);
    return NULL;
  }
  Meaning meaning = roll->who.meaning;
  Text sql = {0};
  meaning.unknown = roll->who.open;
  meaning_verdict(&meaning, condition, &sql);
  inquiry_where(&roll->who.inquiry, &sql);
  text_add(&sql, " ORDER BY multiverse_verdict IS TRUE DESC LIMIT 1");
  sqlite3_stmt *ask = inquiry_prepare(&roll->who.inquiry, &sql, fault);
  text_finish(&sql);
  if (!ask) return NULL;
  Judge *judge = &roll->judges[roll->njudges++];
  *judge = (Judge){condition, ask, who_is_open(&roll->who, condition)};
  return judge;
}

static bool ask_condition(Roll *roll, const Condition *condition, Answer *out) {
  Judge *judge = judge_of(roll, condition);
  if (!judge || !bind(roll, judge->ask)) return false;
  const int step = query_step(judge->ask, roll->who.fault);
  const bool null = step == 1 && sqlite3_column_type(judge->ask, 0) == SQLITE_NULL;
  *out = step == 1 && sqlite3_column_int(judge->ask, 0) ? ANSWER_YES : ANSWER_NO;
  if (*out == ANSWER_NO && judge->open && (condition->group || null)) *out = ANSWER_MAYBE;
  sqlite3_reset(judge->ask);
  return step >= 0;
}

/* Any rule of the action; *first is the first one that surely applies. */
static bool ask_rules(Roll *roll, Action action, Answer *out, const Rule **first) {
  *out = ANSWER_NO;
  for (const Rule *rule = roll->who.inquiry.table->rules[action]; rule; rule = rule->next) {
    Answer when, unless = ANSWER_NO;
    if (!ask_condition(roll, &rule->when, &when)) return false;
    if (when == ANSWER_NO) continue;
    if (rule->has_unless && !ask_condition(roll, &rule->unless, &unless)) return false;
    if (unless == ANSWER_YES) continue;
    if (when == ANSWER_YES && unless == ANSWER_NO) {
      *out = ANSWER_YES;
      *first = rule;
      return true;
    }
    *out = ANSWER_MAYBE;
  }
  return true;
}

static bool ask(Roll *roll, Answer *out, const Rule **shown) {
  const Rule *hidden;
  Answer allowed, denied;
  *shown = NULL;
  *out = ANSWER_NO;
  if (!ask_rules(roll, ACTION_ALLOW, &allowed, shown)) return false;
  if (allowed == ANSWER_NO) return true;
  if (!ask_rules(roll, ACTION_DENY, &denied, &hidden)) return false;
  if (denied == ANSWER_YES) return true;
  *out = allowed == ANSWER_YES && denied == ANSWER_NO ? ANSWER_YES : ANSWER_MAYBE;
  return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static bool is_stranger(const Roll *roll) {
  bool any = false;
  for (int i = 0; i < roll->who.inquiry.policy->nparams; i++) {
    any |= roll->choices[i] == CHOICE_STRANGER;
  }
  return any;
}

static void write_json(sqlite3_value *value, Text *out) {
  if (!value) {
    text_add(out, "null");
  } else if (sqlite3_value_type(value) == SQLITE_TEXT) {
    const char *text = (const char *)sqlite3_value_text(value);
    text_add_json(out, text ? text : "", (size_t)sqlite3_value_bytes(value));
  } else {
    meaning_value(value, out);
  }
}

/* {"uid":7}, and "every other x". */
static void write_who(const Roll *roll, Text *context, Text *everyone) {
  const Policy *policy = roll->who.inquiry.policy;
  const char *comma = "{", *every = "every other ";
  for (int i = 0; i < policy->nparams; i++) {
    const int64_t choice = roll->choices[i];
    if (choice == CHOICE_STRANGER) {
      text_add(everyone, every);
      text_add(everyone, policy->params[i]);
      every = ", every other ";
    } else if (choice != CHOICE_OPEN) {
      text_add(context, comma);
      text_add_json(context, policy->params[i], strlen(policy->params[i]));
      text_addc(context, ':');
      write_json(choice < 0 ? NULL : roll->who.params[i].values[choice], context);
      comma = ",";
    }
  }
  if (*comma == ',') text_addc(context, '}');
}

static bool tell(Roll *roll, Answer sees, const Rule *rule) {
  Text context = {0}, everyone = {0};
  write_who(roll, &context, &everyone);
  if (!context.length && !everyone.length) text_add(&everyone, "everyone");
  const Cell cells[WHO_WIDTH] = {
      [WHO_CONTEXT] = line_text(context.length ? text_get(&context) : NULL),
      [WHO_SEES] = sees == ANSWER_MAYBE ? (Cell){0} : line_integer(sees == ANSWER_YES),
      [WHO_RULE] = sees == ANSWER_YES ? line_integer(rule->id) : (Cell){0},
      [WHO_EVERYONE] = line_text(everyone.length ? text_get(&everyone) : NULL)};
  const bool ok = ((!context.oom && !everyone.oom) || fault_oom(roll->who.fault)) &&
                  lines_add(roll->lines, cells, roll->who.fault);
  text_finish(&context);
  text_finish(&everyone);
  return ok;
}

/* Is somebody with NULL told apart from a stranger? If not, strangers stand for both. */
static bool is_like_a_stranger(Roll *roll, Answer answer, bool *out) {
  *out = false;
  for (int i = 0; i < roll->who.inquiry.policy->nparams && !*out; i++) {
    Answer other;
    const Rule *rule;
    if (roll->choices[i] != CHOICE_NULL) continue;
    roll->choices[i] = CHOICE_STRANGER;
    const bool ok = ask(roll, &other, &rule);
    roll->choices[i] = CHOICE_NULL;
    if (!ok) return false;
    *out = other == answer;
  }
  return true;
}

/* Somebody more like a stranger, from parameter i on, sees the row. */
static bool is_exception(Roll *roll, int i, bool *out) {
  if (i == roll->who.inquiry.policy->nparams) {
    Answer answer;
    const Rule *rule;
    if (!ask(roll, &answer, &rule)) return false;
    *out = answer == ANSWER_YES;
    return true;
  }
  const int64_t choice = roll->choices[i];
  if (!is_exception(roll, i + 1, out)) return false;
  if (*out || choice < CHOICE_NULL) return true;
  roll->choices[i] = CHOICE_STRANGER;
  const bool ok = is_exception(roll, i + 1, out);
  roll->choices[i] = choice;
  return ok;
}

static bool visit(Roll *roll) {
  Answer answer;
  const Rule *rule;
  bool same, tells = true;
  if (vt_poll(roll->who.poll) != SQLITE_OK) {
    return fault_set(roll->who.fault, FAULT_INTERRUPT, "interrupted");
  }
  if (!roll->emit && !is_stranger(roll)) return true;
  if (!ask(roll, &answer, &rule)) return false;
  if (!roll->emit) {
    roll->strangers_see |= answer == ANSWER_YES;
    return true;
  }
  roll->maybe |= answer == ANSWER_MAYBE;
  if (answer != ANSWER_YES && !roll->strangers_see) return true;
  if (answer != ANSWER_YES && !is_exception(roll, 0, &tells)) return false;
  if (!tells) return true;
  if (!is_like_a_stranger(roll, answer, &same)) return false;
  return same || tell(roll, answer, rule);
}

/* All combinations of values, from parameter i on. */
static bool visit_all(Roll *roll, int i) {
  if (i == roll->who.inquiry.policy->nparams) return visit(roll);
  const Param *param = &roll->who.params[i];
  if (!param->relevant || param->open) {
    roll->choices[i] = CHOICE_OPEN;
    return visit_all(roll, i + 1);
  }
  for (int64_t choice = 0; choice < (int64_t)param->count; choice++) {
    roll->choices[i] = choice;
    if (!visit_all(roll, i + 1)) return false;
  }
  for (int64_t choice = CHOICE_NULL; choice >= CHOICE_STRANGER; choice--) {
    roll->choices[i] = choice;
    if (!visit_all(roll, i + 1)) return false;
  }
  return true;
}

/* Whoever cannot be listed: a SELECT with parameters, that has a row for those who see ours. */
static bool tell_sql(Roll *roll) {
  const Inquiry *inquiry = &roll->who.inquiry;
  Meaning meaning = roll->who.meaning;
  Text sql = {0};
  meaning.named = true;
  text_add(&sql, "SELECT 1");
  meaning_from(inquiry->table, &sql);
  inquiry_where_text(inquiry, &sql);
  text_add(&sql, " AND ");
  meaning_visible(&meaning, &sql);
  const Cell cells[WHO_WIDTH] = {[WHO_EVERYONE] = line_text("everyone for whom sql has a row"),
                                 [WHO_SQL] = line_text(text_get(&sql))};
  const bool ok =
      (!sql.oom || fault_oom(roll->who.fault)) && lines_add(roll->lines, cells, roll->who.fault);
  text_finish(&sql);
  return ok;
}

static bool is_too_much(const Who *who) {
  size_t combinations = 1;
  for (int i = 0; i < who->inquiry.policy->nparams; i++) {
    const Param *param = &who->params[i];
    if (!param->relevant || param->open) continue;
    if (combinations > MOST_COMBINATIONS / (param->count + 2)) {
      return !fault_set(who->fault, FAULT_LIMIT,
                        "more than %d combinations of values of the context could matter",
                        MOST_COMBINATIONS);
    }
    combinations *= param->count + 2;
  }
  return false;
}

static bool call_roll(Roll *roll) {
  Who *who = &roll->who;
  bool found;
  if (!inquiry_find(&who->inquiry, &found, who->fault)) return false;
  if (!found) return true;
  who->meaning =
      (Meaning){.policy = who->inquiry.policy, .table = who->inquiry.table, .queried = true};
  if (!who_look(who) || is_too_much(who)) return false;
  roll->choices = calloc((size_t)who->inquiry.policy->nparams + 1, sizeof *roll->choices);
  if (!roll->choices) return fault_oom(who->fault);
  sqlite3_randomness(sizeof roll->stranger, roll->stranger);
  if (!visit_all(roll, 0)) return false; /* strangers alone are asked about */
  roll->emit = true;
  return visit_all(roll, 0) && (!roll->maybe || tell_sql(roll));
}

/* ---- the table ------------------------------------------------------------------------------- */

static int who_seek(VtCursor *cur, const VtPlan *plan) {
  LinesCursor *lines = (LinesCursor *)cur;
  Fault fault = {0};
  Roll roll = {.lines = lines, .who = {.poll = &cur->poll, .fault = &fault}};
  const char *table;
  lines_begin(lines, WHO_WIDTH);
  if (!vt_arg_text(cur->tab, plan, WHO_TBL, NULL, &table)) return SQLITE_ERROR;
  vt_internal_enter(cur->tab->conn);
  if (inquiry_begin(cur->tab, table, vt_arg(plan, WHO_KEY), &roll.who.inquiry, &fault)) {
    call_roll(&roll);
  }
  for (size_t i = 0; i < roll.njudges; i++) query_finish(roll.judges[i].ask);
  vt_internal_leave(cur->tab->conn);
  free(roll.judges);
  free(roll.choices);
  who_finish(&roll.who);
  return lines_show(lines, &fault);
}

static const VtColumn columns[] = {
    [WHO_CONTEXT] = {"context", "TEXT (JSON)", VT_OUT, 0,
                     "a user, as for multiverse_enter(): the members that matter"},
    [WHO_SEES] =
        {"sees", "INTEGER", VT_OUT, 0,
         "1; where everyone else sees the row, 0 for exceptions and NULL for those of whom only "
         "sql can tell"},
    [WHO_RULE] = {"rule", "INTEGER", VT_OUT, 0, "the first rule that shows them the row"},
    [WHO_EVERYONE] = {"everyone", "TEXT", VT_OUT, 0,
                      "what the row is about more than one user: everyone, every other uid, "
                      "everyone for whom sql has a row"},
    [WHO_SQL] = {"sql", "TEXT", VT_OUT, 0,
                 "who cannot be listed: a SELECT with parameters :name of the context that has a "
                 "row when they see it"},
    [WHO_TBL] = {"tbl", "TEXT", VT_ARG | VT_MUST, 0, "a table that the policy opens"},
    [WHO_KEY] = {"key", "", VT_ARG | VT_MUST, 0, "of the row, as for multiverse_explain"}};

static const VtError errors[] = {
    {"more than 1000000 combinations of values of the context could matter",
     "rules that compare several parameters with many values",
     "ask multiverse_explain about users"},
    {0}};

const VtTable multiverse_who_table = {
    .name = "multiverse_who",
    .doc = "Who can see one row.",
    .errors = errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = columns,
    .ncols = WHO_NCOL,
    .rows = 100,
    .seek_cost = 10000,
    .cursor_size = sizeof(LinesCursor),
    .seek = who_seek,
    .step = lines_step,
    .column = lines_column,
    .done = lines_done,
};
