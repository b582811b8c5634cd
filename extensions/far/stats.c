/*
** far_stats: what the far memories of this connection have cost.
*/
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"

enum {
  STATS_AT,
  STATS_ROUNDS,
  STATS_MESSAGES,
  STATS_OUT,
  STATS_IN,
  STATS_RETRIES,
  STATS_TIMEOUTS,
  STATS_HITS,
  STATS_NOTICES,
  STATS_CLIENT,
  STATS_INCARNATION,
  STATS_NCOL
};

static const VtColumn stats_columns[] = {
    [STATS_AT] = {"at", "TEXT", VT_OUT, 0, "the far memory"},
    [STATS_ROUNDS] = {"rounds", "INTEGER", VT_OUT, 0,
                      "far accesses: round trips that somebody waited for"},
    [STATS_MESSAGES] = {"messages", "INTEGER", VT_OUT, 0, "operations in them"},
    [STATS_OUT] = {"bytes_out", "INTEGER", VT_OUT, 0, "bytes written"},
    [STATS_IN] = {"bytes_in", "INTEGER", VT_OUT, 0, "bytes read"},
    [STATS_RETRIES] = {"retries", "INTEGER", VT_OUT, 0, "times that another client was in the way"},
    [STATS_TIMEOUTS] = {"timeouts", "INTEGER", VT_OUT, 0, "waits that were given up"},
    [STATS_HITS] = {"hits", "INTEGER", VT_OUT, 0, "answers from what is kept here: no round"},
    [STATS_NOTICES] = {"notices", "INTEGER", VT_OUT, 0, "that came of what is watched"},
    [STATS_CLIENT] = {"client", "INTEGER", VT_OUT, 0, "this connection's, as locks hold it"},
    [STATS_INCARNATION] = {"incarnation", "TEXT", VT_OUT, 0,
                           "of the memory: another one when its contents were lost"},
};

typedef struct StatsCursor {
  VtCursor base;
  FarLink *link;
} StatsCursor;

static int stats_seek(VtCursor *base, const VtPlan *plan) {
  StatsCursor *cur = (StatsCursor *)base;
  (void)plan;
  cur->link = ((FarState *)vt_state(base->tab->conn))->links;
  base->eof = !cur->link;
  return SQLITE_OK;
}

static int stats_step(VtCursor *base) {
  StatsCursor *cur = (StatsCursor *)base;
  cur->link = cur->link->next;
  base->eof = !cur->link;
  return SQLITE_OK;
}

static int stats_column(VtCursor *base, sqlite3_context *ctx, int col) {
  FarMemory *memory = ((StatsCursor *)base)->link->memory;
  const FarCounts *counts = far_counts(memory);
  const uint64_t numbers[] = {
      [STATS_ROUNDS] = counts->rounds,    [STATS_MESSAGES] = counts->messages,
      [STATS_OUT] = counts->bytes_out,    [STATS_IN] = counts->bytes_in,
      [STATS_RETRIES] = counts->retries,  [STATS_TIMEOUTS] = counts->timeouts,
      [STATS_HITS] = counts->hits,        [STATS_NOTICES] = counts->notices,
      [STATS_CLIENT] = far_client(memory)};
  if (col == STATS_AT) {
    sqlite3_result_text(ctx, far_at(memory), -1, SQLITE_TRANSIENT);
  } else if (col == STATS_INCARNATION) {
    char text[20];
    sqlite3_snprintf(sizeof text, text, "%016llx", far_incarnation(memory));
    sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
  } else {
    sqlite3_result_int64(ctx, (sqlite3_int64)numbers[col]);
  }
  return SQLITE_OK;
}

const VtTable far_stats_table = {
    .name = "far_stats",
    .doc = "What the far memories that this connection has open have cost, since they were opened.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .rows = 2,
    .cols = stats_columns,
    .ncols = STATS_NCOL,
    .cursor_size = sizeof(StatsCursor),
    .seek = stats_seek,
    .step = stats_step,
    .column = stats_column,
};
