/*
** omni_calls: every call of a function in the recorded run.
**
**   SELECT a0, caller, count(*) FROM omni_calls WHERE func = 'malloc' GROUP BY caller;
**
** A scan asks for an answer (answer.h), which replays unless it is known, with as much of the WHERE
** clause as the probes can test; the rest of it is tested here, row by row.
*/
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/answer.h"
#include "extensions/omni/scan.h"

enum {
  CALL_SEQ,
  CALL_FUNC,
  CALL_MODULE,
  CALL_EV,
  CALL_TID,
  CALL_A0,
  CALL_A5 = CALL_A0 + 5,
  CALL_CALLER,
  CALL_RET,
  CALL_RET_EV,
  CALL_MOMENT,
  CALL_TRACE,
  CALL_NCOL
};

#define NUMBER VT_EQ | VT_RANGE | VT_EXACT

static const VtColumn call_columns[] = {
    [CALL_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "orders the rows of one query as they happened"},
    [CALL_FUNC] = {"func", "TEXT", VT_EQ | VT_IN | VT_GLOB | VT_EXACT, 1e5,
                   "name of the function: must be given, by =, IN or GLOB; sub_ADDRESS when the "
                   "file has no name for it"},
    [CALL_MODULE] = {"module", "TEXT", VT_EQ | VT_GLOB | VT_EXACT, 0,
                     "path of the program or library it is in"},
    [CALL_EV] = {"ev", "INTEGER", NUMBER, 10, "the last event before the call"},
    [CALL_TID] = {"tid", "INTEGER", NUMBER, 0, "thread, as it was numbered in the run"},
    [CALL_A0] = {"a0", "INTEGER", NUMBER, 0, "first argument: the register rdi at the entry"},
    {"a1", "INTEGER", NUMBER, 0, "rsi"},
    {"a2", "INTEGER", NUMBER, 0, "rdx"},
    {"a3", "INTEGER", NUMBER, 0, "rcx"},
    {"a4", "INTEGER", NUMBER, 0, "r8"},
    [CALL_A5] = {"a5", "INTEGER", NUMBER, 0, "r9"},
    [CALL_CALLER] = {"caller", "INTEGER", NUMBER, 0, "address to which it returns"},
    [CALL_RET] = {"ret", "INTEGER", VT_OUT, 0,
                  "what it returned, the register rax; NULL when it never did, or was left by a "
                  "jump: longjmp, an exception, or to a function that was not asked for"},
    [CALL_RET_EV] = {"ret_ev", "INTEGER", VT_OUT, 0, "the last event before it returned"},
    [CALL_MOMENT] = {"moment", "TEXT", VT_OUT, 0,
                     "ev:tid:addr:hit, which names this moment in the recording for good; NULL "
                     "when the module is at different addresses in several processes"},
    [CALL_TRACE] = OMNI_COLUMN_TRACE,
};

/* Columns that are words of a row. */
static RowColumn row_column(int col) {
  if (col == CALL_EV) return ROW_EV;
  if (col == CALL_TID) return ROW_TID;
  if (col == CALL_CALLER) return ROW_CALLER;
  return (RowColumn)(ROW_A0 + (col - CALL_A0));
}
static bool is_number(int col) {
  return col == CALL_EV || col == CALL_TID || (col >= CALL_A0 && col <= CALL_CALLER);
}

typedef struct Filter {
  RowColumn column;
  sqlite3_int64 low, high;
} Filter;

typedef struct CallsCursor {
  VtCursor base;
  OmniSource *source;
  Ask *ask;
  CallsAnswer *answer;
  bool *wanted; /* per site */
  Filter filters[CALL_NCOL];
  int nfilters;
  uint64_t at; /* the row, which is in this block: */
  PackedBlock block;
  bool all;                /* every row of the block fits */
  uint8_t word[CALL_NCOL]; /* of a column that is a word of the rows; 0: it is none */
  PackedBlock returns;     /* the block that was read last for a call's return */
} CallsCursor;

/* ---- the question ---------------------------------------------------------------------------- */

/* The value may be gone when the next one of a list is fetched. */
static int add_name(VtCursor *cur, Ask *ask, sqlite3_value *value, bool is_pattern) {
  VtTab *tab = cur->tab;
  if (sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK; /* equals nothing */
  const char *text = arena_strdup(&cur->arena, (const char *)sqlite3_value_text(value));
  if (!text) return SQLITE_NOMEM;
  if (ask->nnames >= ASK_NAMES) {
    return vt_fail(tab, SQLITE_TOOBIG, "more than %d names of functions", ASK_NAMES);
  }
  ask->names[ask->nnames++] = (AskName){.text = text, .is_pattern = is_pattern};
  return SQLITE_OK;
}

/* Of several terms one is asked for; wanted_sites() applies all. */
static int ask_names(VtCursor *cur, const VtPlan *plan, Ask *ask) {
  const VtTerm *term = vt_term(plan, CALL_FUNC, VT_OP_EQ);
  if (term) return add_name(cur, ask, term->value, false);
  if ((term = vt_term(plan, CALL_FUNC, VT_OP_IN))) {
    int rc = SQLITE_OK;
    bool started = false;
    sqlite3_value *value;
    while (rc == SQLITE_OK && (value = vt_in_next(term, &started, &rc))) {
      rc = add_name(cur, ask, value, false);
    }
    return rc;
  }
  if ((term = vt_term(plan, CALL_FUNC, VT_OP_GLOB))) return add_name(cur, ask, term->value, true);
  return vt_fail(cur->tab, SQLITE_ERROR,
                 "which functions? Say func = 'malloc', func IN (...) or func GLOB 'mal*'");
}

static bool is_used(const VtPlan *plan, int col) { return plan->used >> col & 1; }

/* False: no row can fit. */
static bool ask_numbers(CallsCursor *cur, const VtPlan *plan, Ask *ask) {
  ask->last = UINT64_MAX;
  cur->nfilters = 0;
  for (int col = CALL_EV; col <= CALL_CALLER; col++) {
    Filter filter = {.column = row_column(col)};
    if (!vt_int_range(plan, col, &filter.low, &filter.high)) return false;
    if (is_used(plan, col)) ask->columns |= UINT64_C(1) << filter.column;
    if (filter.low == INT64_MIN && filter.high == INT64_MAX) continue;
    ask->columns |= UINT64_C(1) << filter.column;
    cur->filters[cur->nfilters++] = filter;
    if (col == CALL_EV) {
      if (filter.high < 0) return false;
      if (filter.high < INT64_MAX - 1) ask->last = (uint64_t)filter.high + 1;
    } else if (ask->ntests < ASK_TESTS) {
      ask->tests[ask->ntests++] = (AskTest){filter.column, filter.low, filter.high};
    }
  }
  return true;
}

static void ask_columns(const CallsCursor *cur, const VtPlan *plan, Ask *ask) {
  ask->columns |= 1u << ROW_EV | 1u << ROW_TID | 1u << ROW_HIT; /* for the rowid */
  if (is_used(plan, CALL_RET) || is_used(plan, CALL_RET_EV)) {
    ask->returns = true;
    ask->columns |= 1u << ROW_RSP;
    ask->last = UINT64_MAX; /* they come later */
  }
  const VtTerm *module = vt_term(plan, CALL_MODULE, VT_OP_GLOB);
  const char *text = module ? (const char *)sqlite3_value_text(module->value) : NULL;
  ask->module = text ? text : "";
  /* What the probes do not test would be counted, too. */
  const bool all_tested = cur->nfilters == ask->ntests && !module &&
                          !vt_term(plan, CALL_MODULE, VT_OP_EQ) && ask->nnames == 1;
  if (!ask->returns && all_tested && plan->limit > 0 && plan->limit < INT32_MAX) {
    ask->limit = (uint64_t)plan->limit;
  }
}

/* ---- the scan -------------------------------------------------------------------------------- */

static bool in_list(const VtTerm *term, const char *text, int *rc) {
  bool started = false, found = false;
  sqlite3_value *value;
  const size_t length = strlen(text);
  while ((value = vt_in_next(term, &started, rc))) {
    found |=
        sqlite3_value_type(value) != SQLITE_NULL && vt_text_matches(VT_OP_EQ, value, text, length);
  }
  return found;
}

static int wanted_sites(CallsCursor *cur, const VtPlan *plan) {
  const CallsAnswer *answer = cur->answer;
  int rc = SQLITE_OK;
  cur->wanted = arena_alloc(&cur->base.arena, answer->nsites + 1);
  if (!cur->wanted) return SQLITE_NOMEM;
  for (size_t s = 0; s < answer->nsites; s++) {
    bool fits = true;
    for (int i = 0; i < plan->nterms && fits; i++) {
      const VtTerm *term = &plan->terms[i];
      if (term->col != CALL_FUNC && term->col != CALL_MODULE) continue;
      const char *text = term->col == CALL_FUNC ? answer->sites[s].name : answer->sites[s].module;
      fits = term->op == VT_OP_IN ? in_list(term, text, &rc)
                                  : vt_text_matches(term->op, term->value, text, strlen(text));
    }
    cur->wanted[s] = fits;
  }
  return rc;
}

static uint64_t tag_of(const CallsCursor *cur) {
  return packed_get(&cur->block.words[0], cur->at - cur->block.first);
}

static uint64_t word_of(const CallsCursor *cur, RowColumn column) {
  const unsigned word = cur->answer->rows.layout.word[column];
  return packed_get(&cur->block.words[word], cur->at - cur->block.first);
}

static bool fits(const CallsCursor *cur) {
  const uint64_t tag = tag_of(cur);
  if (row_kind(tag) != ROW_ENTRY) return false;
  if (row_site(tag) >= cur->answer->nsites || !cur->wanted[row_site(tag)]) return false;
  for (int i = 0; i < cur->nfilters; i++) {
    const sqlite3_int64 value = (sqlite3_int64)word_of(cur, cur->filters[i].column);
    if (value < cur->filters[i].low || value > cur->filters[i].high) return false;
  }
  return true;
}

static bool is_constant(const CallsCursor *cur, unsigned word) {
  return !cur->block.words[word].width && !cur->block.words[word].step;
}

/* Rows of a block are often alike in all that is tested: then one stands for them all. */
static bool all_fit(const CallsCursor *cur) {
  bool alike = is_constant(cur, 0);
  for (int i = 0; alike && i < cur->nfilters; i++) {
    alike = is_constant(cur, cur->answer->rows.layout.word[cur->filters[i].column]);
  }
  return alike && fits(cur);
}

/* The block of row cur->at. */
static int enter_block(CallsCursor *cur) {
  Fault fault = {0};
  if (vt_poll(&cur->base.poll) != SQLITE_OK) return SQLITE_INTERRUPT;
  if (!packed_seek(&cur->answer->rows, cur->at, &cur->block, &fault)) {
    return vt_fault(cur->base.tab, &fault);
  }
  cur->all = all_fit(cur);
  return SQLITE_OK;
}

static int get_answer(CallsCursor *cur) {
  VtTab *tab = cur->base.tab;
  Fault fault = {0};
  if (!answer_get(tab->conn, &cur->base.poll, cur->source, cur->ask, &cur->answer, &fault)) {
    return vt_fault(tab, &fault);
  }
  const RowLayout *layout = &cur->answer->rows.layout;
  for (int col = 0; col < CALL_NCOL; col++) {
    cur->word[col] = is_number(col) ? layout->word[row_column(col)] : 0;
  }
  cur->block.end = cur->returns.end = 0;
  return SQLITE_OK;
}

/* SQLite says LIMIT although it tests more than it has told us, such as a0 > a1 (3.40): then it
** asks for rows beyond. Those before are the same in the whole answer. */
static bool is_cut(const CallsCursor *cur) { return cur->ask->limit && cur->at >= cur->ask->limit; }

static int ask_for_all(CallsCursor *cur) {
  const size_t nsites = cur->answer->nsites; /* what is wanted of them stays */
  answer_release(cur->answer);
  cur->answer = NULL;
  cur->ask->limit = 0;
  const int rc = get_answer(cur);
  if (rc != SQLITE_OK || cur->answer->nsites == nsites) return rc;
  return vt_fail(cur->base.tab, SQLITE_INTERNAL, "%zu places without LIMIT, %zu with it",
                 cur->answer->nsites, nsites);
}

/* From row cur->at on to the next that fits. */
static int stand(CallsCursor *cur) {
  int rc = is_cut(cur) ? ask_for_all(cur) : SQLITE_OK;
  for (; rc == SQLITE_OK && cur->at < cur->answer->rows.rows; cur->at++) {
    if (cur->at >= cur->block.end) rc = enter_block(cur);
    if (rc != SQLITE_OK || cur->all || fits(cur)) return rc;
  }
  cur->base.eof = true;
  return rc;
}

static int call_seek(VtCursor *base, const VtPlan *plan) {
  CallsCursor *cur = (CallsCursor *)base;
  VtTab *tab = base->tab;
  Fault fault = {0};
  const char *dir;
  Ask *ask = arena_alloc(&base->arena, sizeof *ask);
  if (!ask) return SQLITE_NOMEM;
  int rc = ask_names(base, plan, ask);
  if (rc != SQLITE_OK) return rc;
  if (!vt_arg_text(tab, plan, CALL_TRACE, NULL, &dir)) return SQLITE_ERROR;
  if (!omni_source_open(vt_state(tab->conn), dir, &cur->source, &fault)) {
    return vt_fault(tab, &fault);
  }
  ask->dir = cur->source->path;
  if (ask->nnames == 0 || !ask_numbers(cur, plan, ask)) {
    base->eof = true;
    return SQLITE_OK;
  }
  ask_columns(cur, plan, ask);
  cur->ask = ask;
  cur->at = 0;
  rc = get_answer(cur);
  if (rc == SQLITE_OK) rc = wanted_sites(cur, plan);
  return rc == SQLITE_OK ? stand(cur) : rc;
}

static int call_next(sqlite3_vtab_cursor *base) {
  CallsCursor *cur = (CallsCursor *)base;
  cur->at++;
  return cur->all && cur->at < cur->block.end ? SQLITE_OK : stand(cur);
}

static void call_done(VtCursor *base) {
  CallsCursor *cur = (CallsCursor *)base;
  answer_release(cur->answer);
  omni_source_release(vt_state(base->tab->conn), cur->source);
  cur->answer = NULL;
  cur->source = NULL;
}

/* ---- columns --------------------------------------------------------------------------------- */

static void result_moment(const CallsCursor *cur, const CallSite *site, sqlite3_context *ctx) {
  char text[96];
  if (!site->addr) return;
  snprintf(text, sizeof text, "%" PRIu64 ":%" PRId64 ":0x%" PRIx64 ":%" PRIu64,
           word_of(cur, ROW_EV), (int64_t)word_of(cur, ROW_TID), site->addr, word_of(cur, ROW_HIT));
  sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
}

static bool result_return(CallsCursor *cur, RowColumn column, sqlite3_context *ctx, Fault *fault) {
  const CallsAnswer *answer = cur->answer;
  const uint32_t at = answer->returned[cur->at];
  uint64_t value;
  if (at == NO_ROW) return true;
  const unsigned word = answer->rows.layout.word[column];
  if (!packed_at(&answer->rows, at, word, &cur->returns, &value, fault)) return false;
  sqlite3_result_int64(ctx, (sqlite3_int64)value);
  return true;
}

static int call_other(CallsCursor *cur, sqlite3_context *ctx, int col) {
  const CallSite *site = &cur->answer->sites[row_site(tag_of(cur))];
  Fault fault = {0};
  switch (col) {
  case CALL_SEQ:
    sqlite3_result_int64(ctx, (sqlite3_int64)cur->at + 1);
    break;
  case CALL_FUNC:
    sqlite3_result_text(ctx, site->name, -1, SQLITE_TRANSIENT);
    break;
  case CALL_MODULE:
    sqlite3_result_text(ctx, site->module, -1, SQLITE_TRANSIENT);
    break;
  case CALL_RET:
    if (!result_return(cur, ROW_RET, ctx, &fault)) return vt_fault(cur->base.tab, &fault);
    break;
  case CALL_RET_EV:
    if (!result_return(cur, ROW_EV, ctx, &fault)) return vt_fault(cur->base.tab, &fault);
    break;
  case CALL_MOMENT:
    result_moment(cur, site, ctx);
    break;
  case CALL_TRACE:
    return vt_argument(&cur->base, ctx, col);
  default:
    return vt_fail(cur->base.tab, SQLITE_INTERNAL, "column %d was not asked for", col);
  }
  return SQLITE_OK;
}

static int call_value(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col) {
  CallsCursor *cur = (CallsCursor *)base;
  const unsigned word = cur->word[col];
  if (!word) return call_other(cur, ctx, col);
  const uint64_t value = packed_get(&cur->block.words[word], cur->at - cur->block.first);
  sqlite3_result_int64(ctx, (sqlite3_int64)value);
  return SQLITE_OK;
}

/* The moment as a number: the same in every scan, so that SQLite sees which rows of an OR's two
** scans are the same. Two of 10^7 calls share one with a probability of 10^-5. */
static sqlite3_int64 call_rowid(VtCursor *base) {
  const CallsCursor *cur = (const CallsCursor *)base;
  const CallSite *site = &cur->answer->sites[row_site(tag_of(cur))];
  const uint64_t moment[] = {word_of(cur, ROW_EV), word_of(cur, ROW_TID), word_of(cur, ROW_HIT),
                             site->key};
  return (sqlite3_int64)(hash_bytes(moment, sizeof moment, 0) >> 1);
}

static void call_estimate(VtTab *tab, const VtPlan *plan, double *rows, double *cost) {
  (void)tab;
  const bool named = vt_term(plan, CALL_FUNC, VT_OP_EQ) || vt_term(plan, CALL_FUNC, VT_OP_IN) ||
                     vt_term(plan, CALL_FUNC, VT_OP_GLOB);
  if (!named) *cost = *rows = 1e15; /* refused; any other plan is better */
}

static const VtError call_errors[] = {
    {"which functions? Say func = 'malloc', func IN (...) or func GLOB 'mal*'",
     "every call of everything would be a row", "name the functions"},
    {"event n, thread t: x", "the replay does not do what was recorded", "see omni_verify()"},
    {"f of x is not called: it chooses one of several when the program starts (an ifunc) ...",
     "memcpy and its like are several functions", "ask for these by pattern"},
    {"no function of the recording has the name \"x\" ...", "a name that is misspelt",
     "one of those that are near; omni_functions has them all"},
    {"\"x\" is never called: it is inlined everywhere ...",
     "the compiler has put it into its callers",
     "ask omni_lines_hit by its file and lines, or compile with -fno-inline"},
    {"no function has the name \"x\": the linker calls it \"y\"", "names of C++ and the like",
     "ask for y, or func GLOB '*x*'"},
    {"n of m functions cannot be probed", "code that no probe can be put into",
     "ask for fewer functions"},
    {0}};

const VtTable omni_calls_table = {
    .name = "omni_calls",
    .doc = "Every call of the functions asked for, by replay, with its arguments and its caller.",
    .errors = call_errors,
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = call_columns,
    .ncols = CALL_NCOL,
    .rows = 1e6,
    .seek_cost = 1e6,
    .order = (const VtOrder[]){{CALL_SEQ, false}},
    .norder = 1,
    .wants_limit = true,
    .wants_used = true,
    .cursor_size = sizeof(CallsCursor),
    .estimate = call_estimate,
    .seek = call_seek,
    .next = call_next,
    .value = call_value,
    .rowid = call_rowid,
    .done = call_done,
    .close = call_done,
};
