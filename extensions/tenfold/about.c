/*
** tenfold_about: every table, column, function and argument of the loaded extensions, from their
** descriptors. The reference pages are made from it.
**
**   SELECT object, item, doc FROM tenfold_about WHERE extension = 'viz' AND kind = 'argument'
*/
#include "extensions/tenfold/tenfold.h"

#include <string.h>

#include "base/array.h"

enum {
  ABOUT_EXTENSION,
  ABOUT_KIND,
  ABOUT_OBJECT,
  ABOUT_ITEM,
  ABOUT_TYPE,
  ABOUT_DOC,
  ABOUT_RISK,
  ABOUT_DETAIL,
  ABOUT_NCOL
};

static const VtColumn about_cols[] = {
    [ABOUT_EXTENSION] = {"extension", "TEXT", VT_OUT, 50, "name of the system"},
    [ABOUT_KIND] = {"kind", "TEXT", VT_OUT, 50,
                    "extension, guide, table, function, column, argument, error or example"},
    [ABOUT_OBJECT] = {"object", "TEXT", VT_OUT, 5, "the table or function"},
    [ABOUT_ITEM] = {"item", "TEXT", VT_OUT, 2,
                    "signature of an object; name of a column or argument; text of an error"},
    [ABOUT_TYPE] = {"type", "TEXT", VT_OUT, 0,
                    "sort of an object; type of a column, argument or result"},
    [ABOUT_DOC] = {"doc", "TEXT", VT_OUT, 0,
                   "what it is; of an error: the cure; of an example: its SQL"},
    [ABOUT_RISK] = {"risk", "TEXT", VT_OUT, 0, "innocuous or direct-only, of an object"},
    [ABOUT_DETAIL] = {"detail", "TEXT", VT_OUT, 0,
                      "default of an argument, push-down of a column, cause of an error"},
};

typedef struct Row {
  const char *texts[ABOUT_NCOL];
} Row;

/* Rows are listed once per seek, in the cursor's arena. */
typedef struct AboutCursor {
  VtCursor cur;
  Row *rows;
  size_t count, capacity, at;
  bool oom;
  const char *extension; /* of the rows being listed */
} AboutCursor;

static void add(AboutCursor *cur, const char *kind, const char *object, const char *item,
                const char *type, const char *doc, const char *risk, const char *detail) {
  if (cur->count == cur->capacity) {
    size_t capacity = cur->capacity ? cur->capacity * 2 : 64;
    Row *rows = arena_array(&cur->cur.arena, capacity, sizeof *rows);
    if (!rows) {
      cur->oom = true;
      return;
    }
    if (cur->count) memcpy(rows, cur->rows, cur->count * sizeof *rows);
    cur->rows = rows;
    cur->capacity = capacity;
  }
  cur->rows[cur->count++] = (Row){{cur->extension, kind, object, item, type, doc, risk, detail}};
}

/* The text in the cursor's arena, which is then freed with the seek. */
static const char *keep(AboutCursor *cur, Text *text) {
  const char *copy = text->oom ? NULL : arena_strdup(&cur->cur.arena, text_get(text));
  if (!copy) cur->oom = true;
  text_finish(text);
  return copy ? copy : "";
}

static void add_errors(AboutCursor *cur, const char *object, const VtError *errors) {
  for (; errors && errors->text; errors++) {
    add(cur, "error", object, errors->text, NULL, errors->cure, NULL, errors->cause);
  }
}

static void add_example(AboutCursor *cur, const char *object, const char *example) {
  if (example) add(cur, "example", object, NULL, NULL, example, NULL, NULL);
}

/* ---- tables ----------------------------------------------------------------------------- */

/* "name(must, must [, may [, may]])" */
static const char *table_signature(AboutCursor *cur, const VtTable *table) {
  Text text = {0};
  int nargs = 0, open = 0;
  text_add(&text, table->name);
  for (int i = 0; i < table->ncols; i++) {
    const VtColumn *column = &table->cols[i];
    if (!(column->flags & VT_ARG)) continue;
    bool must = (column->flags & VT_MUST) != 0;
    if (nargs == 0) text_add(&text, must ? "(" : "([");
    if (nargs > 0) text_add(&text, must ? ", " : " [, ");
    text_add(&text, column->name);
    if (!must) open++;
    nargs++;
  }
  while (open-- > 0) text_addc(&text, ']');
  if (nargs > 0) text_addc(&text, ')');
  return keep(cur, &text);
}

static const char *column_detail(AboutCursor *cur, const VtColumn *column) {
  static const struct {
    unsigned flag;
    const char *word;
  } words[] = {{VT_MUST, "required"}, {VT_EQ, "="},      {VT_IN, "IN"},
               {VT_RANGE, "< >"},     {VT_GLOB, "GLOB"}, {VT_LIKE, "LIKE"},
               {VT_UNIQUE, "unique"}, {VT_KEY, "key"},   {VT_ROWID, "rowid"}};
  Text text = {0};
  for (size_t i = 0; i < countof(words); i++) {
    if (!(column->flags & words[i].flag)) continue;
    if (text.length > 0) text_add(&text, ", ");
    text_add(&text, words[i].word);
  }
  return keep(cur, &text);
}

static void add_table(AboutCursor *cur, const VtTable *table) {
  const char *sort = table->created ? "virtual table module" : "table";
  for (int i = 0; i < table->ncols; i++) {
    if (table->cols[i].flags & VT_ARG) sort = "table-valued function";
  }
  add(cur, "table", table->name, table_signature(cur, table), sort, table->doc,
      table->risk == SQLITE_VTAB_DIRECTONLY ? "direct-only" : "innocuous", table->needs);
  for (int pass = 0; pass < 2; pass++) { /* arguments first */
    for (int i = 0; i < table->ncols; i++) {
      const VtColumn *column = &table->cols[i];
      if (!(column->flags & VT_ARG) == !pass) continue;
      add(cur, pass == 0 ? "argument" : "column", table->name, column->name, column->type,
          column->doc, NULL, column_detail(cur, column));
    }
  }
  add_errors(cur, table->name, table->errors);
  add_example(cur, table->name, table->example);
}

/* ---- functions -------------------------------------------------------------------------- */

static void add_function(AboutCursor *cur, const VtFunction *function, const char *name) {
  Text text = {0};
  text_addf(&text, "%s(%s)", name, function->args ? function->args : "");
  const char *sort = function->scalar  ? "function"
                     : function->value ? "window function"
                                       : "aggregate";
  add(cur, "function", name, keep(cur, &text), sort, function->doc,
      function->flags & SQLITE_DIRECTONLY ? "direct-only" : "innocuous", function->returns);
  for (const VtArgument *each = function->arguments; each && each->name; each++) {
    add(cur, "argument", name, each->name, each->type, each->doc, NULL,
        each->preset ? each->preset : "required");
  }
  add_errors(cur, name, function->errors);
  add_example(cur, name, function->example);
}

static void add_extension(AboutCursor *cur, const VtExtension *extension) {
  int ncommon;
  const VtFunction *common = vt_common_functions(&ncommon);
  cur->extension = extension->name;
  add(cur, "extension", extension->name, NULL, extension->version, extension->doc, NULL, NULL);
  if (extension->guide) {
    add(cur, "guide", extension->name, NULL, NULL, extension->guide, NULL, NULL);
  }
  for (int i = 0; i < extension->ntables; i++) add_table(cur, extension->tables[i]);
  for (int i = 0; i < extension->nfunctions; i++) {
    add_function(cur, &extension->functions[i], extension->functions[i].name);
  }
  for (int i = 0; i < ncommon; i++) {
    Text name = {0};
    text_addf(&name, "%s%s", extension->name, common[i].name);
    add_function(cur, &common[i], keep(cur, &name));
  }
}

/* ---- table ------------------------------------------------------------------------------ */

static int about_seek(VtCursor *base, const VtPlan *plan) {
  AboutCursor *cur = (AboutCursor *)base;
  (void)plan;
  cur->rows = NULL;
  cur->count = cur->capacity = cur->at = 0;
  cur->oom = false;
  for (const VtConn *each = NULL; (each = vt_next_loaded(base->tab->conn, each));) {
    add_extension(cur, vt_extension(each));
  }
  base->eof = cur->count == 0;
  return cur->oom ? SQLITE_NOMEM : SQLITE_OK;
}

static int about_step(VtCursor *base) {
  AboutCursor *cur = (AboutCursor *)base;
  base->eof = ++cur->at == cur->count;
  return SQLITE_OK;
}

static int about_column(VtCursor *base, sqlite3_context *ctx, int col) {
  AboutCursor *cur = (AboutCursor *)base;
  const char *text = cur->rows[cur->at].texts[col];
  if (text) sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
  return SQLITE_OK;
}

const VtTable pack_about_table = {
    .name = "tenfold_about",
    .doc = "Every table, column, function and argument of the loaded extensions.",
    .risk = SQLITE_VTAB_INNOCUOUS,
    .example = "SELECT item, type, doc FROM tenfold_about\n"
               "WHERE object = 'viz_bar' AND kind = 'argument';",
    .cols = about_cols,
    .ncols = ABOUT_NCOL,
    .rows = 500,
    .cursor_size = sizeof(AboutCursor),
    .seek = about_seek,
    .step = about_step,
    .column = about_column,
};
