/*
** Events as rows: see scan.h.
*/
#include "extensions/omni/scan.h"

#include <limits.h>

enum { EVENTS_PER_POLL = 256 };

/* ---- opening and walking --------------------------------------------------------------------- */

static void forget(OmniCursor *cur) {
  trace_close(cur->trace);
  omni_source_release(vt_state(cur->base.tab->conn), cur->source);
  cur->trace = NULL;
  cur->source = NULL;
}

int omni_scan_open(OmniCursor *cur, const VtPlan *plan, int trace_column) {
  VtTab *tab = cur->base.tab;
  Fault fault = {0};
  const char *dir;
  OmniSource *source = NULL;
  if (!vt_arg_text(tab, plan, trace_column, NULL, &dir)) return SQLITE_ERROR;
  if (!omni_source_open(vt_state(tab->conn), dir, &source, &fault)) return vt_fault(tab, &fault);
  if (source == cur->source) {
    omni_source_release(vt_state(tab->conn), source);
    return SQLITE_OK;
  }
  forget(cur);
  cur->source = source;
  if (!trace_open(source->recording, &cur->trace, &fault)) return vt_fault(tab, &fault);
  return SQLITE_OK;
}

int omni_scan_from(OmniCursor *cur, uint64_t first) {
  Fault fault = {0};
  if (!cur->trace && !trace_open(cur->source->recording, &cur->trace, &fault)) {
    return vt_fault(cur->base.tab, &fault);
  }
  return trace_seek(cur->trace, first, &fault) ? SQLITE_OK : vt_fault(cur->base.tab, &fault);
}

int omni_scan_next(OmniCursor *cur, const Event **out) {
  Fault fault = {0};
  if (++cur->passed >= EVENTS_PER_POLL) {
    cur->passed = 0;
    int rc = vt_poll(&cur->base.poll);
    if (rc != SQLITE_OK) return rc;
  }
  return trace_next(cur->trace, out, &fault) ? SQLITE_OK : vt_fault(cur->base.tab, &fault);
}

/* ---- a scan ---------------------------------------------------------------------------------- */

static bool wanted(OmniCursor *cur, const Event *event) {
  if (!(cur->kinds >> event->kind & 1)) return false;
  if (event->tid < cur->tid_low || event->tid > cur->tid_high) return false;
  if (event->pid < cur->pid_low || event->pid > cur->pid_high) return false;
  return !cur->accepts || cur->accepts(cur, event);
}

int omni_scan_step(VtCursor *base) {
  OmniCursor *cur = (OmniCursor *)base;
  for (;;) {
    int rc = omni_scan_next(cur, &cur->event);
    if (rc != SQLITE_OK) return rc;
    base->eof = !cur->event || cur->event->ev > (uint64_t)cur->last;
    if (base->eof || wanted(cur, cur->event)) return SQLITE_OK;
  }
}

int omni_scan_seek(VtCursor *base, const VtPlan *plan, int trace_column) {
  OmniCursor *cur = (OmniCursor *)base;
  sqlite3_int64 first;
  int rc = omni_scan_open(cur, plan, trace_column);
  if (rc != SQLITE_OK) return rc;
  if (!vt_int_range(plan, SCAN_EV, &first, &cur->last) || cur->last < 1 ||
      !vt_int_range(plan, SCAN_PID, &cur->pid_low, &cur->pid_high) ||
      !vt_int_range(plan, SCAN_TID, &cur->tid_low, &cur->tid_high)) {
    base->eof = true;
    return SQLITE_OK;
  }
  rc = omni_scan_from(cur, first > 0 ? (uint64_t)first : 0);
  return rc == SQLITE_OK ? omni_scan_step(base) : rc;
}

int omni_scan_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const Event *event = ((OmniCursor *)base)->event;
  switch (col) {
  case SCAN_EV:
    sqlite3_result_int64(ctx, (sqlite3_int64)event->ev);
    break;
  case SCAN_TIME:
    sqlite3_result_int64(ctx, (sqlite3_int64)event->time);
    break;
  case SCAN_PID:
    sqlite3_result_int(ctx, event->pid);
    break;
  case SCAN_TID:
    sqlite3_result_int(ctx, event->tid);
    break;
  default:
    break;
  }
  return SQLITE_OK;
}

sqlite3_int64 omni_scan_rowid(VtCursor *base) {
  return (sqlite3_int64)((OmniCursor *)base)->event->ev;
}

void omni_scan_close(VtCursor *base) { forget((OmniCursor *)base); }

/* ---- results --------------------------------------------------------------------------------- */

void omni_result_text(sqlite3_context *ctx, const char *text) {
  if (text) sqlite3_result_text(ctx, text, -1, SQLITE_STATIC);
}

void omni_result_bytes(sqlite3_context *ctx, const void *bytes, size_t size) {
  sqlite3_result_blob64(ctx, size ? bytes : "", size, SQLITE_TRANSIENT);
}

void omni_result_string(sqlite3_context *ctx, const void *bytes, size_t size) {
  sqlite3_result_text64(ctx, size ? bytes : "", size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

const Chunk *omni_chunk(const Event *event, ChunkKind kind, int *at) {
  while (*at < event->nchunks) {
    const Chunk *chunk = &event->chunks[(*at)++];
    if (chunk->kind == kind) return chunk;
  }
  return NULL;
}
