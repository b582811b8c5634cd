#define _GNU_SOURCE /* getrandom */
#include "remote/owners/object.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "base/array.h"

/* ---- types ----------------------------------------------------------------------------------- */

void own_type_place(OwnType *type) {
  type->words = 1;
  for (int i = 0; i < type->ncolumns; i++) {
    type->columns[i].at = type->words;
    type->words += type->columns[i].kind >= OWN_TEXT ? 2 : 1;
  }
}

bool own_type_same(const OwnType *a, const OwnType *b, Fault *fault) {
  if (a->ncolumns != b->ncolumns || a->key != b->key) {
    return fault_set(fault, FAULT_INVALID, "%d columns with key %d, elsewhere %d with key %d",
                     a->ncolumns, a->key, b->ncolumns, b->key);
  }
  for (int i = 0; i < a->ncolumns; i++) {
    const OwnColumn *x = &a->columns[i], *y = &b->columns[i];
    if (strcasecmp(x->name, y->name) || x->kind != y->kind || x->not_null != y->not_null)
      return fault_set(fault, FAULT_INVALID, "column \"%s\" is declared otherwise elsewhere",
                       x->name);
  }
  return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

OwnKey own_key_number(int64_t number) {
  return (OwnKey){.number = number, .hash = hash_bytes(&number, sizeof number, 0)};
}

OwnKey own_key_text(const char *bytes, uint64_t length) {
  return (OwnKey){.text = {bytes, length}, .hash = hash_bytes(bytes, length, 0)};
}

OwnKey own_key_of(const OwnType *type, const uint64_t *row) {
  if (type->columns[type->key].kind == OWN_INTEGER)
    return own_key_number(own_integer(type, row, type->key));
  const OwnBytes text = own_bytes(type, row, type->key);
  return own_key_text(text.bytes, text.length);
}

bool own_keys_equal(const OwnKey *a, const OwnKey *b) {
  return a->hash == b->hash && a->number == b->number && a->text.length == b->text.length &&
         (!a->text.length || !memcmp(a->text.bytes, b->text.bytes, a->text.length));
}

bool own_key_is(const OwnType *type, const OwnObject *object, const OwnKey *key) {
  if (object->hash != key->hash) return false;
  if (type->columns[type->key].kind == OWN_INTEGER)
    return own_integer(type, object->row, type->key) == key->number;
  const OwnBytes text = own_bytes(type, object->row, type->key);
  return text.length == key->text.length &&
         (!text.length || !memcmp(text.bytes, key->text.bytes, text.length));
}

const char *own_key_print(const OwnType *type, const OwnKey *key, char out[48]) {
  if (type->columns[type->key].kind == OWN_INTEGER) {
    snprintf(out, 48, "%lld", (long long)key->number);
  } else {
    const int n = key->text.length < 40 ? (int)key->text.length : 40;
    snprintf(out, 48, "'%.*s'%s", n, n ? key->text.bytes : "", n == 40 ? "..." : "");
  }
  return out;
}

/* ---- cells ----------------------------------------------------------------------------------- */

static void set(const OwnType *type, uint64_t *row, int column, const void *cell, size_t size) {
  row[0] &= ~(UINT64_C(1) << column);
  memcpy(row + type->columns[column].at, cell, size);
}

void own_set_null(const OwnType *type, uint64_t *row, int column) {
  static const OwnBytes none;
  set(type, row, column, &none, type->columns[column].kind >= OWN_TEXT ? sizeof none : 8);
  row[0] |= UINT64_C(1) << column;
}

void own_set_integer(const OwnType *type, uint64_t *row, int column, int64_t value) {
  set(type, row, column, &value, sizeof value);
}

void own_set_real(const OwnType *type, uint64_t *row, int column, double value) {
  set(type, row, column, &value, sizeof value);
}

void own_set_bytes(const OwnType *type, uint64_t *row, int column, const void *bytes,
                   uint64_t length) {
  const OwnBytes cell = {bytes, length};
  set(type, row, column, &cell, sizeof cell);
}

/* ---- objects --------------------------------------------------------------------------------- */

/* Versions begin anywhere, so that those of two processes do not meet. */
static atomic_uint_fast64_t versions;

static void choose_beginning(void) {
  uint64_t start = 0;
  if (getrandom(&start, sizeof start, 0) != sizeof start) start = (uint64_t)(uintptr_t)&start;
  atomic_store(&versions, start | 1);
}

static size_t pad(uint64_t n) { return (size_t)((n + 7) / 8 * 8); }

/* In front of a cell's bytes stands their object, behind them a NUL. */
static size_t bytes_room(uint64_t length) { return sizeof(OwnObject *) + pad(length + 1); }

OwnObject *own_object_make(const OwnType *type, const uint64_t *row) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose_beginning);
  const size_t head = sizeof(OwnObject) + type->words * sizeof *row;
  size_t size = head;
  for (int i = 0; i < type->ncolumns; i++) {
    if (type->columns[i].kind >= OWN_TEXT && !own_null(row, i))
      size += bytes_room(own_bytes(type, row, i).length);
  }
  OwnObject *object = size <= UINT32_MAX ? malloc(size) : NULL;
  if (!object) return NULL;
  atomic_init(&object->refs, 1);
  object->size = (uint32_t)size;
  object->hash = own_key_of(type, row).hash;
  object->version = atomic_fetch_add(&versions, 1);
  object->gone = object->dirty = object->used = false;
  memcpy(object->row, row, type->words * sizeof *row);
  char *to = (char *)object + head;
  for (int i = 0; i < type->ncolumns; i++) {
    if (type->columns[i].kind < OWN_TEXT || own_null(row, i)) continue;
    const OwnBytes from = own_bytes(type, row, i);
    memcpy(to, &object, sizeof(OwnObject *));
    char *bytes = to + sizeof(OwnObject *);
    if (from.length) memcpy(bytes, from.bytes, from.length);
    bytes[from.length] = '\0';
    own_set_bytes(type, object->row, i, bytes, from.length);
    to += bytes_room(from.length);
  }
  return object;
}

OwnObject *own_object_make_gone(const OwnType *type, const OwnKey *key) {
  OwnRow row = {0};
  for (int i = 0; i < type->ncolumns; i++) own_set_null(type, row.words, i);
  if (type->columns[type->key].kind == OWN_INTEGER) {
    own_set_integer(type, row.words, type->key, key->number);
  } else {
    own_set_bytes(type, row.words, type->key, key->text.bytes, key->text.length);
  }
  OwnObject *object = own_object_make(type, row.words);
  if (object) object->gone = true;
  return object;
}

void own_object_drop(OwnObject *object) {
  if (!object) return;
  if (atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1) free(object);
}

OwnObject *own_object_of_bytes(const void *bytes) {
  OwnObject *object;
  memcpy(&object, (const char *)bytes - sizeof object, sizeof object);
  return object;
}

/* ---- on the wire ----------------------------------------------------------------------------- */

bool own_put_word(FarWireBuffer *buffer, uint64_t word) {
  return far_wire_add(buffer, &word, sizeof word);
}

bool own_take_word(const unsigned char **at, const unsigned char *end, uint64_t *out) {
  if (end - *at < 8) return false;
  memcpy(out, *at, 8);
  *at += 8;
  return true;
}

bool own_put_bytes(FarWireBuffer *buffer, const void *bytes, uint64_t length) {
  return own_put_word(buffer, length) && far_wire_add(buffer, bytes, length);
}

bool own_take_bytes(const unsigned char **at, const unsigned char *end, OwnBytes *out) {
  uint64_t length;
  if (!own_take_word(at, end, &length)) return false;
  if (length > OWN_MOST_ROW || pad(length) > (size_t)(end - *at)) return false;
  *out = (OwnBytes){(const char *)*at, length};
  *at += pad(length);
  return true;
}

bool own_put_key(FarWireBuffer *buffer, const OwnType *type, const OwnKey *key) {
  if (type->columns[type->key].kind == OWN_INTEGER)
    return own_put_word(buffer, (uint64_t)key->number);
  return own_put_bytes(buffer, key->text.bytes, key->text.length);
}

bool own_take_key(const unsigned char **at, const unsigned char *end, const OwnType *type,
                  OwnKey *out) {
  uint64_t number;
  OwnBytes text;
  if (type->columns[type->key].kind == OWN_INTEGER) {
    if (!own_take_word(at, end, &number)) return false;
    *out = own_key_number((int64_t)number);
    return true;
  }
  if (!own_take_bytes(at, end, &text) || text.length > OWN_MOST_KEY) return false;
  *out = own_key_text(text.bytes, text.length);
  return true;
}

bool own_put_row(FarWireBuffer *buffer, const OwnType *type, const uint64_t *row, uint64_t mask) {
  if (!own_put_word(buffer, mask) || !own_put_word(buffer, row[0])) return false;
  for (int i = 0; i < type->ncolumns; i++) {
    if (!(mask >> i & 1) || own_null(row, i)) continue;
    if (type->columns[i].kind >= OWN_TEXT) {
      const OwnBytes bytes = own_bytes(type, row, i);
      if (!own_put_bytes(buffer, bytes.bytes, bytes.length)) return false;
    } else if (!own_put_word(buffer, row[type->columns[i].at])) {
      return false;
    }
  }
  return true;
}

const char *own_take_row(const unsigned char **at, const unsigned char *end, const OwnType *type,
                         OwnRow *out) {
  uint64_t mask, nulls;
  memset(out->words, 0, type->words * sizeof *out->words);
  if (!own_take_word(at, end, &mask) || !own_take_word(at, end, &nulls)) return "a row is cut off";
  for (int i = 0; i < type->ncolumns; i++) {
    OwnBytes bytes;
    uint64_t word;
    if (!(mask >> i & 1) || nulls >> i & 1) {
      own_set_null(type, out->words, i);
    } else if (type->columns[i].kind >= OWN_TEXT) {
      if (!own_take_bytes(at, end, &bytes)) return "a row is cut off";
      own_set_bytes(type, out->words, i, bytes.bytes, bytes.length);
    } else {
      if (!own_take_word(at, end, &word)) return "a row is cut off";
      own_set_integer(type, out->words, i, (int64_t)word);
    }
  }
  const bool full =
      (mask & ((UINT64_C(1) << type->ncolumns) - 1)) == (UINT64_C(1) << type->ncolumns) - 1;
  for (int i = 0; full && i < type->ncolumns; i++) {
    if (own_null(out->words, i) && (type->columns[i].not_null || i == type->key))
      return "a row has a NULL where none may be";
  }
  return NULL;
}
