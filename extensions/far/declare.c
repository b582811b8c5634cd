/*
** CREATE VIRTUAL TABLE users USING far_map(id INTEGER PRIMARY KEY, score REAL NOT NULL,
**                                          name TEXT(40), at='shm:demo', leaf=64);
**
** Columns are written as in CREATE TABLE, with one of four types; the number behind TEXT and BLOB
** says how many bytes have room in the row. What has a = behind its first word is an option.
*/
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"
#include "remote/root.h"
#include "vtab/words.h"

typedef struct Option {
  char name[16];
  char value[200];
} Option;

/* ---- columns --------------------------------------------------------------------------------- */

/* SQLite's rules of affinity, for the four types that there are. 0: none of them. */
static FarType type_of(const char *name) {
  static const struct {
    const char *part;
    FarType type;
  } parts[] = {{"int", FAR_INTEGER}, {"char", FAR_TEXT}, {"clob", FAR_TEXT}, {"text", FAR_TEXT},
               {"blob", FAR_BLOB},   {"real", FAR_REAL}, {"floa", FAR_REAL}, {"doub", FAR_REAL}};
  for (size_t i = 0; i < countof(parts); i++) {
    for (const char *at = name; *at; at++)
      if (!sqlite3_strnicmp(at, parts[i].part, (int)strlen(parts[i].part))) return parts[i].type;
  }
  return 0;
}

/* "(40)" */
static int read_room(FarTab *tab, const char *column, const char **at, uint32_t *out) {
  const char *from = vt_skip_space(*at);
  if (*from != '(') return SQLITE_OK;
  char *end;
  const unsigned long room = strtoul(from + 1, &end, 10);
  end = (char *)vt_skip_space(end);
  if (*end != ')' || room < 1 || room > FAR_MOST_ROOM) {
    return vt_fail(&tab->base, SQLITE_ERROR, "column \"%s\": a room of 1 to %d bytes, not %.20s",
                   column, FAR_MOST_ROOM, from);
  }
  *out = (uint32_t)room;
  *at = end + 1;
  return SQLITE_OK;
}

/* `i`: the column; -1: it cannot be a key. */
static int read_constraints(FarTab *tab, FarColumn *column, int i, const char *at) {
  while (*(at = vt_skip_space(at))) {
    if (i >= 0 && vt_word_is(&at, "primary") && vt_word_is(&at, "key")) {
      if (tab->record.key >= 0)
        return vt_fail(&tab->base, SQLITE_ERROR, "there are two primary keys");
      tab->record.key = i;
    } else if (vt_word_is(&at, "not") && vt_word_is(&at, "null")) {
      column->not_null = true;
    } else {
      return vt_fail(&tab->base, SQLITE_ERROR,
                     "column \"%s\": %.40s: a column has a type%s and NOT NULL", column->name, at,
                     i >= 0 ? ", PRIMARY KEY" : "");
    }
  }
  return SQLITE_OK;
}

static int add_column(FarTab *tab, const char *text) {
  const int i = tab->record.ncolumns;
  char name[200], type[64];
  const bool told = tab->kind == FAR_KIND_MAP || i == 0; /* the others have their key */
  const char *at = vt_word(text, name, sizeof name);
  if (!at || !*name) return vt_fail(&tab->base, SQLITE_ERROR, "a column has a name: %.60s", text);
  if (i == FAR_COLUMNS)
    return vt_fail(&tab->base, SQLITE_ERROR, "more than %d columns", FAR_COLUMNS);
  FarColumn *column = &tab->record.columns[i];
  column->name = arena_strdup(&tab->base.arena, name);
  if (!column->name) return SQLITE_NOMEM;
  const char *after = vt_word(at, type, sizeof type);
  column->type = after ? type_of(type) : 0;
  if (!column->type) {
    return vt_fail(&tab->base, SQLITE_ERROR,
                   "column \"%s\": a type is INTEGER, REAL, TEXT or BLOB, not \"%s\"", name,
                   after ? type : "");
  }
  for (int j = 0; j < i; j++) {
    if (!sqlite3_stricmp(tab->record.columns[j].name, name))
      return vt_fail(&tab->base, SQLITE_ERROR, "there are two columns \"%s\"", name);
  }
  tab->record.ncolumns++;
  uint32_t room = 0;
  const int rc = read_room(tab, name, &after, &room);
  if (column->type == FAR_TEXT || column->type == FAR_BLOB) column->room = room;
  return rc == SQLITE_OK ? read_constraints(tab, column, told ? i : -1, after) : rc;
}

/* ---- options --------------------------------------------------------------------------------- */

/* The first line of a file: what stands in the schema is only where it is. */
static int read_secret(FarTab *tab, const char *path) {
  char line[256] = "";
  FILE *file = fopen(path, "r");
  if (file && !fgets(line, sizeof line, file)) *line = '\0';
  if (file) fclose(file);
  line[strcspn(line, "\r\n")] = '\0';
  if (!*line)
    return vt_fail(&tab->base, SQLITE_CANTOPEN, "secret_file=%s: no secret is there", path);
  tab->secret = arena_strdup(&tab->base.arena, line);
  return tab->secret ? SQLITE_OK : SQLITE_NOMEM;
}

static int take_text(FarTab *tab, const char *value, const char **out) {
  *out = arena_strdup(&tab->base.arena, value);
  return *out ? SQLITE_OK : SQLITE_NOMEM;
}

/* False: no such value. */
static bool take_number(FarTab *tab, const Option *option, FarOptions *options) {
  uint64_t number = 0;
  const bool known = vt_size(option->value, &number);
  char *end;
  const double real = text_read_real(option->value, &end);
  FarDeclared *it = &tab->declared;
  if (!strcmp(option->name, "low")) return it->plan.low = real, end != option->value && !*end;
  if (!strcmp(option->name, "high")) return it->plan.high = real, end != option->value && !*end;
  if (!strcmp(option->name, "refresh")) {
    it->refresh_ns = (int64_t)number * 1000000;
    if (sqlite3_stricmp(option->value, "manual")) return known && number <= 1000000000;
    it->refresh_ns = FAR_UNTIL_TOLD;
    return true;
  }
  if (!known) return false;
  if (!strcmp(option->name, "size")) return options->size = number, true;
  if (!strcmp(option->name, "length")) return it->length = number, number > 0;
  if (!strcmp(option->name, "buckets")) return it->plan.buckets = number, number > 0;
  if (!strcmp(option->name, "windows")) return it->plan.windows = number, number > 0;
  if (!strcmp(option->name, "stale_ms"))
    return tab->kept_rows.ns = (int64_t)number * 1000000, number <= 1000000000;
  if (!strcmp(option->name, "leaf")) return it->leaf = (unsigned)number, number <= FAR_SLOTS;
  options->deadline_ns = (int64_t)(number % 1000000) * 1000000; /* what is left */
  return number && number < 1000000;
}

static const struct {
  const char *name, *says;
  unsigned kinds; /* 1 << FarKind */
} known_options[] = {
    {"at", "at", ~0u},
    {"name", "name", ~0u},
    {"secret_file", "secret_file", ~0u},
    {"leaf", "leaf (2 to 64)", 1 << FAR_KIND_MAP},
    {"stale_ms", "stale_ms", 1 << FAR_KIND_MAP},
    {"length", "length", 1 << FAR_KIND_VECTOR | 1 << FAR_KIND_QUEUE},
    {"refresh", "refresh (ms, or manual)", 1 << FAR_KIND_VECTOR},
    {"buckets", "buckets", 1 << FAR_KIND_HISTOGRAM},
    {"low", "low", 1 << FAR_KIND_HISTOGRAM},
    {"high", "high", 1 << FAR_KIND_HISTOGRAM},
    {"windows", "windows", 1 << FAR_KIND_HISTOGRAM},
    {"size", "size", ~0u},
    {"deadline", "deadline (ms)", ~0u},
};

static int refuse_option(FarTab *tab, const Option *option) {
  char list[300] = "";
  for (size_t i = 0; i < countof(known_options); i++) {
    if (!(known_options[i].kinds >> tab->kind & 1)) continue;
    strcat(strcat(list, *list ? ", " : ""), known_options[i].says);
  }
  return vt_fail(&tab->base, SQLITE_ERROR, "%s=%.40s: options are %s", option->name, option->value,
                 list);
}

static int take_option(FarTab *tab, const Option *option, FarOptions *options) {
  size_t i = 0;
  while (i < countof(known_options) && strcmp(known_options[i].name, option->name)) i++;
  if (i == countof(known_options) || !(known_options[i].kinds >> tab->kind & 1))
    return refuse_option(tab, option);
  if (!strcmp(option->name, "at")) return take_text(tab, option->value, &tab->at);
  if (!strcmp(option->name, "name")) return take_text(tab, option->value, &tab->far_name);
  if (!strcmp(option->name, "secret_file")) return read_secret(tab, option->value);
  return take_number(tab, option, options) ? SQLITE_OK : refuse_option(tab, option);
}

/* name=value; anything else is a column. */
static bool is_option(const char *text, Option *out) {
  const char *at = vt_word(text, out->name, sizeof out->name);
  if (!at || *(at = vt_skip_space(at)) != '=') return false;
  at = vt_skip_space(at + 1);
  if (*at == '\'' || *at == '"') return vt_word(at, out->value, sizeof out->value) != NULL;
  size_t n = strlen(at);
  while (n && isspace((unsigned char)at[n - 1])) n--;
  if (n >= sizeof out->value) n = sizeof out->value - 1;
  memcpy(out->value, at, n);
  out->value[n] = '\0';
  return true;
}

/* ---- the table ------------------------------------------------------------------------------- */

/* What SQLite is told, and what it may ask for. */
static int make_columns(FarTab *tab) {
  static const char *const types[] = {"", "INTEGER", "REAL", "TEXT", "BLOB"};
  const FarRecord *record = &tab->record;
  const bool queue = tab->kind == FAR_KIND_QUEUE;
  tab->columns = arena_array(&tab->base.arena, (size_t)record->ncolumns, sizeof *tab->columns);
  if (!tab->columns) return SQLITE_NOMEM;
  for (int i = 0; i < record->ncolumns; i++) {
    const FarColumn *column = &record->columns[i];
    VtColumn *out = &tab->columns[i];
    *out = (VtColumn){.name = column->name, .type = types[column->type], .doc = "as declared"};
    if (column->not_null) out->flags |= VT_NOTNULL;
    if (i != record->key) {
      if (column->type == FAR_TEXT || column->type == FAR_BLOB) tab->has_blocks = !queue;
      continue;
    }
    if (queue) { /* read from the front, whatever is asked of it */
      out->flags |= VT_HIDDEN | VT_ROWID;
      continue;
    }
    out->flags |= VT_EQ | VT_RANGE | VT_IN | VT_UNIQUE;
    out->flags |= column->type == FAR_INTEGER ? VT_ROWID | VT_EXACT : VT_KEY;
  }
  tab->base.cols = tab->columns;
  tab->base.ncols = record->ncolumns;
  tab->base.without_rowid = record->columns[record->key].type == FAR_TEXT;
  tab->order = (VtOrder){record->key, false};
  tab->base.order = &tab->order;
  tab->base.norder = 1;
  return SQLITE_OK;
}

/* The key that such tables have without being told. */
static int add_key(FarTab *tab) {
  const char *text = tab->kind == FAR_KIND_VECTOR  ? "i INTEGER PRIMARY KEY"
                     : tab->kind == FAR_KIND_QUEUE ? "seq INTEGER PRIMARY KEY"
                                                   : NULL;
  return text ? add_column(tab, text) : SQLITE_OK;
}

static int check_columns(FarTab *tab) {
  if (tab->kind == FAR_KIND_HISTOGRAM) {
    return tab->record.ncolumns
               ? vt_fail(&tab->base, SQLITE_ERROR, "\"%s\": a histogram is told no columns",
                         tab->record.columns[0].name)
               : SQLITE_OK;
  }
  if (tab->record.key < 0)
    return vt_fail(&tab->base, SQLITE_ERROR,
                   "one column has to be the PRIMARY KEY, of type INTEGER or TEXT");
  if (tab->kind != FAR_KIND_MAP && tab->record.ncolumns == 1)
    return vt_fail(&tab->base, SQLITE_ERROR, "a %s has a column at least",
                   far_kind_name(tab->kind));
  Fault fault = {0};
  if (!far_record_layout(&tab->record, tab->declared.leaf, &fault))
    return vt_fault(&tab->base, &fault);
  return make_columns(tab);
}

int far_tab_declare(FarTab *tab, FarKind kind, const VtCreate *create, FarOptions *options) {
  tab->kind = kind;
  tab->declared = (FarDeclared){.refresh_ns = -1, .plan.windows = 1};
  tab->record.key = -1;
  tab->record.columns = arena_array(&tab->base.arena, FAR_COLUMNS, sizeof *tab->record.columns);
  tab->base.name = arena_strdup(&tab->base.arena, create->name);
  if (!tab->record.columns || !tab->base.name) return SQLITE_NOMEM;
  tab->far_name = tab->table = tab->base.name;
  tab->schema = arena_strdup(&tab->base.arena, create->schema);
  if (!tab->schema) return SQLITE_NOMEM;
  tab->at = "shm:default";
  int rc = add_key(tab);
  for (int i = 0; i < create->nargs && rc == SQLITE_OK; i++) {
    Option option;
    rc = is_option(create->args[i], &option) ? take_option(tab, &option, options)
                                             : add_column(tab, create->args[i]);
  }
  options->secret = tab->secret;
  return rc == SQLITE_OK ? check_columns(tab) : rc;
}
