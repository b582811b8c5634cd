/*
** A second look at every statement before it runs.
**
** SQLite does not ask the authorizer about the columns that NATURAL JOIN and JOIN … USING compare:
** `SELECT 1 FROM (SELECT 2 AS id) NATURAL JOIN main.Post` would tell whether there is a post 2. So
** the program of a statement is looked at when it is run for the first time: one that opens a
** b-tree of another schema than TEMP is interrupted. SQLite heeds an interrupt on its way from the
** prologue, where transactions begin and traces are called, to the body of a program.
*/
#include <string.h>

#include "extensions/multiverse/multiverse.h"

enum { EXPLAIN_OPCODE = 1, EXPLAIN_P3 = 4, TEMP_SCHEMA = 1 };

static bool opens_base(sqlite3_stmt *program, Fault *fault) {
  static const char *const opening[] = {"OpenRead", "OpenWrite", "ReopenIdx"};
  int step;
  while ((step = query_step(program, fault)) == 1) {
    const char *opcode = query_text(program, EXPLAIN_OPCODE);
    for (size_t i = 0; i < countof(opening); i++) {
      if (!strcmp(opcode, opening[i]) && sqlite3_column_int(program, EXPLAIN_P3) != TEMP_SCHEMA) {
        return true;
      }
    }
  }
  return step < 0;
}

static bool is_harmless(sqlite3 *db, sqlite3_stmt *statement, Fault *fault) {
  char *sql = sqlite3_mprintf("EXPLAIN %s", sqlite3_sql(statement));
  sqlite3_stmt *program = query_prepare(db, sql, fault);
  const bool harmless = program && !opens_base(program, fault);
  query_finish(program);
  sqlite3_free(sql);
  return harmless;
}

/* Statements that have been looked at since SQLite last compiled one: another one at the same
** address is compiled first, and then the authorizer is asked. */
static bool is_known(const State *state, sqlite3_stmt *statement) {
  const size_t at = (size_t)((uintptr_t)statement >> 6) % countof(state->harmless);
  return state->harmless[at] == statement;
}

int veto_start(unsigned event, void *ctx, void *p, void *x) {
  (void)event;
  (void)x;
  State *state = ctx;
  sqlite3_stmt *statement = p;
  if (!state->universe || vt_is_internal(state->conn)) return 0;
  if (state->compiled) memset(state->harmless, 0, sizeof state->harmless);
  state->compiled = false;
  if (sqlite3_stmt_isexplain(statement) || is_known(state, statement)) return 0;
  vt_internal_enter(state->conn);
  Fault fault = {0}, again = {0};
  bool harmless = is_harmless(vt_db(state->conn), statement, &fault);
  if (!harmless && fault.code == FAULT_NOMEM) {
    harmless = is_harmless(vt_db(state->conn), statement, &again);
  }
  vt_internal_leave(state->conn);
  if (harmless) {
    state->harmless[(size_t)((uintptr_t)statement >> 6) % countof(state->harmless)] = statement;
  } else {
    sqlite3_interrupt(vt_db(state->conn));
  }
  return 0;
}
