/*
** omni_diff: where two recordings part.
**
**   SELECT * FROM omni_diff('good.omni', 'bad.omni') ORDER BY ev_a;
**   SELECT s.func FROM omni_diff('good.omni', 'bad.omni') d, omni_stack(d.ev_b, 'bad.omni') s;
*/
#include "base/array.h"
#include "extensions/omni/diff.h"
#include "extensions/omni/omni.h"

enum {
  DIFF_COL_WHAT,
  DIFF_COL_THREAD,
  DIFF_COL_EV_A,
  DIFF_COL_EV_B,
  DIFF_COL_TID_A,
  DIFF_COL_TID_B,
  DIFF_COL_DID_A,
  DIFF_COL_DID_B,
  DIFF_COL_A,
  DIFF_COL_B,
  DIFF_NCOL
};

static const VtColumn diff_columns[] = {
    [DIFF_COL_WHAT] =
        {"what", "TEXT", VT_OUT, 0,
         "schedule: another thread went on, or at another place; call: another call, "
         "or with other arguments; result, data: what came of the same call; end: one "
         "did no more"},
    [DIFF_COL_THREAD] = {"thread", "INTEGER", VT_OUT, 0,
                         "the n-th thread of the run, from 1, by which they are matched"},
    [DIFF_COL_EV_A] = {"ev_a", "INTEGER", VT_OUT, 0, "event in a; NULL: there is none"},
    [DIFF_COL_EV_B] = {"ev_b", "INTEGER", VT_OUT, 0, "event in b"},
    [DIFF_COL_TID_A] = {"tid_a", "INTEGER", VT_OUT, 0, "thread, as a has it"},
    [DIFF_COL_TID_B] = {"tid_b", "INTEGER", VT_OUT, 0, "thread, as b has it"},
    [DIFF_COL_DID_A] = {"did_a", "TEXT", VT_OUT, 0, "what happened there in a"},
    [DIFF_COL_DID_B] = {"did_b", "TEXT", VT_OUT, 0, "what happened there in b"},
    [DIFF_COL_A] = {"a", "TEXT", VT_ARG | VT_MUST, 0, "folder of a recording"},
    [DIFF_COL_B] = {"b", "TEXT", VT_ARG | VT_MUST, 0, "folder of another one"},
};

typedef struct DiffCursor {
  VtCursor base;
  OmniSource *source[2];
  DiffRun run[2];
  size_t next; /* 0: the schedule, then the threads */
  Diff diff;
} DiffCursor;

static int stand(DiffCursor *cur) {
  const DiffRun *a = &cur->run[0], *b = &cur->run[1];
  const size_t threads = a->count > b->count ? a->count : b->count;
  while (cur->next <= threads) {
    const size_t at = cur->next++;
    if (at ? diff_thread(a, b, at - 1, &cur->diff) : diff_schedule(a, b, &cur->diff)) {
      return SQLITE_OK;
    }
  }
  cur->base.eof = true;
  return SQLITE_OK;
}

static int diff_seek(VtCursor *base, const VtPlan *plan) {
  DiffCursor *cur = (DiffCursor *)base;
  VtTab *tab = base->tab;
  Fault fault = {0};
  for (int i = 0; i < 2; i++) {
    const char *dir;
    if (!vt_arg_text(tab, plan, DIFF_COL_A + i, NULL, &dir)) return SQLITE_ERROR;
    if (!omni_source_open(vt_state(tab->conn), dir, &cur->source[i], &fault)) {
      return vt_fault(tab, &fault);
    }
    cur->run[i].recording = cur->source[i]->recording;
    if (!diff_read(&cur->run[i], &base->poll, &fault)) return vt_fault(tab, &fault);
  }
  cur->next = 0;
  return stand(cur);
}

static int diff_step(VtCursor *base) { return stand((DiffCursor *)base); }

static int tell(DiffCursor *cur, sqlite3_context *ctx, int i) {
  Text text = {0};
  Fault fault = {0};
  if (!cur->diff.ev[i]) return SQLITE_OK;
  bool ok = diff_tell(cur->run[i].recording, cur->diff.ev[i], &text, &fault);
  if (ok) vt_result_text(ctx, &text, false);
  text_finish(&text);
  return ok ? SQLITE_OK : vt_fault(cur->base.tab, &fault);
}

static int diff_column(VtCursor *base, sqlite3_context *ctx, int col) {
  static const char *const names[] = {[DIFF_SCHEDULE] = "schedule",
                                      [DIFF_CALL] = "call",
                                      [DIFF_RESULT] = "result",
                                      [DIFF_DATA] = "data",
                                      [DIFF_END] = "end"};
  DiffCursor *cur = (DiffCursor *)base;
  const Diff *diff = &cur->diff;
  switch (col) {
  case DIFF_COL_WHAT:
    sqlite3_result_text(ctx, names[diff->what], -1, SQLITE_STATIC);
    break;
  case DIFF_COL_THREAD:
    sqlite3_result_int64(ctx, (sqlite3_int64)diff->thread + 1);
    break;
  case DIFF_COL_EV_A:
  case DIFF_COL_EV_B:
    if (diff->ev[col - DIFF_COL_EV_A]) {
      sqlite3_result_int64(ctx, (sqlite3_int64)diff->ev[col - DIFF_COL_EV_A]);
    }
    break;
  case DIFF_COL_TID_A:
  case DIFF_COL_TID_B:
    if (diff->tid[col - DIFF_COL_TID_A]) {
      sqlite3_result_int(ctx, diff->tid[col - DIFF_COL_TID_A]);
    }
    break;
  default:
    return tell(cur, ctx, col - DIFF_COL_DID_A);
  }
  return SQLITE_OK;
}

static void diff_done(VtCursor *base) {
  DiffCursor *cur = (DiffCursor *)base;
  for (int i = 0; i < 2; i++) {
    diff_finish(&cur->run[i]);
    omni_source_release(vt_state(base->tab->conn), cur->source[i]);
    cur->source[i] = NULL;
  }
}

const VtTable omni_diff_table = {
    .name = "omni_diff",
    .doc = "Where two recordings part: the schedule, and the first difference of every thread.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = diff_columns,
    .ncols = DIFF_NCOL,
    .rows = 3,
    .seek_cost = 1e5,
    .cursor_size = sizeof(DiffCursor),
    .seek = diff_seek,
    .step = diff_step,
    .column = diff_column,
    .done = diff_done,
};
