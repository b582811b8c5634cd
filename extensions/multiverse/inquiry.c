/*
** One row of a base table, named by its key: see inquiry.h.
*/
#include <stdlib.h>

#include "extensions/multiverse/inquiry.h"

static bool take_one(Inquiry *inquiry, sqlite3_value *value, Fault *fault) {
  inquiry->key[inquiry->nkey] = sqlite3_value_dup(value);
  return inquiry->key[inquiry->nkey++] || fault_oom(fault);
}

/* [1, "x"] */
static bool take_several(Inquiry *inquiry, sqlite3_value *value, int wanted, Fault *fault) {
  const char *json = (const char *)sqlite3_value_text(value);
  sqlite3_stmt *rows = query_prepare(
      inquiry->db,
      "SELECT value FROM json_each(CASE WHEN json_valid(?1) AND json_type(?1) = 'array' THEN ?1 "
      "ELSE '[]' END) ORDER BY key",
      fault);
  int step = -1;
  if (rows) sqlite3_bind_value(rows, 1, value);
  while (rows && (step = query_step(rows, fault)) == 1 && inquiry->nkey < wanted) {
    if (take_one(inquiry, sqlite3_column_value(rows, 0), fault)) continue;
    step = -1;
    break;
  }
  query_finish(rows);
  if (step < 0) return false;
  return (step == 0 && inquiry->nkey == wanted) ||
         fault_set(fault, FAULT_INVALID, "key of %s: a JSON array of %d values is wanted, not %s",
                   inquiry->table->base->name, wanted, json ? json : "NULL");
}

bool inquiry_begin(VtTab *tab, const char *table, sqlite3_value *key, Inquiry *out, Fault *fault) {
  bool same;
  *out = (Inquiry){.db = tab->db};
  if (!state_is_admin(vt_state(tab->conn), fault)) return false;
  out->policy = policy_load(out->db, false, 0, &same, fault);
  if (!out->policy) return false;
  out->table = policy_table(out->policy, table);
  if (!out->table) return fault_set(fault, FAULT_NOTFOUND, "no rule opens %s", table);
  if (out->table->count) {
    return fault_set(fault, FAULT_INVALID, "%s is counted: none of its rows is shown to anybody",
                     out->table->base->name);
  }
  const int n = out->table->base->nkeys;
  out->key = calloc((size_t)n + 1, sizeof *out->key);
  if (!out->key) return fault_oom(fault);
  return n > 1 ? take_several(out, key, n, fault) : take_one(out, key, fault);
}

void inquiry_finish(Inquiry *inquiry) {
  for (int i = 0; i < inquiry->nkey; i++) sqlite3_value_free(inquiry->key[i]);
  free(inquiry->key);
  policy_destroy(inquiry->policy);
}

void inquiry_where_text(const Inquiry *inquiry, Text *out) {
  const BaseTable *base = inquiry->table->base;
  for (int i = 0; i < inquiry->nkey; i++) {
    text_add(out, i ? " AND " : " WHERE ");
    meaning_raw(inquiry->table, base->nkeys ? base->keys[i] : -1, out);
    text_add(out, " = ");
    meaning_value(inquiry->key[i], out);
  }
}

void inquiry_where(const Inquiry *inquiry, Text *out) {
  const BaseTable *base = inquiry->table->base;
  for (int i = 0; i < inquiry->nkey; i++) {
    text_add(out, i ? " AND " : " WHERE ");
    meaning_raw(inquiry->table, base->nkeys ? base->keys[i] : -1, out);
    text_addf(out, " = ?%d", meaning_first_term(inquiry->policy) + i);
  }
}

sqlite3_stmt *inquiry_prepare(const Inquiry *inquiry, const Text *sql, Fault *fault) {
  sqlite3_stmt *statement = query_prepare(inquiry->db, sql->oom ? NULL : text_get(sql), fault);
  bool ok = statement != NULL;
  const int first = meaning_first_term(inquiry->policy);
  const int n = statement ? sqlite3_bind_parameter_count(statement) : 0;
  for (int i = 0; ok && i < inquiry->nkey && first + i <= n; i++) {
    const int rc = sqlite3_bind_value(statement, first + i, inquiry->key[i]);
    if (rc != SQLITE_OK) ok = query_fault(inquiry->db, rc, fault);
  }
  if (ok) return statement;
  query_finish(statement);
  return NULL;
}

bool inquiry_find(const Inquiry *inquiry, bool *out, Fault *fault) {
  Text sql = {0};
  text_add(&sql, "SELECT 1");
  meaning_from(inquiry->table, &sql);
  inquiry_where(inquiry, &sql);
  sqlite3_stmt *find = inquiry_prepare(inquiry, &sql, fault);
  const int step = find ? query_step(find, fault) : -1;
  query_finish(find);
  text_finish(&sql);
  *out = step == 1;
  return step >= 0;
}
