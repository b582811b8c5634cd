/*
** Comparisons as SQLite rounds them: see rounding.h.
*/
#include "extensions/weave/rounding.h"

#include <math.h>

static const double exact_to = 4503599627370496.0; /* 2^52: doubles count on in halves */

/* ---- noting what happens to a number -------------------------------------------------------- */

static bool is_binary(double value) {
  return fabs(value) < 1048576 && value * 1024 == floor(value * 1024);
}

/* Does the operation give a number that is exact as well? */
static bool stays_exact(SqlOp op, double constant) {
  int exponent;
  if (op == SQL_OP_DIV) return fabs(frexp(constant, &exponent)) == 0.5 && is_binary(constant);
  return is_binary(constant);
}

static bool known_exact(const Algebra *algebra, const Sym *a, Rounding *out) {
  out->exact = a->lin;
  out->step = model_step(algebra->model, a->lin);
  if (out->step == 0) return false;
  model_bounds(algebra->model, a->lin, &out->lo, &out->hi);
  out->exact_at_empty = a->at_empty;
  return fmax(fabs(out->lo), fabs(out->hi)) / out->step < exact_to;
}

bool rounding_note(const Algebra *algebra, const Sym *a, SqlOp op, double constant,
                   bool constant_left, Sym *out) {
  Rounding note = {
      .before = a->rounding, .op = op, .constant = constant, .constant_left = constant_left};
  bool scales = op == SQL_OP_MUL || op == SQL_OP_DIV;
  out->rounding = NULL;
  if (!isfinite(constant) || (scales && constant == 0)) return true;
  if (!a->rounding && (stays_exact(op, constant) || !known_exact(algebra, a, &note))) return true;
  Rounding *kept = arena_alloc(algebra->arena, sizeof *kept);
  if (!kept) return fault_oom(algebra->fault);
  *kept = note;
  out->rounding = kept;
  return true;
}

/* ---- computing as SQLite does --------------------------------------------------------------- */

static const Rounding *first_of(const Rounding *note) {
  while (note->before) note = note->before;
  return note;
}

static double rounded(const Rounding *note, double exact) {
  double x = note->before ? rounded(note->before, exact) : exact, c = note->constant;
  switch (note->op) {
  case SQL_OP_ADD:
    return x + c;
  case SQL_OP_SUB:
    return note->constant_left ? c - x : x - c;
  case SQL_OP_MUL:
    return x * c;
  default:
    return x / c;
  }
}

static bool rises(const Rounding *note) {
  bool up = true;
  for (; note; note = note->before) {
    bool scales = note->op == SQL_OP_MUL || note->op == SQL_OP_DIV;
    bool turns = scales ? note->constant < 0 : note->op == SQL_OP_SUB && note->constant_left;
    if (turns) up = !up;
  }
  return up;
}

/* The literal: rounded <= b, or < b. */
static Lit at_most(const Algebra *algebra, const Rounding *note, double b, bool strict) {
  const Rounding *first = first_of(note);
  bool up = rises(note);
  double step = first->step;
  /* Multiples of the step, from one where it holds to one where it does not. */
  double holds = floor(first->lo / step) - 1, fails = ceil(first->hi / step) + 1;
  if (!up) {
    double swap = holds;
    holds = fails;
    fails = swap;
  }
  while (fabs(fails - holds) > 1) {
    double middle = floor((holds + fails) / 2), value = rounded(note, middle * step);
    if (strict ? value < b : value <= b) {
      holds = middle;
    } else {
      fails = middle;
    }
  }
  if (up) return model_le(algebra->model, first->exact, holds * step);
  return lit_not(model_le(algebra->model, first->exact, fails * step));
}

/* ---- averages ------------------------------------------------------------------------------- */

/* The fraction next to a value that doubles cannot tell from it, with a small denominator:
** continued fractions come by every best approximation. */
static bool fraction_near(double value, int64_t *out_p, int64_t *out_q) {
  int64_t p = 1, q = 0, last_p = 0, last_q = 1;
  double rest = value;
  for (int i = 0; i < 40 && fabs(rest) < 1e9; i++) {
    double whole = floor(rest);
    double next_p = whole * (double)p + (double)last_p, next_q = whole * (double)q + (double)last_q;
    if (fabs(next_p) > 1e9 || next_q > 10000) return false;
    last_p = p;
    last_q = q;
    p = (int64_t)next_p;
    q = (int64_t)next_q;
    if (fabs((double)p / (double)q - value) <= 1e-18 + 1e-15 * fabs(value)) {
      *out_p = p;
      *out_q = q;
      return true;
    }
    if (rest == whole) return false;
    rest = 1 / (rest - whole);
  }
  return false;
}

/* The last number that the operations bring to at most (below) b, going up, or down where they
 * fall. */
static double threshold(const Rounding *note, double b, bool strict) {
  double holds = rises(note) ? -1e15 : 1e15, fails = -holds;
  for (;;) {
    double middle = holds + (fails - holds) / 2, value = note ? rounded(note, middle) : middle;
    if (middle == holds || middle == fails) return holds;
    if (strict ? value < b : value <= b) {
      holds = middle;
    } else {
      fails = middle;
    }
  }
}

/* sum / count, rounded, and then the operations: at most (below) b. */
static Lit average_at_most(const Algebra *algebra, const Sym *a, double b, bool strict) {
  const Lin *sum = a->rounding ? first_of(a->rounding)->exact : a->lin;
  bool up = rises(a->rounding), equal = true;
  double at = threshold(a->rounding, b, strict), sign = up ? 1 : -1;
  int64_t p, q;
  Lin scaled = {0};
  if (fraction_near(at, &p, &q)) { /* no other average is that near */
    double value = (double)p / (double)q;
    equal = up ? value <= at : value >= at;
    lin_add_lin(&scaled, sum, sign * (double)q);
    lin_add_lin(&scaled, a->divisor, -sign * (double)p);
  } else {
    lin_add_lin(&scaled, sum, sign);
    lin_add_lin(&scaled, a->divisor, -sign * at);
  }
  if (!equal) lin_scale(&scaled, -1);
  Lit lit = model_le(algebra->model, &scaled, 0); /* q sum - p count <= 0; or not >= 0 */
  lin_finish(&scaled);
  return equal ? lit : lit_not(lit);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static Lit below(const Algebra *algebra, const Sym *a, double b, bool strict) {
  return a->kind == SYM_RATIO ? average_at_most(algebra, a, b, strict)
                              : at_most(algebra, a->rounding, b, strict);
}

Lit rounding_compare(const Algebra *algebra, SqlOp op, const Sym *a, double b) {
  if (op != SQL_OP_EQ && op != SQL_OP_NE) {
    Lit lit = below(algebra, a, b, op == SQL_OP_LT || op == SQL_OP_GE);
    return op == SQL_OP_GT || op == SQL_OP_GE ? lit_not(lit) : lit;
  }
  Lit both[2] = {below(algebra, a, b, false), lit_not(below(algebra, a, b, true))};
  Lit equal = model_and(algebra->model, both, 2);
  return op == SQL_OP_EQ ? equal : lit_not(equal);
}

int rounding_at_empty(SqlOp op, const Sym *a, double b) {
  double at_empty = first_of(a->rounding)->exact_at_empty;
  if (!a->group || isnan(at_empty)) return -1;
  double value = rounded(a->rounding, at_empty);
  switch (op) {
  case SQL_OP_EQ:
    return value == b;
  case SQL_OP_NE:
    return value != b;
  case SQL_OP_LT:
    return value < b;
  case SQL_OP_LE:
    return value <= b;
  case SQL_OP_GT:
    return value > b;
  default:
    return value >= b;
  }
}
