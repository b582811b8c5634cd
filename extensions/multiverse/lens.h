/*
** What a table's policy asks of a row that is in memory.
**
** Every rule is taken apart into questions about the row alone, which SQLite answers once, when the
** row is read (flags); about the context alone, which it answers once per universe; memberships;
** and comparisons of a column with a member of the context, which are answered here. Rules that do
** not come apart so, such as those with sub-selects, leave the table to tier 1.
**
** Rules about a row that is to be written are taken apart in the same way (verdict.c). SQLite has
** not read that row, so what depends on it alone is taken apart too.
*/
#ifndef TENFOLD_MULTIVERSE_LENS_H
#define TENFOLD_MULTIVERSE_LENS_H

#include "extensions/multiverse/shadow.h"
#include "extensions/multiverse/store.h"

typedef enum Tri { TRI_FALSE, TRI_NULL, TRI_TRUE } Tri;

typedef enum NodeKind {
  NODE_FLAG,    /* a: of the row */
  NODE_CONTEXT, /* a: of the universe */
  NODE_ATOM,    /* a: of the table */
  NODE_COMPARE, /* column a, op, operand b */
  NODE_TRUTH,   /* of a column a that holds a number or NULL */
  NODE_FALSE,
  NODE_NOT, /* left */
  NODE_AND,
  NODE_OR,
  NODE_UNLESS /* left, and right is not TRUE */
} NodeKind;

typedef struct Node {
  NodeKind kind;
  SqlOp op;
  int a, b;
  const struct Node *left, *right;
} Node;

typedef struct Rewrite { /* first that applies decides */
  int column;
  const Node *applies;
  int cell; /* of the row; or -1: `shown` of the universe */
  int shown;
} Rewrite;

typedef struct Operand { /* what a comparison with a column has on its other side */
  int param;             /* of the context; -1: */
  Datum literal;         /* which no comparison converts */
  SqlAffinity affinity;
} Operand;

typedef enum Asked { ASKED_NOTHING, ASKED_VALUE, ASKED_TRUTH } Asked;

typedef struct Lens {
  const char *unfit; /* NULL, or why the table's rows are not kept */
  const Node *visible;
  Rewrite *rewrites;
  int nrewrites;
  Operand *operands;
  size_t noperands, operands_capacity;
  int nflags, ncells; /* cells: the columns, then replacements */
  int ncontexts, nshown;
  char *row_sql; /* the rowid, cells, NOT flags of the table's rows, up to WHERE */
  char *eye_sql; /* NOT contexts, shown; NULL: there are none */
  /* Of a row that is to be written: */
  const Node **rules; /* of the action, in their order */
  uint8_t *asked;     /* per column: Asked */
} Lens;

/* `unfit` is set when it is not to be used. False without memory. Finish it either way. Most of it
** is in the arena. */
bool lens_make(const Policy *policy, const TablePolicy *table, Arena *arena, Lens *out);
/* What decides about a row that is to be written so: the rules of the action, and `visible`. */
bool lens_make_for_writing(const Policy *policy, const TablePolicy *table, Action action,
                           Arena *arena, Lens *out);
void lens_finish(Lens *lens);

/* ---- who looks ------------------------------------------------------------------------------- */

typedef struct Eye { /* of one universe */
  uint64_t serial;
  Datum *operands, *shown;
  sqlite3_value **copies; /* what they borrow from */
  int ncopies;
  uint8_t *contexts;
} Eye;

/* `statement`: of eye_sql, parameters bound, or NULL when there is none. */
bool eye_open(Eye *eye, const Lens *lens, const State *state, sqlite3_stmt *statement);
void eye_close(Eye *eye);

typedef struct Sight { /* an eye on one row */
  const Lens *lens;
  Eye *eye;
  const TablePolicy *table;
  const MemberSet *sets;
  const signed char *truths; /* per atom, -1: the row decides */
  StoreTable format;
  const Datum *fresh; /* per column: the row that is to be, for which the functions take NULL */
} Sight;

bool sight_sees(const Sight *sight, const Row *row);
bool sight_finds(const Sight *sight, const Row *row, const Node *node); /* it TRUE */
/* The rule that decides about a cell, or NULL. */
const Rewrite *sight_rewrite(const Sight *sight, const Row *row, int column);
Datum sight_cell(const Sight *sight, const Row *row, int column);

/* A column as it is stored; -1: the rowid. */
Datum raw_cell(const Sight *sight, const Row *row, int column);
bool datum_passes(const Datum *cell, SqlOp op, const Datum *other);

#endif
