/*
** A network (under given bounds) as a linear program. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_ENCODE_H
#define TENFOLD_SOLVER_ENCODE_H

#include "solver/lp.h"
#include "solver/net.h"

typedef struct Encoding {
  Lp lp;
  const Net *net;
  int32_t *lp_column;  /* of a column of the network, -1: fixed or not used */
  double *fixed;       /* its value then */
  int32_t *net_column; /* of a column of the program, -1: a selector of its own */
  size_t net_column_capacity;
} Encoding;

/* Where the program's bounds lie beside those of the network. The linear solver has a tolerance of
** its own: INSIDE keeps that distance from them, so that answers of the program are answers;
** OUTSIDE allows so much more that what the program excludes is excluded. */
typedef enum EncodeEdge { EDGE_SAME, EDGE_INSIDE, EDGE_OUTSIDE } EncodeEdge;

/* Maximize the expr `goal` (-1: find any answer) under lo <= columns <= hi. Only what rows and goal
** read is encoded, in the direction they read it. A column whose bounds meet is left out, unless
** `keep` (NULL: none) has another value for it: then `keep` can be given to the branch and bound as
** a start with its true objective. The program minimizes minus the goal. */
bool encode(const Net *net, const double *lo, const double *hi, int32_t goal, const double *keep,
            EncodeEdge edge, Encoding *out, Fault *fault);
void encode_finish(Encoding *encoding);

/* An evaluated point of the network as a point of the program with the same objective. Selectors,
** which have no cost, are left at 0: as a start for branch and bound that is enough. */
void encode_point(const Encoding *encoding, const double *columns, double *x);
/* Primaries of the network from a point of the program: integers rounded, within lo, hi. */
void encode_read(const Encoding *encoding, const double *x, const double *lo, const double *hi,
                 double *columns);

#endif
