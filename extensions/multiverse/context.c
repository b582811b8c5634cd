/*
** Contexts: who the user of a universe is. A JSON object whose values are no objects or arrays.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/multiverse.h"

static bool add(Context *context, sqlite3_stmt *rows, size_t *capacity, Fault *fault) {
  const char *name = query_text(rows, 0), *type = query_text(rows, 2);
  if (!strcmp(type, "object") || !strcmp(type, "array")) {
    return fault_set(fault, FAULT_INVALID, "context: \"%s\" is an %s", name, type);
  }
  if (context_value(context, name)) {
    return fault_set(fault, FAULT_INVALID, "context: \"%s\" is given twice", name);
  }
  size_t names = *capacity;
  if (!array_grow(context->names, names, (size_t)context->count + 1) ||
      !array_grow(context->values, *capacity, (size_t)context->count + 1)) {
    return fault_oom(fault);
  }
  context->names[context->count] = arena_strdup(&context->arena, name);
  context->values[context->count] = sqlite3_value_dup(sqlite3_column_value(rows, 1));
  context->count++;
  return (context->names[context->count - 1] && context->values[context->count - 1]) ||
         fault_oom(fault);
}

/* Of all rows. */
static int read_rows(sqlite3_stmt *rows, const char *json, Context *out, Fault *fault) {
  int step;
  size_t capacity = 0;
  sqlite3_bind_text(rows, 1, json, -1, SQLITE_TRANSIENT);
  while ((step = query_step(rows, fault)) == 1) {
    if (add(out, rows, &capacity, fault)) continue;
    step = -2;
    break;
  }
  return step;
}

/* The statement is of this call alone: running it may find that the schema has changed, and then
** every table of the extension is disconnected, with the statements that it keeps. */
bool context_read(sqlite3 *db, const char *json, Context *out, Fault *fault) {
  *out = (Context){0};
  sqlite3_stmt *rows = query_prepare(
      db, "SELECT key, value, type FROM json_each(?1) WHERE json_type(?1) = 'object'", fault);
  if (!rows) return false;
  int step = read_rows(rows, json, out, fault);
  query_finish(rows);
  if (step == 0 && !out->count) {
    step = -1;
    fault_set(fault, FAULT_INVALID, "context: an object with members is wanted, like {\"uid\":7}");
  } else if (step == -1) {
    fault_prefix(fault, "context: ");
  }
  if (step == 0) return true;
  context_finish(out);
  return false;
}

void context_finish(Context *context) {
  for (int i = 0; i < context->count; i++) sqlite3_value_free(context->values[i]);
  free(context->names);
  free(context->values);
  arena_finish(&context->arena);
  *context = (Context){0};
}

sqlite3_value *context_value(const Context *context, const char *name) {
  for (int i = 0; i < context->count; i++) {
    if (!strcmp(context->names[i], name)) return context->values[i];
  }
  return NULL;
}

bool context_suits(const Context *context, const Policy *policy, Fault *fault) {
  for (int i = 0; i < policy->nparams; i++) {
    if (context_value(context, policy->params[i])) continue;
    return fault_set(fault, FAULT_INVALID,
                     "context: \"%s\" is missing, which rules of the policy ask for",
                     policy->params[i]);
  }
  return true;
}
