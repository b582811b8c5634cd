/*
** Interrupt and progress handlers, seen from inside long work: see poll.h.
*/
#include "vtab/inside.h"

#include "base/stop.h"

static const int64_t POLL_NS = 20 * 1000 * 1000;

/* About 4,000 steps. A progress handler for every N steps counts the steps of each statement by
** itself, so a tiny statement, or a fresh one at every poll, would never reach N. */
const char vt_poll_sql[] = "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i FROM c "
                           "LIMIT 270) SELECT count(*) FROM c";

VtPoll vt_poll_begin(VtConn *conn) { return (VtPoll){.conn = conn, .due = clock_now() + POLL_NS}; }

void vt_poll_end(VtPoll *poll) {
  sqlite3_finalize(poll->stmt);
  poll->stmt = NULL;
}

/* A refused allocation may make every further statement of the connection fail until the one that
** runs has ended: then nobody could be heard any more. It is known by the second look, and SQLite
** itself reports what happened. */
static bool must_end(VtPoll *poll, int rc) {
  bool again = poll->starved;
  poll->starved = rc == SQLITE_NOMEM;
  return rc == SQLITE_INTERRUPT || (again && poll->starved);
}

static int prepare_poll(VtPoll *poll) {
  sqlite3 *db = vt_db(poll->conn);
  int rc = sqlite3_prepare_v2(db, vt_poll_sql, -1, &poll->stmt, NULL);
  /* A host's authorizer may allow less than that; this much it will. */
  if (rc == SQLITE_AUTH || rc == SQLITE_ERROR) {
    rc = sqlite3_prepare_v2(db, "SELECT 1", -1, &poll->stmt, NULL);
  }
  return rc; /* SQLITE_INTERRUPT, too: the parser looks as well */
}

int vt_poll(VtPoll *poll) {
  if (poll->stopped) return SQLITE_INTERRUPT;
  if (!poll->conn) return SQLITE_OK;
  const int64_t now = clock_now();
  if (!poll->due) poll->due = now + POLL_NS;
  if (now < poll->due) return SQLITE_OK;
  vt_internal_enter(poll->conn);
  int rc = poll->stmt ? SQLITE_OK : prepare_poll(poll);
  if (poll->stmt) {
    sqlite3_step(poll->stmt);
    rc = sqlite3_reset(poll->stmt);
  }
  poll->stopped = must_end(poll, rc);
  vt_internal_leave(poll->conn);
  poll->due = clock_now() + POLL_NS;
  return poll->stopped ? SQLITE_INTERRUPT : SQLITE_OK;
}

bool vt_asked(void *ctx) { return vt_poll(ctx) != SQLITE_OK; }
