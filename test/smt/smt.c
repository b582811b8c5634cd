/*
** Z3 answers what pencil and paper answer; nonsense is refused; each question begins anew.
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "solver/smt/smt.h"

static SmtAnswer ask(Smt *smt, const char *script) {
  Fault fault = {0};
  SmtAnswer answer = SMT_UNKNOWN;
  if (!smt_ask(smt, script, &answer, &fault)) {
    printf("# %s\n", fault.text);
    abort();
  }
  return answer;
}

static void check_value(Smt *smt, const char *term, const char *wanted) {
  Fault fault = {0};
  Text value = {0};
  assert(smt_value(smt, term, &value, &fault));
  if (strcmp(text_get(&value), wanted)) printf("# %s is %s\n", term, text_get(&value));
  assert(!strcmp(text_get(&value), wanted));
  text_finish(&value);
}

/* Do both of two numbers' parities fit? By counting, and by Z3. */
static void check_counting(Smt *smt) {
  for (int a = 0; a < 4; a++) {
    for (int b = 0; b < 4; b++) {
      char script[300];
      bool any = false;
      for (int x = 0; x < 10; x++) any |= x % 4 == a && (x * x) % 5 == b;
      snprintf(script, sizeof script,
               "(declare-const x Int)(assert (and (>= x 0) (< x 10) (= (mod x 4) %d) (= (mod (* x "
               "x) 5) %d)))",
               a, b);
      assert(ask(smt, script) == (any ? SMT_SAT : SMT_UNSAT));
    }
  }
}

/* Twelve pigeons in eleven holes: more work than is given. */
static void check_work(Smt *smt) {
  enum { HOLES = 11 };
  Text text = {0};
  for (int p = 0; p <= HOLES; p++) {
    for (int h = 0; h < HOLES; h++) text_addf(&text, "(declare-const x%d_%d Bool)", p, h);
    text_add(&text, "(assert (or");
    for (int h = 0; h < HOLES; h++) text_addf(&text, " x%d_%d", p, h);
    text_add(&text, "))");
  }
  for (int h = 0; h < HOLES; h++) {
    for (int p = 0; p <= HOLES; p++) {
      for (int q = 0; q < p; q++) {
        text_addf(&text, "(assert (not (and x%d_%d x%d_%d)))", p, h, q, h);
      }
    }
  }
  assert(!text.oom && ask(smt, text_get(&text)) == SMT_UNKNOWN);
  text_finish(&text);
}

int main(void) {
  Fault fault = {0};
  Smt *smt = smt_open(&fault);
  if (!smt) {
    printf("# %s\n", fault.text);
    return 1;
  }
  assert(ask(smt, "(declare-const x Int)(assert (and (> x 3) (< x 5)))") == SMT_SAT);
  check_value(smt, "x", "4");
  check_value(smt, "(+ x 1)", "5");
  assert(ask(smt, "(declare-const x Int)(assert (and (> x 3) (< x 4)))") == SMT_UNSAT);
  assert(ask(smt, "(declare-const x Bool)") == SMT_SAT); /* x is another one now */
  check_counting(smt);
  check_work(smt);
  SmtAnswer answer;
  assert(!smt_ask(smt, "(assert (nonsense", &answer, &fault) && fault.code == FAULT_INVALID);
  fault_clear(&fault);
  assert(!smt_ask(smt, "(assert undeclared)", &answer, &fault) && fault.code == FAULT_INVALID);
  assert(ask(smt, "") == SMT_SAT);
  smt_close(smt);
  smt_close(NULL);
  printf("ok 1 - smt\n1..1\n");
  return 0;
}
