/*
** A small extension that uses every part of the kit for reading, shared by the tests of the kit;
** store.h has the tables that are written.
**
** Tests call SQLite directly (SQLITE_CORE); the kit inside the program calls it through the
** routines that sqlite3_auto_extension() hands over, as in a loaded library.
*/
#ifndef TENFOLD_TEST_VTAB_DEMO_H
#define TENFOLD_TEST_VTAB_DEMO_H

#define SQLITE_CORE 1
#include "vtab/vt.h"
#include "vtab/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/stop.h"

/* ---- demo_steps(stop [, start [, by]]): a table called like a function ------------------ */

enum { STEP_VALUE, STEP_SQUARE, STEP_STOP, STEP_START, STEP_BY, STEP_NCOL };

static const VtColumn step_cols[] = {
    [STEP_VALUE] = {"value", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT | VT_UNIQUE | VT_ROWID, 1,
                    "the number"},
    [STEP_SQUARE] = {"square", "INTEGER", VT_OUT, 0, "its square"},
    [STEP_STOP] = {"stop", "INTEGER", VT_ARG | VT_MUST, 1000, "last number"},
    [STEP_START] = {"start", "INTEGER", VT_ARG, 0, "first number, 1 by default"},
    [STEP_BY] = {"by", "INTEGER", VT_ARG, 0, "distance, 1 by default"},
};

typedef struct StepCursor {
  VtCursor cur;
  sqlite3_int64 value, last, by, left;
} StepCursor;

static int seeks; /* how often any table of the demo was asked */

static int step_seek(VtCursor *base, const VtPlan *plan) {
  StepCursor *cur = (StepCursor *)base;
  sqlite3_int64 start, stop, lo, hi;
  seeks++;
  if (!vt_arg_int(base->tab, plan, STEP_STOP, 0, &stop)) return SQLITE_ERROR;
  if (!vt_arg_int(base->tab, plan, STEP_START, 1, &start)) return SQLITE_ERROR;
  if (!vt_arg_int(base->tab, plan, STEP_BY, 1, &cur->by)) return SQLITE_ERROR;
  if (cur->by < 1 || start < -1000000000 || stop > 1000000000) {
    return vt_fail(base->tab, SQLITE_ERROR, "%lld to %lld by %lld rows asked, the limit is 1e9",
                   (long long)start, (long long)stop, (long long)cur->by);
  }
  base->eof = true;
  if (!vt_int_range(plan, STEP_VALUE, &lo, &hi)) return SQLITE_OK;
  if (lo > stop || hi < start) return SQLITE_OK;
  if (hi < stop) stop = hi;
  if (lo > start) start += (lo - start + cur->by - 1) / cur->by * cur->by;
  if (start > stop) return SQLITE_OK;
  base->eof = false;
  sqlite3_int64 count = (stop - start) / cur->by;
  cur->left = count;
  cur->value = plan->reverse ? start + count * cur->by : start;
  if (plan->reverse) cur->by = -cur->by;
  return SQLITE_OK;
}

static int step_step(VtCursor *base) {
  StepCursor *cur = (StepCursor *)base;
  base->eof = cur->left-- == 0;
  cur->value += cur->by;
  return SQLITE_OK;
}

static int step_column(VtCursor *base, sqlite3_context *ctx, int col) {
  sqlite3_int64 value = ((StepCursor *)base)->value;
  sqlite3_result_int64(ctx, col == STEP_SQUARE ? value * value : value);
  return SQLITE_OK;
}

static sqlite3_int64 step_rowid(VtCursor *base) { return ((StepCursor *)base)->value; }

static const VtTable step_table = {
    .name = "demo_steps",
    .doc = "Counts.",
    .risk = SQLITE_VTAB_INNOCUOUS,
    .cols = step_cols,
    .ncols = STEP_NCOL,
    .rows = 1000,
    .order = (const VtOrder[]){{STEP_VALUE, false}},
    .norder = 1,
    .reversible = true,
    .cursor_size = sizeof(StepCursor),
    .seek = step_seek,
    .step = step_step,
    .column = step_column,
    .rowid = step_rowid,
};

/* ---- demo_words: a plain table ---------------------------------------------------------- */

enum { WORD_ID, WORD_TEXT, WORD_SIZE, WORD_NCOL };

static const VtColumn word_cols[] = {
    [WORD_ID] = {"id", "INTEGER", VT_EQ | VT_IN, 1, "ordinal"},
    [WORD_TEXT] = {"word", "TEXT", VT_EQ | VT_IN | VT_RANGE | VT_GLOB | VT_EXACT, 1, "the word"},
    [WORD_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes"},
};

static const char *const words[] = {"apple", "Banana", "cherry", "date", "elder", "Fig"};

typedef struct WordCursor {
  VtCursor cur;
  int at;
  unsigned wanted; /* bit per word */
} WordCursor;

static sqlite3_int64 last_limit;
static sqlite3_uint64 last_used;
static int in_lists, dones;
static size_t most_arena;

static unsigned match_word(const VtTerm *term, sqlite3_value *value, int i) {
  if (term->col == WORD_ID) return sqlite3_value_int64(value) == i;
  VtOp op = term->op == VT_OP_IN ? VT_OP_EQ : term->op;
  return vt_text_matches(op, value, words[i], strlen(words[i]));
}

static unsigned match_words(const VtTerm *term, sqlite3_value *value) {
  unsigned bits = 0;
  for (int i = 0; i < (int)countof(words); i++) bits |= match_word(term, value, i) << i;
  return bits;
}

static int word_step(VtCursor *base) {
  WordCursor *cur = (WordCursor *)base;
  do cur->at++;
  while (cur->at < (int)countof(words) && !(cur->wanted >> cur->at & 1));
  base->eof = cur->at >= (int)countof(words);
  return SQLITE_OK;
}

static int word_seek(VtCursor *base, const VtPlan *plan) {
  WordCursor *cur = (WordCursor *)base;
  seeks++;
  last_limit = plan->limit;
  last_used = plan->used;
  cur->wanted = (1u << countof(words)) - 1;
  if (!arena_strdup(&base->arena, "scratch")) return SQLITE_NOMEM;
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    unsigned bits = 0;
    if (term->op == VT_OP_IN) {
      bool started = false;
      int rc;
      in_lists++;
      for (sqlite3_value *value; (value = vt_in_next(term, &started, &rc));) {
        bits |= match_words(term, value);
      }
      if (rc != SQLITE_OK) return rc;
    } else {
      bits = match_words(term, term->value);
    }
    cur->wanted &= bits;
  }
  cur->at = -1;
  return word_step(base);
}

static int word_column(VtCursor *base, sqlite3_context *ctx, int col) {
  int at = ((WordCursor *)base)->at;
  switch (col) {
  case WORD_ID:
    sqlite3_result_int(ctx, at);
    break;
  case WORD_TEXT:
    sqlite3_result_text(ctx, words[at], -1, SQLITE_STATIC);
    break;
  default:
    sqlite3_result_int(ctx, (int)strlen(words[at]));
  }
  return SQLITE_OK;
}

static sqlite3_int64 word_rowid(VtCursor *base) { return ((WordCursor *)base)->at; }

static void word_done(VtCursor *base) {
  if (base->arena.total > most_arena) most_arena = base->arena.total;
  dones++;
}

static const VtTable word_table = {
    .name = "demo_words",
    .doc = "Six words.",
    .risk = SQLITE_VTAB_INNOCUOUS,
    .cols = word_cols,
    .ncols = WORD_NCOL,
    .rows = 6,
    .order = (const VtOrder[]){{WORD_ID, false}},
    .norder = 1,
    .wants_limit = true,
    .wants_used = true,
    .cursor_size = sizeof(WordCursor),
    .seek = word_seek,
    .step = word_step,
    .column = word_column,
    .rowid = word_rowid,
    .done = word_done,
};

/* ---- demo_bare([pointer [, any]]): one row, arguments that may be anything ---------------- */

enum { BARE_KIND, BARE_POINTER, BARE_ANY, BARE_NCOL };

static const VtColumn bare_cols[] = {
    [BARE_KIND] = {"kind", "TEXT", VT_OUT, 0, "what came"},
    [BARE_POINTER] = {"pointer", "", VT_ARG | VT_NULLABLE, 0, "from sqlite3_bind_pointer()"},
    [BARE_ANY] = {"any", "", VT_ARG | VT_NULLABLE, 0, "text by default"},
};

typedef struct BareCursor {
  VtCursor cur;
  const char *kind;
  const char *text;
  double real;
} BareCursor;

static int bare_seek(VtCursor *base, const VtPlan *plan) {
  BareCursor *cur = (BareCursor *)base;
  void *pointer = vt_arg_pointer(plan, BARE_POINTER, "demo");
  cur->kind = pointer ? pointer : vt_arg(plan, BARE_POINTER) ? "no pointer" : "absent";
  sqlite3_value *any = vt_arg(plan, BARE_ANY);
  if (!any || sqlite3_value_type(any) == SQLITE_NULL) return SQLITE_OK;
  if (sqlite3_value_type(any) == SQLITE_INTEGER) {
    return vt_arg_real(base->tab, plan, BARE_ANY, 0, &cur->real) ? SQLITE_OK : SQLITE_ERROR;
  }
  return vt_arg_text(base->tab, plan, BARE_ANY, NULL, &cur->text) ? SQLITE_OK : SQLITE_ERROR;
}

static int bare_step(VtCursor *base) {
  base->eof = true;
  return SQLITE_OK;
}

static int bare_column(VtCursor *base, sqlite3_context *ctx, int col) {
  (void)col;
  sqlite3_result_text(ctx, ((BareCursor *)base)->kind, -1, SQLITE_STATIC);
  return SQLITE_OK;
}

static const VtTable bare_table = {
    .name = "demo_bare",
    .doc = "One row.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = bare_cols,
    .ncols = BARE_NCOL,
    .rows = 1,
    .cursor_size = sizeof(BareCursor),
    .seek = bare_seek,
    .step = bare_step,
    .column = bare_column,
};

/* ---- demo_slow(ms): one row, after long work in seek() --------------------------------------- */

static const VtColumn slow_cols[] = {
    {"state", "TEXT", VT_OUT, 0, "done"},
    {"ms", "INTEGER", VT_ARG | VT_MUST, 1, "how long"},
};

static int slow_seek(VtCursor *cur, const VtPlan *plan) {
  sqlite3_int64 ms;
  if (!vt_arg_int(cur->tab, plan, 1, 0, &ms)) return SQLITE_ERROR;
  Stop stop = {.deadline = clock_now() + ms * 1000000, .asked = vt_asked, .ctx = &cur->poll};
  while (!stop_now(&stop)) {
  }
  if (!stop_asked(&stop)) return SQLITE_OK;
  Fault fault = {0};
  fault_set(&fault, FAULT_INTERRUPT, "interrupted");
  return vt_fault(cur->tab, &fault);
}

static int slow_column(VtCursor *cur, sqlite3_context *ctx, int col) {
  (void)cur, (void)col;
  sqlite3_result_text(ctx, "done", -1, SQLITE_STATIC);
  return SQLITE_OK;
}

static const VtTable slow_table = {
    .name = "demo_slow",
    .doc = "Takes its time.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = slow_cols,
    .ncols = 2,
    .rows = 1,
    .seek = slow_seek,
    .step = bare_step,
    .column = slow_column,
};

/* ---- functions -------------------------------------------------------------------------- */

static void demo_twice(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  sqlite3_int64 times = argc > 1 ? sqlite3_value_int64(argv[1]) : 2;
  sqlite3_result_int64(ctx, times * sqlite3_value_int64(argv[0]));
}

static void demo_pair(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  int length;
  const char *text = func_text(ctx, argv[0], &length);
  if (!text) return;
  Text json = {0};
  text_add(&json, "{\"text\":");
  text_add_json(&json, text, (size_t)length);
  text_addc(&json, '}');
  vt_result_text(ctx, &json, true);
  text_finish(&json);
}

static void demo_fail(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  Fault fault = {0};
  fault_set(&fault, (FaultCode)sqlite3_value_int(argv[0]), "%zu things at %d%%", (size_t)7, 12);
  func_fault(ctx, &fault);
}

/* Works for so many milliseconds, unless asked to stop. */
static void demo_work(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  int64_t end = clock_now() + sqlite3_value_int64(argv[0]) * 1000000;
  VtPoll poll = vt_poll_begin(vt_conn(ctx));
  Stop stop = {.asked = vt_asked, .ctx = &poll};
  while (clock_now() < end && !stop_now(&stop)) {
  }
  vt_poll_end(&poll);
  if (poll.stopped) {
    func_fail(ctx, SQLITE_INTERRUPT, "interrupted");
    return;
  }
  sqlite3_result_text(ctx, "done", -1, SQLITE_STATIC);
}

typedef struct DemoState {
  int calls;
} DemoState;

static int opened, closed, fail_open; /* over all connections */

static void demo_calls(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc, (void)argv;
  DemoState *state = vt_state(vt_conn(ctx));
  sqlite3_result_int(ctx, ++state->calls);
}

static void total_step(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  sqlite3_int64 *total = sqlite3_aggregate_context(ctx, sizeof *total);
  if (total) *total += sqlite3_value_int64(argv[0]);
}

static void total_inverse(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  sqlite3_int64 *total = sqlite3_aggregate_context(ctx, sizeof *total);
  if (total) *total -= sqlite3_value_int64(argv[0]);
}

static void total_value(sqlite3_context *ctx) {
  sqlite3_int64 *total = sqlite3_aggregate_context(ctx, sizeof *total);
  if (total) sqlite3_result_int64(ctx, *total);
}

static const VtFunction demo_functions[] = {
    {.name = "demo_twice",
     .args = "x [, times]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_PURE,
     .doc = "Twice its argument.",
     .scalar = demo_twice},
    {.name = "demo_pair",
     .args = "text",
     .nargs = 1,
     .flags = VT_PURE | VT_JSON,
     .doc = "An object.",
     .scalar = demo_pair},
    {.name = "demo_fail",
     .args = "code",
     .nargs = 1,
     .flags = VT_EFFECT,
     .doc = "Fails.",
     .scalar = demo_fail},
    {.name = "demo_work",
     .args = "ms",
     .nargs = 1,
     .flags = VT_EFFECT,
     .doc = "Keeps busy.",
     .scalar = demo_work},
    {.name = "demo_calls",
     .args = "",
     .nargs = 0,
     .flags = VT_READS,
     .doc = "Calls so far in this connection.",
     .scalar = demo_calls},
    {.name = "demo_total",
     .args = "x",
     .nargs = 1,
     .flags = VT_PURE,
     .doc = "Sum.",
     .step = total_step,
     .final = total_value,
     .value = total_value,
     .inverse = total_inverse},
};

/* ---- the extension ---------------------------------------------------------------------- */

static int demo_open(VtConn *conn, void *state, Fault *fault) {
  (void)conn, (void)state;
  if (fail_open) {
    fault_set(fault, FAULT_INVALID, "demo: no luck today");
    return SQLITE_ERROR;
  }
  opened++;
  return SQLITE_OK;
}

static void demo_close(void *state) {
  (void)state;
  closed++;
}

#include "test/vtab/store.h"

static const VtTable *const demo_tables[] = {&step_table,   &slow_table,  &word_table,
                                             &bare_table,   &store_table, &log_table,
                                             &native_table, &keyed_table, &note_table};

static const VtExtension demo = {
    .name = "demo",
    .version = VT_VERSION,
    .doc = "For tests.",
    .tables = demo_tables,
    .ntables = countof(demo_tables),
    .functions = demo_functions,
    .nfunctions = countof(demo_functions),
    .state_size = sizeof(DemoState),
    .open = demo_open,
    .close = demo_close,
};

static const sqlite3_api_routines *host_api; /* as handed over */

static int demo_entry(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  host_api = api;
  return vt_load(db, err, api, &demo);
}

#endif
