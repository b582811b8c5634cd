/*
** Expressions of C over the variables of a stopped program: `p->next->key`, `*argv[1] == 'x'`,
** `sizeof(struct x) * n`, `((struct x *)p)->name`.
**
** All of C's operators but those that change something: no assignment, no call. What C leaves
** open means here:
**   char_pointer == "text"   the texts are equal (arrays of characters likewise)
**   $rax                     a register, as unsigned long; xmm registers cannot be named
**   void_pointer + 1         the next byte
** A name is a variable of the innermost function at the pc, then a global, a function or an
** enumerator: of its unit, its module, the others; if it is nothing of these, a variable of the
** functions that the innermost one is inlined in. 'list.c'::head is the one declared in that file
** (or of that module), main::calls the static variable of that function.
**
** Mistakes in the expression are FAULT_INVALID or FAULT_NOTFOUND, "column 4: struct x has no member
** \"y\""; columns count bytes from 1. What the program does not know is the state of the value.
*/
#ifndef TENFOLD_REPLAY_EXPR_H
#define TENFOLD_REPLAY_EXPR_H

#include "replay/value.h"

/* Where names are looked up. */
typedef struct ExprScope {
  const ValueSource *source; /* the frame; its `dwarf` may be NULL */
  const ValueSource *others; /* the other modules of the process that have debug information */
  size_t nothers;
} ExprScope;

typedef struct Expr Expr;

/* Parses one expression from text on; names of types are looked up in the scope, so that the
** expression is good for every moment in the same modules. *out_rest is what it ends before (a
** comma, AS, ...); NULL: there must be nothing. Lives in the arena. */
bool expr_parse(const char *text, const ExprScope *scope, Arena *arena, const Expr **out,
                const char **out_rest, Fault *fault);
/* In this scope, now. */
bool expr_evaluate(const Expr *expr, const ExprScope *scope, Arena *arena, Value *out,
                   Fault *fault);

#endif
