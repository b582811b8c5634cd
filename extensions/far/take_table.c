/*
** far_take(table, n): takes from the front of a queue, as rows.
**
**   INSERT INTO done SELECT value FROM far_take('jobs', 100);
*/
#include <stdlib.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum { TAKE_SEQ, TAKE_VALUE, TAKE_TABLE, TAKE_N, TAKE_NCOL };

static const VtColumn take_columns[] = {
    [TAKE_SEQ] = {"seq", "INTEGER", VT_OUT, 0, "the number of its ticket"},
    [TAKE_VALUE] = {"value", "", VT_OUT, 0,
                    "what was put: the value of a queue with one column, else a JSON object"},
    [TAKE_TABLE] = {"queue", "TEXT", VT_ARG | VT_MUST, 1, "a far_queue table of this connection"},
    [TAKE_N] = {"n", "INTEGER", VT_ARG, 0, "how many to take at most; default 1"},
};

typedef struct TakeCursor {
  VtCursor base;
  FarHold queue; /* between two rows anything may happen */
  unsigned char *elements;
  uint64_t n, at, left;
} TakeCursor;

/* A round, usually. All that it takes is shown before something that went wrong is told. */
static int take_some(TakeCursor *cur) {
  Stop stop = {.asked = vt_asked, .ctx = &cur->base.poll};
  Fault fault = {0};
  const bool ok =
      far_queue_pop(cur->queue.tab->queue, cur->left, cur->elements, &cur->n, &stop, &fault);
  cur->at = 0;
  cur->left = ok && cur->n ? cur->left - cur->n : 0;
  cur->base.eof = cur->n == 0;
  return ok || cur->n ? SQLITE_OK : vt_fault(cur->base.tab, &fault);
}

static int take_seek(VtCursor *base, const VtPlan *plan) {
  TakeCursor *cur = (TakeCursor *)base;
  Stop stop = {.asked = vt_asked, .ctx = &base->poll};
  const char *name;
  sqlite3_int64 n;
  Fault fault = {0};
  if (!vt_arg_text(base->tab, plan, TAKE_TABLE, NULL, &name) ||
      !vt_arg_int(base->tab, plan, TAKE_N, 1, &n))
    return SQLITE_ERROR;
  if (n < 0) return vt_fail(base->tab, SQLITE_RANGE, "0 elements or more, not %lld", (long long)n);
  far_tab_let_go(base->tab->conn, &cur->queue);
  if (!far_tab_hold(base->tab->conn, name, FAR_KIND_QUEUE, &cur->queue, &fault) ||
      !far_link_ready(cur->queue.tab->link, &stop, &fault))
    return vt_fault(base->tab, &fault);
  const uint64_t room = n < FAR_MOST_TAKEN ? (uint64_t)n : FAR_MOST_TAKEN;
  free(cur->elements);
  cur->elements = malloc((room + 1) * cur->queue.tab->record.shape.stride);
  if (!cur->elements) return SQLITE_NOMEM;
  cur->left = (uint64_t)n;
  return take_some(cur);
}

static int take_step(VtCursor *base) {
  TakeCursor *cur = (TakeCursor *)base;
  if (++cur->at < cur->n) return SQLITE_OK;
  base->eof = !cur->left;
  return base->eof ? SQLITE_OK : take_some(cur);
}

static int take_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const TakeCursor *cur = (TakeCursor *)base;
  const unsigned char *element = cur->elements + cur->at * cur->queue.tab->record.shape.stride;
  if (col == TAKE_VALUE) return far_element_result(cur->queue.tab, element, ctx);
  sqlite3_result_int64(ctx, (sqlite3_int64)far_vector_index(element + FAR_STAMP));
  return SQLITE_OK;
}

static void take_close(VtCursor *base) {
  TakeCursor *cur = (TakeCursor *)base;
  far_tab_let_go(base->tab->conn, &cur->queue);
  free(cur->elements);
}

const VtTable far_take_table = {
    .name = "far_take",
    .doc = "Takes elements from the front of a queue, 256 in a round: they are taken at once, also "
           "when the transaction is rolled back, and whatever LIMIT says.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 10,
    .seek_cost = 200,
    .cols = take_columns,
    .ncols = TAKE_NCOL,
    .cursor_size = sizeof(TakeCursor),
    .seek = take_seek,
    .step = take_step,
    .column = take_column,
    .close = take_close,
};
