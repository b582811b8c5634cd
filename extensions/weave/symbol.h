/*
** Symbols: SQL values that may depend on decisions, and SQL's operators over them.
**
** A symbol is a constant, a linear expression, a truth value, a finite choice of constants, or a
** ratio of two linear expressions. NULL is part of every symbol, because SQL's rules about it
** decide what a policy means: a truth value is a pair of literals (surely true, surely false; NULL
** when neither), a number carries the literal under which it is NULL.
**
** Everything here follows SQLite's semantics exactly or refuses with a Fault (FAULT_UNSUPPORTED)
** that names the operator; the caller adds view, column and place.
*/
#ifndef TENFOLD_WEAVE_SYMBOL_H
#define TENFOLD_WEAVE_SYMBOL_H

#include "extensions/weave/value.h"
#include "solver/model.h"

/* Literals side by side; whoever made them keeps them. */
typedef struct LitRun {
  const Lit *lits;
  size_t count;
} LitRun;

/* The tuples behind a GROUP BY group, as literals: the group exists when any of them is true. */
typedef struct GuardSet {
  const LitRun *runs; /* none of them empty */
  size_t count;
  bool always;    /* some tuple is there under every decision */
  bool any_known; /* `any` was computed */
  Lit any;
} GuardSet;

/* One possible value, taken when its guard is true. */
typedef struct Choice {
  Lit guard;
  Value value;
} Choice;

typedef enum SymKind { SYM_CONST, SYM_LIN, SYM_BOOL, SYM_CHOICE, SYM_RATIO } SymKind;

/* Of a number that depends on decisions. Sums and cases over values of both types have the type of
** whatever is there: SQLite's division then truncates under some decisions and not under others. */
typedef enum NumberType { NUMBER_REAL, NUMBER_INTEGER, NUMBER_EITHER } NumberType;

typedef struct Sym Sym;
struct Sym {
  SymKind kind;
  Value value; /* CONST */

  /* LIN and RATIO: the number; RATIO: divided by `divisor`, NULL when that is 0. */
  const Lin *lin;
  const Lin *divisor;
  NumberType type;
  Lit null; /* true: the value is NULL */

  /* LIN and BOOL computed from aggregates of one group: what they are when the group is empty.
  ** Knowing that spares the literal "the group exists" in most rules. */
  const GuardSet *group; /* NULL: not of a group */
  bool null_if_empty;    /* LIN: NULL when the group is empty, whatever `null` says */
  double at_empty;       /* LIN: the value of `lin` then; NaN: not known */
  const struct Rounding
      *rounding; /* LIN: how SQLite comes to it; NULL: it is exact, or not known */
  const struct DistinctSet *distinct;    /* LIN that is count(DISTINCT …), untouched */
  signed char yes_at_empty, no_at_empty; /* BOOL: 0, 1, or -1 unknown */

  /* BOOL: surely true, surely false. While `left` is set they are not made yet: the comparison of
  ** two choices, kept as it is because requirements over it have a sharper form. */
  Lit yes, no;
  const Sym *left, *right;
  bool pair_equal; /* left = right, else left <> right */

  /* CHOICE: guards exclude each other; NULL when none is true. */
  const Choice *choices;
  size_t nchoices;
  bool exhaustive;    /* exactly one guard is true, always */
  const void *domain; /* the decision itself, unchanged: what its values are; NULL: computed */
  Collation collation;
};

/* The tuples that count(DISTINCT x) counts, by value. count(DISTINCT x) = count(*) says that no
** value comes twice: one sharp row per value, instead of the counting. */
typedef struct DistinctSet {
  const Lin *per_value; /* sum of the literals of the tuples with that value */
  size_t count;
  const Lin *total; /* all tuples */
} DistinctSet;

/* What the operations need. */
typedef struct Algebra {
  Model *model;
  Arena *arena;
  Fault *fault;
  bool utf16; /* BINARY then orders text by bytes that are not those we see */
} Algebra;

/* How a comparison treats its two sides. */
typedef struct Comparison {
  SqlAffinity left, right; /* affinity of the operands' expressions */
  Collation collation;
} Comparison;

Sym sym_const(Value value);
Sym sym_null(void);
Sym sym_lin(const Lin *lin, NumberType type);

NumberType number_type(const Value *value);
NumberType number_type_of_both(NumberType a, NumberType b);   /* of a + b, a * b */
NumberType number_type_of_either(NumberType a, NumberType b); /* of the one or the other */
Sym sym_bool(Lit yes, Lit no);

/* Moves a Lin into the arena; the result is read-only and needs no finish. NULL: out of memory. */
const Lin *sym_keep(const Algebra *algebra, Lin *lin);

/* The literal that some tuple of the group is there. */
Lit sym_group_any(const Algebra *algebra, const GuardSet *group);

/* The value as the solver's number: finite, and an integer only within +-2^53, or a fault. */
bool sym_number(const Algebra *algebra, const Value *value, double *out);

/* Conversions. to_lin: NULL becomes the literal in out->null; text that is no number is refused.
** to_bool: as in WHERE; makes the literals of a pair. */
bool sym_to_lin(const Algebra *algebra, const Sym *sym, Sym *out);
bool sym_to_bool(const Algebra *algebra, const Sym *sym, Sym *out);
/* The literal under which the symbol is NULL. */
bool sym_null_lit(const Algebra *algebra, const Sym *sym, Lit *out);

/* Operators; `a` and `b` may be any symbols. */
bool sym_compare(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b,
                 const Comparison *how, Sym *out);
bool sym_arithmetic(const Algebra *algebra, SqlOp op, const Sym *a, const Sym *b, Sym *out);
bool sym_negate(const Algebra *algebra, const Sym *a, Sym *out);
bool sym_not(const Algebra *algebra, const Sym *a, Sym *out);
bool sym_and(const Algebra *algebra, const Sym *a, const Sym *b, Sym *out);
bool sym_or(const Algebra *algebra, const Sym *a, const Sym *b, Sym *out);
bool sym_is_null(const Algebra *algebra, const Sym *a, bool negated, Sym *out);

/* CASE: values[i] where conditions[i] is the first that is true, else `otherwise`. */
bool sym_case(const Algebra *algebra, const Sym *conditions, const Sym *values, int count,
              const Sym *otherwise, Sym *out);
bool sym_coalesce(const Algebra *algebra, const Sym *args, int count, Sym *out);
bool sym_extreme(const Algebra *algebra, const Sym *args, int count, bool largest, Sym *out);
bool sym_abs(const Algebra *algebra, const Sym *a, Sym *out);

/* What SQLite gives for constants (NULL rules, integer overflow to REAL, division by zero). */
bool value_arithmetic(const Algebra *algebra, SqlOp op, const Value *a, const Value *b, Value *out);

/* Two choices over equal keys: indexes into keys[0..count) for each choice of a and of b, -1 for
** NULL values. Helps rules over pairs. Arrays in the arena. */
typedef struct ChoiceKeys {
  int *left, *right;
  int count;
} ChoiceKeys;
bool sym_choice_keys(const Algebra *algebra, const Sym *a, const Sym *b, ChoiceKeys *out);

#endif
