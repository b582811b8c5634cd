/*
** Linear expressions: see model.h. A builder appends without looking; normalizing sorts and merges.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "solver/model.h"

bool number_is_binary(double value) {
  if (value == floor(value)) return fabs(value) <= 9007199254740992.0; /* nearly all are */
  double scaled = value * 1048576;
  return scaled == floor(scaled) && fabs(scaled) <= 9007199254740992.0;
}

/* The size of a number that is rounded when it is added to others. */
static double rough_part(double value) { return number_is_binary(value) ? 0 : fabs(value); }

static void add_constant(Lin *lin, double value) {
  lin->constant += value;
  lin->rough += rough_part(value);
}

void lin_add(Lin *lin, Var var, double coef) {
  if (lin->oom) return;
  if (var == VAR_ONE) {
    add_constant(lin, coef);
    return;
  }
  if (!array_extend(lin->terms, lin->capacity, lin->count + 1)) {
    lin->oom = true;
    return;
  }
  lin->terms[lin->count++] = (Term){var, coef};
}

void lin_add_lit(Lin *lin, Lit lit, double coef) {
  if (lit_negative(lit)) {
    add_constant(lin, coef);
    coef = -coef;
  }
  lin_add(lin, lit_var(lit), coef);
}

/* A factor that is a power of two changes no digit. */
static bool keeps_digits(double factor) {
  int exponent;
  return fabs(factor) == 1 || fabs(frexp(factor, &exponent)) == 0.5;
}

/* A rounded coefficient is a number among others as long as it is a term of its own, though it may
** look like a binary fraction: 0.1 * 10 does. So all that is said of it is that there is one. */
static const double flag = 1e-200;

/* What is rounded when every coefficient is multiplied. */
static double rough_product(const Lin *lin, double factor) {
  double rough = 0;
  bool binary = number_is_binary(factor);
  if (keeps_digits(factor)) return 0;
  for (size_t i = 0; i < lin->count && rough == 0; i++) {
    if (!binary || !number_is_binary(lin->terms[i].coef)) rough = flag;
  }
  return binary && number_is_binary(lin->constant) ? rough : rough + fabs(lin->constant * factor);
}

static double scaled_rough(const Lin *lin, double factor) {
  double rough = fabs(factor) * lin->rough + rough_product(lin, factor);
  return lin->rough > 0 ? fmax(rough, flag) : rough;
}

void lin_add_lin(Lin *lin, const Lin *other, double factor) {
  if (other->oom) lin->oom = true;
  if (lin->oom) return;
  size_t count = other->count; /* `other` may be `lin` itself */
  double constant = other->constant;
  double rough = scaled_rough(other, factor);
  if (count && (count > SIZE_MAX - lin->count ||
                !array_extend(lin->terms, lin->capacity, lin->count + count))) {
    lin->oom = true;
    return;
  }
  for (size_t i = 0; i < count; i++) {
    lin->terms[lin->count++] = (Term){other->terms[i].var, other->terms[i].coef * factor};
  }
  add_constant(lin, constant * factor);
  lin->rough += rough;
}

void lin_scale(Lin *lin, double factor) {
  lin->rough = scaled_rough(lin, factor);
  for (size_t i = 0; i < lin->count; i++) lin->terms[i].coef *= factor;
  lin->constant *= factor;
}

static void sift_down(Term *terms, size_t root, size_t count) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && terms[child].var < terms[child + 1].var) child++;
    if (terms[root].var >= terms[child].var) return;
    Term swap = terms[root];
    terms[root] = terms[child];
    terms[child] = swap;
  }
}

/* Needs no memory that could be refused. Equal variables end up in any order, which can only change
** the last bit of a merged coefficient. */
static void heap_sort(Term *terms, size_t count) {
  for (size_t i = count / 2; i-- > 0;) sift_down(terms, i, count);
  for (size_t end = count; end-- > 1;) {
    Term swap = terms[0];
    terms[0] = terms[end];
    terms[end] = swap;
    sift_down(terms, 0, end);
  }
}

/* Where the ascending runs begin, and `count` last; returns their number. */
static size_t find_runs(const Term *terms, size_t count, uint32_t *starts) {
  size_t runs = 0;
  starts[runs++] = 0;
  for (size_t i = 1; i < count; i++) {
    if (terms[i].var < terms[i - 1].var) starts[runs++] = (uint32_t)i;
  }
  starts[runs] = (uint32_t)count;
  return runs;
}

static void merge_two(const Term *a, const Term *a_end, const Term *b, const Term *b_end,
                      Term *to) {
  while (a < a_end && b < b_end) *to++ = b->var < a->var ? *b++ : *a++;
  memcpy(to, a, (size_t)(a_end - a) * sizeof *to);
  memcpy(to + (a_end - a), b, (size_t)(b_end - b) * sizeof *to);
}

/* Merge neighbouring runs of `from` into `to`; returns how many are left. */
static size_t merge_runs(const Term *from, Term *to, uint32_t *starts, size_t runs) {
  size_t left = 0;
  for (size_t r = 0; r < runs; r += 2, left++) {
    uint32_t begin = starts[r], middle = starts[r + 1];
    uint32_t end = r + 1 < runs ? starts[r + 2] : middle;
    merge_two(from + begin, from + middle, from + middle, from + end, to + begin);
    starts[left] = begin;
    starts[left + 1] = end; /* read again only as the end of the last run */
  }
  return left;
}

/* Expressions are put together from pieces that are in order already: merging their runs takes
** log2(pieces) passes. */
static void sort_terms(Term *terms, size_t count) {
  Term *other = count < UINT32_MAX ? malloc(count * sizeof *other) : NULL;
  uint32_t *starts = other ? malloc((count + 1) * sizeof *starts) : NULL;
  Term *from = terms, *to = other;
  if (!starts) {
    free(other);
    heap_sort(terms, count);
    return;
  }
  for (size_t runs = find_runs(terms, count, starts); runs > 1;) {
    runs = merge_runs(from, to, starts, runs);
    Term *swap = from;
    from = to;
    to = swap;
  }
  if (from != terms) memcpy(terms, from, count * sizeof *terms);
  free(other);
  free(starts);
}

/* What was rounded in two coefficients and their sum, as a term, is not the size of. */
static double merging_hides(const Lin *lin, double a, double b) {
  if (lin->rough == 0 && number_is_binary(a) && number_is_binary(b)) return 0;
  return fmax(fabs(a) + fabs(b) - fabs(a + b), flag);
}

void lin_normalize(Lin *lin) {
  bool sorted = true, clean = true;
  for (size_t i = 0; i < lin->count; i++) {
    if (lin->terms[i].coef == 0 || lin->terms[i].var == VAR_ONE) clean = false;
    if (i && lin->terms[i].var <= lin->terms[i - 1].var) sorted = false;
  }
  if (sorted && clean) return;
  if (!sorted) sort_terms(lin->terms, lin->count);
  size_t kept = 0;
  for (size_t i = 0; i < lin->count;) {
    Term term = lin->terms[i++];
    while (i < lin->count && lin->terms[i].var == term.var) {
      double more = lin->terms[i++].coef;
      lin->rough += merging_hides(lin, term.coef, more);
      term.coef += more;
    }
    if (term.var == VAR_ONE) {
      add_constant(lin, term.coef);
    } else if (term.coef != 0) {
      lin->terms[kept++] = term;
    }
  }
  lin->count = kept;
}

void lin_finish(Lin *lin) {
  free(lin->terms);
  *lin = (Lin){0};
}

double model_lin_value(const Lin *lin, const double *values) {
  double sum = lin->constant;
  for (size_t i = 0; i < lin->count; i++) sum += lin->terms[i].coef * values[lin->terms[i].var];
  return sum;
}
