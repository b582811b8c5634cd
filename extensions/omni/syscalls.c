/*
** omni_syscalls: the system calls of a run, as strace would print them.
**
**   SELECT name, count(*), sum(ret < 0) FROM omni_syscalls GROUP BY name ORDER BY 2 DESC;
**
** Read from the recording: nothing is replayed. Calls that had not ended with the recording (of a
** program that was killed while it waited) are not here; omni_events has their `enter`.
*/
#include <string.h>

#include "extensions/omni/payload.h"
#include "extensions/omni/scan.h"
#include "replay/syscalls.h"

enum {
  CALL_NAME = SCAN_NCOL,
  CALL_NR,
  CALL_A0,
  CALL_A5 = CALL_A0 + 5,
  CALL_RET,
  CALL_ERRNO,
  CALL_PATH,
  CALL_PATH2,
  CALL_DATA,
  CALL_TRACE,
  CALL_NCOL
};

static const VtColumn call_columns[] = {
    [SCAN_EV] = SCAN_COLUMN_EV,
    [SCAN_TIME] = {"time", "INTEGER", VT_OUT, 0, "ns since the recording began, when it ended"},
    [SCAN_PID] = SCAN_COLUMN_PID,
    [SCAN_TID] = SCAN_COLUMN_TID,
    [CALL_NAME] = {"name", "TEXT", VT_EQ | VT_IN | VT_GLOB | VT_LIKE, 1e4,
                   "name of the call, like \"openat\"; NULL when its number is unknown"},
    [CALL_NR] = {"nr", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 1e4, "its number"},
    [CALL_A0] = {"a0", "INTEGER", VT_OUT, 0, "first argument, as in the register"},
    [CALL_A0 + 1] = {"a1", "INTEGER", VT_OUT, 0, "second argument"},
    [CALL_A0 + 2] = {"a2", "INTEGER", VT_OUT, 0, "third argument"},
    [CALL_A0 + 3] = {"a3", "INTEGER", VT_OUT, 0, "fourth argument"},
    [CALL_A0 + 4] = {"a4", "INTEGER", VT_OUT, 0, "fifth argument"},
    [CALL_A5] = {"a5", "INTEGER", VT_OUT, 0, "sixth argument"},
    [CALL_RET] = {"ret", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 0,
                  "result; below zero: minus the error number"},
    [CALL_ERRNO] = {"errno", "TEXT", VT_OUT, 0, "name of the error, like \"ENOENT\", or NULL"},
    [CALL_PATH] = {"path", "TEXT", VT_OUT, 0, "first path that the call named"},
    [CALL_PATH2] = {"path2", "TEXT", VT_OUT, 0, "second path (rename, link)"},
    [CALL_DATA] = {"data", "BLOB", VT_OUT, 0,
                   "bytes that were read or written; of other calls, what the program gave or else "
                   "what the kernel answered"},
    [CALL_TRACE] = OMNI_COLUMN_TRACE,
};

typedef struct CallCursor {
  OmniCursor base;
  bool named;                /* there are terms on the name */
  uint8_t numbers[CALL_END]; /* then: which numbers fit them */
  sqlite3_int64 nr_low, nr_high, ret_low, ret_high;
} CallCursor;

/* ---- which calls ----------------------------------------------------------------------------- */

static int one_of(const VtTerm *term, const char *name, bool *out) {
  int rc = SQLITE_OK;
  bool started = false;
  sqlite3_value *value;
  *out = false;
  while (!*out && (value = vt_in_next(term, &started, &rc))) {
    *out = vt_text_matches(VT_OP_EQ, value, name, strlen(name));
  }
  return rc;
}

/* Names are compared once per number, not once per event. */
static int choose_numbers(CallCursor *cur, const VtPlan *plan) {
  cur->named = false;
  memset(cur->numbers, 1, sizeof cur->numbers);
  for (int i = 0; i < plan->nterms; i++) {
    const VtTerm *term = &plan->terms[i];
    if (term->col != CALL_NAME) continue;
    cur->named = true;
    for (int nr = 0; nr < CALL_END; nr++) {
      const char *name = call_name(nr);
      bool fits = false;
      int rc = SQLITE_OK;
      if (name && term->op == VT_OP_IN) {
        rc = one_of(term, name, &fits);
      } else if (name) {
        fits = vt_text_matches(term->op, term->value, name, strlen(name));
      }
      if (rc != SQLITE_OK) return rc;
      cur->numbers[nr] = cur->numbers[nr] && fits;
    }
  }
  return SQLITE_OK;
}

static bool call_wanted(OmniCursor *base, const Event *event) {
  const CallCursor *cur = (const CallCursor *)base;
  if (event->nr < cur->nr_low || event->nr > cur->nr_high) return false;
  if (event->ret < cur->ret_low || event->ret > cur->ret_high) return false;
  if (!cur->named) return true;
  return event->nr >= 0 && event->nr < CALL_END && cur->numbers[event->nr];
}

static int call_seek(VtCursor *base, const VtPlan *plan) {
  CallCursor *cur = (CallCursor *)base;
  cur->base.kinds = 1u << EVENT_SYSCALL;
  cur->base.accepts = call_wanted;
  int rc = choose_numbers(cur, plan);
  if (rc != SQLITE_OK) return rc;
  if (!vt_int_range(plan, CALL_NR, &cur->nr_low, &cur->nr_high) ||
      !vt_int_range(plan, CALL_RET, &cur->ret_low, &cur->ret_high)) {
    base->eof = true;
    return SQLITE_OK;
  }
  return omni_scan_seek(base, plan, CALL_TRACE);
}

/* ---- columns --------------------------------------------------------------------------------- */

static void path_column(sqlite3_context *ctx, const Event *event, int number) {
  int at = 0;
  const Chunk *chunk = omni_chunk(event, CHUNK_PATH, &at);
  while (chunk && number-- > 0) chunk = omni_chunk(event, CHUNK_PATH, &at);
  if (chunk) omni_result_string(ctx, chunk->bytes, chunk->size);
}

static int data_column(OmniCursor *cur, sqlite3_context *ctx) {
  Payload payload;
  if (!payload_of(cur->event, &cur->base.arena, &payload)) return SQLITE_NOMEM;
  if (payload.there) omni_result_bytes(ctx, payload.bytes, payload.size); /* a copy */
  arena_reset(&cur->base.arena);
  return SQLITE_OK;
}

static int call_column(VtCursor *base, sqlite3_context *ctx, int col) {
  OmniCursor *cur = (OmniCursor *)base;
  const Event *event = cur->event;
  switch (col) {
  case CALL_NAME:
    omni_result_text(ctx, call_name(event->nr));
    break;
  case CALL_NR:
    sqlite3_result_int(ctx, event->nr);
    break;
  case CALL_RET:
    sqlite3_result_int64(ctx, event->ret);
    break;
  case CALL_ERRNO:
    if (event->ret < 0 && event->ret >= -4095) {
      omni_result_text(ctx, errno_name((int)-event->ret));
    }
    break;
  case CALL_PATH:
  case CALL_PATH2:
    path_column(ctx, event, col - CALL_PATH);
    break;
  case CALL_DATA:
    return data_column(cur, ctx);
  default:
    if (col >= CALL_A0 && col <= CALL_A5) {
      sqlite3_result_int64(ctx, (sqlite3_int64)event->args[col - CALL_A0]);
      break;
    }
    return omni_scan_column(base, ctx, col);
  }
  return SQLITE_OK;
}

const VtTable omni_syscalls_table = {
    .name = "omni_syscalls",
    .doc = "System calls, with their arguments, results, paths and data.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = call_columns,
    .ncols = CALL_NCOL,
    .rows = 1e5,
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(CallCursor),
    .seek = call_seek,
    .step = omni_scan_step,
    .column = call_column,
    .rowid = omni_scan_rowid,
    .close = omni_scan_close,
};
