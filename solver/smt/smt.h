/*
** Questions of logic, put to Z3 in its own language (SMT-LIB 2).
**
** Z3 is a library that is looked for when the first question is asked; without it everything else
** works. It is given no more than a fixed amount of work per question, which is counted and not
** timed: the same question has the same answer everywhere, and no thread watches a clock.
**
**   Smt *smt = smt_open(&fault);
**   smt_ask(smt, "(declare-const x Int)(assert (> (* x x) 20))", &answer, &fault);
**   if (answer == SMT_SAT) smt_value(smt, "x", &text, &fault);
*/
#ifndef TENFOLD_SOLVER_SMT_H
#define TENFOLD_SOLVER_SMT_H

#include "base/fault.h"
#include "base/text.h"

typedef struct Smt Smt;

typedef enum SmtAnswer {
  SMT_UNSAT,  /* no assignment: what was asserted cannot be */
  SMT_SAT,    /* there is one, and smt_value() tells of it until the next question */
  SMT_UNKNOWN /* the work was not enough */
} SmtAnswer;

/* NULL with FAULT_UNSUPPORTED when there is no Z3. One thread at a time. */
Smt *smt_open(Fault *fault);
void smt_close(Smt *smt); /* NULL is fine */

/* Declarations and assertions, without check-sat. Each question begins anew. False, with the fault
** set, for what Z3 does not read. */
bool smt_ask(Smt *smt, const char *script, SmtAnswer *out, Fault *fault);

/* The value of a term in the assignment, as Z3 writes it: "true", "7", "(- (/ 7.0 2.0))". */
bool smt_value(Smt *smt, const char *term, Text *out, Fault *fault);

#endif
