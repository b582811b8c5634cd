/*
** omni_lines_hit: every time a line of the source began to run. omnitable: the run as one table, a
** row for each instruction, of which a query has to say which part it wants.
**
**   SELECT line, count(*) FROM omni_lines_hit WHERE file = 'deflate.c' AND line > 800 GROUP BY 1;
**   SELECT rip, rax FROM omnitable WHERE func = 'f' AND ev BETWEEN 10 AND 20;
*/
#include "base/array.h"
#include "extensions/omni/listing.h"
#include "extensions/omni/places.h"

static bool is_given(const VtPlan *plan, int col) {
  for (int i = 0; i < plan->nterms; i++) {
    if (plan->terms[i].col == col) return true;
  }
  return false;
}

static bool is_named(const VtPlan *plan, int col) {
  return vt_term(plan, col, VT_OP_EQ) || vt_term(plan, col, VT_OP_GLOB);
}

/* Numbers from 0 to what has no sign; false: none fits. */
static bool put_range(ListingCursor *cur, const VtPlan *plan, int col) {
  sqlite3_int64 low, high;
  if (!vt_int_range(plan, col, &low, &high) || high < 0) return false;
  wire_put_u64(cur->wire, low < 0 ? 0 : (uint64_t)low);
  wire_put_u64(cur->wire, high == INT64_MAX ? UINT64_MAX : (uint64_t)high);
  return true;
}

/* The question is complete but for its numbers. */
static int ask_range(ListingCursor *cur, const VtPlan *plan, int range, int ev) {
  if (put_range(cur, plan, range) && listing_put_last(cur, plan, ev)) return listing_ask(cur, 0);
  cur->base.eof = true;
  return SQLITE_OK;
}

/* ---- omni_lines_hit -------------------------------------------------------------------------- */

static const VtColumn line_columns[] = {
    [PASS_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "orders the rows of one query as they happened"},
    [PASS_FILE] = {"file", "TEXT", VT_EQ | VT_GLOB, 1e4, "source file, without its folder"},
    [PASS_LINE] = {"line", "INTEGER", VT_EQ | VT_RANGE, 100, "line in it"},
    [PASS_PATH] = {"path", "TEXT", VT_EQ | VT_GLOB, 1e4, "source file with its folder"},
    [PASS_FUNC] = {"func", "TEXT", VT_EQ | VT_GLOB, 1e3,
                   "function whose code it is; what was inlined is the caller's"},
    [PASS_MODULE] = {"module", "TEXT", VT_EQ | VT_GLOB, 0, "path of the program or library"},
    [PASS_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE, 10, "the last event before"},
    [PASS_TID] = {"tid", "INTEGER", VT_OUT, 0, "thread, as it was numbered in the run"},
    [PASS_MOMENT] = {"moment", "TEXT", VT_OUT, 0, "ev:tid:addr:hit: before the line runs"},
    [PASS_TRACE] = OMNI_COLUMN_TRACE,
};

static int line_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {PASS_FILE, PASS_PATH, PASS_FUNC, PASS_MODULE};
  ListingCursor *cur = (ListingCursor *)base;
  if (!is_named(plan, PASS_FILE) && !is_named(plan, PASS_PATH) && !is_named(plan, PASS_FUNC)) {
    return vt_fail(base->tab, SQLITE_ERROR,
                   "which lines? Say file = 'x.c' (and line BETWEEN ... AND ...), or func = 'f'");
  }
  int rc = listing_begin(cur, plan, PASS_TRACE, WIRE_PASSES);
  if (rc == SQLITE_OK) rc = listing_put_terms(cur, plan, texts, (int)countof(texts));
  return rc == SQLITE_OK ? ask_range(cur, plan, PASS_LINE, PASS_EV) : rc;
}

static void line_estimate(VtTab *tab, const VtPlan *plan, double *rows, double *cost) {
  (void)tab;
  if (!is_named(plan, PASS_FILE) && !is_named(plan, PASS_PATH) && !is_named(plan, PASS_FUNC)) {
    *cost = *rows = 1e15; /* refused; any other plan is better */
  }
}

static const VtError line_errors[] = {
    {"which lines? Say file = 'x.c' (and line BETWEEN ... AND ...), or func = 'f'",
     "every line of everything would be a row", "name a file or a function"},
    {"more than n rows until event m; say ev < N, or name less", "the lines run too often",
     "narrow line, or ev"},
    {"no function of the recording has the name \"x\" ...", "a name that is misspelt",
     "one of those that are near"},
    {"no probe can be put at x of y: it is in no function", "code that nothing is known of",
     "other lines"},
    {0}};

const VtTable omni_lines_hit_table = {
    .name = "omni_lines_hit",
    .doc = "Every time a line of the source began to run, by replay; needs debug information.",
    .needs = "replay",
    .errors = line_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = line_columns,
    .ncols = PASS_NCOL,
    .rows = 1e6,
    .seek_cost = 1e6,
    .order = (const VtOrder[]){{PASS_SEQ, false}},
    .norder = 1,
    .cursor_size = sizeof(ListingCursor),
    .estimate = line_estimate,
    .seek = line_seek,
    .step = listing_step,
    .column = listing_column,
    .rowid = listing_rowid,
    .done = listing_done,
};

/* ---- omnitable ------------------------------------------------------------------------------- */

#define REGISTER(name)                                                                             \
  { name, "INTEGER", VT_OUT, 0, "register, before the instruction runs" }

static const VtColumn omni_columns[] = {
    [OMNI_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "orders the rows of one query as they happened"},
    [OMNI_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE, 1e3, "the last event before"},
    [OMNI_TID] = {"tid", "INTEGER", VT_OUT, 0, "thread, as it was numbered in the run"},
    [OMNI_RIP] = {"rip", "INTEGER", VT_EQ | VT_RANGE, 100, "address of the instruction"},
    [OMNI_RAX] = REGISTER("rax"),
    REGISTER("rbx"),
    REGISTER("rcx"),
    REGISTER("rdx"),
    REGISTER("rsi"),
    REGISTER("rdi"),
    REGISTER("rbp"),
    REGISTER("rsp"),
    REGISTER("r8"),
    REGISTER("r9"),
    REGISTER("r10"),
    REGISTER("r11"),
    REGISTER("r12"),
    REGISTER("r13"),
    REGISTER("r14"),
    REGISTER("r15"),
    [OMNI_FUNC] = {"func", "TEXT", VT_EQ | VT_GLOB, 1e4, "function whose code it is"},
    [OMNI_MODULE] = {"module", "TEXT", VT_EQ | VT_GLOB, 0, "path of the program or library"},
    [OMNI_MOMENT] = {"moment", "TEXT", VT_OUT, 0, "ev:tid:addr:hit"},
    [OMNI_TRACE] = OMNI_COLUMN_TRACE,
};

/* A function, or a range of addresses that has two ends. */
static bool is_bounded(const VtPlan *plan) {
  bool low = false, high = false;
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    if (term->col != OMNI_RIP) continue;
    low = low || term->op == VT_OP_GT || term->op == VT_OP_GE || term->op == VT_OP_EQ;
    high = high || term->op == VT_OP_LT || term->op == VT_OP_LE || term->op == VT_OP_EQ;
  }
  return is_named(plan, OMNI_FUNC) || (low && high);
}

static int omni_seek(VtCursor *base, const VtPlan *plan) {
  static const int texts[] = {OMNI_FUNC, OMNI_MODULE};
  ListingCursor *cur = (ListingCursor *)base;
  if (!is_bounded(plan)) {
    return vt_fail(base->tab, SQLITE_ERROR,
                   "this would be every instruction%s that ever ran. Say func = 'f' or rip = "
                   "ADDRESS, and ev BETWEEN ... AND ... for a part of the run; omni_calls has the "
                   "calls, omni_regs(moment) the registers of one moment",
                   is_given(plan, OMNI_EV) ? " of these events" : "");
  }
  int rc = listing_begin(cur, plan, OMNI_TRACE, WIRE_INSTRUCTIONS);
  if (rc == SQLITE_OK) rc = listing_put_terms(cur, plan, texts, (int)countof(texts));
  return rc == SQLITE_OK ? ask_range(cur, plan, OMNI_RIP, OMNI_EV) : rc;
}

static void omni_estimate(VtTab *tab, const VtPlan *plan, double *rows, double *cost) {
  (void)tab;
  if (!is_bounded(plan)) *cost = *rows = 1e15; /* refused; any other plan is better */
}

static const VtError omni_errors[] = {
    {"this would be every instruction that ever ran. Say func = 'f' or rip = ADDRESS, and ev "
     "BETWEEN ... AND ... for a part of the run; ...",
     "an unbounded plan", "name a function or addresses"},
    {"more than n places in the code are asked for", "too large a range of code",
     "a smaller one, or a function"},
    {"more than n rows until event m; say ev < N, or name less", "too many instructions",
     "a smaller window"},
    {0}};

const VtTable omnitable_table = {
    .name = "omnitable",
    .doc = "The run as one table: the registers before every instruction of a function or a range.",
    .needs = "replay",
    .errors = omni_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = omni_columns,
    .ncols = OMNI_NCOL,
    .rows = 1e9,
    .seek_cost = 1e6,
    .order = (const VtOrder[]){{OMNI_SEQ, false}},
    .norder = 1,
    .cursor_size = sizeof(ListingCursor),
    .estimate = omni_estimate,
    .seek = omni_seek,
    .step = listing_step,
    .column = listing_column,
    .rowid = listing_rowid,
    .done = listing_done,
};
