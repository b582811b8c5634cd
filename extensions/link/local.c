/*
** local: a coordinator for the processes of one machine. What is agreed on stands in a small SQLite
** database; who lives is known from locks on a file beside it, which the kernel takes away from who
** dies: nobody has to wait for a lease to end. A process that is stopped still lives.
**
**   link_item(key, value, revision, member)   member: whose life the item depends on; NULL:
** nobody's
**   link_revision(n)                          of the last change
**   PATH-members                              member n holds a lock on byte n
*/
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extensions/link/tab.h"

enum { PATIENCE = 1000 };

typedef enum Ask {
  ASK_BEGIN,
  ASK_COMMIT,
  ASK_ROLLBACK,
  ASK_REVISION,
  ASK_RAISE,
  ASK_ITEMS,
  ASK_ITEM,
  ASK_PUT,
  ASK_DELETE,
  ASK_MEMBERS,
  ASK_NEXT_MEMBER,
  ASKS
} Ask;

static const char *const asks[] = {
    [ASK_BEGIN] = "BEGIN IMMEDIATE",
    [ASK_COMMIT] = "COMMIT",
    [ASK_ROLLBACK] = "ROLLBACK",
    [ASK_REVISION] = "SELECT n FROM link_revision",
    [ASK_RAISE] = "UPDATE link_revision SET n = n + 1",
    [ASK_ITEMS] = "SELECT key, value, revision, member FROM link_item "
                  "WHERE key >= ?1 AND substr(key, 1, length(?1)) = ?1 ORDER BY key",
    [ASK_ITEM] = "SELECT revision, member FROM link_item WHERE key = ?1",
    [ASK_PUT] = "INSERT OR REPLACE INTO link_item(key, value, revision, member) "
                "VALUES (?1, ?2, (SELECT n FROM link_revision), ?3)",
    [ASK_DELETE] = "DELETE FROM link_item WHERE member = ?1",
    [ASK_MEMBERS] = "SELECT DISTINCT member FROM link_item WHERE member IS NOT NULL ORDER BY 1",
    [ASK_NEXT_MEMBER] = "SELECT next FROM link_revision",
};

typedef struct Local {
  Coord base;
  sqlite3 *db;
  sqlite3_stmt *statements[ASKS];
  char *members_path;
  int fd, probe; /* of the members' file: with our lock, and for looking at others' */
  int64_t member;
  uint64_t seen, seen_alive; /* at the last watch() */
  pthread_mutex_t lock;
  pthread_cond_t news;
  bool woken;
} Local;

static bool failed(Local *it, Fault *fault) {
  const int rc = sqlite3_errcode(it->db);
  const FaultCode code = rc == SQLITE_BUSY    ? FAULT_BUSY
                         : rc == SQLITE_NOMEM ? FAULT_NOMEM
                                              : FAULT_IO;
  return fault_set(fault, code, "coord: %s: %s", it->members_path, sqlite3_errmsg(it->db));
}

static sqlite3_stmt *ask(Local *it, Ask which) {
  sqlite3_stmt **at = &it->statements[which];
  if (!*at && sqlite3_prepare_v3(it->db, asks[which], -1, SQLITE_PREPARE_PERSISTENT, at, NULL))
    return NULL;
  sqlite3_reset(*at);
  return *at;
}

static bool run(Local *it, Ask which, Fault *fault) {
  sqlite3_stmt *statement = ask(it, which);
  const int rc = statement ? sqlite3_step(statement) : SQLITE_ERROR;
  if (statement) sqlite3_reset(statement);
  return rc == SQLITE_DONE || rc == SQLITE_ROW || failed(it, fault);
}

static bool number(Local *it, Ask which, uint64_t *out, Fault *fault) {
  sqlite3_stmt *statement = ask(it, which);
  if (!statement || sqlite3_step(statement) != SQLITE_ROW) return failed(it, fault);
  *out = (uint64_t)sqlite3_column_int64(statement, 0);
  sqlite3_reset(statement);
  return true;
}

static bool end(Local *it, bool ok, Fault *fault) {
  if (ok) ok = run(it, ASK_COMMIT, fault);
  if (!sqlite3_get_autocommit(it->db)) run(it, ASK_ROLLBACK, NULL);
  return ok;
}

/* ---- life ------------------------------------------------------------------------------------ */

static struct flock byte_of(int64_t member) {
  return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = member, .l_len = 1};
}

static bool alive(Local *it, int64_t member) {
  struct flock lock = byte_of(member);
  return fcntl(it->probe, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

static bool take_byte(Local *it, Fault *fault) {
  struct flock lock = byte_of(it->member);
  return fcntl(it->fd, F_OFD_SETLK, &lock) == 0 ||
         fault_set(fault, FAULT_IO, "coord: %s: %s", it->members_path, strerror(errno));
}

/* ---- items ----------------------------------------------------------------------------------- */

static bool put_item(Local *it, const char *key, const char *value, int64_t member, Fault *fault) {
  sqlite3_stmt *put = ask(it, ASK_PUT);
  if (!put || sqlite3_bind_text(put, 1, key, -1, SQLITE_STATIC) ||
      sqlite3_bind_text(put, 2, value, -1, SQLITE_STATIC) ||
      (member ? sqlite3_bind_int64(put, 3, member) : sqlite3_bind_null(put, 3)))
    return failed(it, fault);
  return run(it, ASK_PUT, fault);
}

/* What dead members have left goes when somebody comes. */
static bool bury(Local *it, Fault *fault) {
  sqlite3_stmt *list = ask(it, ASK_MEMBERS);
  if (!list) return failed(it, fault);
  int rc;
  while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
    const int64_t member = sqlite3_column_int64(list, 0);
    if (member == it->member || alive(it, member)) continue;
    sqlite3_stmt *drop = ask(it, ASK_DELETE);
    if (!drop || sqlite3_bind_int64(drop, 1, member) || !run(it, ASK_DELETE, fault)) break;
  }
  sqlite3_reset(list);
  return rc == SQLITE_DONE || failed(it, fault);
}

static bool become_member(Local *it, Fault *fault) {
  uint64_t next = 0;
  if (it->member) return true;
  if (!number(it, ASK_NEXT_MEMBER, &next, fault)) return false;
  if (sqlite3_exec(it->db, "UPDATE link_revision SET next = next + 1", NULL, NULL, NULL))
    return failed(it, fault);
  it->member = (int64_t)next;
  return take_byte(it, fault);
}

static bool local_join(Coord *base, const char *key, const char *value, Fault *fault) {
  Local *it = (Local *)base;
  bool ok = run(it, ASK_BEGIN, fault);
  ok = ok && become_member(it, fault) && bury(it, fault) && run(it, ASK_RAISE, fault) &&
       put_item(it, key, value, it->member, fault);
  return end(it, ok, fault);
}

static void local_leave(Coord *base) {
  Local *it = (Local *)base;
  if (!it->member) return;
  sqlite3_stmt *drop = ask(it, ASK_DELETE);
  if (run(it, ASK_BEGIN, NULL)) {
    bool ok = drop && !sqlite3_bind_int64(drop, 1, it->member) && run(it, ASK_DELETE, NULL) &&
              run(it, ASK_RAISE, NULL);
    end(it, ok, NULL);
  }
  struct flock lock = byte_of(it->member);
  lock.l_type = F_UNLCK;
  fcntl(it->fd, F_OFD_SETLK, &lock);
  it->member = 0;
}

static bool add_item(CoordItem **items, size_t *n, size_t *capacity, sqlite3_stmt *row) {
  const char *key = (const char *)sqlite3_column_text(row, 0);
  const char *value = (const char *)sqlite3_column_text(row, 1);
  if (!array_extend(*items, *capacity, *n + 1)) return false;
  CoordItem *item = &(*items)[(*n)++];
  sqlite3_snprintf(sizeof item->key, item->key, "%s", key ? key : "");
  sqlite3_snprintf(sizeof item->value, item->value, "%s", value ? value : "");
  item->revision = (uint64_t)sqlite3_column_int64(row, 2);
  return true;
}

static bool local_get(Coord *base, const char *prefix, CoordItem **out, size_t *out_n,
                      Fault *fault) {
  Local *it = (Local *)base;
  size_t capacity = 0;
  int rc;
  *out = NULL;
  *out_n = 0;
  sqlite3_stmt *list = ask(it, ASK_ITEMS);
  if (!list || sqlite3_bind_text(list, 1, prefix, -1, SQLITE_STATIC)) return failed(it, fault);
  while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
    const int64_t member = sqlite3_column_int64(list, 3);
    if (member && member != it->member && !alive(it, member)) continue;
    if (add_item(out, out_n, &capacity, list)) continue;
    sqlite3_reset(list);
    return fault_oom(fault);
  }
  sqlite3_reset(list);
  return rc == SQLITE_DONE || failed(it, fault);
}

static bool is_there(Local *it, const char *key, bool *out, Fault *fault) {
  sqlite3_stmt *item = ask(it, ASK_ITEM);
  if (!item || sqlite3_bind_text(item, 1, key, -1, SQLITE_STATIC)) return failed(it, fault);
  const int rc = sqlite3_step(item);
  const int64_t member = rc == SQLITE_ROW ? sqlite3_column_int64(item, 1) : 0;
  sqlite3_reset(item);
  *out = rc == SQLITE_ROW && (!member || member == it->member || alive(it, member));
  return rc == SQLITE_ROW || rc == SQLITE_DONE || failed(it, fault);
}

/* Is the item as it was at that revision? */
static bool holds(Local *it, const CoordChange *change, bool *out, Fault *fault) {
  sqlite3_stmt *item = ask(it, ASK_ITEM);
  if (!item || sqlite3_bind_text(item, 1, change->key, -1, SQLITE_STATIC)) return failed(it, fault);
  const int rc = sqlite3_step(item);
  const uint64_t revision = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(item, 0) : 0;
  sqlite3_reset(item);
  *out = revision == change->revision;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) return failed(it, fault);
  bool there = false;
  if (*out && change->absent && !is_there(it, change->absent, &there, fault)) return false;
  *out = *out && !there;
  return true;
}

static bool local_cas(Coord *base, const CoordChange *changes, size_t n, bool *out_done,
                      uint64_t *out_revision, Fault *fault) {
  Local *it = (Local *)base;
  bool ok = run(it, ASK_BEGIN, fault), all = true;
  *out_done = false;
  for (size_t i = 0; ok && all && i < n; i++) ok = holds(it, &changes[i], &all, fault);
  if (ok && all) ok = run(it, ASK_RAISE, fault) && number(it, ASK_REVISION, out_revision, fault);
  for (size_t i = 0; ok && all && i < n; i++)
    if (changes[i].value) ok = put_item(it, changes[i].key, changes[i].value, 0, fault);
  ok = end(it, ok && all, ok && all ? fault : NULL) || (ok && !all);
  *out_done = ok && all;
  return ok;
}

/* ---- news ------------------------------------------------------------------------------------ */

/* A number that is another one when a member has died. */
static bool life(Local *it, uint64_t *out, Fault *fault) {
  sqlite3_stmt *list = ask(it, ASK_MEMBERS);
  int rc;
  *out = 0;
  if (!list) return failed(it, fault);
  while ((rc = sqlite3_step(list)) == SQLITE_ROW) {
    const int64_t member = sqlite3_column_int64(list, 0);
    if (member == it->member || alive(it, member)) *out = hash_bytes(&member, sizeof member, *out);
  }
  sqlite3_reset(list);
  return rc == SQLITE_DONE || failed(it, fault);
}

static bool local_watch(Coord *base, int64_t ns, bool *out_changed, Fault *fault) {
  Local *it = (Local *)base;
  uint64_t revision, living;
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += ns % 1000000000;
  until.tv_sec += ns / 1000000000 + until.tv_nsec / 1000000000;
  until.tv_nsec %= 1000000000;
  pthread_mutex_lock(&it->lock);
  while (!it->woken && pthread_cond_timedwait(&it->news, &it->lock, &until) == 0) {
  }
  it->woken = false;
  pthread_mutex_unlock(&it->lock);
  own_gate_enter();
  const bool ok = number(it, ASK_REVISION, &revision, fault) && life(it, &living, fault);
  own_gate_leave();
  if (!ok) return false;
  *out_changed = revision != it->seen || living != it->seen_alive;
  it->seen = revision;
  it->seen_alive = living;
  return true;
}

static void local_wake(Coord *base) {
  Local *it = (Local *)base;
  pthread_mutex_lock(&it->lock);
  it->woken = true;
  pthread_cond_signal(&it->news);
  pthread_mutex_unlock(&it->lock);
}

static void local_settled(Coord *base) { (void)base; }

static void local_inherited(Coord *base) {
  Local *it = (Local *)base;
  close(it->fd);
  close(it->probe);
  it->fd = it->probe = -1;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void local_close(Coord *base) {
  Local *it = (Local *)base;
  local_leave(base);
  for (int i = 0; i < ASKS; i++) sqlite3_finalize(it->statements[i]);
  sqlite3_close(it->db);
  if (it->fd >= 0) close(it->fd);
  if (it->probe >= 0) close(it->probe);
  pthread_mutex_destroy(&it->lock);
  pthread_cond_destroy(&it->news);
  free(it->members_path);
  free(it);
}

static bool prepare(Local *it, const char *path, Fault *fault) {
  static const char schema[] =
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
      "CREATE TABLE IF NOT EXISTS link_item(key TEXT PRIMARY KEY, value TEXT, revision INTEGER, "
      "member INTEGER) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS link_revision(id INTEGER PRIMARY KEY CHECK (id = 1), n INTEGER, "
      "next INTEGER);"
      "INSERT OR IGNORE INTO link_revision(id, n, next) VALUES (1, 1, 1)";
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  it->members_path = malloc(strlen(path) + sizeof "-members");
  if (!it->members_path) return fault_oom(fault);
  strcpy(it->members_path, path);
  strcat(it->members_path, "-members");
  it->fd = open(it->members_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  it->probe = open(it->members_path, O_RDWR | O_CLOEXEC);
  if (it->fd < 0 || it->probe < 0)
    return fault_set(fault, FAULT_IO, "coord: %s: %s", it->members_path, strerror(errno));
  if (sqlite3_open_v2(path, &it->db, flags, NULL) != SQLITE_OK)
    return it->db ? failed(it, fault) : fault_oom(fault);
  sqlite3_busy_timeout(it->db, PATIENCE);
  return sqlite3_exec(it->db, schema, NULL, NULL, NULL) == SQLITE_OK || failed(it, fault);
}

Coord *link_local_open(const char *path, Fault *fault) {
  Local *it = calloc(1, sizeof *it);
  pthread_condattr_t monotonic;
  if (!it) {
    fault_oom(fault);
    return NULL;
  }
  it->base = (Coord){.close = local_close,
                     .join = local_join,
                     .leave = local_leave,
                     .get = local_get,
                     .cas = local_cas,
                     .watch = local_watch,
                     .wake = local_wake,
                     .settled = local_settled,
                     .inherited = local_inherited};
  atomic_init(&it->base.sure_until, INT64_MAX);
  it->fd = it->probe = -1;
  pthread_mutex_init(&it->lock, NULL);
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&it->news, &monotonic);
  pthread_condattr_destroy(&monotonic);
  if (prepare(it, path, fault)) return &it->base;
  local_close(&it->base);
  return NULL;
}

Coord *link_coordinator_open(const char *at, void *ctx, Fault *fault) {
  (void)ctx;
  if (!strncmp(at, "local:", 6) && at[6]) return link_local_open(at + 6, fault);
  if (!strncmp(at, "etcd:", 5)) return coord_etcd_open(at + 5, fault);
  fault_set(fault, FAULT_INVALID, "coord='%.100s': local:PATH or etcd:URL is wanted", at);
  return NULL;
}
