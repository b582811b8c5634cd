/*
** SQLite's values, cells of objects, and values between processes.
*/
#include <string.h>

#include "extensions/link/tab.h"

enum { SMALL = 128 }; /* bytes that are rather copied than shared */

static const char *const type_names[] = {"", "an INTEGER", "a REAL", "a TEXT", "a BLOB"};

/* ---- SQLite's -------------------------------------------------------------------------------- */

/* The affinity of a column: a number in a TEXT column becomes a text. */
static int type_in(int type, OwnKind kind) {
  return kind == OWN_TEXT && (type == SQLITE_INTEGER || type == SQLITE_FLOAT) ? SQLITE_TEXT : type;
}

bool link_value_of(sqlite3_value *value, OwnKind kind, LinkValue *out) {
  const bool number = kind == OWN_INTEGER || kind == OWN_REAL;
  *out = (LinkValue){.type = LINK_NULL};
  switch (type_in(number ? sqlite3_value_numeric_type(value) : sqlite3_value_type(value), kind)) {
  case SQLITE_INTEGER:
    out->type = LINK_INTEGER;
    out->integer = sqlite3_value_int64(value);
    return true;
  case SQLITE_FLOAT:
    out->type = LINK_REAL;
    out->real = sqlite3_value_double(value);
    return true;
  case SQLITE_TEXT:
    out->type = LINK_TEXT;
    out->bytes.bytes = (const char *)sqlite3_value_text(value);
    break;
  case SQLITE_BLOB:
    out->type = LINK_BLOB;
    out->bytes.bytes = sqlite3_value_blob(value);
    break;
  default:
    return true;
  }
  out->bytes.length = (uint64_t)sqlite3_value_bytes(value);
  return out->bytes.bytes || !out->bytes.length;
}

void link_value_of_column(sqlite3_stmt *statement, int column, OwnKind kind, LinkValue *out) {
  *out = (LinkValue){.type = LINK_NULL};
  switch (type_in(sqlite3_column_type(statement, column), kind)) {
  case SQLITE_INTEGER:
    out->type = LINK_INTEGER;
    out->integer = sqlite3_column_int64(statement, column);
    return;
  case SQLITE_FLOAT:
    out->type = LINK_REAL;
    out->real = sqlite3_column_double(statement, column);
    return;
  case SQLITE_TEXT:
    out->type = LINK_TEXT;
    out->bytes.bytes = (const char *)sqlite3_column_text(statement, column);
    break;
  case SQLITE_BLOB:
    out->type = LINK_BLOB;
    out->bytes.bytes = sqlite3_column_blob(statement, column);
    break;
  default:
    return;
  }
  out->bytes.length = out->bytes.bytes ? (uint64_t)sqlite3_column_bytes(statement, column) : 0;
}

void link_value_result(sqlite3_context *ctx, const LinkValue *value) {
  switch (value->type) {
  case LINK_INTEGER:
    sqlite3_result_int64(ctx, value->integer);
    break;
  case LINK_REAL:
    sqlite3_result_double(ctx, value->real);
    break;
  case LINK_TEXT:
    sqlite3_result_text64(ctx, value->bytes.length ? value->bytes.bytes : "", value->bytes.length,
                          SQLITE_TRANSIENT, SQLITE_UTF8);
    break;
  case LINK_BLOB:
    sqlite3_result_blob64(ctx, value->bytes.length ? value->bytes.bytes : "", value->bytes.length,
                          SQLITE_TRANSIENT);
    break;
  default:
    sqlite3_result_null(ctx);
  }
}

int link_value_bind(sqlite3_stmt *statement, int at, const LinkValue *value) {
  const char *bytes = value->bytes.length ? value->bytes.bytes : "";
  switch (value->type) {
  case LINK_INTEGER:
    return sqlite3_bind_int64(statement, at, value->integer);
  case LINK_REAL:
    return sqlite3_bind_double(statement, at, value->real);
  case LINK_TEXT:
    return sqlite3_bind_text64(statement, at, bytes, value->bytes.length, SQLITE_STATIC,
                               SQLITE_UTF8);
  case LINK_BLOB:
    return sqlite3_bind_blob64(statement, at, bytes, value->bytes.length, SQLITE_STATIC);
  default:
    return sqlite3_bind_null(statement, at);
  }
}

bool link_value_put(FarWireBuffer *buffer, const LinkValue *value) {
  uint64_t word = (uint64_t)value->integer;
  if (!own_put_word(buffer, (uint64_t)value->type)) return false;
  if (value->type == LINK_REAL) memcpy(&word, &value->real, sizeof word);
  if (value->type == LINK_TEXT || value->type == LINK_BLOB)
    return own_put_bytes(buffer, value->bytes.bytes, value->bytes.length);
  return own_put_word(buffer, word);
}

bool link_value_take(const unsigned char **at, const unsigned char *end, LinkValue *out) {
  uint64_t type, word;
  OwnBytes bytes;
  *out = (LinkValue){.type = LINK_NULL};
  if (!own_take_word(at, end, &type) || type < LINK_INTEGER || type > LINK_NULL) return false;
  out->type = (int)type;
  if (type == LINK_TEXT || type == LINK_BLOB) {
    if (!own_take_bytes(at, end, &bytes)) return false;
    out->bytes = (LinkBytes){bytes.bytes, bytes.length};
    return true;
  }
  if (!own_take_word(at, end, &word)) return false;
  out->integer = (int64_t)word;
  if (type == LINK_REAL) memcpy(&out->real, &word, sizeof word);
  return true;
}

/* ---- cells ----------------------------------------------------------------------------------- */

static bool whole(double real, int64_t *out) {
  if (!(real >= -9223372036854775808.0 && real < 9223372036854775808.0)) return false;
  *out = (int64_t)real;
  return (double)*out == real;
}

static bool refuse(const OwnColumn *column, const LinkValue *value, Fault *fault) {
  static const char *const given[] = {"", "an integer", "a real", "a text", "a blob", "NULL"};
  return fault_set(fault, FAULT_INVALID, "column \"%s\" holds %s, not %s", column->name,
                   type_names[column->kind], given[value->type]);
}

bool link_cell_set(const OwnType *type, uint64_t *row, int i, const LinkValue *value,
                   Fault *fault) {
  const OwnColumn *column = &type->columns[i];
  int64_t integer = value->integer;
  if (value->type == LINK_NULL) {
    if (column->not_null || i == type->key)
      return fault_set(fault, FAULT_INVALID, "column \"%s\" may not be NULL", column->name);
    own_set_null(type, row, i);
    return true;
  }
  switch (column->kind) {
  case OWN_INTEGER:
    if (value->type != LINK_INTEGER && (value->type != LINK_REAL || !whole(value->real, &integer)))
      return refuse(column, value, fault);
    own_set_integer(type, row, i, integer);
    return true;
  case OWN_REAL:
    if (value->type != LINK_INTEGER && value->type != LINK_REAL)
      return refuse(column, value, fault);
    own_set_real(type, row, i, value->type == LINK_REAL ? value->real : (double)value->integer);
    return true;
  default:
    if (value->type != (int)column->kind) return refuse(column, value, fault);
    if (i == type->key && value->bytes.length > OWN_MOST_KEY) {
      return fault_set(fault, FAULT_LIMIT, "column \"%s\": a key of %llu bytes, the limit is %d",
                       column->name, (unsigned long long)value->bytes.length, OWN_MOST_KEY);
    }
    if (value->bytes.length > OWN_MOST_ROW / 2) {
      return fault_set(fault, FAULT_LIMIT, "column \"%s\": %llu bytes, the limit is %d",
                       column->name, (unsigned long long)value->bytes.length, OWN_MOST_ROW / 2);
    }
    own_set_bytes(type, row, i, value->bytes.bytes, value->bytes.length);
    return true;
  }
}

LinkValue link_cell_get(const OwnType *type, const uint64_t *row, int i) {
  LinkValue value = {.type = (int)type->columns[i].kind};
  if (own_null(row, i)) {
    value.type = LINK_NULL;
  } else if (value.type == LINK_INTEGER) {
    value.integer = own_integer(type, row, i);
  } else if (value.type == LINK_REAL) {
    value.real = own_real(type, row, i);
  } else {
    const OwnBytes bytes = own_bytes(type, row, i);
    value.bytes = (LinkBytes){bytes.bytes, bytes.length};
  }
  return value;
}

static void give_back(void *bytes) { own_object_drop(own_object_of_bytes(bytes)); }

/* Long texts are not copied: SQLite holds the object as long as it needs it. */
void link_cell_result(const OwnType *type, const OwnObject *object, int i, sqlite3_context *ctx) {
  if (own_null(object->row, i)) return;
  const OwnKind kind = type->columns[i].kind;
  if (kind == OWN_INTEGER) {
    sqlite3_result_int64(ctx, own_integer(type, object->row, i));
    return;
  }
  if (kind == OWN_REAL) {
    sqlite3_result_double(ctx, own_real(type, object->row, i));
    return;
  }
  const OwnBytes bytes = own_bytes(type, object->row, i);
  void (*after)(void *) = SQLITE_TRANSIENT;
  if (bytes.length > SMALL) {
    own_object_keep((OwnObject *)object);
    after = give_back;
  }
  if (kind == OWN_TEXT && !memchr(bytes.bytes, 0, bytes.length)) {
    /* Told without its length, SQLite knows that it ends with a 0, and leaves it where it is. */
    sqlite3_result_text(ctx, bytes.bytes, -1, after);
  } else if (kind == OWN_TEXT) {
    sqlite3_result_text64(ctx, bytes.bytes, bytes.length, after, SQLITE_UTF8);
  } else {
    sqlite3_result_blob64(ctx, bytes.bytes, bytes.length, after);
  }
}

bool link_key_of(const OwnType *type, sqlite3_value *value, OwnKey *out) {
  const int is = sqlite3_value_type(value);
  if (is == SQLITE_BLOB || is == SQLITE_NULL) return false;
  if (type->columns[type->key].kind == OWN_TEXT) {
    const char *text = (const char *)sqlite3_value_text(value);
    const uint64_t length = (uint64_t)sqlite3_value_bytes(value);
    if (!text || length > OWN_MOST_KEY) return false;
    *out = own_key_text(text, length);
    return true;
  }
  const int number = sqlite3_value_numeric_type(value);
  int64_t integer;
  if (number == SQLITE_INTEGER) {
    *out = own_key_number(sqlite3_value_int64(value));
  } else if (number == SQLITE_FLOAT && whole(sqlite3_value_double(value), &integer)) {
    *out = own_key_number(integer);
  } else {
    return false;
  }
  return true;
}
