/*
** The obvious answer: every assignment of the decided cells, written into plain tables and judged
** by running the user's own views. Knows nothing of the extension.
*/
#ifndef TENFOLD_TEST_WEAVE_ORACLE_H
#define TENFOLD_TEST_WEAVE_ORACLE_H

#include "test/weave/brute/case.h"

/* One decided cell. Values are as the column stores them, distinct. */
typedef struct OracleCell {
  const Decide *decide;
  sqlite3_value *id;
  sqlite3_value **values;
  int count, now;
  sqlite3_stmt *write;
} OracleCell;

/* An assignment is a number: digit i, least first, is the value of cell i. */
typedef struct Oracle {
  const Case *c;
  sqlite3 *db;
  OracleCell cells[MAX_CELLS];
  int ncells, nassignments;
  sqlite3_stmt *clear_twin, *fill_twin;
  int nlevels, levels[MAX_LEVELS];
  double scale[MAX_LEVELS]; /* how large the numbers of each level become */
  bool *feasible;
  double (*goals)[MAX_LEVELS];
  int best; /* -1: no assignment is feasible */
} Oracle;

/* False when the case is of no use: an error in it, too many assignments; out->db says what. Close
** in any case. */
bool oracle_open(Oracle *out, const Case *c);
void oracle_close(Oracle *oracle);

/* Judge all assignments. False on an error of SQLite's. */
bool oracle_judge(Oracle *oracle);

/* -1, 0, 1: is a worse than, as good as, better than b? Exactly, where doubles add up exactly (2^32
** and 1 are told apart). Else a difference that the order of additions may explain, given the size
** of the case's numbers, is not *sure: such numbers may be taken for equal or not. */
int oracle_order(const Oracle *oracle, int level, double a, double b, bool *sure);
/* The same of goal vectors; *level (NULL: not asked): where they differ. */
int oracle_compare(const Oracle *oracle, const double *a, const double *b, int *level, bool *sure);
/* Is some feasible assignment surely better? */
bool oracle_beaten(const Oracle *oracle, const double *goals);

/* Does some assignment give none of the queries a row (and keep the schema's constraints)? */
bool oracle_satisfiable(Oracle *oracle, sqlite3_stmt *const *queries, int count, bool constraints);

/* The digit of a value in a cell, -1 when it is none of its values. */
int oracle_digit(const OracleCell *cell, sqlite3_value *value);

static inline int oracle_digit_of(const Oracle *oracle, int assignment, int cell) {
  for (int i = 0; i < cell; i++) assignment /= oracle->cells[i].count;
  return assignment % oracle->cells[cell].count;
}

#endif
