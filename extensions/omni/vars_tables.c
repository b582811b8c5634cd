/*
** Variables and C expressions at a moment: omni_vars, omni_eval.
**
**   SELECT v.name, v.value FROM omni_calls c, omni_vars(c.moment) v WHERE c.func = 'fill_window';
**   SELECT omni_eval(moment, 'p->next->key') FROM omni_calls WHERE func = 'insert';
*/
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "extensions/omni/functions.h"
#include "extensions/omni/listing.h"

static const VtError var_errors[] = {
    {"a moment is ev:tid:addr:hit, as omni_calls has them, or ev, or ev:tid, not 'x'",
     "the argument", "take it from the column moment"},
    {"moment x: it does not come", "no such moment in this recording",
     "take it from the column moment of this very recording"},
    {0}};

#define MOMENT                                                                                     \
  {                                                                                                \
    "moment", "TEXT", VT_ARG | VT_MUST, 20,                                                        \
        "ev:tid:addr:hit, as omni_calls has them; or ev: where the thread of that event stands "   \
        "after it"                                                                                 \
  }

#define STATE                                                                                      \
  {                                                                                                \
    "state", "TEXT", VT_OUT, 0,                                                                    \
        "why the value is not known (\"optimized out\", \"not stored yet\", \"memory cannot be "   \
        "read\" ...); NULL: it is"                                                                 \
  }

/* ---- omni_vars ------------------------------------------------------------------------------- */

enum {
  VAR_DEPTH,
  VAR_FUNC,
  VAR_KIND,
  VAR_NAME,
  VAR_VALUE,
  VAR_STATE,
  VAR_TYPE,
  VAR_PLACE,
  VAR_MOMENT,
  VAR_FRAMES,
  VAR_TRACE,
  VAR_NCOL
};

static const VtColumn var_columns[] = {
    [VAR_DEPTH] = {"depth", "INTEGER", VT_OUT, 0, "frame, as omni_stack counts them"},
    [VAR_FUNC] = {"func", "TEXT", VT_OUT, 0,
                  "function whose variable it is: that of the frame, or one inlined there"},
    [VAR_KIND] = {"kind", "TEXT", VT_OUT, 0, "parameter or local"},
    [VAR_NAME] = {"name", "TEXT", VT_OUT, 0, "its name; an inner one hides others behind it"},
    [VAR_VALUE] =
        {"value", "", VT_OUT, 0,
         "a number; the text of a char pointer or array; an enumerator's name; the address "
         "of other pointers; JSON of structures and arrays"},
    [VAR_STATE] = STATE,
    [VAR_TYPE] = {"type", "TEXT", VT_OUT, 0, "its type, as C writes it"},
    [VAR_PLACE] = {"place", "TEXT", VT_OUT, 0, "where it is: a register, memory, or computed"},
    [VAR_MOMENT] = MOMENT,
    [VAR_FRAMES] = {"frames", "INTEGER", VT_ARG, 0,
                    "of so many frames, from the innermost; default: 1"},
    [VAR_TRACE] = OMNI_COLUMN_TRACE,
};

static int var_seek(VtCursor *base, const VtPlan *plan) {
  ListingCursor *cur = (ListingCursor *)base;
  sqlite3_int64 frames;
  int rc = listing_begin(cur, plan, VAR_TRACE, WIRE_VARIABLES);
  if (rc != SQLITE_OK) return rc;
  if (!listing_put_moment(cur, plan, VAR_MOMENT) ||
      !vt_arg_int(base->tab, plan, VAR_FRAMES, 1, &frames)) {
    return SQLITE_ERROR;
  }
  wire_put_u64(cur->wire, frames > 0 ? (uint64_t)frames : 0);
  return listing_ask(cur, 0);
}

const VtTable omni_vars_table = {
    .name = "omni_vars",
    .doc = "Variables in scope at a moment, by the debug information.",
    .needs = "replay",
    .errors = var_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = var_columns,
    .ncols = VAR_NCOL,
    .rows = 10,
    .seek_cost = 1e4,
    .cursor_size = sizeof(ListingCursor),
    .seek = var_seek,
    .step = listing_step,
    .column = listing_column,
    .done = listing_done,
};

/* ---- omni_eval as a table -------------------------------------------------------------------- */

enum {
  EVAL_N,
  EVAL_EXPR,
  EVAL_VALUE,
  EVAL_STATE,
  EVAL_TYPE,
  EVAL_PLACE,
  EVAL_MOMENT,
  EVAL_TEXT,
  EVAL_DEPTH,
  EVAL_TRACE,
  EVAL_NCOL
};

static const VtColumn eval_columns[] = {
    [EVAL_N] = {"n", "INTEGER", VT_OUT, 0, "number of the expression, from 0"},
    [EVAL_EXPR] = {"expr", "TEXT", VT_OUT, 0, "the expression"},
    [EVAL_VALUE] = {"value", "", VT_OUT, 0, "what it is worth, as omni_vars has values"},
    [EVAL_STATE] = STATE,
    [EVAL_TYPE] = {"type", "TEXT", VT_OUT, 0, "its type, as C writes it"},
    [EVAL_PLACE] = {"place", "TEXT", VT_OUT, 0, "where it is, or computed"},
    [EVAL_MOMENT] = MOMENT,
    [EVAL_TEXT] = {"exprs", "TEXT", VT_ARG | VT_MUST, 0,
                   "expressions of C, with commas between them: no calls, nothing that changes "
                   "anything; $rdi is a register, 'file.c'::x a variable of that file"},
    [EVAL_DEPTH] = {"depth", "INTEGER", VT_ARG, 0, "in which frame; default: 0, the innermost"},
    [EVAL_TRACE] = OMNI_COLUMN_TRACE,
};

static const VtError eval_errors[] = {
    {"column n: x", "the expression makes no sense there", "column counts its bytes from 1"},
    {"there is no frame n: the stack has m", "the argument depth", "see omni_stack"},
    {0}};

static int eval_seek(VtCursor *base, const VtPlan *plan) {
  ListingCursor *cur = (ListingCursor *)base;
  sqlite3_int64 depth;
  const char *text;
  int rc = listing_begin(cur, plan, EVAL_TRACE, WIRE_EXPRESSIONS);
  if (rc != SQLITE_OK) return rc;
  if (!listing_put_moment(cur, plan, EVAL_MOMENT) ||
      !vt_arg_int(base->tab, plan, EVAL_DEPTH, 0, &depth) ||
      !vt_arg_text(base->tab, plan, EVAL_TEXT, "", &text)) {
    return SQLITE_ERROR;
  }
  if (depth < 0) return vt_fail(base->tab, SQLITE_ERROR, "frame %lld", depth);
  wire_put_u64(cur->wire, (uint64_t)depth);
  wire_put_text(cur->wire, text);
  return listing_ask(cur, 0);
}

const VtTable omni_eval_table = {
    .name = "omni_eval",
    .doc = "What expressions of C are worth at a moment, a row for each.",
    .needs = "replay",
    .errors = eval_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = eval_columns,
    .ncols = EVAL_NCOL,
    .rows = 1,
    .seek_cost = 1e4,
    .cursor_size = sizeof(ListingCursor),
    .seek = eval_seek,
    .step = listing_step,
    .column = listing_column,
    .done = listing_done,
};

/* ---- omni_eval as a function ----------------------------------------------------------------- */

static bool put_question(Wire *wire, const OmniSource *source, const char *moment, const char *text,
                         Fault *fault) {
  wire_begin(wire, WIRE_EXPRESSIONS);
  wire_put_text(wire, source->path);
  if (!moment_read(moment, wire, fault)) return false;
  wire_put_u64(wire, 0);
  wire_put_text(wire, text);
  return true;
}

/* Opens *out on the rows of the answer. */
static bool ask(VtConn *conn, const OmniSource *source, Wire *wire, CellReader *out, Fault *fault) {
  int fd = memfd_create("omni cells", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  VtPoll poll = vt_poll_begin(conn);
  bool ok = helper_question(conn, &poll, source, wire, fd, fault);
  vt_poll_end(&poll);
  const uint64_t rows = ok ? wire_get_u64(wire) : 0;
  ok = ok && wire_end(wire, fault);
  if (ok) {
    cells_open(out, fd, EVAL_MOMENT, rows);
  } else {
    close(fd);
  }
  return ok;
}

/* The value of the first; of others there is no room. */
static void give(sqlite3_context *ctx, CellReader *cells) {
  Fault fault = {0};
  bool more = false;
  if (!cells_next(cells, &more, &fault)) {
    func_fault(ctx, &fault);
  } else if (more && cells->left) {
    func_fail(ctx, SQLITE_ERROR,
              "several expressions are rows: SELECT value FROM omni_eval(moment, exprs)");
  } else if (more) {
    omni_result_cell(ctx, &cells->cells[EVAL_VALUE]);
  }
}

void omni_eval(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  OmniSource *source;
  CellReader cells = {.fd = -1};
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return; /* of no moment */
  const char *moment = func_text(ctx, argv[0], NULL), *text = func_text(ctx, argv[1], NULL);
  const char *dir = argc > 2 ? func_text(ctx, argv[2], NULL) : NULL;
  if (!moment || !text || (argc > 2 && !dir)) return;
  if (!omni_source_open(vt_state(conn), dir, &source, &fault)) {
    func_fault(ctx, &fault);
    return;
  }
  Wire *wire = malloc(sizeof *wire);
  bool ok = wire ? put_question(wire, source, moment, text, &fault) : fault_oom(&fault);
  ok = ok && ask(conn, source, wire, &cells, &fault);
  free(wire);
  omni_source_release(vt_state(conn), source);
  if (ok) {
    give(ctx, &cells);
  } else {
    func_fault(ctx, &fault);
  }
  cells_close(&cells);
}
