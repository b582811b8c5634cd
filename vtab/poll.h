/*
** Does the user want us to stop? Include vtab/vt.h.
**
** sqlite3_is_interrupted() came with 3.41 and never runs progress handlers, which is how Python
** programs and Datasette set time limits. Stepping a small statement on the same connection does
** both on every version. The statement runs some 4,000 virtual machine steps, so that a handler
** set for every N steps is called within 20 ms * (1 + N / 4,000) of long work.
**
** Who owns a poll finalizes it: a function begins and ends it within one call, cursors have one
** that the kit ends. Nothing outlives a statement, so sqlite3_close() is never SQLITE_BUSY.
**
**   VtPoll poll = vt_poll_begin(vt_conn(ctx));
**   Stop stop = {.asked = vt_asked, .ctx = &poll};
**   bool ok = engine_work(..., &stop, &fault);
**   vt_poll_end(&poll);
*/
#ifndef TENFOLD_VTAB_POLL_H
#define TENFOLD_VTAB_POLL_H

#ifndef TENFOLD_VTAB_VT_H
#error "include vtab/vt.h"
#endif

#include <stdint.h>

/* Used only on the thread that runs the SQL. All zero: a poll that never stops. */
typedef struct VtPoll {
  VtConn *conn;
  sqlite3_stmt *stmt; /* prepared at the first poll that is due */
  int64_t due;        /* clock_now() of the next real look; 0: the first poll decides */
  bool stopped;       /* sticky */
  bool starved;       /* the last look had no memory */
} VtPoll;

VtPoll vt_poll_begin(VtConn *conn);
void vt_poll_end(VtPoll *poll);

/* SQLITE_OK, or SQLITE_INTERRUPT when the work must end. Looks every 20 ms (about 0.1 ms of work),
** otherwise costs one clock_now(): 25 ns. Call it as often as convenient, at least every 50 ms. */
int vt_poll(VtPoll *poll);

/* The same as a callback for Stop.asked (base/stop.h); ctx is the VtPoll. */
bool vt_asked(void *ctx);

#endif
