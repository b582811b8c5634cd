/*
** The relaxation of a large encoding by a growing choice of its columns. Private to solver/.
*/
#ifndef TENFOLD_SOLVER_SIFT_H
#define TENFOLD_SOLVER_SIFT_H

#include "solver/encode.h"
#include "solver/job.h"

/* A relaxation: x and reduced costs per column of the program; no answer costs less than bound. */
typedef struct Relaxation {
  Encoding encoding;
  double *x, *reduced;
  double bound;
  bool infeasible, usable; /* usable: x and reduced are filled in */
} Relaxation;

void relaxation_finish(Relaxation *r);

/* Solve the relaxation of r->encoding: at once when it is small; else by columns, starting from
** those of the best answer, as long as time allows: what is there when it ends is still a bound. */
bool relaxation_solve(Job *job, Relaxation *r, double seconds);

#endif
