/*
** omni_io: what went through file descriptors. omni_stdout, omni_stderr: what the program printed.
**
**   SELECT path, dir, sum(size) FROM omni_io GROUP BY path, dir;
**   SELECT group_concat(data, '') FROM omni_stdout;
**
** Descriptors are followed from the beginning of the recording, so every seek reads it from there.
*/
#include <string.h>
#include <sys/syscall.h>

#include "extensions/omni/descriptors.h"
#include "extensions/omni/payload.h"
#include "extensions/omni/scan.h"
#include "replay/syscalls.h"

enum {
  IO_CALL = SCAN_NCOL,
  IO_FD,
  IO_KIND,
  IO_PATH,
  IO_DIR,
  IO_OFF,
  IO_SIZE,
  IO_DATA,
  IO_TRACE,
  IO_NCOL
};

static const VtColumn io_columns[] = {
    [SCAN_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 1, "ordinal of the call's event"},
    [SCAN_TIME] = SCAN_COLUMN_TIME,
    [SCAN_PID] = SCAN_COLUMN_PID,
    [SCAN_TID] = SCAN_COLUMN_TID,
    [IO_CALL] = {"call", "TEXT", VT_OUT, 0, "the system call, like \"read\""},
    [IO_FD] = {"fd", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 0, "descriptor"},
    [IO_KIND] =
        {"kind", "TEXT", VT_OUT, 0,
         "what it stands for: file, pipe, socket, inherited (there when the program began), "
         "other, unknown"},
    [IO_PATH] = {"path", "TEXT", VT_OUT, 0,
                 "of a file: as it was opened; of inherited ones: stdin, stdout or stderr"},
    [IO_DIR] = {"dir", "TEXT", VT_OUT, 0, "read or write"},
    [IO_OFF] = {"off", "INTEGER", VT_OUT, 0,
                "of a file: where; else how many bytes passed before in this direction; NULL: not "
                "known (it appends)"},
    [IO_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes; a read of 0 is the end"},
    [IO_DATA] = {"data", "BLOB", VT_OUT, 0,
                 "they; NULL when they did not pass the program's memory (sendfile, splice)"},
    [IO_TRACE] = OMNI_COLUMN_TRACE,
};

typedef struct Transfer {
  int64_t fd;
  bool writes;
  int64_t at;    /* as the call said it, -1: at the position */
  uint64_t size; /* bytes */
} Transfer;

typedef struct IoCursor {
  OmniCursor base;
  Descriptors all;
  sqlite3_int64 first, fd_low, fd_high;
  int only; /* the inherited descriptor wanted, -1: all */
  Transfer transfers[2];
  int count, row; /* of the event in hand */
  const OpenFile *file;
  int64_t off;
} IoCursor;

/* ---- transfers of a call --------------------------------------------------------------------- */

/* sendmmsg and recvmmsg answer with a length for each message, at the end of its mmsghdr. */
static uint64_t message_bytes(const Event *event) {
  enum { MESSAGE = 64, LENGTH = 56 };
  uint64_t size = 0;
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    uint64_t offset = chunk->addr - event->args[1];
    uint32_t length;
    if (chunk->kind != CHUNK_OUT || chunk->size != sizeof length) continue;
    if (offset % MESSAGE != LENGTH || offset / MESSAGE >= (uint64_t)event->ret) continue;
    memcpy(&length, chunk->bytes, sizeof length);
    size += length;
  }
  return size;
}

static bool has_offset(int nr) {
  return nr == SYS_pread64 || nr == SYS_pwrite64 || nr == SYS_preadv || nr == SYS_pwritev ||
         nr == SYS_preadv2 || nr == SYS_pwritev2;
}

/* How many of the two transfers the call made. */
static int transfers_of(const Event *event, Transfer out[2]) {
  if (event->kind != EVENT_SYSCALL || event->ret < 0) return 0;
  const uint64_t *args = event->args;
  uint64_t size = (uint64_t)event->ret;
  Direction direction = payload_direction(event->nr);
  if (direction != DIRECTION_NONE) {
    /* preadv2's offset of -1 means the position, which is what -1 means here. */
    int64_t at = has_offset(event->nr) ? (int64_t)args[3] : -1;
    out[0] = (Transfer){(int32_t)args[0], direction == DIRECTION_WRITE, at, size};
    return 1;
  }
  switch (event->nr) {
  case SYS_sendmmsg:
  case SYS_recvmmsg:
    out[0] = (Transfer){(int32_t)args[0], event->nr == SYS_sendmmsg, -1, message_bytes(event)};
    return 1;
  case SYS_sendfile: /* out, in, offset */
    out[0] = (Transfer){(int32_t)args[1], false, args[2] ? -2 : -1, size};
    out[1] = (Transfer){(int32_t)args[0], true, -1, size};
    return 2;
  case SYS_splice: /* in, offset, out, offset */
  case SYS_copy_file_range:
    out[0] = (Transfer){(int32_t)args[0], false, args[1] ? -2 : -1, size};
    out[1] = (Transfer){(int32_t)args[2], true, args[3] ? -2 : -1, size};
    return 2;
  case SYS_tee: /* what is read stays there */
    out[0] = (Transfer){(int32_t)args[1], true, -1, size};
    return 1;
  default:
    return 0;
  }
}

/* ---- scan ------------------------------------------------------------------------------------ */

static bool row_wanted(const IoCursor *cur, const Transfer *transfer) {
  const Event *event = cur->base.event;
  if (event->ev < (uint64_t)cur->first) return false;
  if (event->tid < cur->base.tid_low || event->tid > cur->base.tid_high) return false;
  if (event->pid < cur->base.pid_low || event->pid > cur->base.pid_high) return false;
  if (cur->only >= 0 && (!transfer->writes || cur->file->inherited != cur->only)) return false;
  return transfer->fd >= cur->fd_low && transfer->fd <= cur->fd_high;
}

static int io_step(VtCursor *base) {
  IoCursor *cur = (IoCursor *)base;
  for (;;) {
    while (++cur->row < cur->count) {
      const Transfer *transfer = &cur->transfers[cur->row];
      OpenFile *file = descriptors_get(&cur->all, cur->base.event->pid, transfer->fd);
      if (!file) return SQLITE_NOMEM;
      cur->file = file;
      cur->off = transfer->at;
      if (transfer->at == -1) cur->off = open_file_advance(file, transfer->writes, transfer->size);
      if (row_wanted(cur, transfer)) return SQLITE_OK;
    }
    int rc = omni_scan_next(&cur->base, &cur->base.event);
    if (rc != SQLITE_OK) return rc;
    const Event *event = cur->base.event;
    base->eof = !event || event->ev > (uint64_t)cur->base.last;
    if (base->eof) return SQLITE_OK;
    if (!descriptors_apply(&cur->all, event)) return SQLITE_NOMEM;
    cur->count = transfers_of(event, cur->transfers);
    cur->row = -1;
  }
}

static int seek_from(IoCursor *cur, const VtPlan *plan, int trace_column) {
  VtCursor *base = &cur->base.base;
  int rc = omni_scan_open(&cur->base, plan, trace_column);
  if (rc != SQLITE_OK) return rc;
  if (!vt_int_range(plan, SCAN_EV, &cur->first, &cur->base.last) || cur->base.last < 1 ||
      !vt_int_range(plan, SCAN_PID, &cur->base.pid_low, &cur->base.pid_high) ||
      !vt_int_range(plan, SCAN_TID, &cur->base.tid_low, &cur->base.tid_high)) {
    base->eof = true;
    return SQLITE_OK;
  }
  if (cur->first < 0) cur->first = 0;
  cur->count = cur->row = 0;
  rc = omni_scan_from(&cur->base, 0);
  return rc == SQLITE_OK ? io_step(base) : rc;
}

static int io_seek(VtCursor *base, const VtPlan *plan) {
  IoCursor *cur = (IoCursor *)base;
  cur->only = -1;
  if (!vt_int_range(plan, IO_FD, &cur->fd_low, &cur->fd_high)) {
    base->eof = true;
    return SQLITE_OK;
  }
  return seek_from(cur, plan, IO_TRACE);
}

static void io_done(VtCursor *base) { descriptors_finish(&((IoCursor *)base)->all); }

/* ---- rows ------------------------------------------------------------------------------------ */

static int data_column(IoCursor *cur, sqlite3_context *ctx) {
  Payload payload = {0};
  const Event *event = cur->base.event;
  if (payload_direction(event->nr) == DIRECTION_NONE) return SQLITE_OK;
  if (!payload_of(event, &cur->base.base.arena, &payload)) return SQLITE_NOMEM;
  if (payload.there) omni_result_bytes(ctx, payload.bytes, payload.size); /* a copy */
  arena_reset(&cur->base.base.arena);
  return SQLITE_OK;
}

static int io_column(VtCursor *base, sqlite3_context *ctx, int col) {
  IoCursor *cur = (IoCursor *)base;
  const Transfer *transfer = &cur->transfers[cur->row];
  switch (col) {
  case IO_CALL:
    omni_result_text(ctx, call_name(cur->base.event->nr));
    break;
  case IO_FD:
    sqlite3_result_int64(ctx, transfer->fd);
    break;
  case IO_KIND:
    omni_result_text(ctx, open_kind_name(cur->file->kind));
    break;
  case IO_PATH:
    if (cur->file->path) sqlite3_result_text(ctx, cur->file->path, -1, SQLITE_TRANSIENT);
    break;
  case IO_DIR:
    omni_result_text(ctx, transfer->writes ? "write" : "read");
    break;
  case IO_OFF:
    if (cur->off >= 0) sqlite3_result_int64(ctx, cur->off);
    break;
  case IO_SIZE:
    sqlite3_result_int64(ctx, (sqlite3_int64)transfer->size);
    break;
  case IO_DATA:
    return data_column(cur, ctx);
  default:
    return omni_scan_column(base, ctx, col);
  }
  return SQLITE_OK;
}

static sqlite3_int64 io_rowid(VtCursor *base) {
  const IoCursor *cur = (const IoCursor *)base;
  return (sqlite3_int64)(cur->base.event->ev << 1) + cur->row;
}

const VtTable omni_io_table = {
    .name = "omni_io",
    .doc = "What was read and written through file descriptors, with the bytes.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = io_columns,
    .ncols = IO_NCOL,
    .rows = 5e4,
    .seek_cost = 1e5,
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(IoCursor),
    .seek = io_seek,
    .step = io_step,
    .column = io_column,
    .rowid = io_rowid,
    .done = io_done,
    .close = omni_scan_close,
};

/* ---- omni_stdout, omni_stderr ---------------------------------------------------------------- */

enum { OUTPUT_OFF = SCAN_NCOL, OUTPUT_SIZE, OUTPUT_DATA, OUTPUT_TRACE, OUTPUT_NCOL };

static const VtColumn output_columns[] = {
    [SCAN_EV] = {"ev", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 1, "ordinal of the call's event"},
    [SCAN_TIME] = SCAN_COLUMN_TIME,
    [SCAN_PID] = SCAN_COLUMN_PID,
    [SCAN_TID] = SCAN_COLUMN_TID,
    [OUTPUT_OFF] = {"off", "INTEGER", VT_OUT, 0, "bytes printed before"},
    [OUTPUT_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes"},
    [OUTPUT_DATA] = {"data", "TEXT", VT_OUT, 0, "what was printed; NULL as in omni_io"},
    [OUTPUT_TRACE] = OMNI_COLUMN_TRACE,
};

static int output_seek(VtCursor *base, const VtPlan *plan) {
  IoCursor *cur = (IoCursor *)base;
  cur->only = base->tab->desc == &omni_stderr_table ? 2 : 1;
  cur->fd_low = INT64_MIN;
  cur->fd_high = INT64_MAX;
  return seek_from(cur, plan, OUTPUT_TRACE);
}

static int output_column(VtCursor *base, sqlite3_context *ctx, int col) {
  static const int as_io[] = {[OUTPUT_OFF] = IO_OFF, [OUTPUT_SIZE] = IO_SIZE};
  IoCursor *cur = (IoCursor *)base;
  Payload payload = {0};
  if (col < SCAN_NCOL) return omni_scan_column(base, ctx, col);
  if (col != OUTPUT_DATA) return io_column(base, ctx, as_io[col]);
  if (payload_direction(cur->base.event->nr) == DIRECTION_NONE) return SQLITE_OK;
  if (!payload_of(cur->base.event, &base->arena, &payload)) return SQLITE_NOMEM;
  if (payload.there) omni_result_string(ctx, payload.bytes, payload.size);
  arena_reset(&base->arena);
  return SQLITE_OK;
}

const VtTable omni_stdout_table = {
    .name = "omni_stdout",
    .doc = "What was written to the standard output that the program was started with, by any "
           "process and through any descriptor.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = output_columns,
    .ncols = OUTPUT_NCOL,
    .rows = 1e4,
    .seek_cost = 1e5,
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(IoCursor),
    .seek = output_seek,
    .step = io_step,
    .column = output_column,
    .rowid = io_rowid,
    .done = io_done,
    .close = omni_scan_close,
};

const VtTable omni_stderr_table = {
    .name = "omni_stderr",
    .doc = "Likewise for the standard error output.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = output_columns,
    .ncols = OUTPUT_NCOL,
    .rows = 1e3,
    .seek_cost = 1e5,
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(IoCursor),
    .seek = output_seek,
    .step = io_step,
    .column = output_column,
    .rowid = io_rowid,
    .done = io_done,
    .close = omni_scan_close,
};
