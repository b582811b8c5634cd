/*
** CREATE VIRTUAL TABLE carts USING link(id TEXT PRIMARY KEY, total REAL NOT NULL, items TEXT,
**   load='SELECT id, total, items FROM db.carts WHERE id = ?', write='through',
**   coord='local:/run/app/map.db', me='unix:/run/app/1.sock', op_add='total = total + ?1');
**
** Columns are written as in CREATE TABLE, with one of four types. What has a = behind its first
** word is an option.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/link/tab.h"
#include "vtab/words.h"

enum { LEAST_MEMORY = 65536 };

typedef struct SqlOperation { /* op_NAME='...', until the source is there */
  struct SqlOperation *next;
  const char *name, *text;
} SqlOperation;

typedef struct Declaration {
  LinkTab *tab;
  LinkOptions options;
  SqlOperation *operations;
} Declaration;

/* ---- columns --------------------------------------------------------------------------------- */

static int read_constraints(LinkTab *tab, OwnColumn *column, int i, const char *at) {
  while (*(at = vt_skip_space(at))) {
    if (vt_word_is(&at, "primary") && vt_word_is(&at, "key")) {
      if (tab->type.key >= 0)
        return vt_fail(&tab->base, SQLITE_ERROR, "there are two primary keys");
      tab->type.key = i;
    } else if (vt_word_is(&at, "not") && vt_word_is(&at, "null")) {
      column->not_null = true;
    } else {
      return vt_fail(&tab->base, SQLITE_ERROR,
                     "column \"%s\": %.40s: a column has a type, PRIMARY KEY and NOT NULL",
                     column->name, at);
    }
  }
  return SQLITE_OK;
}

static OwnKind kind_of(const char *type) {
  switch (vt_column_type(type)) {
  case SQLITE_INTEGER:
    return OWN_INTEGER;
  case SQLITE_FLOAT:
    return OWN_REAL;
  case SQLITE_TEXT:
    return OWN_TEXT;
  case SQLITE_BLOB:
    return OWN_BLOB;
  default:
    return 0;
  }
}

static int add_column(LinkTab *tab, const char *text) {
  const int i = tab->type.ncolumns;
  char type[64];
  if (i == OWN_COLUMNS)
    return vt_fail(&tab->base, SQLITE_ERROR, "more than %d columns", OWN_COLUMNS);
  OwnColumn *column = &tab->type.columns[i];
  const char *at = vt_word(text, column->name, sizeof column->name);
  if (!at || !*column->name || strlen(column->name) + 1 == sizeof column->name)
    return vt_fail(&tab->base, SQLITE_ERROR, "a column has a name of at most %d bytes: %.60s",
                   (int)sizeof column->name - 2, text);
  const char *after = vt_word(at, type, sizeof type);
  column->kind = after ? kind_of(type) : 0;
  if (!column->kind) {
    return vt_fail(&tab->base, SQLITE_ERROR,
                   "column \"%s\": a type is INTEGER, REAL, TEXT or BLOB, not \"%s\"", column->name,
                   after ? type : "");
  }
  for (int j = 0; j < i; j++) {
    if (!sqlite3_stricmp(tab->type.columns[j].name, column->name))
      return vt_fail(&tab->base, SQLITE_ERROR, "there are two columns \"%s\"", column->name);
  }
  tab->type.ncolumns++;
  return read_constraints(tab, column, i, after);
}

/* What SQLite is told, and what it may ask for. */
static int make_columns(LinkTab *tab) {
  static const char *const types[] = {"", "INTEGER", "REAL", "TEXT", "BLOB"};
  const OwnType *type = &tab->type;
  tab->columns = arena_array(&tab->base.arena, (size_t)type->ncolumns + 1, sizeof *tab->columns);
  if (!tab->columns) return SQLITE_NOMEM;
  for (int i = 0; i < type->ncolumns; i++) {
    const OwnColumn *column = &type->columns[i];
    VtColumn *out = &tab->columns[i];
    *out = (VtColumn){.name = column->name, .type = types[column->kind], .doc = "as declared"};
    if (column->not_null) out->flags |= VT_NOTNULL;
    if (i != type->key) continue;
    out->flags |= VT_EQ | VT_IN | VT_UNIQUE | VT_EXACT;
    out->flags |= column->kind == OWN_INTEGER ? VT_ROWID : VT_KEY;
  }
  tab->columns[type->ncolumns] = (VtColumn){.name = "link_owner",
                                            .type = "TEXT",
                                            .flags = VT_HIDDEN | VT_EQ,
                                            .doc = "address of the process that owns the row"};
  tab->base.cols = tab->columns;
  tab->base.ncols = type->ncolumns + 1;
  tab->base.without_rowid = type->columns[type->key].kind == OWN_TEXT;
  return SQLITE_OK;
}

/* ---- options --------------------------------------------------------------------------------- */

static int wrong_option(LinkTab *tab, const char *name, const char *value, const char *wanted) {
  return vt_fail(&tab->base, SQLITE_ERROR, "%s='%.60s': %s", name, value, wanted);
}

/* The first line of a file: what stands in the schema is only where it is. */
static int read_secret(Declaration *it, const char *name, const char *path, const char **out) {
  char line[256] = "";
  FILE *file = fopen(path, "r");
  if (file && !fgets(line, sizeof line, file)) *line = '\0';
  if (file) fclose(file);
  line[strcspn(line, "\r\n")] = '\0';
  if (!*line)
    return vt_fail(&it->tab->base, SQLITE_CANTOPEN, "%s='%.200s': no secret is there", name, path);
  *out = arena_strdup(&it->tab->base.arena, line);
  return *out ? SQLITE_OK : SQLITE_NOMEM;
}

static int add_operation(Declaration *it, const char *name, const char *text) {
  SqlOperation *operation = arena_alloc(&it->tab->base.arena, sizeof *operation);
  if (!operation) return SQLITE_NOMEM;
  *operation = (SqlOperation){it->operations, arena_strdup(&it->tab->base.arena, name), text};
  it->operations = operation;
  return operation->name ? SQLITE_OK : SQLITE_NOMEM;
}

static int take_number(Declaration *it, const char *name, const char *value, int least, int most,
                       int *out) {
  char *end, wanted[64];
  const long number = strtol(value, &end, 10);
  snprintf(wanted, sizeof wanted, "a number of %d to %d", least, most);
  if (end == value || *end || number < least || number > most)
    return wrong_option(it->tab, name, value, wanted);
  *out = (int)number;
  return SQLITE_OK;
}

static int take_option(Declaration *it, const char *name, const char *value) {
  LinkOptions *options = &it->options;
  const struct {
    const char *name;
    const char **out;
  } texts[] = {{"load", &options->load},       {"scan", &options->scan},
               {"table", &options->table},     {"write", &options->write},
               {"coord", &options->coord},     {"me", &options->me},
               {"name", &options->name},       {"consistency", &options->consistency},
               {"standby", &options->standby}, {"memory", &options->memory}};
  if (!value) return SQLITE_NOMEM;
  for (size_t i = 0; i < countof(texts); i++) {
    if (strcmp(name, texts[i].name)) continue;
    *texts[i].out = value;
    return SQLITE_OK;
  }
  if (!strncmp(name, "op_", 3) && name[3]) return add_operation(it, name + 3, value);
  if (!strcmp(name, "secret_file")) return read_secret(it, name, value, &options->secret);
  if (!strcmp(name, "standby_secret_file"))
    return read_secret(it, name, value, &options->standby_secret);
  const struct {
    const char *name;
    int least, most, *out;
  } numbers[] = {{"slices", 1, OWN_MOST_SLICES, &options->slices},
                 {"deadline", 1, 1000000, &options->deadline_ms},
                 {"stale", 1, 1000000, &options->stale_ms},
                 {"balance", 0, 1000000, &options->balance_ms}};
  for (size_t i = 0; i < countof(numbers); i++) {
    if (!strcmp(name, numbers[i].name))
      return take_number(it, name, value, numbers[i].least, numbers[i].most, numbers[i].out);
  }
  return wrong_option(it->tab, name, value,
                      "options are load, scan, table, write, coord, me, name, secret_file, slices, "
                      "consistency, deadline (ms), stale (ms), balance (ms), memory, "
                      "standby, standby_secret_file, op_NAME");
}

/* As far as can be seen without asking for it. */
static bool is_far_memory(const char *at) {
  static const char *const schemes[] = {"shm:", "file:", "unix:", "tcp:", "verbs:"};
  for (size_t i = 0; i < countof(schemes); i++) {
    const size_t length = strlen(schemes[i]);
    if (strncmp(at, schemes[i], length)) continue;
    const char *port = strrchr(at + length, ':');
    return i < 3 ? at[length] : port && port > at + length && port[1];
  }
  return false;
}

static int take_memory(Declaration *it, OwnTable *like) {
  const char *memory = it->options.memory;
  if (!memory) return SQLITE_OK;
  if (!vt_size(memory, &like->most) || like->most < LEAST_MEMORY)
    return wrong_option(it->tab, "memory", memory, "a size of at least 64k: 500k, 64M, 2G");
  /* With 'back' a key that nobody has in memory may be that of a new row, or of one that went. */
  if (like->write != OWN_WRITE_THROUGH)
    return wrong_option(it->tab, "memory", memory,
                        "rows go when they are in the database: write='through' is wanted");
  return SQLITE_OK;
}

static int check_standby(Declaration *it) {
  const LinkOptions *options = &it->options;
  if (!options->standby && options->standby_secret)
    return wrong_option(it->tab, "standby_secret_file", "...", "there is no standby=");
  if (!options->standby) return SQLITE_OK;
  if (!is_far_memory(options->standby))
    return wrong_option(it->tab, "standby", options->standby,
                        "shm:NAME, file:PATH, unix:PATH, tcp:HOST:PORT or verbs:HOST:PORT is "
                        "wanted");
  if (!*options->coord)
    return wrong_option(it->tab, "standby", options->standby,
                        "nobody can take over from this process: there is no coord=");
  return SQLITE_OK;
}

/* What options mean, and which of them go together. */
static int take_meanings(Declaration *it, OwnTable *like) {
  LinkTab *tab = it->tab;
  LinkOptions *options = &it->options;
  const char *write = options->write ? options->write : options->load ? "through" : "none";
  like->loads = options->load != NULL;
  like->strict = true;
  if (!strcmp(write, "through")) {
    like->write = OWN_WRITE_THROUGH;
  } else if (!strcmp(write, "back")) {
    like->write = OWN_WRITE_BACK;
  } else if (strcmp(write, "none")) {
    return wrong_option(tab, "write", write, "through, back or none");
  }
  if (options->consistency && !strcmp(options->consistency, "affinity")) {
    like->strict = false;
  } else if (options->consistency && strcmp(options->consistency, "strict")) {
    return wrong_option(tab, "consistency", options->consistency, "strict or affinity");
  }
  if (like->write != OWN_WRITE_NONE && !options->load)
    return wrong_option(tab, "write", write, "where to is what load='SELECT ...' says");
  if (like->write == OWN_WRITE_BACK && !*options->coord)
    return wrong_option(tab, "write", write, "who writes it back is a node: coord= and me=");
  if (*options->me && !*options->coord)
    return wrong_option(tab, "me", options->me, "there is no coord= to tell it to");
  if (strpbrk(options->name, " /") || strlen(options->name) > 100)
    return wrong_option(tab, "name", options->name, "at most 100 bytes without blank and /");
  like->standby_at = options->standby;
  like->standby_secret = options->standby_secret;
  const int rc = take_memory(it, like);
  return rc == SQLITE_OK ? check_standby(it) : rc;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int read_arguments(Declaration *it, const VtCreate *create) {
  LinkTab *tab = it->tab;
  int rc = SQLITE_OK;
  for (int i = 0; i < create->nargs && rc == SQLITE_OK; i++) {
    char name[64];
    const char *value = NULL;
    rc = vt_option(&tab->base.arena, create->args[i], name, &value)
             ? take_option(it, name, value)
             : add_column(tab, create->args[i]);
  }
  if (rc == SQLITE_OK && tab->type.key < 0)
    rc = vt_fail(&tab->base, SQLITE_ERROR, "one column has to be the PRIMARY KEY");
  if (rc != SQLITE_OK) return rc;
  const OwnColumn *key = &tab->type.columns[tab->type.key];
  if (key->kind != OWN_INTEGER && key->kind != OWN_TEXT)
    return vt_fail(&tab->base, SQLITE_ERROR, "column \"%s\": a key is an INTEGER or a TEXT",
                   key->name);
  own_type_place(&tab->type);
  return SQLITE_OK;
}

/* ---- what stays ------------------------------------------------------------------------------ */

static void kept_free(LinkKept *kept) {
  if (kept->table) link_near_clear(kept);
  if (kept->table) own_node_table_close(kept->table);
  own_node_close(kept->node);
  free(kept->schema);
  free(kept->name);
  free(kept);
}

void link_kept_drop(LinkState *state, const char *schema, const char *name) {
  for (LinkKept **at = &state->kept; *at; at = &(*at)->next) {
    LinkKept *kept = *at;
    if (sqlite3_stricmp(kept->schema, schema) || sqlite3_stricmp(kept->name, name)) continue;
    *at = kept->next;
    kept_free(kept);
    return;
  }
}

void link_kept_close(LinkState *state) {
  while (state->kept) {
    LinkKept *kept = state->kept;
    state->kept = kept->next;
    kept_free(kept);
  }
}

static LinkKept *find_kept(LinkState *state, const LinkTab *tab) {
  LinkKept *kept = state->kept;
  while (kept &&
         (sqlite3_stricmp(kept->schema, tab->schema) || sqlite3_stricmp(kept->name, tab->name)))
    kept = kept->next;
  return kept;
}

/* The source is the table's once the table was made with it. */
static LinkKept *make_kept(Declaration *it, OwnTable *like, bool *out_made, Fault *fault) {
  LinkTab *tab = it->tab;
  LinkState *state = vt_state(tab->base.conn);
  const OwnNodeOptions options = {.coordinator = it->options.coord,
                                  .address = it->options.me,
                                  .secret = it->options.secret ? it->options.secret : "",
                                  .open = link_coordinator_open};
  LinkKept *kept = calloc(1, sizeof *kept);
  if (!kept) {
    fault_oom(fault);
    return NULL;
  }
  kept->conn = tab->base.conn;
  kept->schema = strdup(tab->schema);
  kept->name = strdup(tab->name);
  bool ok = (kept->schema && kept->name) || fault_oom(fault);
  ok = ok && (kept->node = own_node_open(&options, fault));
  ok = ok && (kept->table = own_node_table(kept->node, like, out_made, fault));
  if (!ok) {
    kept_free(kept);
    return NULL;
  }
  kept->next = state->kept;
  state->kept = kept;
  return kept;
}

static int open_table(Declaration *it, OwnTable *like, LinkSource *source) {
  LinkTab *tab = it->tab;
  Fault fault = {0};
  bool made = false;
  like->store = link_store;
  like->store.ctx = source;
  tab->kept = find_kept(vt_state(tab->base.conn), tab);
  if (!tab->kept) tab->kept = make_kept(it, like, &made, &fault);
  if (!made) link_source_free(source);
  if (!tab->kept) return vt_fault(&tab->base, &fault);
  tab->node = tab->kept->node;
  tab->table = tab->kept->table;
  tab->source = tab->table->store.ctx;
  tab->user = (LinkClerk){.source = tab->source, .db = tab->base.db, .conn = tab->base.conn};
  return SQLITE_OK;
}

int link_tab_declare(LinkTab *tab, const VtCreate *create) {
  Declaration it = {
      .tab = tab,
      .options = {
          .coord = "", .me = "", .slices = OWN_SLICES, .deadline_ms = 2000, .balance_ms = 2000}};
  OwnTable like = {0};
  Fault fault = {0};
  tab->type.key = -1;
  tab->base.name = tab->name = arena_strdup(&tab->base.arena, create->name);
  tab->schema = arena_strdup(&tab->base.arena, create->schema);
  if (!tab->name || !tab->schema) return SQLITE_NOMEM;
  it.options.name = tab->name;
  int rc = read_arguments(&it, create);
  if (rc == SQLITE_OK) rc = take_meanings(&it, &like);
  if (rc == SQLITE_OK) rc = make_columns(tab);
  if (rc != SQLITE_OK) return rc;
  tab->alone = !*it.options.coord;
  if (create->create) link_kept_drop(vt_state(tab->base.conn), tab->schema, tab->name);
  tab->stale_ns = (int64_t)it.options.stale_ms * 1000000;
  tab->deadline_ns = (int64_t)it.options.deadline_ms * 1000000;
  LinkSource *source =
      link_source_make(tab->base.conn, tab->schema, &tab->type, &it.options, &fault);
  bool ok = source != NULL;
  for (const SqlOperation *at = it.operations; ok && at; at = at->next)
    ok = link_source_define(source, at->name, at->text, &fault);
  if (ok && like.write != OWN_WRITE_NONE && !source->table) {
    ok = fault_set(&fault, FAULT_INVALID,
                   "load: its columns are not those of one table: write='none', or table='...'");
  }
  if (ok && !tab->alone && source->load && !source->stored) {
    ok = fault_set(&fault, FAULT_INVALID, "load: other processes ask for rows that are in no file");
  }
  if (!ok) {
    link_source_free(source);
    return vt_fault(&tab->base, &fault);
  }
  like.name = (char *)it.options.name;
  like.type = tab->type;
  like.nslices = it.options.slices;
  like.balance.period_ns = (int64_t)it.options.balance_ms * 1000000;
  return open_table(&it, &like, source);
}
