/*
** What the program looked like at a moment: omni_regs, omni_mem, omni_stack.
**
**   SELECT s.func, s.line FROM omni_calls c, omni_stack(c.moment) s WHERE c.func = 'abort';
**
** A moment is what omni_calls has in its column of that name, or the ordinal of an event: where the
** event's thread stands after it.
*/
#include "extensions/omni/listing.h"

#define MOMENT_COLUMN                                                                              \
  {                                                                                                \
    "moment", "TEXT", VT_ARG | VT_MUST, 20,                                                        \
        "ev:tid:addr:hit, as omni_calls has them; or ev: where the thread of that event stands "   \
        "after it"                                                                                 \
  }

static const VtError moment_errors[] = {
    {"a moment is ev:tid:addr:hit, as omni_calls has them, or ev, or ev:tid, not 'x'",
     "the argument", "take it from the column moment"},
    {"there is no event n", "the argument", "SELECT max(ev) FROM omni_events"},
    {"moment x: it does not come", "no such moment in this recording",
     "take it from the column moment of this very recording"},
    {0}};

/* Tables whose question is a moment alone. */
static int seek_moment(VtCursor *base, const VtPlan *plan, int moment, WireKind kind) {
  ListingCursor *cur = (ListingCursor *)base;
  int rc = listing_begin(cur, plan, moment + 1, kind);
  if (rc != SQLITE_OK) return rc;
  return listing_put_moment(cur, plan, moment) ? listing_ask(cur, 0) : SQLITE_ERROR;
}

/* ---- omni_regs ------------------------------------------------------------------------------- */

enum { REG_NAME, REG_VALUE, REG_MOMENT, REG_TRACE, REG_NCOL };

static const VtColumn reg_columns[] = {
    [REG_NAME] = {"name", "TEXT", VT_OUT, 0,
                  "rip, rsp, rax ... r15, eflags, fs_base, xmm0 ... xmm15"},
    [REG_VALUE] = {"value", "", VT_OUT, 0, "its value; of xmm registers their 16 bytes"},
    [REG_MOMENT] = MOMENT_COLUMN,
    [REG_TRACE] = OMNI_COLUMN_TRACE,
};

static int reg_seek(VtCursor *base, const VtPlan *plan) {
  return seek_moment(base, plan, REG_MOMENT, WIRE_REGISTERS);
}

const VtTable omni_regs_table = {
    .name = "omni_regs",
    .doc = "Registers of the thread at a moment.",
    .needs = "replay",
    .errors = moment_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = reg_columns,
    .ncols = REG_NCOL,
    .rows = 36,
    .seek_cost = 1e4,
    .cursor_size = sizeof(ListingCursor),
    .seek = reg_seek,
    .step = listing_step,
    .column = listing_column,
    .done = listing_done,
};

/* ---- omni_mem -------------------------------------------------------------------------------- */

enum { MEM_AT, MEM_SIZE, MEM_DATA, MEM_VALUE, MEM_MOMENT, MEM_ADDR, MEM_LEN, MEM_TRACE, MEM_NCOL };
enum { MEM_MOST = 16 << 20 };

static const VtColumn mem_columns[] = {
    [MEM_AT] = {"at", "INTEGER", VT_OUT, 0, "address"},
    [MEM_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes that could be read there"},
    [MEM_DATA] = {"data", "BLOB", VT_OUT, 0, "they"},
    [MEM_VALUE] = {"value", "INTEGER", VT_OUT, 0, "up to 8 of them as a number"},
    [MEM_MOMENT] = MOMENT_COLUMN,
    [MEM_ADDR] = {"addr", "INTEGER", VT_ARG | VT_MUST, 0, "where to read"},
    [MEM_LEN] = {"len", "INTEGER", VT_ARG, 0, "bytes to read, at most 16 MiB; default: 8"},
    [MEM_TRACE] = OMNI_COLUMN_TRACE,
};

static int mem_seek(VtCursor *base, const VtPlan *plan) {
  ListingCursor *cur = (ListingCursor *)base;
  sqlite3_int64 addr, len;
  int rc = listing_begin(cur, plan, MEM_TRACE, WIRE_MEMORY);
  if (rc != SQLITE_OK) return rc;
  if (!listing_put_moment(cur, plan, MEM_MOMENT) ||
      !vt_arg_int(base->tab, plan, MEM_ADDR, 0, &addr) ||
      !vt_arg_int(base->tab, plan, MEM_LEN, 8, &len)) {
    return SQLITE_ERROR;
  }
  if (len < 0 || len > MEM_MOST) {
    return vt_fail(base->tab, SQLITE_TOOBIG, "%lld bytes are asked for, the limit is %d", len,
                   MEM_MOST);
  }
  wire_put_u64(cur->wire, (uint64_t)addr);
  wire_put_u64(cur->wire, (uint64_t)len);
  return listing_ask(cur, 0);
}

const VtTable omni_mem_table = {
    .name = "omni_mem",
    .doc = "Memory at a moment: a row, or none where nothing is mapped.",
    .needs = "replay",
    .errors = moment_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = mem_columns,
    .ncols = MEM_NCOL,
    .rows = 1,
    .seek_cost = 1e4,
    .cursor_size = sizeof(ListingCursor),
    .seek = mem_seek,
    .step = listing_step,
    .column = listing_column,
    .done = listing_done,
};

/* ---- omni_stack ------------------------------------------------------------------------------ */

enum {
  STACK_DEPTH,
  STACK_FUNC,
  STACK_OFFSET,
  STACK_MODULE,
  STACK_FILE,
  STACK_LINE,
  STACK_PC,
  STACK_CFA,
  STACK_KIND,
  STACK_END,
  STACK_MOMENT,
  STACK_TRACE,
  STACK_NCOL
};

static const VtColumn stack_columns[] = {
    [STACK_DEPTH] = {"depth", "INTEGER", VT_OUT, 0, "0 is the innermost frame"},
    [STACK_FUNC] = {"func", "TEXT", VT_OUT, 0, "function; NULL: unknown"},
    [STACK_OFFSET] = {"offset", "INTEGER", VT_OUT, 0, "bytes from its entry"},
    [STACK_MODULE] = {"module", "TEXT", VT_OUT, 0, "path of the program or library"},
    [STACK_FILE] = {"file", "TEXT", VT_OUT, 0, "source file, where there is debug information"},
    [STACK_LINE] = {"line", "INTEGER", VT_OUT, 0, "line in it"},
    [STACK_PC] = {"pc", "INTEGER", VT_OUT, 0, "what runs next; of others, to where is returned"},
    [STACK_CFA] = {"cfa", "INTEGER", VT_OUT, 0,
                   "the frame's address: the stack pointer before the call that made it"},
    [STACK_KIND] = {"kind", "TEXT", VT_OUT, 0, "signal: the frame before is a handler, or NULL"},
    [STACK_END] = {"end", "TEXT", VT_OUT, 0,
                   "why there is no frame behind this one, when the stack is not complete"},
    [STACK_MOMENT] = MOMENT_COLUMN,
    [STACK_TRACE] = OMNI_COLUMN_TRACE,
};

static int stack_seek(VtCursor *base, const VtPlan *plan) {
  return seek_moment(base, plan, STACK_MOMENT, WIRE_STACK);
}

const VtTable omni_stack_table = {
    .name = "omni_stack",
    .doc = "The stack of the thread at a moment, innermost frame first.",
    .needs = "replay",
    .errors = moment_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = stack_columns,
    .ncols = STACK_NCOL,
    .rows = 10,
    .seek_cost = 1e4,
    .order = (const VtOrder[]){{STACK_DEPTH, false}},
    .norder = 1,
    .cursor_size = sizeof(ListingCursor),
    .seek = stack_seek,
    .step = listing_step,
    .column = listing_column,
    .done = listing_done,
};
