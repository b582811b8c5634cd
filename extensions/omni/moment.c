/*
** The text of a moment: see moment.h.
*/
#include "extensions/omni/moment.h"

#include <errno.h>
#include <stdlib.h>

static bool read_number(const char **text, int base, uint64_t *out) {
  char *end;
  if (**text < '0' || **text > '9') return false;
  errno = 0;
  *out = strtoull(*text, &end, base);
  *text = end;
  return errno == 0;
}

bool moment_parse(const char *text, Moment *out, Fault *fault) {
  uint64_t numbers[4] = {0}; /* ev, tid, addr, hit */
  const char *at = text;
  int n = 0;
  bool ok = read_number(&at, 10, &numbers[n++]);
  while (ok && *at == ':' && n < 4) {
    at++;
    ok = read_number(&at, n == 2 ? 0 : 10, &numbers[n]);
    n++;
  }
  if (!ok || *at || n == 3 || numbers[1] > INT32_MAX || (n == 4 && !numbers[1])) {
    return fault_set(fault, FAULT_INVALID,
                     "a moment is ev:tid:addr:hit, as omni_calls has them, or ev, or ev:tid, "
                     "not '%.60s'",
                     text);
  }
  *out = (Moment){numbers[0], (int32_t)numbers[1], numbers[2], numbers[3]};
  return true;
}
