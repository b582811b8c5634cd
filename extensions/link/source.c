/*
** The SQL behind a table. What `load=` says is where a row comes from; when its columns are those
** of one table, that is the table that is written through, and read by scans.
*/
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"
#include "vtab/query.h"

typedef struct Made { /* what the statements are made of */
  LinkSource *source;
  const OwnType *type;
  const char *names[OWN_COLUMNS]; /* of the columns, in the table behind */
} Made;

/* ---- the table behind ------------------------------------------------------------------------ */

/* Where the columns of a query come from, if SQLite can tell: *out_known. From several tables, or
** none: it is not known. */
static bool find_origin(Made *it, sqlite3_stmt *load, Arena *arena, bool *out_known, Fault *fault) {
  LinkSource *source = it->source;
  *out_known = false;
  if (!sqlite3_compileoption_used("ENABLE_COLUMN_METADATA")) return true;
  for (int i = 0; i < it->type->ncolumns; i++) {
    const char *schema = sqlite3_column_database_name(load, i);
    const char *table = sqlite3_column_table_name(load, i);
    const char *name = sqlite3_column_origin_name(load, i);
    if (!schema || !table || !name) return true;
    if (i && (strcmp(schema, source->schema) || strcmp(table, source->table))) return true;
    if (!i) {
      source->schema = strdup(schema);
      source->table = strdup(table);
    }
    it->names[i] = arena_strdup(arena, name);
    if (!source->schema || !source->table || !it->names[i]) return fault_oom(fault);
  }
  *out_known = true;
  return true;
}

/* table='db.carts' */
static bool split_name(LinkSource *source, const char *name, const char *schema) {
  const char *dot = strchr(name, '.');
  source->schema = dot ? strndup(name, (size_t)(dot - name)) : strdup(schema);
  source->table = strdup(dot ? dot + 1 : name);
  return source->schema && source->table;
}

/* ---- statements ------------------------------------------------------------------------------ */

static void add_table(const Made *it, Text *sql) {
  text_add_name(sql, it->source->schema);
  text_addc(sql, '.');
  text_add_name(sql, it->source->table);
}

/* The text, which is the caller's; NULL: memory was refused. */
static char *taken(Text *text) {
  if (!text->oom) return text->data;
  text_finish(text);
  return NULL;
}

static char *insert_sql(const Made *it, const char *verb) {
  Text sql = {0};
  text_addf(&sql, "%s INTO ", verb);
  add_table(it, &sql);
  for (int i = 0; i < it->type->ncolumns; i++) {
    text_add(&sql, i ? "," : "(");
    text_add_name(&sql, it->names[i]);
  }
  text_add(&sql, ") VALUES ");
  for (int i = 0; i < it->type->ncolumns; i++) text_addf(&sql, "%s?%d", i ? "," : "(", i + 1);
  text_addc(&sql, ')');
  return taken(&sql);
}

static void add_key_test(const Made *it, Text *sql) {
  text_add(sql, " WHERE ");
  text_add_name(sql, it->names[it->type->key]);
  text_addf(sql, "=?%d", it->type->ncolumns + 1);
}

static char *update_sql(const Made *it, const char *verb) {
  Text sql = {0};
  text_addf(&sql, "%s ", verb);
  add_table(it, &sql);
  for (int i = 0; i < it->type->ncolumns; i++) {
    text_add(&sql, i ? "," : " SET ");
    text_add_name(&sql, it->names[i]);
    text_addf(&sql, "=?%d", i + 1);
  }
  add_key_test(it, &sql);
  return taken(&sql);
}

static char *remove_sql(const Made *it) {
  Text sql = {0};
  text_add(&sql, "DELETE FROM ");
  add_table(it, &sql);
  add_key_test(it, &sql);
  return taken(&sql);
}

static char *scan_sql(const Made *it) {
  Text sql = {0};
  for (int i = 0; i < it->type->ncolumns; i++) {
    text_add(&sql, i ? "," : "SELECT ");
    text_add_name(&sql, it->names[i]);
  }
  text_add(&sql, " FROM ");
  add_table(it, &sql);
  return taken(&sql);
}

static char *fence_sql(const LinkSource *source, const char *before, const char *after) {
  Text sql = {0};
  text_add(&sql, before);
  text_add_name(&sql, source->schema);
  text_add(&sql, ".link_fence");
  text_add(&sql, after);
  return taken(&sql);
}

static bool make_statements(const Made *it, Fault *fault) {
  LinkSource *source = it->source;
  source->insert = insert_sql(it, "INSERT");
  source->replace = insert_sql(it, "INSERT OR REPLACE");
  source->update = update_sql(it, "UPDATE");
  source->update_replace = update_sql(it, "UPDATE OR REPLACE");
  source->remove = remove_sql(it);
  if (!source->scan) source->scan = scan_sql(it);
  source->fence_get = fence_sql(source, "SELECT epoch FROM ", " WHERE tab = ?1 AND slice = ?2");
  source->fence_set =
      fence_sql(source, "INSERT OR REPLACE INTO ", "(tab, slice, epoch) VALUES (?1, ?2, ?3)");
  source->fence_make = fence_sql(source, "CREATE TABLE IF NOT EXISTS ",
                                 "(tab TEXT, slice INTEGER, epoch INTEGER, "
                                 "PRIMARY KEY (tab, slice)) WITHOUT ROWID");
  return (source->insert && source->replace && source->update && source->update_replace &&
          source->remove && source->scan && source->fence_get && source->fence_set &&
          source->fence_make) ||
         fault_oom(fault);
}

/* ---- the databases --------------------------------------------------------------------------- */

/* Those in files, which a connection of our own attaches under the same names. */
static bool list_files(VtConn *conn, LinkSource *source, Fault *fault) {
  sqlite3_stmt *list = query_prepare(vt_db(conn), "PRAGMA database_list", fault);
  int more = list ? 1 : -1;
  while (list && (more = query_step(list, fault)) == 1 && source->nfiles < LINK_FILES) {
    const char *schema = query_text(list, 1), *file = query_text(list, 2);
    if (!*file) continue;
    const int i = source->nfiles++;
    source->schemas[i] = strdup(schema);
    source->files[i] = strdup(file);
    if (!source->schemas[i] || !source->files[i]) {
      fault_oom(fault);
      more = -1;
      break;
    }
    /* What a query over several tables reads is taken to be in files if any is. */
    if (!source->schema || !strcmp(schema, source->schema)) source->stored = true;
  }
  query_finish(list);
  return more >= 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Where the assignment at `at` ends: a comma outside of quotes and parentheses. */
static const char *assignment_end(const char *at) {
  int depth = 0;
  for (; *at && (*at != ',' || depth); at++) {
    if (*at == '(') depth++;
    if (*at == ')') depth--;
    if (*at != '\'' && *at != '"' && *at != '`') continue;
    const char *close = strchr(at + 1, *at);
    if (!close) return at + strlen(at);
    at = close;
  }
  return at;
}

static bool add_assignment(const LinkSource *source, LinkSqlOperation *operation, Text *sql,
                           const char *at, const char *end, Fault *fault) {
  char name[64];
  const OwnType *type = &source->type;
  const char *after = at;
  size_t n = 0;
  while (isspace((unsigned char)*after)) after++;
  for (; after < end && (isalnum((unsigned char)*after) || *after == '_') && n + 1 < sizeof name;)
    name[n++] = *after++;
  name[n] = '\0';
  while (isspace((unsigned char)*after)) after++;
  int column = 0;
  while (column < type->ncolumns && sqlite3_stricmp(type->columns[column].name, name)) column++;
  if (after >= end || *after != '=' || column == type->ncolumns || column == type->key) {
    return fault_set(fault, FAULT_INVALID,
                     "op_%s: \"column = expression, ...\" is wanted, of "
                     "columns that are not the key: %.*s",
                     operation->name, (int)(end - at), at);
  }
  if (operation->ncells == OWN_COLUMNS)
    return fault_set(fault, FAULT_LIMIT, "op_%s: too many columns", operation->name);
  text_add(sql, operation->ncells ? ",(" : "SELECT (");
  text_addn(sql, after + 1, (size_t)(end - after - 1));
  text_addc(sql, ')');
  operation->cells[operation->ncells++] = column;
  return true;
}

bool link_source_define(LinkSource *source, const char *name, const char *text, Fault *fault) {
  LinkSqlOperation *operation = calloc(1, sizeof *operation);
  Text sql = {0};
  bool ok = operation && (operation->name = strdup(name));
  if (operation) {
    operation->next = source->operations;
    source->operations = operation;
  }
  for (const char *at = text; ok && *at;) {
    const char *end = assignment_end(at);
    if (!add_assignment(source, operation, &sql, at, end, fault)) {
      text_finish(&sql);
      return false;
    }
    at = *end ? end + 1 : end;
  }
  text_add(&sql, " FROM (SELECT ");
  for (int i = 0; i < source->type.ncolumns; i++) {
    text_addf(&sql, "%s?%d AS ", i ? "," : "", LINK_FIRST_CELL + i);
    text_add_name(&sql, source->type.columns[i].name);
  }
  text_addc(&sql, ')');
  if (!ok || sql.oom) {
    text_finish(&sql);
    return fault_oom(fault);
  }
  operation->query = sql.data;
  return operation->ncells > 0 ||
         fault_set(fault, FAULT_INVALID, "op_%s: nothing is assigned", name);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool look_at_load(VtConn *conn, Made *it, const char *schema, const LinkOptions *options,
                         Fault *fault) {
  LinkSource *source = it->source;
  Arena arena = {0};
  sqlite3_stmt *load = query_prepare(vt_db(conn), source->load, fault);
  if (!load) return fault_prefix(fault, "load: ");
  bool ok = true, known = true;
  const int given = sqlite3_column_count(load), parameters = sqlite3_bind_parameter_count(load);
  if (given != it->type->ncolumns || parameters != 1 || !sqlite3_stmt_readonly(load)) {
    ok = fault_set(fault, FAULT_INVALID,
                   "load: a query with %d columns and one parameter is wanted, not %d and %d",
                   it->type->ncolumns, given, parameters);
  }
  if (ok && options->table) {
    for (int i = 0; i < it->type->ncolumns; i++) it->names[i] = it->type->columns[i].name;
    ok = split_name(source, options->table, schema) || fault_oom(fault);
  } else {
    ok = ok && find_origin(it, load, &arena, &known, fault);
  }
  if (ok && known) {
    ok = make_statements(it, fault);
  } else if (ok) {
    free(source->schema);
    free(source->table);
    source->schema = source->table = NULL;
  }
  query_finish(load);
  arena_finish(&arena);
  return ok;
}

LinkSource *link_source_make(VtConn *conn, const char *schema, const OwnType *type,
                             const LinkOptions *options, Fault *fault) {
  LinkSource *source = calloc(1, sizeof *source);
  if (!source || !(source->name = strdup(options->name))) {
    free(source);
    fault_oom(fault);
    return NULL;
  }
  Made it = {.source = source, .type = type};
  source->type = *type;
  bool ok = true;
  if (options->load) ok = (source->load = strdup(options->load)) || fault_oom(fault);
  if (options->scan) ok = ok && ((source->scan = strdup(options->scan)) || fault_oom(fault));
  vt_internal_enter(conn);
  if (ok && source->load) ok = look_at_load(conn, &it, schema, options, fault);
  ok = ok && list_files(conn, source, fault);
  vt_internal_leave(conn);
  if (ok) return source;
  link_source_free(source);
  return NULL;
}

void link_source_free(void *ctx) {
  LinkSource *source = ctx;
  if (!source) return;
  char *const texts[] = {source->name,      source->load,           source->scan,
                         source->insert,    source->replace,        source->update,
                         source->remove,    source->update_replace, source->fence_get,
                         source->fence_set, source->fence_make,     source->schema,
                         source->table};
  for (size_t i = 0; i < countof(texts); i++) free(texts[i]);
  for (int i = 0; i < source->nfiles; i++) {
    free(source->files[i]);
    free(source->schemas[i]);
  }
  for (LinkSqlOperation *at = source->operations, *next; at; at = next) {
    next = at->next;
    free(at->name);
    free(at->query);
    free(at);
  }
  free(source);
}
