/*
** A whole policy as one JSON document, to be reviewed, kept with the program's source and compared
** line by line: a group or a rule is a line, members stand in a fixed order, what is NULL is left
** out.
**
**   SELECT multiverse_policy_json();
**   SELECT multiverse_policy_load(?1);
*/
#include <stdlib.h>
#include <string.h>

#include "extensions/multiverse/count.h"

enum { MOST_FIELDS = 9, GROUP_FIELDS = 2, RULE_FIELDS = 9, NAME = 0, MEMBERS = 1, ID = 0 };

static const char *const group_fields[] = {"name", "members"};
static const char *const rule_fields[] = {"id",  "tbl",   "action",     "grp",   "rule",
                                          "col", "value", "unless_grp", "unless"};

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_list(sqlite3 *db, const char *sql, const char *const *fields, int nfields,
                       Text *out, Fault *fault) {
  sqlite3_stmt *rows = query_prepare(db, sql, fault);
  const char *between = "[\n  ";
  int step = -1;
  while (rows && (step = query_step(rows, fault)) == 1) {
    text_add(out, between);
    between = ",\n  ";
    const char *comma = "{";
    for (int i = 0; i < nfields; i++) {
      const int type = sqlite3_column_type(rows, i);
      if (type == SQLITE_NULL) continue;
      const char *value = query_text(rows, i);
      text_addf(out, "%s\"%s\":", comma, fields[i]);
      comma = ",";
      if (type == SQLITE_INTEGER) {
        text_add(out, value);
      } else {
        text_add_json(out, value, strlen(value));
      }
    }
    text_addc(out, '}');
  }
  text_add(out, *between == '[' ? "[]" : "\n ]");
  query_finish(rows);
  return step == 0;
}

static bool write_document(sqlite3 *db, Text *out, Fault *fault) {
  bool stored;
  if (!policy_is_stored(db, &stored, fault)) return false;
  if (!stored) {
    text_add(out, "{\"groups\":[],\n \"rules\":[]}");
    return true;
  }
  text_add(out, "{\"groups\":");
  if (!write_list(db, policy_groups_sql, group_fields, GROUP_FIELDS, out, fault)) return false;
  text_add(out, ",\n \"rules\":");
  if (!write_list(db, policy_rules_sql, rule_fields, RULE_FIELDS, out, fault)) return false;
  text_addc(out, '}');
  return true;
}

void multiverse_policy_json(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  VtConn *conn = vt_conn(ctx);
  Text out = {0};
  Fault fault = {0};
  if (!state_is_admin(vt_state(conn), &fault)) {
    func_fault(ctx, &fault);
    return;
  }
  vt_internal_enter(conn);
  const bool ok = write_document(vt_db(conn), &out, &fault);
  vt_internal_leave(conn);
  if (ok) {
    vt_result_text(ctx, &out, true);
  } else {
    func_fault(ctx, &fault);
  }
  text_finish(&out);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct Item { /* a group or a rule */
  const char *texts[MOST_FIELDS];
  sqlite3_int64 id;
} Item;

typedef struct List {
  const char *name, *path;
  const char *const *fields;
  int nfields;
  Item *items;
  size_t count, capacity;
} List;

typedef struct Document {
  List groups, rules;
  Arena arena;
} Document;

static void document_finish(Document *document) {
  free(document->groups.items);
  free(document->rules.items);
  arena_finish(&document->arena);
}

static bool check_top(sqlite3 *db, const char *json, Fault *fault) {
  sqlite3_stmt *rows = query_printf(
      db, fault, "SELECT key, type FROM json_each(%Q) WHERE json_type(%Q) = 'object'", json, json);
  bool groups = false, rules = false, ok = rows != NULL;
  int step = -1;
  while (ok && (step = query_step(rows, fault)) == 1) {
    const char *name = query_text(rows, 0);
    bool *seen = !strcmp(name, "groups") ? &groups : !strcmp(name, "rules") ? &rules : NULL;
    if (!seen) ok = fault_set(fault, FAULT_INVALID, "\"%s\": a policy has groups and rules", name);
    if (ok && *seen) ok = fault_set(fault, FAULT_INVALID, "\"%s\" is given twice", name);
    if (ok && strcmp(query_text(rows, 1), "array")) {
      ok = fault_set(fault, FAULT_INVALID, "%s: an array is wanted, not %s", name,
                     query_text(rows, 1));
    }
    if (ok) *seen = true;
  }
  query_finish(rows);
  if (!ok || step < 0) return false;
  if (!groups && !rules) {
    return fault_set(fault, FAULT_INVALID, "an object with the arrays groups and rules is wanted");
  }
  return (groups && rules) ||
         fault_set(fault, FAULT_INVALID, "\"%s\" is missing", groups ? "rules" : "groups");
}

static int field_number(const List *list, const char *name) {
  for (int i = 0; i < list->nfields; i++) {
    if (!strcmp(list->fields[i], name)) return i;
  }
  return -1;
}

/* One member of an item: the name, the type and the value are columns 2 to 4. */
static bool take_member(Document *document, List *list, Item *item, sqlite3_stmt *rows,
                        Fault *fault) {
  const char *name = query_text(rows, 2), *type = query_text(rows, 3);
  const int field = field_number(list, name);
  const bool integer = list == &document->rules && field == ID;
  if (field < 0) return fault_set(fault, FAULT_INVALID, "unknown member \"%s\"", name);
  if (item->texts[field]) return fault_set(fault, FAULT_INVALID, "%s is given twice", name);
  if (!strcmp(type, "null")) return true;
  if (strcmp(type, integer ? "integer" : "text") != 0) {
    return fault_set(fault, FAULT_INVALID, "%s: %s is wanted, not %s", name,
                     integer ? "an integer" : "a text", type);
  }
  if (integer) item->id = sqlite3_column_int64(rows, 4);
  item->texts[field] = arena_strdup(&document->arena, query_text(rows, 4));
  return item->texts[field] || fault_oom(fault);
}

/* A row for each member of each item; one without a member for an item that has none. */
static bool read_list(sqlite3 *db, const char *json, Document *document, List *list, Fault *fault) {
  sqlite3_stmt *rows = query_printf(
      db, fault,
      "SELECT item.key, item.type, member.key, member.type, member.value FROM json_each(%Q, %Q) AS "
      "item LEFT JOIN json_each(CASE item.type WHEN 'object' THEN item.value ELSE '{}' END) AS "
      "member ORDER BY item.key, member.id",
      json, list->path);
  bool ok = rows != NULL;
  int step = -1;
  while (ok && (step = query_step(rows, fault)) == 1) {
    const size_t number = (size_t)sqlite3_column_int64(rows, 0);
    if (!array_grow(list->items, list->capacity, number + 1)) {
      ok = fault_oom(fault);
      break;
    }
    list->count = number + 1;
    ok = !strcmp(query_text(rows, 1), "object")
             ? sqlite3_column_type(rows, 2) == SQLITE_NULL ||
                   take_member(document, list, &list->items[number], rows, fault)
             : fault_set(fault, FAULT_INVALID, "an object is wanted, not %s", query_text(rows, 1));
    if (!ok) fault_prefix(fault, "%s[%zu]: ", list->name, number);
  }
  query_finish(rows);
  return ok && step == 0;
}

static bool document_read(sqlite3 *db, const char *json, Document *document, Fault *fault) {
  *document = (Document){.groups = {"groups", "$.groups", group_fields, GROUP_FIELDS, NULL, 0, 0},
                         .rules = {"rules", "$.rules", rule_fields, RULE_FIELDS, NULL, 0, 0}};
  return check_top(db, json, fault) && read_list(db, json, document, &document->groups, fault) &&
         read_list(db, json, document, &document->rules, fault);
}

/* ---- compiling ------------------------------------------------------------------------------- */

/* Rules without an id get the one behind the rule before them. */
static bool number_rules(Document *document, Fault *fault) {
  Map ids = {0};
  bool ok = true;
  sqlite3_int64 last = 0;
  for (size_t i = 0; ok && i < document->rules.count; i++) {
    Item *rule = &document->rules.items[i];
    bool added = false;
    if (!rule->texts[ID] && last == INT64_MAX) {
      ok = fault_set(fault, FAULT_LIMIT, "rules[%zu]: there is no id behind %lld", i,
                     (long long)last);
      break;
    }
    if (!rule->texts[ID]) rule->id = last + 1;
    last = rule->id;
    if (!map_put(&ids, &rule->id, sizeof rule->id, 1, &added)) ok = fault_oom(fault);
    if (ok && !added) {
      ok = fault_set(fault, FAULT_INVALID, "rules[%zu]: id %lld is given twice", i,
                     (long long)rule->id);
    }
  }
  map_finish(&ids);
  return ok;
}

static bool add_group(Compiler *compiler, const Item *group) {
  const char *name = group->texts[NAME], *members = group->texts[MEMBERS];
  if (!name || !*name) return fault_set(compiler->fault, FAULT_INVALID, "name is missing or empty");
  if (!members) return fault_set(compiler->fault, FAULT_INVALID, "members is missing");
  for (int i = 0; i < compiler->policy->ngroups; i++) {
    if (strcmp(compiler->policy->groups[i].name, name)) continue;
    return fault_set(compiler->fault, FAULT_INVALID, "name: \"%s\" is given twice", name);
  }
  return compiler_add_group(compiler, name, members);
}

static int by_id(const void *a, const void *b) {
  const sqlite3_int64 x = ((const Item *)a)->id, y = ((const Item *)b)->id;
  return (x > y) - (x < y);
}

static bool compile(Compiler *compiler, Document *document) {
  Fault *fault = compiler->fault;
  for (size_t i = 0; i < document->groups.count; i++) {
    if (!add_group(compiler, &document->groups.items[i])) {
      return fault_prefix(fault, "groups[%zu]: ", i);
    }
  }
  for (size_t i = 0; i < document->rules.count; i++) {
    const Item *rule = &document->rules.items[i];
    const char *const *t = rule->texts;
    const RuleText text = {rule->id, t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]};
    if (!compiler_add_rule(compiler, &text)) return fault_prefix(fault, "rules[%zu]: ", i);
  }
  return true;
}

/* NULL with the fault set. Rules apply in the order of their ids, which need not be the document's,
** so a document that is not in order is checked as it stands and compiled sorted. */
static Policy *document_compile(sqlite3 *db, Document *document, Fault *fault) {
  Compiler compiler;
  bool sorted = true;
  if (!number_rules(document, fault) || !compiler_begin(db, &compiler, fault)) return NULL;
  bool ok = compile(&compiler, document);
  for (size_t i = 1; i < document->rules.count; i++) {
    sorted &= document->rules.items[i - 1].id < document->rules.items[i].id;
  }
  if (ok && !sorted) {
    qsort(document->rules.items, document->rules.count, sizeof(Item), by_id);
    policy_destroy(compiler.policy);
    if (!compiler_begin(db, &compiler, fault)) return NULL;
    ok = compile(&compiler, document);
  }
  if (ok) return compiler.policy;
  policy_destroy(compiler.policy);
  return NULL;
}

Policy *policy_of_document(sqlite3 *db, const char *json, Fault *fault) {
  Document document;
  Policy *policy =
      document_read(db, json, &document, fault) ? document_compile(db, &document, fault) : NULL;
  document_finish(&document);
  return policy;
}

/* ---- storing --------------------------------------------------------------------------------- */

static bool store_list(sqlite3 *db, const char *sql, const List *list, Fault *fault) {
  sqlite3_stmt *insert = query_prepare(db, sql, fault);
  bool ok = insert != NULL;
  for (size_t i = 0; ok && i < list->count; i++) {
    const Item *item = &list->items[i];
    for (int f = 0; f < list->nfields; f++) {
      sqlite3_bind_text(insert, f + 1, item->texts[f], -1, SQLITE_STATIC);
    }
    if (list->nfields == RULE_FIELDS) sqlite3_bind_int64(insert, ID + 1, item->id);
    ok = query_step(insert, fault) == 0;
    sqlite3_reset(insert);
  }
  query_finish(insert);
  return ok;
}

static bool store(sqlite3 *db, const Document *document, Fault *fault) {
  return storage_create(db, fault) && query_run(db, "DELETE FROM main._multiverse_groups", fault) &&
         query_run(db, "DELETE FROM main._multiverse_rules", fault) &&
         store_list(db, "INSERT INTO main._multiverse_groups VALUES (?1, ?2)", &document->groups,
                    fault) &&
         store_list(db,
                    "INSERT INTO main._multiverse_rules VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, "
                    "?9)",
                    &document->rules, fault);
}

/* All of it or nothing. */
static bool replace(sqlite3 *db, const Document *document, Fault *fault) {
  if (!query_run(db, "SAVEPOINT multiverse_policy_load", fault)) return false;
  if (store(db, document, fault) && count_settle(db, fault) &&
      query_run(db, "RELEASE multiverse_policy_load", fault)) {
    return true;
  }
  query_run(db, "ROLLBACK TO multiverse_policy_load", NULL);
  query_run(db, "RELEASE multiverse_policy_load", NULL);
  return false;
}

void multiverse_policy_load(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  Document document = {0};
  Policy *policy = NULL;
  const char *json = func_text(ctx, argv[0], NULL);
  if (!json) return;
  vt_internal_enter(conn);
  if (state_is_admin(vt_state(conn), &fault) &&
      document_read(vt_db(conn), json, &document, &fault)) {
    policy = document_compile(vt_db(conn), &document, &fault);
  }
  const bool ok = policy && replace(vt_db(conn), &document, &fault);
  vt_internal_leave(conn);
  if (ok) {
    sqlite3_result_int64(ctx, (sqlite3_int64)document.rules.count);
  } else {
    func_fault(ctx, &fault);
  }
  policy_destroy(policy);
  document_finish(&document);
}
