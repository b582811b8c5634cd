/*
** omni_writes: every write to a global or a range of memory. omni_folded: stacks of the calls of a
** function, folded to a line, as viz_flame takes them.
**
**   SELECT moment, func, line, old, new FROM omni_writes('window_size');
**   SELECT viz_flame(stack, 1) FROM omni_folded WHERE func = 'read';
*/
#include "base/array.h"
#include "extensions/omni/folded.h"
#include "extensions/omni/listing.h"
#include "extensions/omni/writes.h"

/* ---- omni_writes ----------------------------------------------------------------------------- */

enum { WRITES_LARGEST = 1 << 16 };

static const VtColumn write_columns[] = {
    [WRITE_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "orders the rows as they happened"},
    [WRITE_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE, 10,
                  "the last event before; of a write by the kernel, the event itself"},
    [WRITE_PID] = {"pid", "INTEGER", VT_OUT, 0, "process, as it was numbered in the run"},
    [WRITE_TID] = {"tid", "INTEGER", VT_OUT, 0, "thread"},
    [WRITE_ADDR] = {"addr", "INTEGER", VT_OUT, 0, "where it wrote"},
    [WRITE_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes, of those that are watched"},
    [WRITE_OLD] = {"old", "", VT_OUT, 0,
                   "what was there: a number, signed and floating as the global's type is when all "
                   "of it was written; of more than 8 bytes the first 64, a blob"},
    [WRITE_NEW] = {"new", "", VT_OUT, 0, "what is there now"},
    [WRITE_BY] = {"by", "TEXT", VT_OUT, 0,
                  "program, or kernel: the result of a system call, told where it changed "
                  "something"},
    [WRITE_FUNC] = {"func", "TEXT", VT_OUT, 0, "function that wrote; NULL: the kernel, or unknown"},
    [WRITE_FILE] = {"file", "TEXT", VT_OUT, 0, "source file, where there is debug information"},
    [WRITE_LINE] = {"line", "INTEGER", VT_OUT, 0, "line in it"},
    [WRITE_PC] = {"pc", "INTEGER", VT_OUT, 0, "address of the instruction"},
    [WRITE_MOMENT] = {"moment", "TEXT", VT_OUT, 0,
                      "ev:tid:addr:hit, before the instruction; asking for it costs a second "
                      "replay. NULL: the kernel, or code of no known function"},
    [WRITE_WHAT] = {"what", "", VT_ARG | VT_MUST, 100, "name of a global, or an address"},
    [WRITE_LEN] = {"len", "INTEGER", VT_ARG, 0,
                   "bytes from the address, at most 65536; default: 8"},
    [WRITE_TRACE] = OMNI_COLUMN_TRACE,
};

static int put_what(ListingCursor *cur, const VtPlan *plan) {
  VtTab *tab = cur->base.tab;
  sqlite3_value *what = vt_arg(plan, WRITE_WHAT);
  sqlite3_int64 addr = 0, len = 0;
  const char *name = "";
  if (what && sqlite3_value_type(what) == SQLITE_TEXT) {
    if (vt_arg(plan, WRITE_LEN)) {
      return vt_fail(tab, SQLITE_ERROR, "len is of an address; a global has a size of its own");
    }
    if (!vt_arg_text(tab, plan, WRITE_WHAT, "", &name)) return SQLITE_ERROR;
    if (!*name) return vt_fail(tab, SQLITE_ERROR, "the name of a global is empty");
  } else if (!vt_arg_int(tab, plan, WRITE_WHAT, 0, &addr) ||
             !vt_arg_int(tab, plan, WRITE_LEN, 8, &len)) {
    return SQLITE_ERROR;
  } else if (len < 1 || len > WRITES_LARGEST) {
    return vt_fail(tab, SQLITE_TOOBIG, "%lld bytes are to be watched, of 1 to %d", len,
                   WRITES_LARGEST);
  }
  wire_put_text(cur->wire, name);
  wire_put_u64(cur->wire, (uint64_t)addr);
  wire_put_u64(cur->wire, (uint64_t)len);
  return SQLITE_OK;
}

static int write_seek(VtCursor *base, const VtPlan *plan) {
  ListingCursor *cur = (ListingCursor *)base;
  int rc = listing_begin(cur, plan, WRITE_TRACE, WIRE_WRITES);
  if (rc == SQLITE_OK) rc = put_what(cur, plan);
  if (rc != SQLITE_OK) return rc;
  wire_put_u32(cur->wire, plan->used >> WRITE_MOMENT & 1);
  if (listing_put_last(cur, plan, WRITE_EV)) return listing_ask(cur, 0);
  base->eof = true;
  return SQLITE_OK;
}

static const VtError write_errors[] = {
    {"no file of the recording has a global \"x\" (in stripped ones say addr and len instead)",
     "no symbol of that name", "SELECT name FROM omni_globals, or an address"},
    {"there are n globals \"x\", the last at a of b: say addr and len instead",
     "several files have one", "its address"},
    {"more than n writes until event m; say ev < N", "it is written too often", "a range of ev"},
    {"the instructions that write there run too often to count their moments; ...",
     "such as memcpy in a program that copies much", "leave out moment, or a range of ev"},
    {0}};

const VtTable omni_writes_table = {
    .name = "omni_writes",
    .doc = "Every write to a global or a range of memory, by replay with the pages protected.",
    .needs = "replay",
    .errors = write_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = write_columns,
    .ncols = WRITE_NCOL,
    .rows = 100,
    .seek_cost = 1e6,
    .order = (const VtOrder[]){{WRITE_SEQ, false}},
    .norder = 1,
    .wants_used = true,
    .cursor_size = sizeof(ListingCursor),
    .seek = write_seek,
    .step = listing_step,
    .column = listing_column,
    .rowid = listing_rowid,
    .done = listing_done,
};

/* ---- omni_folded ----------------------------------------------------------------------------- */

static const VtColumn folded_columns[] = {
    [FOLDED_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "orders the rows as they happened"},
    [FOLDED_FUNC] = {"func", "TEXT", VT_EQ | VT_GLOB, 1e4,
                     "function whose calls are meant: must be given, by = or GLOB"},
    [FOLDED_MODULE] = {"module", "TEXT", VT_EQ | VT_GLOB, 0, "path of the file it is in"},
    [FOLDED_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE, 10, "the last event before the call"},
    [FOLDED_TID] = {"tid", "INTEGER", VT_OUT, 0, "thread, as it was numbered in the run"},
    [FOLDED_STACK] = {"stack", "TEXT", VT_OUT, 0,
                      "names of the functions from the outermost on, with ; between them"},
    [FOLDED_MOMENT] = {"moment", "TEXT", VT_OUT, 0, "ev:tid:addr:hit of the call"},
    [FOLDED_TRACE] = OMNI_COLUMN_TRACE,
};

static bool names_function(const VtPlan *plan) {
  return vt_term(plan, FOLDED_FUNC, VT_OP_EQ) || vt_term(plan, FOLDED_FUNC, VT_OP_GLOB);
}

static int folded_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {FOLDED_FUNC, FOLDED_MODULE};
  ListingCursor *cur = (ListingCursor *)base;
  if (!names_function(plan)) {
    return vt_fail(base->tab, SQLITE_ERROR,
                   "which functions? Say func = 'malloc' or func GLOB 'mal*'");
  }
  int rc = listing_begin(cur, plan, FOLDED_TRACE, WIRE_FOLDED);
  if (rc == SQLITE_OK) rc = listing_put_terms(cur, plan, texts, (int)countof(texts));
  if (rc != SQLITE_OK) return rc;
  if (listing_put_last(cur, plan, FOLDED_EV)) return listing_ask(cur, 0);
  base->eof = true;
  return SQLITE_OK;
}

static void folded_estimate(VtTab *tab, const VtPlan *plan, double *rows, double *cost) {
  (void)tab;
  if (!names_function(plan)) *cost = *rows = 1e15; /* refused; any other plan is better */
}

static const VtError folded_errors[] = {
    {"which functions? Say func = 'malloc' or func GLOB 'mal*'", "every call would be a row",
     "name the function"},
    {"n calls, the limit is m stacks; say ev < N", "it is called too often", "a range of ev"},
    {0}};

const VtTable omni_folded_table = {
    .name = "omni_folded",
    .doc = "The stack of every call of a function, folded to a line for flame graphs.",
    .needs = "replay",
    .errors = folded_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = folded_columns,
    .ncols = FOLDED_NCOL,
    .rows = 1e5,
    .seek_cost = 1e6,
    .order = (const VtOrder[]){{FOLDED_SEQ, false}},
    .norder = 1,
    .cursor_size = sizeof(ListingCursor),
    .estimate = folded_estimate,
    .seek = folded_seek,
    .step = listing_step,
    .column = listing_column,
    .rowid = listing_rowid,
    .done = listing_done,
};
