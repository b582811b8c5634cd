/*
** Questions to Z3, and what it answers for people.
*/
#include <stdio.h>
#include <string.h>

#include "extensions/multiverse/logic.h"

/* A value of SQL is NULL, a number, or a text, which is a place in their order. What affinity and
** truth make of texts is left open. */
static const char prelude[] =
    "(declare-datatypes ((V 0)) (((null) (num (n Real)) (txt (t Real)))))\n"
    "(declare-fun number_text (Real) Real)\n";

static const char open_texts[] =
    "(declare-fun text_number (Real) V)(declare-fun text_truth (Real) Bool)\n";

/* For examples: no text says a number. */
static const char plain_texts[] = "(define-fun text_number ((x Real)) V (txt x))\n"
                                  "(define-fun text_truth ((x Real)) Bool false)\n";

static const char operations[] =
    "(define-fun as_number ((v V)) V (ite ((_ is txt) v) (text_number (t v)) v))\n"
    "(define-fun as_text ((v V)) V (ite ((_ is num) v) (txt (number_text (n v))) v))\n"
    "(define-fun truthy ((v V)) Bool (or (and ((_ is num) v) (not (= (n v) 0.0))) (and ((_ is txt) "
    "v) (text_truth (t v)))))\n"
    "(define-fun less ((a V) (b V)) Bool (or (and ((_ is num) a) ((_ is num) b) (< (n a) (n b))) "
    "(and ((_ is txt) a) ((_ is txt) b) (< (t a) (t b))) (and ((_ is num) a) ((_ is txt) b))))\n";

static void write_prelude(bool typed, Text *out) {
  text_add(out, prelude);
  text_add(out, typed ? plain_texts : open_texts);
  text_add(out, operations);
}

static const char *sort_of(const Unknown *unknown) {
  return unknown->kind == UNKNOWN_MEMBER || unknown->kind == UNKNOWN_TRUTH ? "Bool" : "V";
}

/* What a value of the unknown's type looks like; false: nothing is known of it. `strict`: as it
** will be, whatever the column's declaration would let in. */
static bool write_type(const Logic *logic, size_t i, bool typed, Text *out) {
  const Unknown *unknown = &logic->unknowns[i];
  if (unknown->kind == UNKNOWN_PARAM && typed) {
    text_addf(out, "(not (= u%zu null))", i);
    return true;
  }
  if (unknown->kind != UNKNOWN_COLUMN) return false;
  const BaseTable *base = logic->table->base;
  const bool is_rowid = unknown->column < 0 || unknown->column == base->rowid_column;
  const SqlAffinity affinity =
      is_rowid ? SQL_AFFINITY_INTEGER : sql_type_affinity(base->columns[unknown->column].type);
  if (!is_rowid && !typed) return false;
  switch (affinity) {
  case SQL_AFFINITY_INTEGER:
    text_addf(out, "(and ((_ is num) u%zu) (is_int (n u%zu)))", i, i);
    return true;
  case SQL_AFFINITY_NUMERIC:
  case SQL_AFFINITY_REAL:
    text_addf(out, "((_ is num) u%zu)", i);
    return true;
  case SQL_AFFINITY_TEXT:
    text_addf(out, "((_ is txt) u%zu)", i);
    return true;
  default:
    text_addf(out, "(not (= u%zu null))", i);
    return true;
  }
}

static void write_types(const Logic *logic, bool typed, bool of_user, Text *out) {
  for (size_t i = 0; i < logic->nunknowns; i++) {
    const size_t before = out->length;
    if (logic->unknowns[i].of_user != of_user) continue;
    text_add(out, "(assert ");
    if (write_type(logic, i, typed, out)) {
      text_add(out, ")\n");
    } else {
      text_cut(out, before);
    }
  }
}

void logic_script(const Logic *logic, const char *claim, bool typed, Text *out) {
  write_prelude(typed, out);
  for (size_t i = 0; i < logic->nunknowns; i++) {
    text_addf(out, "(declare-const u%zu %s)\n", i, sort_of(&logic->unknowns[i]));
  }
  for (size_t i = 0; i < logic->ndefinitions; i++) {
    text_addf(out, "(define-fun d%zu () %s ", i, logic->definitions[i].sort);
    text_add(out, logic->definitions[i].expr);
    text_add(out, ")\n");
  }
  write_types(logic, typed, false, out);
  write_types(logic, typed, true, out);
  text_addf(out, "(assert %s)", claim);
}

void logic_script_for_all(const Logic *logic, const char *claim, Text *out) {
  bool any = false;
  write_prelude(true, out);
  for (size_t i = 0; i < logic->nunknowns; i++) {
    if (logic->unknowns[i].of_user) continue;
    text_addf(out, "(declare-const u%zu %s)\n", i, sort_of(&logic->unknowns[i]));
  }
  write_types(logic, true, false, out);
  text_add(out, "(assert ");
  for (size_t i = 0; i < logic->nunknowns; i++) {
    if (!logic->unknowns[i].of_user) continue;
    text_add(out, any ? " " : "(forall (");
    text_addf(out, "(u%zu %s)", i, sort_of(&logic->unknowns[i]));
    any = true;
  }
  if (any) text_add(out, ") ");
  for (size_t i = 0; i < logic->ndefinitions; i++) {
    text_addf(out, "(let ((d%zu ", i);
    text_add(out, logic->definitions[i].expr);
    text_add(out, ")) ");
  }
  text_add(out, claim);
  for (size_t i = 0; i < logic->ndefinitions + any + 1; i++) text_addc(out, ')');
}

/* ---- examples -------------------------------------------------------------------------------- */

/* "(num (- (/ 7.0 2.0)))" as -7/2, "(num 3.0)" as 3. */
static void write_number(const char *answer, Text *out) {
  bool slash = false;
  double first = 0, second = 1;
  const bool minus = strstr(answer, "(- ") != NULL;
  for (const char *at = answer; *at;) {
    if ((*at >= '0' && *at <= '9')) {
      char *end;
      const double number = text_read_real(at, &end);
      if (slash) {
        second = number;
      } else {
        first = number;
      }
      slash = true;
      at = end;
    } else {
      at++;
    }
  }
  const double value = (minus ? -first : first) / (second != 0 ? second : 1);
  if (value == (double)(long long)value && value < 1e15 && value > -1e15) {
    text_addf(out, "%lld", (long long)value);
  } else {
    text_add_real(out, value);
  }
}

/* A literal of the rules that has this place in the order of texts; or some other text. */
static bool write_string(const Logic *logic, Smt *smt, size_t unknown, Text *out, Fault *fault) {
  for (size_t i = 0; i < logic->nstrings; i++) {
    const char *string = logic->strings[i];
    Text term = {0}, answer = {0};
    text_addf(&term, "(= (t u%zu) ", unknown);
    for (const char *at = string; *at; at++) {
      text_addf(&term, "(/ (+ %d.0 ", (unsigned char)*at + 1);
    }
    text_add(&term, "0.0");
    for (const char *at = string; *at; at++) text_add(&term, ") 257.0)");
    text_addc(&term, ')');
    const bool ok =
        (!term.oom || fault_oom(fault)) && smt_value(smt, text_get(&term), &answer, fault);
    const bool is = ok && !strcmp(text_get(&answer), "true");
    text_finish(&term);
    text_finish(&answer);
    if (!ok) return false;
    if (!is) continue;
    text_add_string(out, string, strlen(string));
    return true;
  }
  text_add(out, "another text");
  return true;
}

static bool write_unknown(const Logic *logic, Smt *smt, size_t i, Text *out, Fault *fault) {
  const Unknown *unknown = &logic->unknowns[i];
  char term[32];
  Text answer = {0};
  snprintf(term, sizeof term, "u%zu", i);
  if (!smt_value(smt, term, &answer, fault)) return false;
  const char *value = text_get(&answer);
  bool ok = true;
  if (unknown->kind == UNKNOWN_MEMBER || unknown->kind == UNKNOWN_TRUTH) {
    if (!strcmp(value, "true")) text_addf(out, ", %s", unknown->name);
  } else {
    text_addf(out, ", %s%s = ", unknown->kind == UNKNOWN_PARAM ? ":" : "", unknown->name);
    if (!strncmp(value, "(num", 4)) {
      write_number(value + 4, out);
    } else if (!strncmp(value, "(txt", 4)) {
      ok = write_string(logic, smt, i, out, fault);
    } else {
      text_add(out, "NULL");
    }
  }
  text_finish(&answer);
  return ok;
}

bool logic_example(const Logic *logic, Smt *smt, bool with_user, Text *out, Fault *fault) {
  Text all = {0};
  bool ok = true;
  for (int of_user = 0; of_user <= with_user; of_user++) {
    for (size_t i = 0; ok && i < logic->nunknowns; i++) {
      if (logic->unknowns[i].of_user != (of_user == 1)) continue;
      ok = write_unknown(logic, smt, i, &all, fault);
    }
  }
  if (ok && all.length > 2) text_add(out, text_get(&all) + 2); /* without the first comma */
  ok = ok && (!all.oom || fault_oom(fault));
  text_finish(&all);
  return ok;
}
