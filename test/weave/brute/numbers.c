/*
** The numbers a case is made of. Most cases have small whole numbers and binary fractions, with
** which doubles are exact. The others have what is hard for whoever computes with tolerances:
** decimal fractions, whose sums depend on the order; numbers far apart; numbers that differ by
** very little; very small ones. Bounds are sums of such numbers, so that they are met, or nearly.
*/
#include <math.h>
#include <stdlib.h>

#include "test/weave/brute/case.h"

enum { PLAIN, KINDS = 7, COUNT = 7 };

static const char *const values[KINDS][COUNT] = {
    {"1", "2", "1.5", "0.5", "3", "1", "2"},
    {"0.1", "0.2", "0.3", "0.7", "0.1", "0.4", "1.1"},
    {"0.33", "1.1", "2.2", "0.01", "3.3", "0.05", "4.4"},
    {"0.000001", "0.000002", "3e-6", "0.0000015", "1e-6", "0.5", "1"},
    {"1e9", "1e6", "0.001", "1e9", "123456789.125", "0.1", "1e-6"},
    {"0.1", "0.1000001", "0.10000000001", "0.2", "0.2000000001", "0.30000000000000004", "0.3"},
    {"1000000000", "1000000000.5", "999999999.9", "1e9", "1000000000.000001", "1", "0.1"},
};

void numbers_choose(Case *c) { c->numbers = one_in(c, 2) ? PLAIN : 1 + draw(c, KINDS - 1); }

double numbers_size(const Case *c) {
  double most = 1;
  for (int i = 0; i < COUNT; i++) most = fmax(most, strtod(values[c->numbers][i], NULL));
  return 4 * most;
}

bool numbers_plain(const Case *c) { return c->numbers == PLAIN; }

const char *numbers_value(Case *c) { return values[c->numbers][draw(c, COUNT)]; }

void numbers_constant(Case *c, sqlite3_str *out) {
  const char *a = numbers_value(c), *b = numbers_value(c);
  switch (draw(c, 4)) {
  case 0:
    sqlite3_str_appendf(out, "(%s + %s)", a, b);
    return;
  case 1:
    sqlite3_str_appendf(out, "(%s + %s + %s)", a, b, numbers_value(c));
    return;
  default:
    sqlite3_str_appendall(out, a);
  }
}
