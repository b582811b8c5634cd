/*
** One state of the databases for all queries of a compilation, and what others have written since.
** See compile.h.
*/
#include <string.h>

#include "extensions/weave/compile.h"

/* Calls each(ctx, name) for main, temp and what is attached. */
static bool for_databases(Compiler *compiler, bool (*each)(Compiler *, const char *, Text *),
                          Text *out) {
  sqlite3_stmt *list = query_prepare(
      compiler->db, "SELECT name FROM pragma_database_list ORDER BY seq", compiler->fault);
  bool ok = list != NULL;
  int step = 0;
  while (ok && (step = query_step(list, compiler->fault)) == 1) {
    ok = each(compiler, query_text(list, 0), out);
  }
  query_finish(list);
  return ok && step == 0 && (!out->oom || fault_oom(compiler->fault));
}

static bool add_reader(Compiler *compiler, const char *database, Text *out) {
  (void)compiler;
  text_add(out, out->length ? " UNION ALL SELECT 1 FROM " : "SELECT 1 FROM ");
  text_add_name(out, database);
  text_add(out, ".sqlite_schema");
  return true;
}

/* A statement that has begun and not ended, and that names every database. */
bool snapshot_open(Compiler *compiler) {
  Text sql = {0};
  bool ok = for_databases(compiler, add_reader, &sql);
  compiler->snapshot = ok ? query_prepare(compiler->db, text_get(&sql), compiler->fault) : NULL;
  text_finish(&sql);
  return compiler->snapshot && query_step(compiler->snapshot, compiler->fault) >= 0;
}

void snapshot_close(Compiler *compiler) {
  query_finish(compiler->snapshot);
  compiler->snapshot = NULL;
}

/* PRAGMA data_version changes when another connection has committed. */
static bool add_version(Compiler *compiler, const char *database, Text *out) {
  sqlite3_stmt *pragma =
      query_printf(compiler->db, compiler->fault, "PRAGMA \"%w\".data_version", database);
  int step = pragma ? query_step(pragma, compiler->fault) : -1;
  if (step == 1) text_addf(out, "%s ", query_text(pragma, 0));
  query_finish(pragma);
  return step >= 0;
}

static const char *versions(Compiler *compiler) {
  Text all = {0};
  if (for_databases(compiler, add_version, &all)) return compile_text(compiler, &all);
  text_finish(&all);
  return NULL;
}

bool snapshot_note(Compiler *compiler) {
  compiler->versions = versions(compiler);
  return compiler->versions != NULL;
}

void snapshot_blame(Compiler *compiler, Fault *fault) {
  Fault found = *fault;
  bool fits = found.code == FAULT_INTERNAL || found.code == FAULT_INVALID;
  if (!fits && found.code != FAULT_BUSY) return;
  fault_clear(fault);
  const char *now = versions(compiler);
  *fault = found;
  if (!now || strcmp(now, compiler->versions) == 0) return;
  fault_clear(fault);
  fault_set(fault, FAULT_BUSY,
            "another connection has written to the database while it was solved");
}
