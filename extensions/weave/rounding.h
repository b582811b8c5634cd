/*
** Comparisons as SQLite rounds them: sum(x) * 0.1 <= 0.3 is false where sum(x) is 3.
**
** The model's linear expression for it, 0.1 a + 0.1 b + …, is rounded otherwise. But as long as a
** number is one that doubles hold exactly (whole, or binary fractions), changed by operations with
** constants, each of those is monotone, rounding included. So the comparison with a constant holds
** up to a threshold of the exact number, and the threshold is found by computing as SQLite does.
*/
#ifndef TENFOLD_WEAVE_ROUNDING_H
#define TENFOLD_WEAVE_ROUNDING_H

#include "extensions/weave/symbol.h"

/* The last operation; the first has the exact number. In the algebra's arena. */
typedef struct Rounding {
  const struct Rounding *before; /* NULL: this one is the first */
  const Lin *exact;
  double step, lo, hi; /* of `exact`: what its values are multiples of, and their range */
  double exact_at_empty;
  SqlOp op;
  double constant;
  bool constant_left;
} Rounding;

/* Sets out->rounding for the result of `a op constant` (or `constant op a`), NULL where nothing
** rounds or nothing exact is known. False: out of memory. */
bool rounding_note(const Algebra *algebra, const Sym *a, SqlOp op, double constant,
                   bool constant_left, Sym *out);

/* The literal that a op b, where a's rounding is set or a is an average of exact numbers. */
Lit rounding_compare(const Algebra *algebra, SqlOp op, const Sym *a, double b);
/* What it is when a's group is empty; -1: not known. For numbers whose rounding is set. */
int rounding_at_empty(SqlOp op, const Sym *a, double b);

#endif
