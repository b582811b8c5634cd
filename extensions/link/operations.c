/*
** Operations that a program has defined in C (link.h): known to the whole process, for they run for
** whoever asks.
*/
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"

typedef struct Operation {
  struct Operation *next;
  char *table, *name;
  LinkOperation *function;
  void *ctx;
} Operation;

struct LinkCall {
  Arena arena;
  Fault *fault;
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static Operation *operations; /* they stay until the process ends */

static Operation *find(const char *table, const char *name) {
  Operation *at = operations;
  while (at && (strcmp(at->table, table) || sqlite3_stricmp(at->name, name))) at = at->next;
  return at;
}

bool link_operation_define(const char *table, const char *name, LinkOperation *function,
                           void *ctx) {
  pthread_mutex_lock(&guard);
  Operation *operation = find(table, name);
  if (!operation && (operation = calloc(1, sizeof *operation))) {
    operation->table = strdup(table);
    operation->name = strdup(name);
    if (operation->table && operation->name) {
      operation->next = operations;
      operations = operation;
    } else {
      free(operation->table);
      free(operation->name);
      free(operation);
      operation = NULL;
    }
  }
  if (operation) {
    operation->function = function;
    operation->ctx = ctx;
  }
  pthread_mutex_unlock(&guard);
  return operation != NULL;
}

void *link_operation_alloc(LinkCall *call, size_t size) { return arena_alloc(&call->arena, size); }

int link_operation_fail(LinkCall *call, const char *message) {
  fault_set(call->fault, FAULT_INVALID, "%s", message);
  return 1;
}

/* What it has made of the row: as it should be? */
static bool check(const OwnType *type, const OwnObject *old, OwnRow *row, Fault *fault) {
  for (int i = 0; i < type->ncolumns; i++) {
    const LinkValue value = link_cell_get(type, row->words, i);
    if (value.bytes.length && !value.bytes.bytes)
      return fault_set(fault, FAULT_INVALID, "column \"%s\": no bytes", type->columns[i].name);
    if (!link_cell_set(type, row->words, i, &value, fault)) return false;
  }
  const OwnKey key = own_key_of(type, row->words);
  return own_key_is(type, old, &key) || fault_set(fault, FAULT_INVALID, "it changes the key");
}

bool link_operation_run(const OwnType *type, const char *table, const char *name,
                        const OwnObject *old, int nargs, const LinkValue *args, OwnObject **out,
                        FarWireBuffer *reply, bool *out_there, Fault *fault) {
  LinkValue result = {.type = LINK_NULL};
  OwnRow row;
  pthread_mutex_lock(&guard);
  const Operation *operation = find(table, name);
  const Operation copy = operation ? *operation : (Operation){0};
  pthread_mutex_unlock(&guard);
  *out_there = operation != NULL;
  if (!operation) return false;
  LinkCall call = {.fault = fault};
  memcpy(row.words, old->row, type->words * sizeof *row.words);
  bool ok = copy.function(&call, row.words, nargs, args, &result, copy.ctx) == 0 ||
            fault_set(fault, FAULT_INVALID, "it has failed");
  if (ok && (result.type < LINK_INTEGER || result.type > LINK_NULL))
    ok = fault_set(fault, FAULT_INVALID, "its result is of no type");
  ok = ok && check(type, old, &row, fault);
  if (ok) ok = (*out = own_object_make(type, row.words)) || fault_oom(fault);
  if (ok) ok = link_value_put(reply, &result) || fault_oom(fault);
  arena_finish(&call.arena);
  return ok || fault_prefix(fault, "%s: ", name);
}
