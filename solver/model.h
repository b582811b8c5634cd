/*
** A model: variables, definitions, requirements, goals. Knows nothing of SQL or rows.
**
** A model is a small network of expressions over primary variables. *Primary* variables are what
** the solver decides: choices (one value of a finite domain, seen as 0/1 variables that sum to
** one), integers, reals. *Derived* variables are defined by an expression over earlier variables
** (and, or, comparison, min, max, product, quotient), so their values follow from the primary
** ones. That gives two uses of one object:
**   - evaluation: given the primary values, everything else is computed exactly (local search,
**     checking an answer);
**   - encoding: a definition becomes rows of a linear program only where it is used, and only in
**     the direction it is used (`sum <= cap` needs no upper side of `sum`), which is what keeps
**     models small ("polarity-aware half reification").
**
** Example: two pods (2 and 3 cores) on two nodes of 4 cores, as few nodes as possible.
**   Var a = model_choice(m, 2), b = model_choice(m, 2);
**   for (int n = 0; n < 2; n++) {
**     Lin load = {0};
**     lin_add(&load, a + n, 2); lin_add(&load, b + n, 3);
**     model_require(m, &load, MODEL_LE, 4, RULE_CAPACITY);
**     Lit used = model_or(m, (Lit[]){lit_of(a + n), lit_of(b + n)}, 2);
**     lin_add_lit(&goal, used, 1);
**   }
**   model_goal(m, 1, false, &goal);
**
** Every function that adds to the model reports a refused allocation, a NaN, an infinity or an
** index that does not exist through model_fault(): after the first one the model is dead and
** further calls are no-ops that return LIT_FALSE / VAR_ONE, so builders check once at the end.
** A Model may be used by one thread at a time.
*/
#ifndef TENFOLD_SOLVER_MODEL_H
#define TENFOLD_SOLVER_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/stop.h"

typedef int32_t Var; /* 0 is VAR_ONE, the constant 1 */
typedef int32_t Lit; /* a 0/1 variable or its negation */

#define VAR_ONE ((Var)0)
#define LIT_TRUE ((Lit)0)
#define LIT_FALSE ((Lit)1)

static inline Lit lit_of(Var var) { return (Lit)(var * 2); }
static inline Lit lit_not(Lit lit) { return lit ^ 1; }
static inline Var lit_var(Lit lit) { return lit >> 1; }
static inline bool lit_negative(Lit lit) { return lit & 1; }

/* constant + sum of coef * var. All zero is the expression 0. Memory is malloc'ed: lin_finish().
** A variable may occur several times; lin_normalize() merges. */
typedef struct Term {
  Var var;
  double coef;
} Term;

typedef struct Lin {
  double constant;
  double rough; /* size of the numbers that went into it and are no binary fractions: sums of these
                ** are rounded, by how much depends on their order. What is among `terms` still is
                ** not counted here */
  Term *terms;
  size_t count, capacity;
  bool oom; /* sticky; the model functions refuse such an expression */
} Lin;

void lin_add(Lin *lin, Var var, double coef);
void lin_add_lit(Lin *lin, Lit lit, double coef); /* a negated one adds coef * (1 - var) */
void lin_add_lin(Lin *lin, const Lin *other, double factor);
void lin_scale(Lin *lin, double factor);
void lin_normalize(Lin *lin); /* sorted by var, merged, no zero coefficients, no VAR_ONE */
void lin_finish(Lin *lin);

/* A multiple of 2^-20, or a whole number up to 2^53: doubles add these up without rounding. */
bool number_is_binary(double value);

typedef struct Model Model;

Model *model_create(void); /* NULL when out of memory */
void model_destroy(Model *model);

/* True when everything so far was accepted. */
bool model_ok(const Model *model);
const Fault *model_fault(const Model *model);

/* ---- primary variables */

/* A choice among `count` >= 1 values: `count` consecutive 0/1 variables, the first is returned. */
Var model_choice(Model *model, int count);
/* That many variables are about to be made: their memory is then taken at once. */
void model_expect(Model *model, size_t count);
/* Which choice the variable is a value of (0, 1, … in the order they were made); -1: of none. */
int32_t model_choice_of(const Model *model, Var var);

/* Tallies: how many of the choices (n of them, given by their first variables, each once, all among
** the same number of values) take each value. As many consecutive variables as they have values,
** the first is returned; number k is the sum of their k-th. Rows over a tally are as many times
** shorter than rows over the choices one by one, and mean the same. The same choices, in whatever
** order, give the same variables; a tally of one is the choice itself. Cost: n and the number of
** values, not their product. */
Var model_tally(Model *model, const Var *choices, size_t n);
/* An integer in lo..hi / a real in [lo, hi]; |bounds| <= 2^53 for integers, finite. */
Var model_integer(Model *model, double lo, double hi);
Var model_real(Model *model, double lo, double hi);

/* Where the present state stands: the value of a choice (its first variable, the index) or of a
** number. Used as the start of the search, and as the tie-breaker: among equal answers the one
** that changes fewest primaries is preferred where that costs nothing. */
void model_start_choice(Model *model, Var first, int index);
void model_start_number(Model *model, Var var, double value);

/* ---- derived variables. Equal definitions give the same variable; constants are folded, so that
** the result may be LIT_TRUE, LIT_FALSE or one of the inputs. */

Lit model_and(Model *model, const Lit *lits, size_t count); /* of none: true */
Lit model_or(Model *model, const Lit *lits, size_t count);  /* of none: false */
/* lin <= bound, as a literal. When all variables are integral and all coefficients are integers (or
** become so by a power of two) the negation is lin >= bound + 1 (gcd-tightened); integers with
** decimal coefficients have a step of that decimal; otherwise lin > bound is read as
** lin >= bound + epsilon with epsilon = 1e-9 * (1 + largest |coefficient * bound of variable|),
** and evaluation is exact. */
Lit model_le(Model *model, const Lin *lin, double bound);

/* The largest / smallest of the items whose guard is true. When no guard is true the value is
** unspecified (model that case with the guards). */
typedef struct GuardedLin {
  Lit guard;
  Lin lin;
} GuardedLin;
Var model_max(Model *model, const GuardedLin *items, size_t count);
Var model_min(Model *model, const GuardedLin *items, size_t count);

/* lin when the literal is true, else 0. */
Var model_product(Model *model, Lit lit, const Lin *lin);
/* Integer division truncating towards zero, as SQLite's /; divisor is not 0, lin is integral. */
Var model_quotient(Model *model, const Lin *lin, int64_t divisor);

/* Bounds that hold for every assignment of the primaries (interval arithmetic); exact for
** primaries. True when the expression takes integer values only. */
void model_bounds(const Model *model, const Lin *lin, double *out_lo, double *out_hi);
bool model_is_integral(const Model *model, const Lin *lin);
/* Every value is a multiple of this power of two, at most 1; 0: of none down to 2^-20. */
double model_step(const Model *model, const Lin *lin);

/* ---- requirements. `tag` says where it comes from (>= 0, the caller's numbering): an infeasible
** core is a set of tags. Requiring an OR, AND or comparison posts its rows directly. */

typedef enum ModelSense { MODEL_LE, MODEL_GE, MODEL_EQ } ModelSense;

void model_require(Model *model, const Lin *lin, ModelSense sense, double bound, int tag);
void model_require_lit(Model *model, Lit lit, int tag);
void model_require_clause(Model *model, const Lit *lits, size_t count, int tag);
void model_require_at_most(Model *model, Var var, double most, int tag);
void model_require_at_most_one(Model *model, const Lit *lits, size_t count, int tag);

/* ---- goals: lexicographic, level 1 first; goals of one level are summed in its own direction: the
** level's number is sum(maximized) - sum(minimized), and it is maximized. */
void model_goal(Model *model, int level, bool maximize, const Lin *lin);

/* ---- sizes and evaluation */

size_t model_nvars(const Model *model);
size_t model_nlevels(const Model *model);      /* distinct levels with a goal */
int model_level(const Model *model, size_t i); /* their numbers, ascending */

/* Compute all derived values in values[0..nvars) from the primaries in it. Exact double
** arithmetic in definition order. */
void model_evaluate(const Model *model, double *values);
double model_lin_value(const Lin *lin, const double *values);
/* The first requirement the values break by more than rounding explains, or -1; *out_tag is its
** tag. Also checks domains and integrality of primaries. */
int64_t model_check(const Model *model, const double *values, int *out_tag);
/* Is there none, without those whose tag's entry in `skip` (NULL: none) is not 0? */
bool model_holds(const Model *model, const double *values, const uint8_t *skip);
double model_level_value(const Model *model, size_t i, const double *values);

/* ---- solving */

typedef enum SolveStatus {
  SOLVE_OPTIMAL,    /* proven: no answer is better by more than the gap asked for */
  SOLVE_FEASIBLE,   /* an answer, with a bound */
  SOLVE_INFEASIBLE, /* proven: there is none */
  SOLVE_UNKNOWN     /* time ran out before an answer was found */
} SolveStatus;

const char *solve_status_name(SolveStatus status); /* "optimal", "feasible", … */

/* Whoever owns the numbers of a model, asked where an answer hangs on how sums are rounded. Without
** one the model's own arithmetic decides. */
typedef struct Judge {
  /* Do these values satisfy everything but the requirements whose tag's entry in `skip` (NULL:
  ** none) is not 0? *out_holds, and then the number of each level in out_levels. Only the
  ** primaries in `values` count. False after a fault. Called on the calling thread. */
  bool (*ask)(void *ctx, const double *values, const uint8_t *skip, bool *out_holds,
              double *out_levels, Fault *fault);
  void *ctx;
} Judge;

typedef struct SolveOptions {
  double
      gap; /* relative gap that counts as optimal; 0: none where values lie in steps, else 1e-6 */
  uint64_t seed;     /* same seed, same model, no deadline met: same answer */
  const Lit *assume; /* literals taken as true for this solve only */
  size_t nassume;
  bool first_answer; /* any answer will do: goals ignored */
  const Judge *judge;
  double settle; /* a model whose sums are rounded is settled by going through all assignments when
                 ** that takes at most so many steps; 0: the usual number, < 0: never */
  void (*progress)(void *ctx, const char *phase, double seconds, double objective, double bound);
  void *progress_ctx; /* progress is called on the calling thread */
} SolveOptions;

typedef struct SolvePhase {
  const char *name; /* "presolve", "search", "lp", "branch", … */
  double seconds;
} SolvePhase;

enum { SOLVE_MAX_PHASES = 16 };

typedef struct Answer {
  SolveStatus status;
  double *values; /* per variable, all derived ones included; NULL without an answer */
  size_t nlevels;
  double *objective, *bound; /* per level: number reached; no answer can exceed the bound given
                             ** the levels before it. Infinite when unknown */
  double *noise; /* per level: what rounding, or the gap that counts as none, may make of the
                 ** objective; values that differ by no more than both their noises are equal */
  size_t rows, columns, nonzeros; /* the linear program as solved (after grouping) */
  size_t groups;                  /* choices after merging interchangeable ones */
  int64_t nodes;                  /* branch and bound nodes */
  SolvePhase phases[SOLVE_MAX_PHASES];
  int nphases;
} Answer;

void answer_finish(Answer *answer);

/* Are all sums exact: of whole numbers and binary fractions, and not too large? */
bool model_exact(const Model *model);

/* Solve. Runs the linear solver on a thread of its own (GLPK aborts, prints and keeps per-thread
** state: none of it reaches the host); polls `stop` on the calling thread at least every 20 ms and
** returns within 0.2 s of a stop, with the best answer so far. False only for faults (memory, a
** dead model, FAULT_INTERRUPT when `stop` was asked rather than timed out and no answer exists). */
bool solver_solve(const Model *model, const SolveOptions *options, Stop *stop, Answer *out,
                  Fault *fault);

/* Which tags belong together: numbers per tag (NULL: each tag on its own). */
typedef struct TagParts {
  size_t ntags;      /* tags from here on are on their own */
  const int *groups; /* large ones, as rules are: tried first, so that a core over these is found
                     ** before it is split */
  const int *rows;   /* what a reader takes for one thing: none is named that is not needed beside
                     ** the whole of the others */
} TagParts;

/* A set of tags whose requirements cannot all hold (goals do not matter): tags[0..*count), sorted,
** malloc'ed, owned by the caller. *out_minimal: leaving out any one of them was proven feasible,
** and so was the whole of all rows named but one. FAULT_INVALID when the model is feasible,
** FAULT_TIMEOUT when that could not be settled. `parts`: NULL for none. */
bool solver_core(const Model *model, const TagParts *parts, const SolveOptions *options, Stop *stop,
                 int **out_tags, size_t *out_count, bool *out_minimal, Fault *fault);

/* "GLPK 5.0" */
const char *solver_backend(void);

#endif
