/*
** SQL values held outside SQLite: see value.h.
*/
#include "extensions/weave/value.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool value_copy(Arena *arena, const Value *value, Value *out) {
  Value copy = *value;
  if (copy.type == VALUE_TEXT || copy.type == VALUE_BLOB) {
    copy.bytes = arena_strndup(arena, value->bytes, value->length);
    if (!copy.bytes) return false;
  }
  *out = copy;
  return true;
}

/* Length of the number that `s` begins with after spaces; *is_real when it has a point or an
** exponent. 0: none. SQLite's own rule, which knows no hex, inf or nan. */
static size_t number_length(const char *s, size_t length, bool *is_real) {
  size_t i = 0, digits = 0;
  *is_real = false;
  while (i < length && isspace((unsigned char)s[i])) i++;
  if (i < length && (s[i] == '-' || s[i] == '+')) i++;
  for (; i < length && isdigit((unsigned char)s[i]); i++) digits++;
  if (i < length && s[i] == '.') {
    size_t fraction = 0;
    while (i + 1 + fraction < length && isdigit((unsigned char)s[i + 1 + fraction])) fraction++;
    if (digits + fraction == 0) return 0;
    *is_real = true;
    i += 1 + fraction;
    digits += fraction;
  }
  if (digits == 0) return 0;
  if (i < length && (s[i] == 'e' || s[i] == 'E')) {
    size_t j = i + 1;
    if (j < length && (s[j] == '-' || s[j] == '+')) j++;
    if (j < length && isdigit((unsigned char)s[j])) {
      while (j < length && isdigit((unsigned char)s[j])) j++;
      *is_real = true;
      i = j;
    }
  }
  return i;
}

static Value leading_number(const Value *value) {
  bool is_real;
  size_t n = number_length(value->bytes, value->length, &is_real);
  if (n == 0) return value_integer(0);
  double real = text_read_real(value->bytes, NULL);
  if (!is_real && fabs(real) < 9e18) return value_integer(strtoll(value->bytes, NULL, 10));
  return value_real(real);
}

double value_number(const Value *value) {
  switch (value->type) {
  case VALUE_INTEGER:
    return (double)value->integer;
  case VALUE_REAL:
    return value->real;
  case VALUE_TEXT:
  case VALUE_BLOB: {
    Value number = leading_number(value);
    return number.type == VALUE_INTEGER ? (double)number.integer : number.real;
  }
  default:
    return 0;
  }
}

bool value_is_integral(const Value *value) {
  if (value->type == VALUE_TEXT || value->type == VALUE_BLOB) {
    return leading_number(value).type == VALUE_INTEGER;
  }
  return value->type == VALUE_INTEGER;
}

int value_truth(const Value *value) {
  if (value->type == VALUE_NULL) return -1;
  return value_number(value) != 0;
}

Collation collation_named(const char *name) {
  if (!name || !strcasecmp(name, "BINARY")) return COLLATION_BINARY;
  if (!strcasecmp(name, "NOCASE")) return COLLATION_NOCASE;
  if (!strcasecmp(name, "RTRIM")) return COLLATION_RTRIM;
  return COLLATION_OTHER;
}

/* SQLite folds ASCII only. */
static unsigned char fold(unsigned char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

static size_t trimmed(const Value *v, Collation collation) {
  size_t n = v->length;
  if (collation == COLLATION_RTRIM) {
    while (n > 0 && v->bytes[n - 1] == ' ') n--;
  }
  return n;
}

static int compare_text(const Value *a, const Value *b, Collation collation) {
  size_t na = trimmed(a, collation), nb = trimmed(b, collation), n = na < nb ? na : nb;
  for (size_t i = 0; i < n; i++) {
    unsigned char ca = (unsigned char)a->bytes[i], cb = (unsigned char)b->bytes[i];
    if (collation == COLLATION_NOCASE) {
      ca = fold(ca);
      cb = fold(cb);
    }
    if (ca != cb) return ca < cb ? -1 : 1;
  }
  return na < nb ? -1 : na > nb;
}

static int compare_numbers(const Value *a, const Value *b) {
  if (a->type == VALUE_INTEGER && b->type == VALUE_INTEGER) {
    return a->integer < b->integer ? -1 : a->integer > b->integer;
  }
  double x = value_number(a), y = value_number(b);
  return x < y ? -1 : x > y;
}

int value_compare(const Value *a, const Value *b, Collation collation) {
  int ra = value_is_number(a) ? 0 : a->type == VALUE_TEXT ? 1 : 2;
  int rb = value_is_number(b) ? 0 : b->type == VALUE_TEXT ? 1 : 2;
  if (ra != rb) return ra < rb ? -1 : 1;
  if (ra == 0) return compare_numbers(a, b);
  return compare_text(a, b, ra == 1 ? collation : COLLATION_BINARY);
}

bool value_apply_affinity(Arena *arena, Value *value, SqlAffinity affinity) {
  if (affinity == SQL_AFFINITY_TEXT && value_is_number(value)) {
    Text text = {0};
    value_add_plain(&text, value);
    const char *bytes = text.oom ? NULL : arena_strdup(arena, text_get(&text));
    value->length = (uint32_t)text.length;
    text_finish(&text);
    if (!bytes) return false;
    value->type = VALUE_TEXT;
    value->bytes = bytes;
  } else if (affinity >= SQL_AFFINITY_NUMERIC && value->type == VALUE_TEXT) {
    bool is_real;
    size_t n = number_length(value->bytes, value->length, &is_real);
    while (n > 0 && n < value->length && isspace((unsigned char)value->bytes[n])) n++;
    if (n > 0 && n == value->length) *value = leading_number(value);
  }
  return true;
}

void value_add_key(Text *key, const Value *value, Collation collation) {
  if (value->type == VALUE_NULL) {
    text_addc(key, 'n');
  } else if (value_is_number(value)) {
    /* 1 and 1.0 are one group. Integers beyond 2^53 keep their own key. */
    double real = value_number(value);
    bool exact = value->type == VALUE_REAL || (int64_t)real == value->integer;
    if (real == 0) real = 0;
    text_addc(key, exact ? 'r' : 'i');
    text_addn(key, exact ? (const char *)&real : (const char *)&value->integer, 8);
  } else {
    bool is_text = value->type == VALUE_TEXT;
    size_t n = is_text ? trimmed(value, collation) : value->length;
    uint64_t length = n;
    text_addc(key, is_text ? 't' : 'b');
    text_addn(key, (const char *)&length, sizeof length);
    if (is_text && collation == COLLATION_NOCASE) {
      for (size_t i = 0; i < n; i++) text_addc(key, (char)fold((unsigned char)value->bytes[i]));
    } else {
      text_addn(key, value->bytes, n);
    }
  }
}

void value_add_exact_key(Text *key, const Value *value) {
  text_addc(key, (char)('0' + value->type));
  value_add_key(key, value, COLLATION_BINARY);
}

static void add_hex(Text *out, const Value *value) {
  for (uint32_t i = 0; i < value->length; i++) {
    text_addf(out, "%02x", (unsigned char)value->bytes[i]);
  }
}

void value_add_plain(Text *out, const Value *value) {
  switch (value->type) {
  case VALUE_INTEGER:
    text_addf(out, "%" PRId64, value->integer);
    break;
  case VALUE_REAL:
    text_add_real(out, value->real);
    break;
  case VALUE_TEXT:
    text_addn(out, value->bytes, value->length);
    break;
  case VALUE_BLOB:
    text_add(out, "x'");
    add_hex(out, value);
    text_addc(out, '\'');
    break;
  default:
    text_add(out, "NULL");
  }
}

void value_add_sql(Text *out, const Value *value) {
  if (value->type == VALUE_TEXT) {
    text_add_string(out, value->bytes, value->length);
  } else {
    value_add_plain(out, value);
  }
}

void value_add_json(Text *out, const Value *value) {
  if (value->type == VALUE_TEXT) {
    text_add_json(out, value->bytes, value->length);
  } else if (value->type == VALUE_BLOB) {
    text_addc(out, '"');
    add_hex(out, value);
    text_addc(out, '"');
  } else if (value->type == VALUE_NULL) {
    text_add(out, "null");
  } else {
    value_add_plain(out, value);
  }
}
