/*
** Between expr_eval.c and expr_operators.c.
*/
#ifndef TENFOLD_REPLAY_EXPR_EVAL_H
#define TENFOLD_REPLAY_EXPR_EVAL_H

#include "replay/expr_inner.h"

typedef struct Eval {
  const ExprScope *scope;
  Arena *arena;
  Fault *fault; /* never NULL */
} Eval;

bool eval_expr(const Eval *eval, const Expr *node, Value *out);
bool eval_fail(const Eval *eval, const Expr *node, FaultCode code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
const char *eval_type_name(const Eval *eval, const DwarfType *type);
/* A value of the type that is not known. */
bool eval_absent(const Eval *eval, const DwarfType *type, ValueState state, Value *out);
bool eval_bytes(const Eval *eval, const DwarfType *type, const void *bytes, size_t size,
                Value *out);
bool eval_num(const Eval *eval, const Num *num, const DwarfType *type, Value *out);
/* An array becomes a pointer to its first element, a function one to itself. */
bool eval_decay(const Eval *eval, Value *value);

/* ---- expr_operators.c */

bool eval_binary(const Eval *eval, const Expr *node, Value *out);
bool eval_unary_number(const Eval *eval, const Expr *node, Value *out);
bool eval_truth(const Eval *eval, const Expr *node, bool *out, ValueState *out_state);
/* A pointer and `num` (known when num_state says so) elements further, or back. */
bool eval_pointer_plus(const Eval *eval, const Expr *node, const Value *pointer, const Num *num,
                       ValueState num_state, bool minus, Value *out);

#endif
