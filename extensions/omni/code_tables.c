/*
** omni_functions: what can be asked for in omni_calls.
**
**   SELECT name, module FROM omni_functions WHERE name GLOB 'deflate*';
*/
#include "base/array.h"
#include "extensions/omni/functions_table.h"
#include "extensions/omni/listing.h"

static const VtColumn function_columns[] = {
    [FUNCTION_NAME] = {"name", "TEXT", VT_EQ | VT_GLOB, 2,
                       "its name, a row for each if it has several; sub_ADDRESS without one"},
    [FUNCTION_MODULE] = {"module", "TEXT", VT_EQ | VT_GLOB, 3000,
                         "path of the program or library it is in"},
    [FUNCTION_LO] = {"lo", "INTEGER", VT_OUT, 0,
                     "address of its entry in the run; NULL: not the same in all processes"},
    [FUNCTION_HI] = {"hi", "INTEGER", VT_OUT, 0, "address behind its first part"},
    [FUNCTION_ADDR] = {"addr", "INTEGER", VT_OUT, 0, "address of its entry in the file"},
    [FUNCTION_WHAT] = {"kind", "TEXT", VT_OUT, 0,
                       "function; ifunc (chooses a function when the program starts), stub (jumps "
                       "to another module), fragment (not entered by a call)"},
    [FUNCTION_FROM] = {"source", "TEXT", VT_OUT, 0,
                       "what tells of it: symtab, debug file, dynsym, eh_frame, plt"},
    [FUNCTION_FILE] = {"file", "TEXT", VT_OUT, 0,
                       "source file, when there is debug information for the module"},
    [FUNCTION_LINE] = {"line", "INTEGER", VT_OUT, 0, "where it is declared there"},
    [FUNCTION_TRACE] = OMNI_COLUMN_TRACE,
};

static int function_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {FUNCTION_NAME, FUNCTION_MODULE};
  ListingCursor *cur = (ListingCursor *)base;
  int rc = listing_begin(cur, plan, FUNCTION_TRACE, WIRE_FUNCTIONS);
  if (rc != SQLITE_OK) return rc;
  wire_put_u32(cur->wire, (plan->used >> FUNCTION_FILE & 3) != 0);
  rc = listing_put_terms(cur, plan, texts, 2);
  return rc == SQLITE_OK ? listing_ask(cur, 0) : rc;
}

/* The same in every scan: a name of a file is listed once. */
static sqlite3_int64 function_rowid(VtCursor *base) {
  const Cell *cells = ((ListingCursor *)base)->cells.cells;
  uint64_t hash = hash_bytes(cells[FUNCTION_NAME].bytes, cells[FUNCTION_NAME].size,
                             (uint64_t)cells[FUNCTION_ADDR].integer);
  hash = hash_bytes(cells[FUNCTION_MODULE].bytes, cells[FUNCTION_MODULE].size, hash);
  return (sqlite3_int64)(hash >> 1);
}

const VtTable omni_functions_table = {
    .name = "omni_functions",
    .doc = "Functions of the programs and libraries of the run, also of stripped ones.",
    .needs = "symbols",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = function_columns,
    .ncols = FUNCTION_NCOL,
    .rows = 1e4,
    .seek_cost = 1e4,
    .wants_used = true,
    .cursor_size = sizeof(ListingCursor),
    .seek = function_seek,
    .step = listing_step,
    .column = listing_column,
    .rowid = function_rowid,
    .done = listing_done,
};
