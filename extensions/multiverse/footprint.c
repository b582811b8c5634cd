/*
** Whether a write can change who is a member of what.
**
** SQLite's own program of a statement tells which b-trees it writes, those of triggers and foreign
** keys included, and which the queries of the groups read. Where these have none in common, the
** memberships that are known stay right, whatever becomes of the transaction.
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/judge.h"

enum { EXPLAIN_OPCODE = 1, EXPLAIN_P1 = 2, EXPLAIN_P2 = 3, EXPLAIN_P3 = 4, MAIN_SCHEMA = 0 };

typedef struct Trees { /* root pages of main, in no order */
  int *roots;
  size_t count, capacity;
  bool vague; /* and others, of which nothing is known */
} Trees;

static bool add_root(Trees *trees, int root) {
  if (!array_grow(trees->roots, trees->capacity, trees->count + 1)) return false;
  trees->roots[trees->count++] = root;
  return true;
}

/* What a line of a program opens. Virtual tables keep their data wherever they like. */
static bool add_line(sqlite3_stmt *line, bool writes, Trees *trees) {
  const char *opcode = query_text(line, EXPLAIN_OPCODE);
  const int p1 = sqlite3_column_int(line, EXPLAIN_P1), p2 = sqlite3_column_int(line, EXPLAIN_P2);
  const bool opens = writes ? !strcmp(opcode, "OpenWrite")
                            : !strcmp(opcode, "OpenRead") || !strcmp(opcode, "ReopenIdx");
  if (!strcmp(opcode, "VOpen") || !strcmp(opcode, "VUpdate")) trees->vague = true;
  if (!strcmp(opcode, "Clear")) return p2 != MAIN_SCHEMA || add_root(trees, p1);
  return !opens || sqlite3_column_int(line, EXPLAIN_P3) != MAIN_SCHEMA || add_root(trees, p2);
}

static bool add_program(sqlite3 *db, const char *sql, bool writes, Trees *trees, Fault *fault) {
  int step = -1;
  char *text = sqlite3_mprintf("EXPLAIN %s", sql);
  sqlite3_stmt *lines = query_prepare(db, text, fault);
  while (lines && (step = query_step(lines, fault)) == 1) {
    if (add_line(lines, writes, trees)) continue;
    fault_oom(fault);
    step = -1;
    break;
  }
  query_finish(lines);
  sqlite3_free(text);
  return step == 0;
}

static bool add_sets(const Shadow *shadow, Trees *trees, Fault *fault) {
  bool ok = true;
  for (int i = 0; ok && i < policy_sets(shadow->policy); i++) {
    Text sql = {0};
    meaning_members(shadow->policy, i, &sql);
    ok = (!sql.oom || fault_oom(fault)) &&
         add_program(shadow->tab.db, text_get(&sql), false, trees, fault);
    text_finish(&sql);
  }
  return ok;
}

static bool meet(const Trees *a, const Trees *b) {
  for (size_t i = 0; i < a->count; i++) {
    for (size_t j = 0; j < b->count; j++) {
      if (a->roots[i] == b->roots[j]) return true;
    }
  }
  return a->vague || b->vague;
}

bool footprint_reaches_groups(const Shadow *shadow, const char *sql, bool *out, Fault *fault) {
  Trees written = {0}, read = {0};
  const bool ok =
      add_program(shadow->tab.db, sql, true, &written, fault) && add_sets(shadow, &read, fault);
  *out = meet(&written, &read);
  free(written.roots);
  free(read.roots);
  return ok;
}
