/*
** Plans: from SQLite's question (xBestIndex) to a line of text, and back in xFilter.
**
** The line is what EXPLAIN QUERY PLAN shows, for example
**
**   SCAN omni_frames VIRTUAL TABLE INDEX 2:trace=? and event>=? order limit ?
**
** and holds everything: terms in the order of their values, then `order`, `reverse` or `order by
** a, b desc`, `limit ?`, `offset ?` and `used 1f` (a hexadecimal column mask). Names that are not
** plain words are quoted.
*/
#include "vtab/inside.h"

#include <ctype.h>
#include <string.h>

static const char *const op_text[] = {
    [VT_OP_EQ] = "=?", [VT_OP_IN] = " in(?)", [VT_OP_LT] = "<?",        [VT_OP_LE] = "<=?",
    [VT_OP_GT] = ">?", [VT_OP_GE] = ">=?",    [VT_OP_GLOB] = " glob ?", [VT_OP_LIKE] = " like ?",
};
enum { NOPS = VT_OP_LIKE + 1 };

/* A plan in the making, with SQLite's side of each term. */
typedef struct Draft {
  VtTab *tab;
  sqlite3_index_info *info;
  VtPlan plan;
  int source[VT_MAX_TERMS]; /* index of the constraint behind each term */
  int missing;              /* a required argument that is absent, or -1 */
} Draft;

/* ---- which terms ----------------------------------------------------------------------------- */

static int column_of(const VtTab *tab, int col) { return col < 0 ? tab->rowid_col : col; }

/* Which operator a constraint is, and the column flag that asks for it; 0 flag: never passed. */
static unsigned operator_of(int op, VtOp *out) {
  switch (op) {
  case SQLITE_INDEX_CONSTRAINT_EQ:
    *out = VT_OP_EQ;
    return VT_EQ;
  case SQLITE_INDEX_CONSTRAINT_LT:
    *out = VT_OP_LT;
    return VT_RANGE;
  case SQLITE_INDEX_CONSTRAINT_LE:
    *out = VT_OP_LE;
    return VT_RANGE;
  case SQLITE_INDEX_CONSTRAINT_GT:
    *out = VT_OP_GT;
    return VT_RANGE;
  case SQLITE_INDEX_CONSTRAINT_GE:
    *out = VT_OP_GE;
    return VT_RANGE;
  case SQLITE_INDEX_CONSTRAINT_GLOB:
    *out = VT_OP_GLOB;
    return VT_GLOB;
  case SQLITE_INDEX_CONSTRAINT_LIKE:
    *out = VT_OP_LIKE;
    return VT_LIKE;
  default:
    return 0;
  }
}

static bool is_number_type(const char *type) {
  return sqlite3_stricmp(type, "INTEGER") == 0 || sqlite3_stricmp(type, "REAL") == 0;
}

/* Our order of texts is the column's: under another collation seek() would drop rows that match. */
static bool comparable(Draft *draft, int i, int col, VtOp op) {
  const VtNature *natures = draft->tab->natures;
  if (op == VT_OP_GLOB || op == VT_OP_LIKE) return true;
  if (natures && natures[col].whole_in && sqlite3_vtab_in(draft->info, i, -1)) return false;
  if (!natures && is_number_type(draft->tab->cols[col].type)) return true;
  const char *collation = sqlite3_vtab_collation(draft->info, i);
  return collation && sqlite3_stricmp(collation, natures ? natures[col].collation : "BINARY") == 0;
}

static void take_term(Draft *draft, int i, int col, VtOp op, bool omit) {
  int n = draft->plan.nterms++;
  draft->plan.terms[n] = (VtTerm){.col = col, .op = op};
  draft->source[n] = i;
  draft->info->aConstraintUsage[i].argvIndex = n + 1;
  draft->info->aConstraintUsage[i].omit = omit;
}

/* An argument is taken when usable; given but unusable means: try another join order. An absent one
** is no error yet: for `t(5) WHERE a = 1 OR b = 2` SQLite also asks about each side of the OR by
** itself, without the 5. Such a plan costs more than any other, and fails when it is run. */
static int take_argument(Draft *draft, int col) {
  bool given = false;
  for (int i = 0; i < draft->info->nConstraint; i++) {
    const struct sqlite3_index_constraint *constraint = &draft->info->aConstraint[i];
    if (constraint->iColumn != col || constraint->op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    given = true;
    if (!constraint->usable) continue;
    take_term(draft, i, col, VT_OP_EQ, true);
    return SQLITE_OK;
  }
  if (given) return SQLITE_CONSTRAINT;
  if ((draft->tab->cols[col].flags & VT_MUST) && draft->missing < 0) draft->missing = col;
  return SQLITE_OK;
}

/* Whether the column has a term already that leaves nothing to another one with this operator: one
** value or list, or one bound on either side, is all that seek() is told. SQLite tests the rest. */
static bool is_settled(const Draft *draft, int col, VtOp op) {
  const bool below = op == VT_OP_LT || op == VT_OP_LE, above = op == VT_OP_GT || op == VT_OP_GE;
  for (int i = 0; i < draft->plan.nterms; i++) {
    const VtTerm *term = &draft->plan.terms[i];
    if (term->col != col) continue;
    if (term->op == op || term->op == VT_OP_EQ || term->op == VT_OP_IN) return true;
    if (below && (term->op == VT_OP_LT || term->op == VT_OP_LE)) return true;
    if (above && (term->op == VT_OP_GT || term->op == VT_OP_GE)) return true;
  }
  return false;
}

/* What promises the fewest rows is taken first. */
typedef enum Turn { TURN_VALUE, TURN_LIST, TURN_REST, TURNS } Turn;

static void take_constraint(Draft *draft, int i, Turn turn) {
  const struct sqlite3_index_constraint *constraint = &draft->info->aConstraint[i];
  int col = column_of(draft->tab, constraint->iColumn);
  VtOp op;
  unsigned wanted = operator_of(constraint->op, &op);
  if (!wanted || !constraint->usable || col < 0 || col >= draft->tab->first_arg) return;
  const VtColumn *column = &draft->tab->cols[col];
  const bool list =
      op == VT_OP_EQ && (column->flags & VT_IN) && sqlite3_vtab_in(draft->info, i, -1);
  if (turn != (list ? TURN_LIST : op == VT_OP_EQ ? TURN_VALUE : TURN_REST)) return;
  if (draft->plan.nterms == VT_MAX_TERMS || !comparable(draft, i, col, op)) return;
  if (is_settled(draft, col, op) || (!list && !(column->flags & wanted))) return;
  if (list) sqlite3_vtab_in(draft->info, i, 1);
  take_term(draft, i, col, list ? VT_OP_IN : op, (column->flags & VT_EXACT) != 0);
}

static int take_terms(Draft *draft) {
  for (int col = draft->tab->first_arg; col < draft->tab->ncols; col++) {
    int rc = take_argument(draft, col);
    if (rc != SQLITE_OK) return rc;
  }
  for (Turn turn = 0; turn < TURNS; turn++)
    for (int i = 0; i < draft->info->nConstraint; i++) take_constraint(draft, i, turn);
  return SQLITE_OK;
}

/* ---- order, limit ---------------------------------------------------------------------------- */

static bool order_matches(const Draft *draft, bool backwards) {
  const VtTab *tab = draft->tab;
  const sqlite3_index_info *info = draft->info;
  for (int i = 0; i < info->nOrderBy; i++) {
    if (i >= tab->norder) return false;
    const VtOrder *ours = &tab->order[i];
    if (column_of(draft->tab, info->aOrderBy[i].iColumn) != ours->col) return false;
    if ((bool)info->aOrderBy[i].desc != (ours->descending != backwards)) return false;
    if (draft->tab->cols[ours->col].flags & VT_UNIQUE) return true; /* no ties to break */
  }
  return true;
}

/* SQLite asks only for columns under their own collations, NULLs first. */
static void take_sort(Draft *draft) {
  const sqlite3_index_info *info = draft->info;
  if (info->nOrderBy > VT_MAX_SORT) return;
  for (int i = 0; i < info->nOrderBy; i++) {
    const int col = column_of(draft->tab, info->aOrderBy[i].iColumn);
    if (col < 0 && draft->tab->rowid_unordered) return;
    draft->plan.sort[i] = (VtOrder){col, info->aOrderBy[i].desc != 0};
  }
  draft->plan.nsort = info->nOrderBy;
  draft->plan.ordered = true;
  draft->info->orderByConsumed = 1;
}

static void take_order(Draft *draft) {
  if (draft->info->nOrderBy > 0 && draft->tab->desc->any_order) take_sort(draft);
  if (draft->info->nOrderBy == 0 || draft->tab->norder == 0) return;
  draft->plan.ordered = order_matches(draft, false);
  if (!draft->plan.ordered && draft->tab->desc->reversible) {
    draft->plan.ordered = draft->plan.reverse = order_matches(draft, true);
  }
  draft->info->orderByConsumed = draft->plan.ordered;
}

/* LIMIT counts rows after all tests and after sorting, so it helps only when both are ours. */
static void take_limit(Draft *draft) {
  sqlite3_index_info *info = draft->info;
  int limit = -1, offset = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    int op = info->aConstraint[i].op;
    if (op == SQLITE_INDEX_CONSTRAINT_LIMIT || op == SQLITE_INDEX_CONSTRAINT_OFFSET) {
      if (!info->aConstraint[i].usable) return;
      *(op == SQLITE_INDEX_CONSTRAINT_LIMIT ? &limit : &offset) = i;
    } else if (!info->aConstraintUsage[i].omit) {
      return;
    }
  }
  if (limit < 0 || (info->nOrderBy > 0 && !draft->plan.ordered)) return;
  draft->plan.has_limit = true;
  info->aConstraintUsage[limit].argvIndex = draft->plan.nterms + 1;
  if (offset < 0) return;
  draft->plan.has_offset = true;
  info->aConstraintUsage[offset].argvIndex = draft->plan.nterms + 2;
}

/* ---- cost ------------------------------------------------------------------------------------ */

static double term_rows(const Draft *draft, const VtTerm *term, double rows, double all) {
  const VtColumn *column = &draft->tab->cols[term->col];
  if (column->flags & VT_ARG) return column->rows > 0 ? column->rows : rows;
  double each = column->rows > 0 ? column->rows / all : 0.1;
  if (each > 1) each = 1;
  if (term->op == VT_OP_EQ) return column->flags & VT_UNIQUE ? 1 : rows * each;
  if (term->op == VT_OP_IN) return each < 0.1 ? rows * each * 10 : rows;
  return rows / 4;
}

static void set_cost(Draft *draft) {
  const VtTable *table = draft->tab->desc;
  sqlite3_index_info *info = draft->info;
  double rows = table->rows, all = rows > 1 ? rows : 1;
  bool one = false;
  for (int i = 0; i < draft->plan.nterms; i++) {
    VtTerm *term = &draft->plan.terms[i];
    rows = term_rows(draft, term, rows, all);
    one = one || (term->op == VT_OP_EQ && (draft->tab->cols[term->col].flags & VT_UNIQUE));
    if (sqlite3_vtab_rhs_value(info, draft->source[i], &term->value) != SQLITE_OK) {
      term->value = NULL;
    }
  }
  if (rows < 1 || one) rows = 1;
  double cost = table->seek_cost + rows * (table->row_cost > 0 ? table->row_cost : 1);
  if (table->estimate) table->estimate(draft->tab, &draft->plan, &rows, &cost);
  info->estimatedRows = !(rows >= 1) ? 1 : rows > 1e15 ? (sqlite3_int64)1e15 : (sqlite3_int64)rows;
  info->estimatedCost = cost > 0 ? cost : 1;
  if (one) info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
}

/* ---- text ------------------------------------------------------------------------------------ */

static bool is_word(const char *name) {
  if (!isalpha((unsigned char)*name) && *name != '_') return false;
  while (isalnum((unsigned char)*name) || *name == '_') name++;
  return *name == '\0';
}

static const char *name_of(const VtTab *tab, int col) {
  return col < 0 ? "rowid" : tab->cols[col].name;
}

static void write_name(const Draft *draft, Text *text, int col) {
  const char *name = name_of(draft->tab, col);
  if (is_word(name)) {
    text_add(text, name);
  } else {
    text_add_name(text, name);
  }
}

static void write_order(const Draft *draft, Text *text) {
  const VtPlan *plan = &draft->plan;
  if (!plan->nsort) {
    if (plan->ordered) text_add(text, plan->reverse ? " reverse" : " order");
    return;
  }
  for (int i = 0; i < plan->nsort; i++) {
    text_add(text, i > 0 ? ", " : " order by ");
    write_name(draft, text, plan->sort[i].col);
    if (plan->sort[i].descending) text_add(text, " desc");
  }
}

static void write_plan(const Draft *draft, Text *text) {
  const VtPlan *plan = &draft->plan;
  for (int i = 0; i < plan->nterms; i++) {
    if (i > 0) text_add(text, " and ");
    write_name(draft, text, plan->terms[i].col);
    text_add(text, op_text[plan->terms[i].op]);
  }
  write_order(draft, text);
  if (plan->has_limit) text_add(text, " limit ?");
  if (plan->has_offset) text_add(text, " offset ?");
  if (draft->tab->desc->wants_used) {
    text_addf(text, " used %llx", (unsigned long long)draft->info->colUsed);
  }
}

static int set_index(Draft *draft) {
  Text text = {0};
  write_plan(draft, &text);
  int rc = text.oom ? SQLITE_NOMEM : SQLITE_OK;
  if (rc == SQLITE_OK && text.length > 0) {
    const char *start = text_get(&text);
    draft->info->idxStr = sqlite3_mprintf("%s", *start == ' ' ? start + 1 : start);
    draft->info->needToFreeIdxStr = 1;
    if (!draft->info->idxStr) rc = SQLITE_NOMEM;
  }
  draft->info->idxNum = draft->plan.nterms;
  text_finish(&text);
  return rc;
}

/* Nothing is taken over, and the number says which argument it is about. */
static int set_missing(Draft *draft) {
  sqlite3_index_info *info = draft->info;
  memset(info->aConstraintUsage, 0, (size_t)info->nConstraint * sizeof *info->aConstraintUsage);
  info->estimatedCost = 1e99;
  info->estimatedRows = (sqlite3_int64)1e15;
  info->idxNum = -1 - draft->missing;
  info->idxStr = sqlite3_mprintf("%s is missing", draft->tab->cols[draft->missing].name);
  info->needToFreeIdxStr = 1;
  return info->idxStr ? SQLITE_OK : SQLITE_NOMEM;
}

int vt_best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  Draft draft = {.tab = (VtTab *)base, .info = info, .missing = -1};
  draft.plan.limit = INT64_MAX;
  draft.plan.used = info->colUsed;
  int rc = take_terms(&draft);
  if (rc != SQLITE_OK) return rc;
  if (draft.missing >= 0) return set_missing(&draft);
  take_order(&draft);
  if (draft.tab->desc->wants_limit) take_limit(&draft);
  set_cost(&draft);
  return set_index(&draft);
}

/* ---- and back -------------------------------------------------------------------------------- */

/* After the name at the start of `text`, or NULL when another name stands there. */
static const char *skip_name(const char *text, const char *name) {
  if (is_word(name)) {
    size_t length = strlen(name);
    if (strncmp(text, name, length) != 0) return NULL;
    return isalnum((unsigned char)text[length]) || text[length] == '_' ? NULL : text + length;
  }
  if (*text++ != '"') return NULL;
  for (; *name; name++) {
    if (*name == '"' && *text++ != '"') return NULL;
    if (*text++ != *name) return NULL;
  }
  return text[0] == '"' && text[1] != '"' ? text + 1 : NULL;
}

static const char *read_op(const char *text, VtOp *op) {
  for (int i = 0; i < NOPS; i++) {
    size_t length = strlen(op_text[i]);
    if (strncmp(text, op_text[i], length) == 0) {
      *op = (VtOp)i;
      return text + length;
    }
  }
  return NULL;
}

static const char *read_term(const VtTab *tab, const char *text, VtTerm *out) {
  for (int col = 0; col < tab->ncols; col++) {
    const char *after = skip_name(text, tab->cols[col].name);
    if (after && (after = read_op(after, &out->op))) {
      out->col = col;
      return after;
    }
  }
  return NULL;
}

static const char *skip_word(const char *text, const char *word, bool *found) {
  const char *at = *text == ' ' ? text + 1 : text;
  while (*word && *at == *word) at++, word++;
  *found = *word == '\0';
  return *found ? at : text;
}

static const char *read_sort(const VtTab *tab, const char *text, VtPlan *plan) {
  bool more;
  text = skip_word(text, "order by ", &more);
  while (more && plan->nsort < VT_MAX_SORT) {
    VtOrder *sort = &plan->sort[plan->nsort++];
    const char *after = NULL;
    for (sort->col = tab->ncols; !after && sort->col-- > -1;) {
      after = skip_name(text, name_of(tab, sort->col));
    }
    if (!after) return NULL;
    text = skip_word(after, "desc", &sort->descending);
    text = skip_word(text, ", ", &more);
  }
  plan->ordered = plan->nsort > 0;
  return text;
}

static bool read_tail(const VtTab *tab, const char *text, VtPlan *plan) {
  bool found;
  plan->nsort = 0;
  if (tab->desc->any_order) {
    text = read_sort(tab, text, plan);
    if (!text) return false;
  } else {
    text = skip_word(text, "reverse", &plan->reverse);
    text = skip_word(text, "order", &plan->ordered);
    plan->ordered = plan->ordered || plan->reverse;
  }
  text = skip_word(text, "limit ?", &plan->has_limit);
  text = skip_word(text, "offset ?", &plan->has_offset);
  text = skip_word(text, "used ", &found);
  plan->used = ~(sqlite3_uint64)0;
  if (!found) return *text == '\0';
  plan->used = 0;
  for (; isxdigit((unsigned char)*text); text++) {
    int digit = isdigit((unsigned char)*text) ? *text - '0' : *text - 'a' + 10;
    plan->used = plan->used << 4 | (sqlite3_uint64)digit;
  }
  return *text == '\0';
}

bool vt_plan_read(const VtTab *tab, const char *text, VtPlan *plan) {
  int nterms = plan->nterms; /* idxNum; decides how many terms there are */
  if (nterms < 0 || nterms > VT_MAX_TERMS) return false;
  if (!text) text = "";
  for (int i = 0; i < nterms; i++) {
    if (i > 0) {
      if (strncmp(text, " and ", 5) != 0) return false;
      text += 5;
    }
    plan->terms[i].value = NULL;
    if (!(text = read_term(tab, text, &plan->terms[i]))) return false;
  }
  return read_tail(tab, text, plan);
}

/* ---- for seek() ------------------------------------------------------------------------------ */

const VtTerm *vt_term(const VtPlan *plan, int col, VtOp op) {
  for (int i = 0; i < plan->nterms; i++) {
    if (plan->terms[i].col == col && plan->terms[i].op == op) return &plan->terms[i];
  }
  return NULL;
}

sqlite3_value *vt_arg(const VtPlan *plan, int col) {
  const VtTerm *term = vt_term(plan, col, VT_OP_EQ);
  return term ? term->value : NULL;
}

sqlite3_value *vt_in_next(const VtTerm *term, bool *started, int *rc) {
  sqlite3_value *value = NULL;
  *rc = *started ? sqlite3_vtab_in_next(term->value, &value)
                 : sqlite3_vtab_in_first(term->value, &value);
  *started = true;
  if (*rc == SQLITE_OK) return value;
  if (*rc == SQLITE_DONE) *rc = SQLITE_OK;
  return NULL;
}
