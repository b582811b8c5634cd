/*
** Labels and checked arguments: see viz.h.
*/
#include "extensions/viz/viz.h"

#include <math.h>
#include <stdlib.h>

int64_t viz_label(Labels *labels, const char *text, size_t length) {
  int64_t *known = map_get(&labels->numbers, text, length);
  if (known) return *known;
  if (!array_grow(labels->at, labels->capacity, labels->count + 1)) return -1;
  char *copy = arena_strndup(&labels->arena, text, length);
  if (!copy) return -1;
  if (!map_put(&labels->numbers, text, length, (int64_t)labels->count, NULL)) return -1;
  size_t characters = svg_length(text, length);
  if (characters > labels->longest) labels->longest = characters;
  labels->at[labels->count] = (Label){copy, length};
  return (int64_t)labels->count++;
}

void viz_labels_finish(Labels *labels) {
  map_finish(&labels->numbers);
  arena_finish(&labels->arena);
  free(labels->at);
  *labels = (Labels){0};
}

bool viz_number(sqlite3_context *ctx, sqlite3_value *value, const char *name, double *out) {
  int type = sqlite3_value_numeric_type(value);
  if (type == SQLITE_BLOB) {
    func_fail(ctx, SQLITE_ERROR, "%s must be a number, not a blob of %d bytes", name,
              sqlite3_value_bytes(value));
    return false;
  }
  if (type != SQLITE_INTEGER && type != SQLITE_FLOAT) {
    const char *text = (const char *)sqlite3_value_text(value);
    func_fail(ctx, SQLITE_ERROR, "%s must be a number, not '%.40s'", name, text ? text : "");
    return false;
  }
  *out = sqlite3_value_double(value);
  if (isfinite(*out) && fabs(*out) <= 1e300) return true;
  func_fail(ctx, SQLITE_ERROR, "%s must be a finite number of at most 1e300", name);
  return false;
}

bool viz_text(sqlite3_context *ctx, sqlite3_value *value, const char *name, Label *out) {
  if (sqlite3_value_type(value) == SQLITE_BLOB) {
    func_fail(ctx, SQLITE_ERROR, "%s must be text or a number, not a blob of %d bytes", name,
              sqlite3_value_bytes(value));
    return false;
  }
  int length;
  out->text = func_text(ctx, value, &length);
  out->length = out->text ? (size_t)length : 0;
  return out->text != NULL;
}

bool viz_any_null(int argc, sqlite3_value **argv) {
  for (int i = 0; i < argc; i++) {
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return true;
  }
  return false;
}

double viz_margin(size_t longest) {
  size_t shown = longest < 30 ? longest : 30;
  return 20 + SVG_CHAR * (double)(shown > 3 ? shown : 3);
}
