/*
** The house rules for descriptors, checked at every load (a few microseconds): a table without a
** risk or a column without a doc line never reaches a user.
*/
#include "vtab/inside.h"

#include <string.h>

static bool fail(Fault *fault, const char *thing, const char *what) {
  return fault_set(fault, FAULT_INTERNAL, "%s: %s", thing, what);
}

static bool has_text(const char *text) { return text && *text; }

static bool begins_with(const char *name, const char *start) {
  return has_text(name) && strncmp(name, start, strlen(start)) == 0;
}

static bool check_column(const VtTable *table, int i, bool *in_args, bool *has_key, Fault *fault) {
  const VtColumn *column = &table->cols[i];
  bool arg = (column->flags & VT_ARG) != 0;
  if (!has_text(column->name) || !column->type) {
    return fault_set(fault, FAULT_INTERNAL, "%s: column %d has no name or type", table->name, i);
  }
  const char *what = NULL;
  if (!has_text(column->doc)) what = "has no doc";
  if (*in_args && !arg) what = "follows an argument; arguments come last";
  if ((column->flags & (VT_MUST | VT_NULLABLE)) && !arg) what = "is no argument";
  if (arg && table->created) what = "is an argument of a table made by CREATE VIRTUAL TABLE";
  /* For `a = 1 OR b = 2` SQLite seeks twice and drops rows whose rowid came before. */
  if ((column->flags & VT_SEARCHED) && !table->rowid && !table->without_rowid) {
    what = "is searched, which needs a rowid function";
  }
  if (arg && (column->flags & (VT_SEARCHED | VT_UNIQUE | VT_ROWID))) {
    what = "is an argument and cannot be searched";
  }
  if (what) {
    return fault_set(fault, FAULT_INTERNAL, "%s: column \"%s\" %s", table->name, column->name,
                     what);
  }
  *in_args = arg;
  if (column->flags & VT_KEY) *has_key = true;
  return true;
}

static bool check_table(const VtExtension *extension, const VtTable *table, Fault *fault) {
  if (!table || !begins_with(table->name, extension->name)) {
    return fail(fault, extension->name, "a table's name does not begin with the extension's");
  }
  if (!has_text(table->doc)) return fail(fault, table->name, "has no doc");
  if (table->risk != SQLITE_VTAB_INNOCUOUS && table->risk != SQLITE_VTAB_DIRECTONLY) {
    return fail(fault, table->name, "risk is neither INNOCUOUS nor DIRECTONLY");
  }
  if (!table->seek || !(table->step || table->next) || !(table->column || table->value)) {
    return fail(fault, table->name, "seek, step or column is missing");
  }
  if (table->next && !table->rowid) {
    return fail(fault, table->name, "its rows are not counted, which needs a rowid function");
  }
  bool in_args = false, has_key = false;
  int nargs = 0;
  for (int i = 0; i < table->ncols; i++) {
    if (!check_column(table, i, &in_args, &has_key, fault)) return false;
    nargs += in_args;
  }
  if (nargs > VT_MAX_TERMS / 2) return fail(fault, table->name, "too many arguments");
  if (!table->created && (table->ncols == nargs || table->is_shadow || table->destroy)) {
    return fail(fault, table->name, "only a table made by CREATE VIRTUAL TABLE can do that");
  }
  const VtWriter *writer = table->writer;
  if (writer && (writer->update || writer->remove) && !table->rowid && !table->without_rowid) {
    return fail(fault, table->name, "rows are written, which needs a rowid function");
  }
  if (!table->created && table->without_rowid && !has_key) {
    return fail(fault, table->name, "without a rowid, and no key");
  }
  return true;
}

static bool check_function(const VtExtension *extension, const VtFunction *function, Fault *fault) {
  if (!begins_with(function->name, extension->name)) {
    return fail(fault, extension->name, "a function's name does not begin with the extension's");
  }
  if (!has_text(function->doc)) return fail(fault, function->name, "has no doc");
  unsigned doors = function->flags & (SQLITE_INNOCUOUS | SQLITE_DIRECTONLY);
  if (doors != SQLITE_INNOCUOUS && doors != SQLITE_DIRECTONLY) {
    return fail(fault, function->name, "is not exactly one of INNOCUOUS and DIRECTONLY");
  }
  bool aggregate = function->step && function->final && !function->scalar;
  bool scalar = function->scalar && !function->step && !function->final;
  bool window = !function->value == !function->inverse && (aggregate || !function->value);
  if (!(scalar || aggregate) || !window) {
    return fail(fault, function->name, "is neither a scalar nor an aggregate");
  }
  if (function->nargs < -1 || function->optional < 0 ||
      (function->nargs == -1 && function->optional > 0)) {
    return fail(fault, function->name, "impossible number of arguments");
  }
  return true;
}

bool vt_check(const VtExtension *extension, Fault *fault) {
  if (!has_text(extension->name)) return fail(fault, "extension", "has no name");
  for (const char *c = extension->name; *c; c++) {
    if (*c < 'a' || *c > 'z') return fail(fault, extension->name, "letters only in names");
  }
  if (strlen(extension->name) > 40) return fail(fault, extension->name, "name is too long");
  if (!has_text(extension->doc) || !has_text(extension->version)) {
    return fail(fault, extension->name, "has no doc or version");
  }
  for (int i = 0; i < extension->ntables; i++) {
    if (!check_table(extension, extension->tables[i], fault)) return false;
  }
  for (int i = 0; i < extension->nfunctions; i++) {
    if (!check_function(extension, &extension->functions[i], fault)) return false;
  }
  return true;
}
