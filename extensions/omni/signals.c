/*
** omni_signals: the signals that reached the program.
*/
#include <signal.h>
#include <string.h>

#include "extensions/omni/scan.h"

enum {
  SIGNAL_NR = SCAN_NCOL,
  SIGNAL_TEXT,
  SIGNAL_CODE,
  SIGNAL_SENDER,
  SIGNAL_ADDR,
  SIGNAL_HANDLER,
  SIGNAL_PLACE,
  SIGNAL_TRACE,
  SIGNAL_NCOL
};

static const VtColumn signal_columns[] = {
    [SCAN_EV] = SCAN_COLUMN_EV,
    [SCAN_TIME] = SCAN_COLUMN_TIME,
    [SCAN_PID] = SCAN_COLUMN_PID,
    [SCAN_TID] = SCAN_COLUMN_TID,
    [SIGNAL_NR] = {"nr", "INTEGER", VT_OUT, 0, "its number"},
    [SIGNAL_TEXT] = {"name", "TEXT", VT_OUT, 0, "its name, like \"SIGTERM\""},
    [SIGNAL_CODE] = {"code", "INTEGER", VT_OUT, 0, "si_code: why it was sent"},
    [SIGNAL_SENDER] = {"sender", "INTEGER", VT_OUT, 0, "process that sent it, where one did"},
    [SIGNAL_ADDR] = {"addr", "INTEGER", VT_OUT, 0, "address, of faults"},
    [SIGNAL_HANDLER] = {"handler", "INTEGER", VT_OUT, 0,
                        "address of the handler that it entered, or NULL"},
    [SIGNAL_PLACE] = {"async", "INTEGER", VT_OUT, 0,
                      "1: it came between two instructions, not at a system call"},
    [SIGNAL_TRACE] = OMNI_COLUMN_TRACE,
};

static int signal_seek(VtCursor *base, const VtPlan *plan) {
  ((OmniCursor *)base)->kinds = 1u << EVENT_SIGNAL;
  return omni_scan_seek(base, plan, SIGNAL_TRACE);
}

static bool read_info(const Event *event, siginfo_t *out) {
  int at = 0;
  const Chunk *chunk = omni_chunk(event, CHUNK_SIGINFO, &at);
  memset(out, 0, sizeof *out);
  if (chunk) memcpy(out, chunk->bytes, chunk->size < sizeof *out ? chunk->size : sizeof *out);
  return chunk != NULL;
}

static bool has_fault_address(int nr, int code) {
  return code > 0 && code < SI_KERNEL &&
         (nr == SIGSEGV || nr == SIGBUS || nr == SIGILL || nr == SIGFPE || nr == SIGTRAP);
}

static bool has_sender(int nr, int code) {
  return code == SI_USER || code == SI_QUEUE || code == SI_TKILL || (nr == SIGCHLD && code > 0);
}

static int signal_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const Event *event = ((OmniCursor *)base)->event;
  siginfo_t info;
  int at = 0;
  char name[SIGNAL_NAME];
  switch (col) {
  case SIGNAL_NR:
    sqlite3_result_int(ctx, event->nr);
    break;
  case SIGNAL_TEXT:
    if (omni_signal_name(event->nr, name)) sqlite3_result_text(ctx, name, -1, SQLITE_TRANSIENT);
    break;
  case SIGNAL_CODE:
    if (read_info(event, &info)) sqlite3_result_int(ctx, info.si_code);
    break;
  case SIGNAL_SENDER:
    if (read_info(event, &info) && has_sender(event->nr, info.si_code)) {
      sqlite3_result_int(ctx, info.si_pid);
    }
    break;
  case SIGNAL_ADDR:
    if (read_info(event, &info) && has_fault_address(event->nr, info.si_code)) {
      sqlite3_result_int64(ctx, (sqlite3_int64)(uintptr_t)info.si_addr);
    }
    break;
  case SIGNAL_HANDLER:
    if (event->has_regs) sqlite3_result_int64(ctx, (sqlite3_int64)event->regs.rip);
    break;
  case SIGNAL_PLACE:
    sqlite3_result_int(ctx, omni_chunk(event, CHUNK_POINT, &at) != NULL);
    break;
  default:
    return omni_scan_column(base, ctx, col);
  }
  return SQLITE_OK;
}

const VtTable omni_signals_table = {
    .name = "omni_signals",
    .doc = "Signals that were delivered.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = signal_columns,
    .ncols = SIGNAL_NCOL,
    .rows = 100,
    .row_cost = 100, /* all events are looked at */
    .order = (const VtOrder[]){{SCAN_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(OmniCursor),
    .seek = signal_seek,
    .step = omni_scan_step,
    .column = signal_column,
    .rowid = omni_scan_rowid,
    .close = omni_scan_close,
};
