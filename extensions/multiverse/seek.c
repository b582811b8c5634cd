/*
** From what a query asks of a table to a statement on its base table.
**
** A term is passed on when the inner comparison decides as the outer one, or lets too much through;
** SQLite tests again whatever is not VT_EXACT. What the outer comparison does depends on the
** affinity of its other side, which a virtual table is not told: see takes_term().
**
** A column that is rewritten shows something else where a rule applies. `author = 12` can then only
** be met by rows whose author is 12 and is shown, unless the replacement is 12: raw value and "not
** rewritten" are passed on, and an index on the raw column serves. That is what no view can do.
**
** A term that fixes the column of a group's test decides membership before anything is read: a
** student's inner statement on one class is "NOT private OR author = me", a teacher's has no
** condition at all, and each is prepared once.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/shadow.h"

static bool is_number(SqlAffinity affinity) { return affinity >= SQL_AFFINITY_NUMERIC; }

/* ---- terms ----------------------------------------------------------------------------------- */

/* No text that begins so is a number, whatever affinity it meets. */
static bool begins_like_a_word(sqlite3_value *value) {
  const unsigned char *text = sqlite3_value_text(value);
  return text && *text > '9';
}

/* Numbers convert what they are compared with, so the other side cannot matter. A text may meet a
** column of numbers and be turned into one: `name = 5` is then true for '05'. */
static bool takes_term(const Shadow *shadow, const VtTerm *term) {
  const SqlAffinity affinity = shadow->affinities[term->col];
  const int type = sqlite3_value_type(term->value);
  if (is_number(affinity)) return true;
  if (type != SQLITE_TEXT) return false;
  if (affinity == SQL_AFFINITY_TEXT && term->op == VT_OP_EQ) return true;
  return begins_like_a_word(term->value) && (affinity == SQL_AFFINITY_TEXT || term->op == VT_OP_EQ);
}

static bool read_number(const SqlExpr *expr, double *out) {
  const bool minus = expr->kind == SQL_EXPR_UNARY && expr->op == SQL_OP_NEG;
  if (minus) expr = expr->args[0];
  if (expr->kind != SQL_EXPR_INTEGER && expr->kind != SQL_EXPR_REAL) return false;
  if (expr->text[0] == '0' && (expr->text[1] == 'x' || expr->text[1] == 'X')) return false;
  *out = text_read_real(expr->text, NULL);
  if (minus) *out = -*out;
  return true;
}

/* The replacement is surely not equal to the value. */
static bool differs(const Shadow *shadow, const Rule *rule, sqlite3_value *value) {
  const SqlExpr *shown = rule->value;
  const int type = sqlite3_value_type(value);
  const bool number = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
  double own;
  if (shown->kind == SQL_EXPR_NULL) return true;
  if (shown->kind == SQL_EXPR_STRING) {
    const bool word = (unsigned char)shown->text[0] > '9';
    if (number) return word && is_number(shadow->affinities[rule->column]);
    const char *text = type == SQLITE_TEXT ? (const char *)sqlite3_value_text(value) : NULL;
    return text && !shadow->base->columns[rule->column].collation &&
           (word || shadow->affinities[rule->column] == SQL_AFFINITY_TEXT) &&
           strcmp(text, shown->text) != 0;
  }
  if (!is_number(shadow->affinities[rule->column]) || !read_number(shown, &own)) return false;
  if (number) return own != sqlite3_value_double(value);
  return type == SQLITE_TEXT && begins_like_a_word(value);
}

/* Rows that meet the term hold this very integer. A larger one may stand there as a real. */
static bool tells_value(const Shadow *shadow, const VtTerm *term) {
  static const int64_t most = INT64_C(1) << 51;
  if (term->op != VT_OP_EQ || shadow->affinities[term->col] != SQL_AFFINITY_INTEGER ||
      sqlite3_value_type(term->value) != SQLITE_INTEGER || shadow->base->generated[term->col]) {
    return false;
  }
  const int64_t value = sqlite3_value_int64(term->value);
  return -most < value && value < most;
}

static Mode mode_of(const Shadow *shadow, const VtTerm *term) {
  if (!takes_term(shadow, term)) return MODE_SKIP;
  const bool known = tells_value(shadow, term);
  if (!shadow->table->rewritten[term->col]) return known ? MODE_RAW_KNOWN : MODE_RAW;
  if (term->op != VT_OP_EQ) return MODE_SKIP;
  for (const Rule *rule = shadow->table->rules[ACTION_REWRITE]; rule; rule = rule->next) {
    if (rule->column == term->col && !differs(shadow, rule, term->value)) return MODE_SKIP;
  }
  return known ? MODE_SHOWN_KNOWN : MODE_SHOWN;
}

static bool is_known(Mode mode) { return mode == MODE_RAW_KNOWN || mode == MODE_SHOWN_KNOWN; }

static bool is_shown(Mode mode) { return mode == MODE_SHOWN || mode == MODE_SHOWN_KNOWN; }

/* The memberships that the terms decide. */
static void decide_atoms(Question *question) {
  const Shadow *shadow = question->shadow;
  const VtPlan *plan = question->plan;
  for (int a = 0; a < shadow->table->natoms; a++) {
    const Atom *atom = &shadow->table->atoms[a];
    question->truths[a] = -1;
    for (int i = 0; !atom->listed && i < plan->nterms && question->truths[a] < 0; i++) {
      const VtTerm *term = &plan->terms[i];
      const int type = sqlite3_value_type(term->value);
      if (term->col != atom->column || term->op != VT_OP_EQ || question->modes[i] == MODE_SKIP) {
        continue;
      }
      if (is_number(shadow->affinities[term->col]) ? type == SQLITE_TEXT || type == SQLITE_BLOB
                                                   : type != SQLITE_TEXT) {
        continue;
      }
      Datum cell; /* without memory the statement looks at the row */
      if (!datum_read(term->value, &cell)) continue;
      question->truths[a] =
          (signed char)member_has_datum(&shadow->state->universe->sets[atom->set], &cell);
    }
    question->known[a] = (char)('1' + question->truths[a]);
  }
}

void question_read(Question *question, Shadow *shadow, const VtPlan *plan) {
  *question = (Question){.shadow = shadow, .plan = plan};
  for (int i = 0; i < plan->nterms; i++) {
    question->modes[i] = (char)mode_of(shadow, &plan->terms[i]);
  }
  decide_atoms(question);
}

/* ---- shapes: what a statement depends on ---------------------------------------------------- */

/* The plan's text, how each term is met, and what is known of each atom. */
static bool has_shape(const Question *question, const Inner *inner, const char *text) {
  const size_t length = strlen(text), n = (size_t)question->plan->nterms;
  const char *rest = inner->shape + length;
  return !strncmp(inner->shape, text, length) && *rest == '\n' &&
         !memcmp(rest + 1, question->modes, n) &&
         !memcmp(rest + 1 + n, question->known, (size_t)question->shadow->table->natoms + 1);
}

static void write_shape(const Question *question, const char *text, Text *out) {
  text_add(out, text);
  text_addc(out, '\n');
  text_addn(out, question->modes, (size_t)question->plan->nterms);
  text_add(out, question->known);
}

/* ---- SQL ------------------------------------------------------------------------------------- */

static const char *const op_text[] = {[VT_OP_EQ] = " = ",
                                      [VT_OP_LT] = " < ",
                                      [VT_OP_LE] = " <= ",
                                      [VT_OP_GT] = " > ",
                                      [VT_OP_GE] = " >= "};

static bool is_used(const VtPlan *plan, int column) {
  return plan->used >> (column < 63 ? column : 63) & 1;
}

static void find_known(const Question *question, Place *places) {
  for (int i = 0; i < question->plan->nterms; i++) {
    if (is_known((Mode)question->modes[i])) places[question->plan->terms[i].col].at = PLACE_KNOWN;
  }
}

/* The row's identity first, then the columns that are asked for. */
static void write_results(const Question *question, const Meaning *meaning, Place *places,
                          Text *out) {
  const BaseTable *base = meaning->table->base;
  int n = base->rowid ? 1 : base->nkeys;
  text_add(out, "SELECT ");
  for (int i = 0; i < n; i++) {
    if (i) text_add(out, ", ");
    meaning_raw(meaning->table, base->rowid ? -1 : base->keys[i], out);
  }
  for (int i = 0; i < base->ncolumns; i++) places[i].at = PLACE_ABSENT;
  find_known(question, places);
  for (int i = 0; i < base->ncolumns; i++) {
    if (places[i].at == PLACE_KNOWN || !is_used(question->plan, i)) continue;
    places[i].at = i == base->rowid_column ? 0 : n++;
    if (i == base->rowid_column) continue;
    text_add(out, ", ");
    meaning_column(meaning, i, out);
  }
}

static void write_terms(const Question *question, const Meaning *meaning, Text *out) {
  const VtPlan *plan = question->plan;
  const char *and = " WHERE ";
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    if (question->modes[i] == MODE_SKIP) continue;
    text_add(out, and);
    meaning_raw(meaning->table, term->col, out);
    text_addf(out, "%s?%d", op_text[term->op], meaning_first_term(meaning->policy) + i);
    and = " AND ";
    if (!is_shown((Mode)question->modes[i])) continue;
    const size_t before = out->length;
    text_add(out, " AND ");
    const Truth rewritten = meaning_rewritten(meaning, term->col, out);
    if (rewritten == TRUTH_TEXT) {
      text_add(out, " IS NOT TRUE");
    } else {
      text_cut(out, before);
      if (rewritten == TRUTH_TRUE) text_add(out, " AND 0");
    }
  }
  const size_t before = out->length;
  text_add(out, and);
  const Truth visible = meaning_visible(meaning, out);
  if (visible == TRUTH_FALSE) text_add(out, "0");
  if (visible == TRUTH_TRUE) text_cut(out, before);
}

static void write_sort(const Meaning *meaning, const VtPlan *plan, Text *out) {
  for (int i = 0; i < plan->nsort; i++) {
    const int column = plan->sort[i].col;
    text_add(out, i ? ", " : " ORDER BY ");
    if (column >= 0 && meaning->table->rewritten[column]) {
      const char *collation = meaning->table->base->columns[column].collation;
      text_add(out, "CASE WHEN 1 THEN "); /* a bare number would be a place */
      meaning_column(meaning, column, out);
      text_add(out, " END COLLATE ");
      text_add_name(out, collation ? collation : "BINARY");
    } else {
      meaning_column(meaning, column, out);
    }
    if (plan->sort[i].descending) text_add(out, " DESC");
  }
}

static bool depends_on_user(const Question *question) {
  bool any = false;
  for (int i = 0; i < question->plan->nterms; i++) any |= is_shown((Mode)question->modes[i]);
  return any;
}

/* What counts the rows in parts, for counted.c: those that are shared, and the universe's own
** beside them. Without memory they are counted as a whole. */
static void write_counts(const Question *question, const Meaning *meaning, char **counts) {
  Meaning shared = *meaning, own = *meaning;
  Text sql = {0};
  const int parts = depends_on_user(question) ? 0 : nature_parts(meaning);
  if (!parts) return;
  shared.part = PART_SHARED;
  own.part = PART_OWN;
  text_add(&sql, "SELECT count(*)");
  meaning_from(meaning->table, &sql);
  const size_t from = sql.length;
  write_terms(question, &shared, &sql);
  if (!sql.oom) counts[0] = strdup(text_get(&sql));
  text_cut(&sql, from);
  write_terms(question, &own, &sql);
  text_add(&sql, " AND ");
  const Truth seen = meaning_visible(&shared, &sql);
  text_add(&sql, seen == TRUTH_FALSE ? "1" : " IS NOT TRUE");
  if (!sql.oom) counts[1] = strdup(seen == TRUTH_TRUE || parts == 1 ? "" : text_get(&sql));
  text_finish(&sql);
}

static Inner *inner_make(const Question *question, const char *shape, Fault *fault) {
  Shadow *shadow = question->shadow;
  const Meaning meaning = {
      .policy = shadow->policy, .table = shadow->table, .truths = question->truths};
  Place *places = calloc((size_t)shadow->base->ncolumns + 1, sizeof *places);
  bool sorted = false;
  size_t unsorted = 0;
  Text sql = {0};
  Inner *inner = NULL;
  if (places) {
    write_results(question, &meaning, places, &sql);
    meaning_from(shadow->table, &sql);
    write_terms(question, &meaning, &sql);
    unsorted = sql.length;
    write_sort(&meaning, question->plan, &sql);
    if (order_settle(question, &sql, &sorted, fault)) {
      inner = shadow_add(shadow, shape, &sql, fault);
    }
  } else {
    fault_oom(fault);
  }
  text_finish(&sql);
  if (inner) {
    inner->sorted = sorted;
    inner->unsorted = unsorted;
    inner->places = places;
    write_counts(question, &meaning, inner->counts);
  } else {
    free(places);
  }
  return inner;
}

/* ---- statements ------------------------------------------------------------------------------ */

void shadow_bind(const State *state, sqlite3_stmt *statement) {
  const Policy *policy = state->policy;
  const int n = sqlite3_bind_parameter_count(statement);
  for (int i = 0; i < policy->nparams && i < n; i++) {
    sqlite3_bind_value(statement, 1 + i,
                       context_value(&state->universe->context, policy->params[i]));
  }
  for (int i = 0; i < policy_sets(policy) && policy->nparams + i < n; i++) {
    sqlite3_bind_pointer(statement, 1 + policy->nparams + i, &state->universe->sets[i],
                         MEMBER_POINTER, NULL);
  }
}

Inner *shadow_add(Shadow *shadow, const char *shape, const Text *sql, Fault *fault) {
  Inner *inner = calloc(1, sizeof *inner);
  if (inner) inner->shape = strdup(shape);
  if (!inner || !inner->shape) {
    free(inner);
    fault_oom(fault);
    return NULL;
  }
  inner->statement = query_prepare(shadow->tab.db, sql->oom ? NULL : text_get(sql), fault);
  if (!inner->statement) {
    free(inner->shape);
    free(inner);
    return NULL;
  }
  inner->next = shadow->inners;
  shadow->inners = inner;
  shadow->state->stats.prepared++;
  return inner;
}

Inner *shadow_find(const Shadow *shadow, const char *shape) {
  for (Inner *inner = shadow->inners; inner; inner = inner->next) {
    if (!inner->busy && !strcmp(inner->shape, shape)) return inner;
  }
  return NULL;
}

static Inner *find_inner(const Question *question, const char *text) {
  for (Inner *inner = question->shadow->inners; inner; inner = inner->next) {
    if (!inner->busy && has_shape(question, inner, text)) return inner;
  }
  return NULL;
}

static bool bind_terms(const Question *question, Inner *inner) {
  int n = meaning_first_term(question->shadow->policy);
  for (int i = 0; i < question->plan->nterms; i++, n++) {
    const VtTerm *term = &question->plan->terms[i];
    if (question->modes[i] == MODE_SKIP) continue;
    if (sqlite3_value_type(term->value) != SQLITE_INTEGER) {
      if (sqlite3_bind_value(inner->statement, n, term->value) == SQLITE_NOMEM) return false;
      continue;
    }
    const int64_t integer = sqlite3_value_int64(term->value);
    sqlite3_bind_int64(inner->statement, n, integer); /* is faster */
    if (is_known((Mode)question->modes[i])) inner->places[term->col].known = integer;
  }
  return true;
}

bool shadow_statement(Shadow *shadow, const VtPlan *plan, const char *text, Inner **out,
                      Fault *fault) {
  Question question;
  question_read(&question, shadow, plan);
  Inner *inner = find_inner(&question, text);
  shadow->state->stats.reused += inner != NULL;
  if (!inner) {
    Text shape = {0};
    write_shape(&question, text, &shape);
    if (!shape.oom) inner = inner_make(&question, text_get(&shape), fault);
    if (shape.oom) fault_oom(fault);
    text_finish(&shape);
  }
  if (!inner) return false;
  const Universe *universe = shadow->state->universe;
  if (inner->serial != universe->serial) {
    shadow_bind(shadow->state, inner->statement);
    inner->serial = universe->serial;
  }
  if (!bind_terms(&question, inner)) return fault_oom(fault);
  inner->busy = true;
  shadow->state->stats.scans++;
  advise_note(shadow, plan);
  *out = inner;
  return true;
}
