/*
** Events of a recording as rows, one after the other.
**
** Tables whose rows are single events begin with the columns below, embed an OmniCursor and differ
** in which events they want and what else they tell of one. Constraints on these columns are
** applied here: an ordinal's range by seeking in the file.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_SCAN_H
#define TENFOLD_EXTENSIONS_OMNI_SCAN_H

#include "extensions/omni/omni.h"

enum { SCAN_EV, SCAN_TIME, SCAN_PID, SCAN_TID, SCAN_NCOL };

/* What those columns say of themselves, for the descriptors. */
#define SCAN_COLUMN_EV                                                                             \
  {                                                                                                \
    "ev", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT | VT_UNIQUE | VT_ROWID, 1,                        \
        "ordinal of the event in the recording, from 1"                                            \
  }
#define SCAN_COLUMN_TIME                                                                           \
  { "time", "INTEGER", VT_OUT, 0, "ns since the recording began" }
#define SCAN_COLUMN_PID                                                                            \
  { "pid", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 0, "process, as it was numbered in the run" }
#define SCAN_COLUMN_TID                                                                            \
  { "tid", "INTEGER", VT_EQ | VT_RANGE | VT_EXACT, 0, "thread, as it was numbered in the run" }
#define OMNI_COLUMN_TRACE                                                                          \
  { "trace", "TEXT", VT_ARG, 0, "folder of the recording; default: what omni_use() named" }

typedef struct OmniCursor OmniCursor;

struct OmniCursor {
  VtCursor base;
  OmniSource *source; /* kept from seek to seek, with the block that is in hand */
  TraceCursor *trace;
  const Event *event;                                   /* the row */
  unsigned kinds;                                       /* 1 << EventKind of the events wanted */
  bool (*accepts)(OmniCursor *cur, const Event *event); /* NULL: all of those kinds */
  sqlite3_int64 last, pid_low, pid_high, tid_low, tid_high;
  unsigned passed; /* events since the last poll */
};

/* Stand on the first event that fits the plan; `kinds` and `accepts` were set before.
** `trace_column` is the argument that names the recording. */
int omni_scan_seek(VtCursor *cur, const VtPlan *plan, int trace_column);
int omni_scan_step(VtCursor *cur);
/* One of the columns above. */
int omni_scan_column(VtCursor *cur, sqlite3_context *ctx, int col);
sqlite3_int64 omni_scan_rowid(VtCursor *cur);
void omni_scan_close(VtCursor *cur);

/* The two halves of a seek, for tables that scan in another way: open what the argument names, and
** go through the events from `first` to `last` (0: to the end). *out is NULL at the end. Both give
** an SQLite code and have set the table's message. */
int omni_scan_open(OmniCursor *cur, const VtPlan *plan, int trace_column);
int omni_scan_from(OmniCursor *cur, uint64_t first);
int omni_scan_next(OmniCursor *cur, const Event **out);

/* Results. */
void omni_result_text(sqlite3_context *ctx, const char *text); /* static, or NULL */
void omni_result_bytes(sqlite3_context *ctx, const void *bytes, size_t size);
void omni_result_string(sqlite3_context *ctx, const void *bytes, size_t size); /* not terminated */
/* The first chunk of a kind from number *at on, which becomes the one after; NULL: no more. */
const Chunk *omni_chunk(const Event *event, ChunkKind kind, int *at);

#endif
