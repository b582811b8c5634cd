/*
** An encoding in the making: shared by encode.c (columns, rows, goal) and encode_defs.c
** (definitions). Private to them.
*/
#ifndef TENFOLD_SOLVER_ENCODER_H
#define TENFOLD_SOLVER_ENCODER_H

#include "solver/encode.h"

enum { UP = 1, DOWN = 2 }; /* the column must not exceed / not fall below its definition */

typedef struct Encoder {
  Encoding *to;
  const Net *net;
  const double *lo, *hi, *keep;
  uint8_t *needs; /* UP, DOWN per column of the network */
  uint8_t *used;
  Term *row; /* the row being built */
  size_t count, capacity;
  double constant;
  double noise; /* of the row being built: what rounding may make of it */
  EncodeEdge edge;
  bool failed;
} Encoder;

/* Is the guard settled by the bounds? */
bool encoder_surely(const Encoder *e, Guard guard);
bool encoder_never(const Encoder *e, Guard guard);

/* A 0/1 column of its own. */
int32_t encoder_selector(Encoder *e);

/* A row: begin, put parts, emit lo <= row <= hi. Constants that parts bring along are moved to the
** bounds; rows of integers get integer bounds; others are scaled by a power of two. */
void encoder_begin(Encoder *e);
void encoder_put(Encoder *e, int32_t lp_column, double coef);
void encoder_put_column(Encoder *e, int32_t c, double coef);
void encoder_put_guard(Encoder *e, Guard guard, double coef); /* coef * [guard holds] */
void encoder_put_expr(Encoder *e, int32_t expr, double factor);
void encoder_emit(Encoder *e, double lo, double hi);

/* Rows of all definitions that are used, in the directions needed. */
void encoder_defs(Encoder *e);

#endif
