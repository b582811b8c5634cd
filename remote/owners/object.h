/*
** Rows as C objects: a struct of fixed layout for each declared type, which a program may read
** through a pointer (HotOS'19, "Fast key-value stores": rich application objects).
**
**   struct { uint64_t nulls; cells in the order of the columns; }
**
** A cell is an int64_t, a double, or an OwnBytes. Bit i of `nulls` says that column i is NULL; its
** cell is then zero. An object never changes once it was shown to anybody: a change is another
** object in its place. Who holds a reference may read it on any thread for as long as he likes.
*/
#ifndef TENFOLD_REMOTE_OWNERS_OBJECT_H
#define TENFOLD_REMOTE_OWNERS_OBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "remote/wire.h"

enum { OWN_COLUMNS = 63, OWN_MOST_KEY = 1024, OWN_MOST_ROW = 8 << 20 };

typedef enum OwnKind { OWN_INTEGER = 1, OWN_REAL, OWN_TEXT, OWN_BLOB } OwnKind;

typedef struct OwnBytes {
  const char *bytes; /* NUL-terminated in objects */
  uint64_t length;
} OwnBytes;

typedef struct OwnColumn {
  char name[64];
  OwnKind kind;
  bool not_null;
  uint32_t at; /* of its cell, in words, in OwnRow */
} OwnColumn;

/* What a table's rows are. The key is an INTEGER or a TEXT. */
typedef struct OwnType {
  int ncolumns, key;
  uint32_t words; /* of an OwnRow */
  OwnColumn columns[OWN_COLUMNS];
} OwnType;

/* words[0] is `nulls`. */
typedef struct OwnRow {
  uint64_t words[1 + 2 * OWN_COLUMNS];
} OwnRow;

typedef struct OwnObject {
  atomic_uint refs;
  uint32_t size;    /* bytes of all of it */
  uint64_t hash;    /* of the key */
  uint64_t version; /* no two changes of a row have the same, wherever they were made */
  bool gone;        /* there is no such row: only the key is meant */
  bool dirty;       /* not yet in the database; looked at under the slice's lock alone */
  bool used;        /* since the hand came by (table.c); likewise */
  uint64_t row[];
} OwnObject;

typedef struct OwnKey {
  int64_t number;
  OwnBytes text;
  uint64_t hash;
} OwnKey;

/* ---- types ----------------------------------------------------------------------------------- */

/* Places the cells. */
void own_type_place(OwnType *type);
/* The same columns; false: *fault says which differs. */
bool own_type_same(const OwnType *a, const OwnType *b, Fault *fault);

/* ---- keys and cells -------------------------------------------------------------------------- */

OwnKey own_key_number(int64_t number);
OwnKey own_key_text(const char *bytes, uint64_t length); /* borrows */
OwnKey own_key_of(const OwnType *type, const uint64_t *row);
bool own_keys_equal(const OwnKey *a, const OwnKey *b);
bool own_key_is(const OwnType *type, const OwnObject *object, const OwnKey *key);
/* "'c42'" or "7", for messages. */
const char *own_key_print(const OwnType *type, const OwnKey *key, char out[48]);

static inline bool own_null(const uint64_t *row, int column) { return row[0] >> column & 1; }
static inline OwnBytes own_bytes(const OwnType *type, const uint64_t *row, int column) {
  OwnBytes bytes;
  __builtin_memcpy(&bytes, row + type->columns[column].at, sizeof bytes);
  return bytes;
}
static inline int64_t own_integer(const OwnType *type, const uint64_t *row, int column) {
  return (int64_t)row[type->columns[column].at];
}
static inline double own_real(const OwnType *type, const uint64_t *row, int column) {
  double real;
  __builtin_memcpy(&real, row + type->columns[column].at, sizeof real);
  return real;
}
void own_set_null(const OwnType *type, uint64_t *row, int column);
void own_set_integer(const OwnType *type, uint64_t *row, int column, int64_t value);
void own_set_real(const OwnType *type, uint64_t *row, int column, double value);
void own_set_bytes(const OwnType *type, uint64_t *row, int column, const void *bytes,
                   uint64_t length);

/* ---- objects --------------------------------------------------------------------------------- */

/* A copy of the row with all its bytes, referred to once; NULL: no memory. A new version. */
OwnObject *own_object_make(const OwnType *type, const uint64_t *row);
OwnObject *own_object_make_gone(const OwnType *type, const OwnKey *key);
static inline OwnObject *own_object_keep(OwnObject *object) {
  atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
  return object;
}
void own_object_drop(OwnObject *object); /* NULL is fine */

/* The object that bytes of a cell belong to: for who gives them away by themselves. */
OwnObject *own_object_of_bytes(const void *bytes);

/* ---- on the wire ----------------------------------------------------------------------------- */

enum { OWN_ALL = -1 };

/* Columns of the mask: mask, nulls, then the cells that are not NULL (bytes with their length in
** front, padded to 8). */
bool own_put_row(FarWireBuffer *buffer, const OwnType *type, const uint64_t *row, uint64_t mask);
/* The row's bytes are those at *at. Columns that are not there become NULL. NULL, or what is wrong
** with it. */
const char *own_take_row(const unsigned char **at, const unsigned char *end, const OwnType *type,
                         OwnRow *out);

bool own_put_key(FarWireBuffer *buffer, const OwnType *type, const OwnKey *key);
bool own_take_key(const unsigned char **at, const unsigned char *end, const OwnType *type,
                  OwnKey *out);
bool own_put_word(FarWireBuffer *buffer, uint64_t word);
bool own_take_word(const unsigned char **at, const unsigned char *end, uint64_t *out);
/* Length and bytes. */
bool own_put_bytes(FarWireBuffer *buffer, const void *bytes, uint64_t length);
bool own_take_bytes(const unsigned char **at, const unsigned char *end, OwnBytes *out);

#endif
