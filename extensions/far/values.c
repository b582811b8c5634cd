/*
** SQLite's values and the cells of a row.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

static const char *const type_names[] = {"", "an INTEGER", "a REAL", "a TEXT", "a BLOB"};

/* A number that is whole, as an integer. */
static bool whole(sqlite3_value *value, int64_t *out) {
  const int type = sqlite3_value_numeric_type(value);
  *out = sqlite3_value_int64(value);
  if (type == SQLITE_INTEGER) return true;
  const double real = sqlite3_value_double(value);
  return type == SQLITE_FLOAT && real >= -9223372036854775808.0 && real < 9223372036854775808.0 &&
         (double)*out == real;
}

void far_key_of_value(const FarRecord *record, sqlite3_value *value, unsigned char *out,
                      bool *out_none) {
  const FarColumn *key = &record->columns[record->key];
  const int type = sqlite3_value_type(value);
  memset(out, 0, record->shape.key);
  if (key->type == FAR_INTEGER) {
    int64_t number = type == SQLITE_INTEGER ? sqlite3_value_int64(value) : 0;
    *out_none = type != SQLITE_INTEGER && (type == SQLITE_BLOB || !whole(value, &number));
    if (!*out_none) memcpy(out, &number, sizeof number);
    return;
  }
  const char *text = (const char *)sqlite3_value_text(value);
  const int length = sqlite3_value_bytes(value);
  *out_none = type == SQLITE_BLOB || type == SQLITE_NULL || !text || (uint32_t)length > key->room;
  if (*out_none) return;
  out[0] = (unsigned char)length;
  out[1] = (unsigned char)(length >> 8);
  memcpy(out + 2, text, (size_t)length);
}

/* ---- storing --------------------------------------------------------------------------------- */

static int refuse(FarTab *tab, const FarColumn *column, sqlite3_value *value) {
  const bool blob = sqlite3_value_type(value) == SQLITE_BLOB; /* the text would change it */
  const char *text = blob ? NULL : (const char *)sqlite3_value_text(value);
  return vt_fail(&tab->base, SQLITE_CONSTRAINT_DATATYPE, "column \"%s\" holds %s, not %s%.40s%s",
                 column->name, type_names[column->type], blob ? "a blob" : "'",
                 blob || !text ? "" : text, blob ? "" : "'");
}

static int store_block(FarTab *tab, const void *bytes, uint64_t length, FarPointer *out,
                       Stop *stop) {
  FarMemory *memory = tab->link->memory;
  Fault fault = {0};
  if (!array_grow(tab->stored, tab->stored_capacity, tab->nstored + 2)) return SQLITE_NOMEM;
  if (!far_alloc(memory, length, FAR_USE_BYTES, out, stop, &fault))
    return vt_fault(&tab->base, &fault);
  tab->stored[tab->nstored++] = *out;
  tab->stored[tab->nstored++] = length;
  FarOp op = {.code = FAR_WRITE, .at = *out, .local = (void *)bytes, .length = (uint32_t)length};
  return far_round(memory, &op, 1, stop, &fault) ? SQLITE_OK : vt_fault(&tab->base, &fault);
}

static int put_bytes(FarTab *tab, unsigned char *element, int i, sqlite3_value *value, Stop *stop) {
  const FarColumn *column = &tab->record.columns[i];
  const bool is_blob = sqlite3_value_type(value) == SQLITE_BLOB;
  if (is_blob != (column->type == FAR_BLOB)) return refuse(tab, column, value);
  const void *bytes = is_blob ? sqlite3_value_blob(value) : sqlite3_value_text(value);
  const uint64_t length = (uint64_t)sqlite3_value_bytes(value);
  FarPointer block = 0;
  if (length && !bytes) return SQLITE_NOMEM;
  if (length > FAR_MOST_LENGTH)
    return vt_fail(&tab->base, SQLITE_TOOBIG, "column \"%s\": %llu bytes, the limit is %llu",
                   column->name, (unsigned long long)length, (unsigned long long)FAR_MOST_LENGTH);
  if ((i == tab->record.key || tab->kind == FAR_KIND_QUEUE) && length > column->room) {
    return vt_fail(&tab->base, SQLITE_TOOBIG, "column \"%s\": a %s of %llu bytes, declared are %u",
                   column->name, i == tab->record.key ? "key" : "value", (unsigned long long)length,
                   (unsigned)column->room);
  }
  if (!far_cell_fits(&tab->record, i, length)) {
    const int rc = store_block(tab, bytes, length, &block, stop);
    if (rc != SQLITE_OK) return rc;
  }
  far_cell_set_bytes(&tab->record, element, i, bytes, length, block);
  return SQLITE_OK;
}

/* Not for columns of texts: one that looks like a number is one afterwards. */
static bool is_number(sqlite3_value *value) {
  const int type = sqlite3_value_numeric_type(value);
  return type == SQLITE_INTEGER || type == SQLITE_FLOAT;
}

int far_put_value(FarTab *tab, unsigned char *element, int i, sqlite3_value *value, Stop *stop) {
  const FarColumn *column = &tab->record.columns[i];
  int64_t number;
  double real;
  if (sqlite3_value_type(value) == SQLITE_NULL) {
    if (column->not_null)
      return vt_fail(&tab->base, SQLITE_CONSTRAINT_NOTNULL, "column \"%s\" may not be NULL",
                     column->name);
    far_cell_set_null(&tab->record, element, i, true);
    return SQLITE_OK;
  }
  switch (column->type) {
  case FAR_INTEGER:
    if (sqlite3_value_type(value) == SQLITE_BLOB || !whole(value, &number))
      return refuse(tab, column, value);
    far_cell_set_word(&tab->record, element, i, (uint64_t)number);
    return SQLITE_OK;
  case FAR_REAL:
    if (!is_number(value)) return refuse(tab, column, value);
    real = sqlite3_value_double(value);
    memcpy(element + column->at, &real, sizeof real);
    return SQLITE_OK;
  default:
    return put_bytes(tab, element, i, value, stop);
  }
}

/* ---- showing --------------------------------------------------------------------------------- */

/* A text that ends with a 0 is told to SQLite without its length: else it has to move it as soon as
** somebody asks for it as C has texts. */
static void result_text(sqlite3_context *ctx, const char *bytes, uint64_t length, uint64_t room) {
  const bool ends = length < room && !bytes[length] && !memchr(bytes, 0, length);
  if (ends) {
    sqlite3_result_text(ctx, bytes, -1, SQLITE_TRANSIENT);
  } else {
    sqlite3_result_text64(ctx, bytes, length, SQLITE_TRANSIENT, SQLITE_UTF8);
  }
}

static void result_bytes(sqlite3_context *ctx, const FarColumn *column, const void *bytes,
                         uint64_t length) {
  if (column->type == FAR_TEXT) {
    result_text(ctx, bytes, length, column->room);
  } else {
    sqlite3_result_blob64(ctx, bytes, length, SQLITE_TRANSIENT);
  }
}

bool far_result_in_line(const FarRecord *record, const unsigned char *element, int i,
                        sqlite3_context *ctx) {
  const FarColumn *column = &record->columns[i];
  const unsigned char *cell = element + column->at;
  uint64_t word;
  double real;
  if (i != record->key && far_cell_null(record, element, i)) return true;
  memcpy(&word, cell, sizeof word);
  switch (column->type) {
  case FAR_INTEGER:
    sqlite3_result_int64(ctx, (sqlite3_int64)word);
    return true;
  case FAR_REAL:
    memcpy(&real, cell, sizeof real);
    sqlite3_result_double(ctx, real);
    return true;
  default:
    if (i == record->key || word > column->room) return false;
    result_bytes(ctx, column, cell + sizeof word, word);
    return true;
  }
}

int far_result(VtTab *tab, const FarRecord *record, const unsigned char *element, int i,
               const void *bytes, sqlite3_context *ctx) {
  const FarColumn *column = &record->columns[i];
  const unsigned char *inline_bytes;
  uint64_t length;
  FarPointer block;
  if (far_result_in_line(record, element, i, ctx)) return SQLITE_OK;
  if (!far_cell_bytes(record, element, i, &inline_bytes, &length, &block))
    return vt_fail(tab, SQLITE_CORRUPT_VTAB, "column \"%s\" is damaged: %llu bytes", column->name,
                   (unsigned long long)length);
  result_bytes(ctx, column, bytes ? bytes : inline_bytes, length);
  return SQLITE_OK;
}

bool far_read_block(FarTab *tab, FarPointer bucket, uint64_t version, FarPointer block,
                    uint64_t length, void **out, bool *changed, Stop *stop, Fault *fault) {
  void *bytes = malloc(length + 1);
  if (!bytes) return fault_oom(fault);
  FarOp ops[] = {{.code = FAR_READ, .at = block, .local = bytes, .length = (uint32_t)length},
                 {.code = FAR_EXPECT, .at = bucket, .expected = version}};
  if (!far_round(tab->link->memory, ops, bucket ? 2 : 1, stop, fault)) {
    free(bytes);
    return false;
  }
  *changed = bucket && ops[1].status != FAR_DONE;
  *out = bytes;
  return true;
}
