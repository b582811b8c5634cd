/*
** omni_events and omni_chunks: the recording as it is.
**
**   SELECT kind, count(*) FROM omni_events GROUP BY kind;
*/
#include "extensions/omni/scan.h"
#include "replay/syscalls.h"

/* ---- omni_events ----------------------------------------------------------------------------- */

enum {
  EVENT_KIND = SCAN_NCOL,
  EVENT_NR,
  EVENT_NAME,
  EVENT_RET,
  EVENT_AUX,
  EVENT_RIP,
  EVENT_HASH,
  EVENT_CHUNKS,
  EVENT_BYTES,
  EVENT_TRACE,
  EVENT_NCOL
};

static const VtColumn event_columns[] = {
    [SCAN_EV] = SCAN_COLUMN_EV,
    [SCAN_TIME] = SCAN_COLUMN_TIME,
    [SCAN_PID] = SCAN_COLUMN_PID,
    [SCAN_TID] = SCAN_COLUMN_TID,
    [EVENT_KIND] =
        {"kind", "TEXT", VT_EQ | VT_IN, 0,
         "meta, file, image (a program starts), syscall, enter (a call that waits), trap "
         "(an instruction the machine answers), signal, switch (preempted), exit (of a "
         "thread), end (of a process), note (of the recorder)"},
    [EVENT_NR] = {"nr", "INTEGER", VT_OUT, 0, "number of the call, signal or trap; exit code"},
    [EVENT_NAME] = {"name", "TEXT", VT_OUT, 0, "its name"},
    [EVENT_RET] = {"ret", "INTEGER", VT_OUT, 0, "result; of end: the wait status"},
    [EVENT_AUX] = {"aux", "INTEGER", VT_OUT, 0, "of file: its number; of mmap: that number + 1"},
    [EVENT_RIP] = {"rip", "INTEGER", VT_OUT, 0, "where the thread stands, when it was recorded"},
    [EVENT_HASH] = {"hash", "INTEGER", VT_OUT, 0,
                    "of the process's memory and the thread's registers, when it was taken"},
    [EVENT_CHUNKS] = {"chunks", "INTEGER", VT_OUT, 0, "pieces of memory recorded with it"},
    [EVENT_BYTES] = {"bytes", "INTEGER", VT_OUT, 0, "their size"},
    [EVENT_TRACE] = OMNI_COLUMN_TRACE,
};

/* The kinds that a term on the column `kind` lets through. */
static unsigned kinds_of(const VtTerm *term, int *rc) {
  unsigned kinds = 0;
  bool started = false;
  sqlite3_value *value = term->value;
  while (term->op == VT_OP_EQ || (value = vt_in_next(term, &started, rc))) {
    const char *text = (const char *)sqlite3_value_text(value);
    for (int kind = EVENT_META; text && kind <= EVENT_ENTER; kind++) {
      if (sqlite3_stricmp(text, omni_event_name(kind)) == 0) kinds |= 1u << kind;
    }
    if (term->op == VT_OP_EQ) break;
  }
  return kinds;
}

static int event_seek(VtCursor *base, const VtPlan *plan) {
  OmniCursor *cur = (OmniCursor *)base;
  cur->kinds = ~0u;
  for (int i = 0; i < plan->nterms; i++) {
    int rc = SQLITE_OK;
    if (plan->terms[i].col == EVENT_KIND) cur->kinds &= kinds_of(&plan->terms[i], &rc);
    if (rc != SQLITE_OK) return rc;
  }
  return omni_scan_seek(base, plan, EVENT_TRACE);
}

static void event_name(sqlite3_context *ctx, const Event *event) {
  char signal[SIGNAL_NAME];
  const char *name = NULL;
  if (event->kind == EVENT_SYSCALL || event->kind == EVENT_ENTER) name = call_name(event->nr);
  if (event->kind == EVENT_TRAP) name = omni_trap_name(event->nr);
  if (event->kind == EVENT_SIGNAL) name = omni_signal_name(event->nr, signal);
  if (name) sqlite3_result_text(ctx, name, -1, SQLITE_TRANSIENT);
}

static sqlite3_int64 event_bytes(const Event *event) {
  sqlite3_int64 bytes = 0;
  for (int i = 0; i < event->nchunks; i++) bytes += (sqlite3_int64)event->chunks[i].size;
  return bytes;
}

static int event_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const Event *event = ((OmniCursor *)base)->event;
  switch (col) {
  case EVENT_KIND:
    omni_result_text(ctx, omni_event_name(event->kind));
    break;
  case EVENT_NR:
    sqlite3_result_int(ctx, event->nr);
    break;
  case EVENT_NAME:
    event_name(ctx, event);
    break;
  case EVENT_RET:
    sqlite3_result_int64(ctx, event->ret);
    break;
  case EVENT_AUX:
    sqlite3_result_int64(ctx, (sqlite3_int64)event->aux);
    break;
  case EVENT_RIP:
    if (event->has_regs) sqlite3_result_int64(ctx, (sqlite3_int64)event->regs.rip);
    break;
  case EVENT_HASH:
    if (event->has_hash) sqlite3_result_int64(ctx, (sqlite3_int64)event->hash);
    break;
  case EVENT_CHUNKS:
    sqlite3_result_int(ctx, event->nchunks);
    break;
  case EVENT_BYTES:
    sqlite3_result_int64(ctx, event_bytes(event));
    break;
  default:
    return omni_scan_column(base, ctx, col);
  }
  return SQLITE_OK;
}

const VtTable omni_events_table = {
    .name = "omni_events",
    .doc = "Every event of the recording, in the order in which they happened.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = event_columns,
    .ncols = EVENT_NCOL,
    .rows = 1e5,
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(OmniCursor),
    .seek = event_seek,
    .step = omni_scan_step,
    .column = event_column,
    .rowid = omni_scan_rowid,
    .close = omni_scan_close,
};

/* ---- omni_chunks ----------------------------------------------------------------------------- */

enum {
  CHUNK_NUMBER = SCAN_NCOL,
  CHUNK_WHAT,
  CHUNK_ADDR,
  CHUNK_SIZE,
  CHUNK_DATA,
  CHUNK_TRACE,
  CHUNK_NCOL
};

static const VtColumn chunk_columns[] = {
    [SCAN_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 2,
                 "ordinal of the event it belongs to"},
    [SCAN_TIME] = SCAN_COLUMN_TIME,
    [SCAN_PID] = SCAN_COLUMN_PID,
    [SCAN_TID] = SCAN_COLUMN_TID,
    [CHUNK_NUMBER] = {"number", "INTEGER", VT_OUT, 0,
                      "place among the pieces of its event, from 0"},
    [CHUNK_WHAT] = {"kind", "TEXT", VT_OUT, 0,
                    "out (the kernel wrote it), in (the program gave it), path, map, meta, stat, "
                    "siginfo, point (tells a place from its like), xstate"},
    [CHUNK_ADDR] = {"addr", "INTEGER", VT_OUT, 0, "where it was in the program's memory"},
    [CHUNK_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes"},
    [CHUNK_DATA] = {"data", "BLOB", VT_OUT, 0, "its bytes"},
    [CHUNK_TRACE] = OMNI_COLUMN_TRACE,
};

typedef struct ChunkCursor {
  OmniCursor base;
  int at; /* of the row, in its event */
} ChunkCursor;

static bool has_chunks(OmniCursor *cur, const Event *event) {
  (void)cur;
  return event->nchunks > 0;
}

static int chunk_seek(VtCursor *base, const VtPlan *plan) {
  ChunkCursor *cur = (ChunkCursor *)base;
  cur->at = 0;
  cur->base.kinds = ~0u;
  cur->base.accepts = has_chunks;
  return omni_scan_seek(base, plan, CHUNK_TRACE);
}

static int chunk_step(VtCursor *base) {
  ChunkCursor *cur = (ChunkCursor *)base;
  if (++cur->at < cur->base.event->nchunks) return SQLITE_OK;
  cur->at = 0;
  return omni_scan_step(base);
}

static int chunk_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const ChunkCursor *cur = (const ChunkCursor *)base;
  const Chunk *chunk = &cur->base.event->chunks[cur->at];
  switch (col) {
  case CHUNK_NUMBER:
    sqlite3_result_int(ctx, cur->at);
    break;
  case CHUNK_WHAT:
    omni_result_text(ctx, omni_chunk_name(chunk->kind));
    break;
  case CHUNK_ADDR:
    sqlite3_result_int64(ctx, (sqlite3_int64)chunk->addr);
    break;
  case CHUNK_SIZE:
    sqlite3_result_int64(ctx, (sqlite3_int64)chunk->size);
    break;
  case CHUNK_DATA:
    omni_result_bytes(ctx, chunk->bytes, chunk->size);
    break;
  default:
    return omni_scan_column(base, ctx, col);
  }
  return SQLITE_OK;
}

/* Events have less than 2^16 chunks; ordinals of a recording never come near 2^47. */
static sqlite3_int64 chunk_rowid(VtCursor *base) {
  const ChunkCursor *cur = (const ChunkCursor *)base;
  return (sqlite3_int64)(cur->base.event->ev << 16) + cur->at;
}

const VtTable omni_chunks_table = {
    .name = "omni_chunks",
    .doc = "The pieces of memory that were recorded with the events.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = chunk_columns,
    .ncols = CHUNK_NCOL,
    .rows = 2e5,
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(ChunkCursor),
    .seek = chunk_seek,
    .step = chunk_step,
    .column = chunk_column,
    .rowid = chunk_rowid,
    .close = omni_scan_close,
};
