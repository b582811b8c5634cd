/*
** How a model is kept: private to solver/.
**
** Everything is appended to a few flat arrays: no allocation per row, so that a million literals
** and five million terms are built at the speed of memcpy. A requirement or definition is a small
** record that points into the shared term pool.
*/
#ifndef TENFOLD_SOLVER_STORE_H
#define TENFOLD_SOLVER_STORE_H

#include "base/array.h"
#include "solver/model.h"

typedef enum VarKind {
  VAR_CONSTANT,
  VAR_VALUE,
  VAR_INTEGER,
  VAR_REAL,
  VAR_TALLY, /* computed, like derived ones, but from choices alone, and not by a definition */
  VAR_DERIVED
} VarKind;

typedef struct VarInfo {
  double lo, hi;
  int32_t owner; /* index of its choice, tally or definition; numbers: -1 */
  uint8_t kind;
  bool integral;
  int8_t grid; /* values are multiples of 2^-grid; -1: of nothing */
} VarInfo;

typedef struct Choice {
  Var first;
  int32_t count;
  int32_t start; /* index of the present value, -1: unknown */
} Choice;

typedef struct Tally {
  Var first;
  int32_t count;  /* of values */
  int32_t size;   /* of choices */
  size_t members; /* in model->members: indexes of the choices, ascending */
} Tally;

typedef struct NumberStart {
  Var var;
  double value;
} NumberStart;

/* Terms start..start+count of the pool, sorted by variable, no VAR_ONE, nothing constant. */
typedef struct Span {
  size_t start;
  size_t count;
} Span;

typedef struct Requirement {
  Span span;
  double bound, slack; /* slack: what rounding may make of it; 0 where sums are exact */
  int tag;
  uint8_t sense; /* ModelSense */
} Requirement;

typedef enum DefKind {
  DEF_AND,     /* of the literals in span (coef 1: var, -1: its negation) */
  DEF_LE,      /* span <= bound; its negation is span >= bound + step */
  DEF_MAX,     /* of items */
  DEF_MIN,     /* of items */
  DEF_PRODUCT, /* literal * (bound + span); with LIT_TRUE a name for an expression ("copy") */
  DEF_QUOTIENT /* (bound + span) / divisor, towards zero */
} DefKind;

typedef struct Item {
  Span span;
  double constant;
  double lo, hi; /* of constant + span */
  Lit guard;
} Item;

typedef struct Definition {
  Span span;
  size_t first_item;
  uint32_t nitems;
  DefKind kind;
  Var var;
  Lit lit;
  double bound; /* the constant of PRODUCT and QUOTIENT; of MAX and MIN: the value when no guard
                ** is true, at the end of the range that never matters */
  double step;
  double noise; /* the value, or the sum that LE compares, may be off by this; 0: it is exact */
  double rough; /* of PRODUCT: what its expression has of it (Lin), above 0 where there is noise */
  int64_t divisor;
  uint64_t hash;
} Definition;

typedef struct Goal {
  int level;
  Lin lin;      /* to be maximized: minimized goals are negated on entry */
  double noise; /* what rounding may make of it; 0: it is exact */
} Goal;

struct Model {
  Fault fault;
  VarInfo *vars;
  size_t nvars, vars_capacity;
  Var first_derived; /* no derived variable is below; nvars without any */
  Choice *choices;
  size_t nchoices, choices_capacity;
  Tally *tallies;
  size_t ntallies, tallies_capacity;
  int32_t *members; /* of the tallies */
  size_t nmembers, members_capacity;
  Map known_tallies; /* by their members */
  int32_t *chosen;   /* scratch of tally_evaluate(), per choice */
  size_t chosen_capacity;
  Var *numbers; /* to decide: all that are no choices */
  size_t nnumbers, numbers_capacity;
  NumberStart *starts;
  size_t nstarts, starts_capacity;
  Term *terms;
  size_t nterms, terms_capacity;
  Requirement *reqs;
  size_t nreqs, reqs_capacity;
  Definition *defs;
  size_t ndefs, defs_capacity;
  Item *items;
  size_t nitems, items_capacity;
  uint32_t *table; /* open addressing over definitions: index + 1, 0 free */
  size_t table_size;
  Goal *goals; /* ascending by level, one per level */
  size_t ngoals, goals_capacity;
  Lin scratch;
  bool rounds; /* some comparison, requirement or goal is not exact */
};

/* Record the first fault; always false. */
bool model_fail(Model *model, FaultCode code, const char *what);

/* Fill model->scratch with `lin` in normal form: sorted, merged, constants and names of expressions
** replaced. False after recording a fault. Cost: linear when `lin` is sorted. */
bool model_fold(Model *model, const Lin *lin);
/* The same for literals, each with the coefficient given. */
bool model_fold_lits(Model *model, const Lit *lits, size_t count, double coef);

/* Doubles round sums, and in what order they are added is not known here: by how much two who
** compute `lin - bound` may differ. 0 when there is nothing to round. `lin` is folded, its terms
** add up to lo..hi; `integral` is terms_integral() of them. */
double model_noise(const Model *model, const Lin *lin, bool integral, double bound, double lo,
                   double hi);

/* What rounding may make of each definition's value at these values; less than for any values. */
void model_noises(const Model *model, const double *values, double *out_noises);
/* The same of a level's number; `noises`: of the definitions. */
double model_noise_at(const Model *model, size_t level, const double *values, const double *noises);

/* Does a comparison or a requirement (but those left out) end within its noise? */
bool model_in_doubt(const Model *model, const double *values, const uint8_t *skip);

/* Copy model->scratch's terms to the pool. */
bool model_keep(Model *model, Span *out);

/* A new derived variable (definition not yet attached), or VAR_ONE after a fault. */
Var model_new_var(Model *model, VarKind kind, double lo, double hi, int grid, int32_t owner);

/* What a derived variable with this noise adds, times a coefficient, to the `rough` of a Lin. */
static inline double rough_of_noise(double noise) { return noise / 3.2e-15; }

/* `count` of them, integral, from 0 to hi. */
Var model_new_vars(Model *model, VarKind kind, size_t count, double hi, int32_t owner);

/* The variable of `def`, whose terms (from `terms` on) and items (from `items` on) were just
** appended; they are taken back when an equal definition exists. */
Var model_intern(Model *model, Definition def, size_t terms, size_t items, double lo, double hi,
                 int grid);
bool model_same_span(const Model *model, Span a, Span b);

/* Bounds while conclusions are drawn. Values of choices, which are nearly all variables, and of
** tallies need a byte each; of `lo` and `hi` nothing but the others' is ever touched, and memory
** that is not touched costs nothing. */
typedef enum Mark { MARK_OPEN, MARK_OUT, MARK_SURE, MARK_NUMBER } Mark;

typedef struct VarBounds {
  uint8_t *mark; /* OUT: 0 for sure, SURE: a value that is 1; NUMBER: see lo, hi */
  double *lo, *hi;
} VarBounds;

static inline double var_lo(const VarBounds *bounds, Var var) {
  return bounds->mark[var] == MARK_NUMBER ? bounds->lo[var] : bounds->mark[var] == MARK_SURE;
}
static inline double var_hi(const VarBounds *bounds, Var var) {
  return bounds->mark[var] == MARK_NUMBER ? bounds->hi[var] : bounds->mark[var] != MARK_OUT;
}

/* Bounds of sorted terms, aware that exactly one value of a choice is true. `bounds` may be NULL:
** the variables' own. */
void span_bounds(const Model *model, const Term *terms, size_t count, const VarBounds *bounds,
                 double *out_lo, double *out_hi);
/* k: the value is a multiple of 2^-k, at least 0; -1 when it is of none (or of one finer than
** 2^-20). Then the same of constant + terms. */
int number_grid(double value);
int terms_grid(const Model *model, const Term *terms, size_t count, double constant);
bool terms_integral(const Model *model, const Term *terms, size_t count);
double terms_value(const Term *terms, size_t count, const double *values);

/* Greatest common divisor of integer coefficients, 0 for none. Exact below 2^53. */
double terms_gcd(const Term *terms, size_t count);

/* ---- tallies: tally.c */

static inline const int32_t *tally_members(const Model *model, const Tally *tally) {
  return model->members + tally->members;
}
/* Is the choice (an index) among the members? */
bool tally_counts(const Model *model, const Tally *tally, int32_t choice);
/* Replace tallies in model->scratch by their members; it is not in normal form then. */
bool tally_spell(Model *model);
/* All of them, from the choices. */
void tally_evaluate(const Model *model, double *values);
/* Sorted terms of which the first is of a tally: what each of its choices contributes, at least and
** at most, given which values are out. Returns how many terms are of the tally. */
size_t tally_span(const Model *model, const Term *terms, size_t count, const VarBounds *bounds,
                  double *out_least, double *out_most);

static inline bool lit_value(Lit lit, const double *values) {
  return (values[lit_var(lit)] > 0.5) != lit_negative(lit);
}

#endif
