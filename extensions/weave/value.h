/*
** SQL values held outside SQLite: what the compiler reads from queries and computes with.
*/
#ifndef TENFOLD_WEAVE_VALUE_H
#define TENFOLD_WEAVE_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/text.h"
#include "sql/sql.h"

typedef enum ValueType { VALUE_NULL, VALUE_INTEGER, VALUE_REAL, VALUE_TEXT, VALUE_BLOB } ValueType;

/* 16 bytes; text and blobs are borrowed from whoever made the value (an arena, mostly). */
typedef struct Value {
  uint32_t type; /* ValueType */
  uint32_t length;
  union {
    int64_t integer;
    double real;
    const char *bytes;
  };
} Value;

static inline Value value_null(void) { return (Value){.type = VALUE_NULL}; }
static inline Value value_integer(int64_t i) {
  return (Value){.type = VALUE_INTEGER, .integer = i};
}
static inline Value value_real(double r) { return (Value){.type = VALUE_REAL, .real = r}; }
static inline bool value_is_null(const Value *v) { return v->type == VALUE_NULL; }
static inline bool value_is_number(const Value *v) {
  return v->type == VALUE_INTEGER || v->type == VALUE_REAL;
}

/* A copy whose bytes live in the arena. False when out of memory. */
bool value_copy(Arena *arena, const Value *value, Value *out);

/* The number SQLite would use in arithmetic: text and blobs give the number they begin with. */
double value_number(const Value *value);
bool value_is_integral(const Value *value); /* arithmetic with it stays INTEGER */
/* 1 true, 0 false, -1 NULL: as in WHERE. */
int value_truth(const Value *value);

/* Collations the engine can follow without SQLite. */
typedef enum Collation {
  COLLATION_BINARY,
  COLLATION_NOCASE,
  COLLATION_RTRIM,
  COLLATION_OTHER
} Collation;
Collation collation_named(const char *name); /* NULL: BINARY */

/* Order of two non-NULL values by SQLite's rules after affinity: numbers, text, blobs. */
int value_compare(const Value *a, const Value *b, Collation collation);

/* Apply the affinity of a comparison's other side: NUMERIC-like turns number-like text into a
** number, TEXT turns numbers into text (bytes from the arena). */
bool value_apply_affinity(Arena *arena, Value *value, SqlAffinity affinity);

/* Append bytes that are equal for values that compare equal under the collation (NULLs equal each
** other): a key for grouping and hashing. */
void value_add_key(Text *key, const Value *value, Collation collation);

/* The same where typeof() counts too: 1 is not 1.0. */
void value_add_exact_key(Text *key, const Value *value);

/* Append the value as an SQL literal / as a JSON value (blobs as hex strings). */
void value_add_sql(Text *out, const Value *value);
void value_add_json(Text *out, const Value *value);
/* Append as a person reads it: text bare, NULL as NULL. */
void value_add_plain(Text *out, const Value *value);

#endif
