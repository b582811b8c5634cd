/*
** The network: a model after presolve, the one form that search and encoding both work on.
**
** Private to solver/. Columns are what is left to decide and what follows from it:
**   - one integer column per (group, value): how many of the group's interchangeable choices take
**     the value (a choice that is like no other is a group of size 1);
**   - numbers;
**   - derived columns, each after everything its definition reads.
** Everything else is expressions over columns ("exprs"): rows, sides of definitions, goals.
** Literals that presolve fixed have no column; their share is in the exprs' constants.
*/
#ifndef TENFOLD_SOLVER_NET_H
#define TENFOLD_SOLVER_NET_H

#include "solver/store.h"

typedef enum NetKind {
  NET_LE,  /* column = [expr <= bound]; false means expr >= bound + step; give or take the noise */
  NET_MAX, /* column = largest expr whose guard holds; `bound` when none does */
  NET_MIN, /* the smallest */
  NET_PRODUCT, /* column = guard ? expr : 0 */
  NET_QUOTIENT /* column = expr / divisor, towards zero */
} NetKind;

typedef enum OwnerKind { OWNER_ROW, OWNER_DEF, OWNER_GOAL } OwnerKind;

/* A condition on a 0/1 column: column == 1, or == 0 when negative. column < 0: always true. */
typedef struct Guard {
  int32_t column;
  bool negative;
} Guard;

typedef struct NetExpr {
  Span span; /* of net->terms, sorted by column */
  double constant;
  int32_t owner; /* row, definition or level */
  uint8_t owner_kind;
  bool exact;   /* takes integers only, small enough for exact sums */
  Guard guard;  /* of an item or a product */
  double noise; /* what rounding may make of its value; 0 where sums are exact */
} NetExpr;

typedef struct NetRow {
  int32_t expr;
  double lo, hi;
  double slack; /* what rounding may cost */
} NetRow;

typedef struct NetDef {
  NetKind kind;
  int32_t column;
  int32_t first_expr, nexprs;
  double bound, step;
  int64_t divisor;
} NetDef;

typedef struct NetGroup {
  int32_t first, count; /* columns, one per value that is left */
  int32_t size;         /* interchangeable choices in it */
  size_t first_member;  /* in net->members: choice indexes, ascending */
} NetGroup;

typedef struct NetUse {
  int32_t expr;
  double coef;
} NetUse;

typedef struct Net {
  const Model *model;
  bool infeasible; /* presolve found a contradiction */

  int32_t ncols, nprimary; /* columns 0..nprimary are primary */
  double *lo, *hi;
  uint8_t *integer;
  int32_t *group;  /* of a column, -1: none */
  int32_t *def;    /* of a column, -1: primary */
  Var *var;        /* the model's variable (of the group's first member) */
  int32_t *column; /* of a model variable; < 0: fixed or unused. Of values of choices only those of
                   ** a group's first member have an entry: it counts for all */
  Var *settled;    /* primaries without a column that are not 0 … */
  double *settled_at;
  size_t nsettled, settled_capacity, settled_at_capacity;

  NetGroup *groups;
  int32_t ngroups;
  int32_t *members;

  NetExpr *exprs;
  size_t nexprs, exprs_capacity;
  Term *terms; /* Term.var is a column */
  size_t nterms, terms_capacity;
  NetRow *rows;
  size_t nrows, rows_capacity;
  NetDef *defs;
  size_t ndefs, defs_capacity;
  int32_t *goals; /* per level: its expr */
  size_t ngoals;

  /* What presolve counted, for reports. */
  size_t merged_pairs;

  /* Column-wise: uses use_start[c]..use_start[c+1] of column c in exprs; guards likewise as exprs.
  ** Built by net_index(). */
  size_t *use_start;
  NetUse *uses;
  size_t *guard_start;
  int32_t *guarded;
} Net;

/* Presolve: fix what unit requirements and bounds decide, merge pairs into at-most-one rows, merge
** interchangeable choices, build the network with its column index. `assume` literals are taken
** as true; `skip` (NULL: none) leaves out requirements whose tag's entry is true. When `stop` says
** so on the way, what is there is good for net_finish() alone. */
bool net_build(const Model *model, const Lit *assume, size_t nassume, const uint8_t *skip,
               Stop *stop, Net *out, Fault *fault);
void net_finish(Net *net);

/* Add a row lo <= expr <= hi (rebuild the index with net_index() afterwards). */
bool net_add_row(Net *net, const Term *terms, size_t count, double lo, double hi, double slack);
/* Add a goal that is none of the model's. */
bool net_add_goal(Net *net, const Term *terms, size_t count, int32_t *out_expr);
bool net_index(Net *net);

/* A value for every column -> a value for every variable of the model, exactly evaluated. Members
** of a group keep their present value where the counts allow. */
bool net_expand(const Net *net, const double *columns, double *values, Fault *fault);
/* Present values as columns: starts where given, NAN where unknown. */
void net_start(const Net *net, double *columns);

/* Derived columns from primary ones. */
void net_evaluate(const Net *net, double *columns);
double net_expr_value(const Net *net, int32_t expr, const double *columns);
/* Every row and bound holds, up to its slack. */
bool net_feasible(const Net *net, const double *columns);

/* Does a row or a comparison end within its noise? For evaluated columns. */
bool net_in_doubt(const Net *net, const double *columns);

/* Is the row an equation, or one side of one (the other is the row before or after it)? */
bool net_is_equation(const Net *net, size_t row);

/* Bounds of an expression, aware of the sizes of groups. */
void net_expr_bounds(const Net *net, int32_t expr, const double *lo, const double *hi,
                     double *out_lo, double *out_hi);

/* k: values of the column are multiples of 2^-k; -1: of nothing. */
int net_column_grid(const Net *net, int32_t column);

/* Draw consequences of rows, definitions and `cutoff` (expr `goal` >= cutoff; goal < 0: none) into
** lo, hi until nothing changes (or `rounds` are used up). False when there is no solution. Exact:
** no assignment that satisfies all is lost. */
bool net_tighten(const Net *net, double *lo, double *hi, int32_t goal, double cutoff, int rounds);

#endif
