/*
** What the debug information tells of the modules of a recording, without a replay: omni_globals,
** omni_types, omni_params, omni_lines.
**
**   SELECT name, type FROM omni_params WHERE func = 'deflate';
*/
#include "extensions/omni/debug_table.h"
#include "extensions/omni/listing.h"

#define MODULE                                                                                     \
  { "module", "TEXT", VT_EQ | VT_GLOB, 3000, "path of the program or library it is in" }
#define SOURCE_FILE                                                                                \
  { "file", "TEXT", VT_EQ | VT_GLOB, 30, "source file, with its folder" }
#define SOURCE_LINE                                                                                \
  { "line", "INTEGER", VT_OUT, 0, "where it is declared there" }
#define ADDR(what)                                                                                 \
  { "addr", "INTEGER", VT_OUT, 0, what " in the run; NULL: not the same in all processes" }

/* Terms on three columns of text are the helper's. */
static int seek(VtCursor *base, const VtPlan *plan, int trace, WireKind kind, const int texts[3]) {
  ListingCursor *cur = (ListingCursor *)base;
  int rc = listing_begin(cur, plan, trace, kind);
  if (rc == SQLITE_OK) rc = listing_put_terms(cur, plan, texts, 3);
  return rc == SQLITE_OK ? listing_ask(cur, trace + 1) : rc;
}

/* A cell behind the others tells a row from all others. */
static sqlite3_int64 row_id(VtCursor *base) {
  const ListingCursor *cur = (ListingCursor *)base;
  return cur->cells.cells[cur->cells.width - 1].integer;
}

#define LISTED                                                                                     \
  .needs = "symbols", .risk = SQLITE_VTAB_DIRECTONLY, .seek_cost = 1e5,                            \
  .cursor_size = sizeof(ListingCursor), .step = listing_step, .column = listing_column,            \
  .rowid = row_id, .done = listing_done

/* ---- omni_globals ---------------------------------------------------------------------------- */

static const VtColumn global_columns[] = {
    [GLOBAL_NAME] = {"name", "TEXT", VT_EQ | VT_GLOB, 2, "its name"},
    [GLOBAL_MODULE] = MODULE,
    [GLOBAL_TYPE] = {"type", "TEXT", VT_OUT, 0, "its type, as C writes it"},
    [GLOBAL_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes; NULL: not known"},
    [GLOBAL_ADDR] = ADDR("address"),
    [GLOBAL_SCOPE] = {"scope", "TEXT", VT_OUT, 0,
                      "who can name it: program, file (static), function (static in one)"},
    [GLOBAL_FILE] = SOURCE_FILE,
    [GLOBAL_LINE] = SOURCE_LINE,
    [GLOBAL_TRACE] = OMNI_COLUMN_TRACE,
};

static int global_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {GLOBAL_NAME, GLOBAL_MODULE, GLOBAL_FILE};
  return seek(base, plan, GLOBAL_TRACE, WIRE_GLOBALS, texts);
}

const VtTable omni_globals_table = {
    .name = "omni_globals",
    .doc = "Global and static variables, by the debug information.",
    .cols = global_columns,
    .ncols = GLOBAL_NCOL,
    .rows = 1e3,
    .seek = global_seek,
    LISTED,
};

/* ---- omni_types ------------------------------------------------------------------------------ */

static const VtColumn type_columns[] = {
    [TYPE_COL_NAME] = {"name", "TEXT", VT_EQ | VT_GLOB, 2,
                       "its name, without struct, union or enum; a row for each file that has it"},
    [TYPE_COL_MODULE] = MODULE,
    [TYPE_COL_KIND] = {"kind", "TEXT", VT_OUT, 0, "struct, union, enum, typedef, base"},
    [TYPE_COL_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes; NULL: not known"},
    [TYPE_COL_PARTS] = {"parts", "TEXT", VT_OUT, 0,
                        "of a structure or union JSON of its members, [{\"name\":, \"type\":, "
                        "\"offset\":}], bit fields with \"bit\" and \"bits\"; of an enumeration "
                        "{name: value}; of a typedef the type it stands for"},
    [TYPE_COL_FILE] = SOURCE_FILE,
    [TYPE_COL_LINE] = SOURCE_LINE,
    [TYPE_COL_TRACE] = OMNI_COLUMN_TRACE,
};

static int type_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {TYPE_COL_NAME, TYPE_COL_MODULE, TYPE_COL_FILE};
  return seek(base, plan, TYPE_COL_TRACE, WIRE_TYPES, texts);
}

const VtTable omni_types_table = {
    .name = "omni_types",
    .doc = "Named types, by the debug information.",
    .cols = type_columns,
    .ncols = TYPE_NCOL,
    .rows = 1e4,
    .seek = type_seek,
    LISTED,
};

/* ---- omni_params ----------------------------------------------------------------------------- */

static const VtColumn param_columns[] = {
    [PARAM_FUNC] = {"func", "TEXT", VT_EQ | VT_GLOB, 5, "the function, as its source calls it"},
    [PARAM_MODULE] = MODULE,
    [PARAM_N] = {"n", "INTEGER", VT_OUT, 0, "number of the parameter, from 0"},
    [PARAM_NAME] = {"name", "TEXT", VT_OUT, 0, "its name"},
    [PARAM_TYPE] = {"type", "TEXT", VT_OUT, 0, "its type, as C writes it"},
    [PARAM_ADDR] = ADDR("address of the function's entry"),
    [PARAM_TRACE] = OMNI_COLUMN_TRACE,
};

static int param_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {PARAM_FUNC, PARAM_MODULE, PARAM_FUNC};
  return seek(base, plan, PARAM_TRACE, WIRE_PARAMETERS, texts);
}

const VtTable omni_params_table = {
    .name = "omni_params",
    .doc = "Parameters of the functions that have code, by the debug information.",
    .cols = param_columns,
    .ncols = PARAM_NCOL,
    .rows = 1e5,
    .seek = param_seek,
    LISTED,
};

/* ---- omni_lines ------------------------------------------------------------------------------ */

static const VtColumn line_columns[] = {
    [LINE_FILE] = {"file", "TEXT", VT_EQ | VT_GLOB, 500, "source file, with its folder"},
    [LINE_MODULE] = MODULE,
    [LINE_LINE] = {"line", "INTEGER", VT_EQ | VT_RANGE, 10, "line in it"},
    [LINE_COLUMN] = {"col", "INTEGER", VT_OUT, 0, "column there, from 1; 0: not known"},
    [LINE_ADDR] = ADDR("address of its code"),
    [LINE_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes of code"},
    [LINE_STMT] = {"is_stmt", "INTEGER", VT_OUT, 0, "1: a good place to stop at"},
    [LINE_TRACE] = OMNI_COLUMN_TRACE,
};

static int line_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {LINE_FILE, LINE_MODULE, LINE_FILE};
  return seek(base, plan, LINE_TRACE, WIRE_LINES, texts);
}

const VtTable omni_lines_table = {
    .name = "omni_lines",
    .doc = "Which code belongs to which line of the source, by the debug information.",
    .cols = line_columns,
    .ncols = LINE_NCOL,
    .rows = 1e5,
    .seek = line_seek,
    LISTED,
};
