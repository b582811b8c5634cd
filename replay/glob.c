/*
** SQLite's GLOB, for names of functions.
*/
#include "replay/functions.h"

/* One character; bytes that are no UTF-8 count for themselves. */
static unsigned next_char(const char **at) {
  const unsigned char *bytes = (const unsigned char *)*at;
  unsigned c = bytes[0];
  int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
  ++*at;
  if (!more) return c;
  c &= 0x3fu >> more;
  for (; more > 0 && ((unsigned char)**at & 0xc0) == 0x80; more--) {
    c = c << 6 | ((unsigned char)*(*at)++ & 0x3f);
  }
  return c;
}

/* "[...]" with *at behind the bracket, which moves behind the closing one. False: does not match,
** or is not closed. */
static bool in_class(const char **at, unsigned c) {
  bool found = false, first = true;
  const bool inverted = **at == '^';
  unsigned before = 0;
  if (inverted) ++*at;
  for (;; first = false) {
    if (!**at) return false;
    unsigned here = next_char(at);
    if (here == ']' && !first) return found != inverted;
    if (here == '-' && before && **at && **at != ']') {
      here = next_char(at);
      found |= before <= c && c <= here;
      before = 0;
    } else {
      found |= here == c;
      before = here;
    }
  }
}

bool glob_matches(const char *pattern, const char *text) {
  const char *star = NULL, *retry = NULL; /* the last *, and the text it has not taken yet */
  while (*text) {
    const char *here = text;
    bool ok = false;
    if (*pattern == '*') {
      star = ++pattern;
      retry = text;
      continue;
    }
    if (*pattern) {
      const unsigned wanted = next_char(&pattern), c = next_char(&here);
      ok = wanted == '?' || (wanted == '[' ? in_class(&pattern, c) : wanted == c);
    }
    if (ok) {
      text = here;
    } else if (star) {
      next_char(&retry);
      text = retry;
      pattern = star;
    } else {
      return false;
    }
  }
  while (*pattern == '*') pattern++;
  return !*pattern;
}
