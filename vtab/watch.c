/*
** The connection's single hooks, shared: see watch.h.
*/
#define _GNU_SOURCE /* RTLD_DEFAULT, dladdr */
#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#include "vtab/inside.h"

#include <string.h>

typedef int Ask(void *, int, const char *, const char *, const char *, const char *);
typedef void Preupdate(void *, const VtPreupdate *, sqlite3 *, int, const char *, const char *,
                       sqlite3_int64, sqlite3_int64);
typedef int Trace(unsigned, void *, void *, void *);
typedef int Progress(void *);

struct VtWatch {
  VtWatch *next;
  VtConn *conn;
  VtWatchKind kind;
  void *ctx;
  bool dead; /* unsubscribed while its hook is running */
  union {
    Ask *ask;
    Preupdate *preupdate;
    Trace *trace;
    Progress *progress;
  } call;
  unsigned mask; /* trace */
  int steps;     /* progress: wanted; elapsed since the last call */
  int elapsed;
};

/* ---- dispatch --------------------------------------------------------------------------- */

static void enter(VtSlot *slot) {
  slot->running++;
  slot->calls++;
}

static void leave(VtSlot *slot) {
  if (--slot->running > 0) return;
  for (VtWatch **link = &slot->first; *link;) {
    VtWatch *watch = *link;
    if (watch->dead) {
      *link = watch->next;
      sqlite3_free(watch);
    } else {
      link = &watch->next;
    }
  }
}

/* DENY over IGNORE over OK; anything unknown counts as DENY, as it does for SQLite. */
static int stricter(int a, int b) {
  if (a == SQLITE_OK) return b;
  if (b == SQLITE_OK) return a;
  return a == SQLITE_IGNORE ? b : a;
}

static int on_authorize(void *pointer, int action, const char *a, const char *b,
                        const char *database, const char *accessor) {
  VtHub *hub = pointer;
  VtSlot *slot = &hub->slots[VT_WATCH_AUTHORIZER];
  int answer = SQLITE_OK;
  enter(slot);
  for (VtWatch *watch = hub->internal ? NULL : slot->first; watch; watch = watch->next) {
    if (!watch->dead) {
      answer = stricter(answer, watch->call.ask(watch->ctx, action, a, b, database, accessor));
    }
  }
  leave(slot);
  return answer;
}

static int on_trace(unsigned event, void *pointer, void *p, void *x) {
  VtHub *hub = pointer;
  VtSlot *slot = &hub->slots[VT_WATCH_TRACE];
  enter(slot);
  for (VtWatch *watch = slot->first; watch; watch = watch->next) {
    if (!watch->dead && (watch->mask & event)) watch->call.trace(event, watch->ctx, p, x);
  }
  leave(slot);
  return 0;
}

static int least_steps(const VtSlot *slot) {
  int least = 0;
  for (const VtWatch *watch = slot->first; watch; watch = watch->next) {
    if (!watch->dead && (least == 0 || watch->steps < least)) least = watch->steps;
  }
  return least;
}

static int on_progress(void *pointer) {
  VtHub *hub = pointer;
  VtSlot *slot = &hub->slots[VT_WATCH_PROGRESS];
  int stop = 0, steps = least_steps(slot);
  enter(slot);
  for (VtWatch *watch = slot->first; watch; watch = watch->next) {
    if (watch->dead) continue;
    watch->elapsed += steps;
    if (watch->elapsed < watch->steps) continue;
    watch->elapsed = 0;
    if (watch->call.progress(watch->ctx)) stop = 1;
  }
  leave(slot);
  return stop;
}

/* ---- preupdate: outside the loadable API ------------------------------------------------ */

typedef void PreupdateHook(void *, sqlite3 *, int, char const *, char const *, sqlite3_int64,
                           sqlite3_int64);
typedef void *SetPreupdate(sqlite3 *, PreupdateHook *, void *);

typedef struct Found {
  SetPreupdate *set;
  VtPreupdate api;
} Found;

#if !defined(_WIN32)
/* POSIX lets dlsym return functions; ISO C wants the bytes copied. */
static bool find(void *library, const char *name, void *out) {
  void *symbol = dlsym(library, name);
  memcpy(out, &symbol, sizeof symbol);
  return symbol != NULL;
}

/* A process may hold several copies of SQLite (a host with its own, a library with Debian's). The
** one that dlsym finds is the host's only when its other functions are those we were given. */
static bool find_in(void *library, Found *found) {
  int (*number)(void) = NULL;
  return find(library, "sqlite3_libversion_number", &number) &&
         number == sqlite3_libversion_number &&
         find(library, "sqlite3_preupdate_hook", &found->set) &&
         find(library, "sqlite3_preupdate_old", &found->api.old_value) &&
         find(library, "sqlite3_preupdate_new", &found->api.new_value) &&
         find(library, "sqlite3_preupdate_count", &found->api.count) &&
         find(library, "sqlite3_preupdate_depth", &found->api.depth);
}

/* The library that the host's functions are in, which may be known to nobody else: Python loads
** Debian's SQLite for its module alone. */
static void *library_of_host(void) {
  int (*number)(void) = sqlite3_libversion_number;
  void *address;
  Dl_info info;
  memcpy(&address, &number, sizeof address);
  if (!dladdr(address, &info) || !info.dli_fname) return NULL;
  return dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}
#endif

static bool find_preupdate(Found *found) {
  memset(found, 0, sizeof *found);
#if !defined(_WIN32)
  if (!sqlite3_compileoption_used("ENABLE_PREUPDATE_HOOK")) return false;
  if (find_in(RTLD_DEFAULT, found)) return true;
  void *library = library_of_host();
  const bool ok = library && find_in(library, found);
  if (library) dlclose(library); /* it was loaded before, and stays */
  return ok;
#else
  return false;
#endif
}

bool vt_has_preupdate(void) {
  Found found;
  return find_preupdate(&found);
}

static void on_preupdate(void *pointer, sqlite3 *db, int op, char const *database,
                         char const *table, sqlite3_int64 old_rowid, sqlite3_int64 new_rowid) {
  VtHub *hub = pointer;
  VtSlot *slot = &hub->slots[VT_WATCH_PREUPDATE];
  enter(slot);
  for (VtWatch *watch = slot->first; watch; watch = watch->next) {
    if (watch->dead) continue;
    watch->call.preupdate(watch->ctx, &hub->preupdate, db, op, database, table, old_rowid,
                          new_rowid);
  }
  leave(slot);
}

/* ---- in and out ------------------------------------------------------------------------- */

/* Statements always, because vt_watch_alive() needs an event that it can cause. */
static unsigned trace_mask(const VtSlot *slot) {
  unsigned mask = SQLITE_TRACE_STMT;
  for (const VtWatch *watch = slot->first; watch; watch = watch->next) {
    if (!watch->dead) mask |= watch->mask;
  }
  return mask;
}

static bool any_alive(const VtSlot *slot) {
  for (const VtWatch *watch = slot->first; watch; watch = watch->next) {
    if (!watch->dead) return true;
  }
  return false;
}

/* Sets SQLite's hook to what the subscribers need now, which may be nothing. */
static int install(VtHub *hub, VtWatchKind kind) {
  VtSlot *slot = &hub->slots[kind];
  bool on = any_alive(slot);
  Found found;
  int rc = SQLITE_OK;
  slot->installed = on;
  switch (kind) {
  case VT_WATCH_AUTHORIZER:
    rc = sqlite3_set_authorizer(hub->db, on ? on_authorize : NULL, on ? hub : NULL);
    break;
  case VT_WATCH_PREUPDATE:
    if (!find_preupdate(&found)) return SQLITE_NOTFOUND;
    hub->preupdate = found.api;
    found.set(hub->db, on ? on_preupdate : NULL, on ? hub : NULL);
    break;
  case VT_WATCH_TRACE:
    slot->mask = on ? trace_mask(slot) : 0;
    rc = sqlite3_trace_v2(hub->db, slot->mask, on ? on_trace : NULL, on ? hub : NULL);
    break;
  case VT_WATCH_PROGRESS:
    sqlite3_progress_handler(hub->db, least_steps(slot), on ? on_progress : NULL, on ? hub : NULL);
    break;
  case VT_WATCH_KINDS:
    break;
  }
  return rc;
}

static int subscribe(VtConn *conn, VtWatch model, VtWatch **out) {
  VtSlot *slot = &conn->hub->slots[model.kind];
  VtWatch *watch = sqlite3_malloc64(sizeof *watch);
  if (!watch) return SQLITE_NOMEM;
  *watch = model;
  watch->conn = conn;
  VtWatch **last = &slot->first;
  while (*last) last = &(*last)->next;
  *last = watch;
  int rc = install(conn->hub, model.kind);
  if (rc != SQLITE_OK) {
    vt_unwatch(watch);
    return rc;
  }
  *out = watch;
  return SQLITE_OK;
}

int vt_watch_authorizer(VtConn *conn, Ask *ask, void *ctx, VtWatch **out) {
  return subscribe(conn, (VtWatch){.kind = VT_WATCH_AUTHORIZER, .ctx = ctx, .call.ask = ask}, out);
}

int vt_watch_preupdate(VtConn *conn, Preupdate *call, void *ctx, VtWatch **out) {
  if (!vt_has_preupdate()) return SQLITE_NOTFOUND;
  VtWatch model = {.kind = VT_WATCH_PREUPDATE, .ctx = ctx, .call.preupdate = call};
  return subscribe(conn, model, out);
}

int vt_watch_trace(VtConn *conn, unsigned mask, Trace *call, void *ctx, VtWatch **out) {
  VtWatch model = {.kind = VT_WATCH_TRACE, .ctx = ctx, .mask = mask, .call.trace = call};
  return subscribe(conn, model, out);
}

int vt_watch_progress(VtConn *conn, int steps, Progress *call, void *ctx, VtWatch **out) {
  VtWatch model = {
      .kind = VT_WATCH_PROGRESS, .ctx = ctx, .steps = steps > 0 ? steps : 1, .call.progress = call};
  return subscribe(conn, model, out);
}

void vt_unwatch(VtWatch *watch) {
  if (!watch) return;
  VtHub *hub = watch->conn->hub;
  VtWatchKind kind = watch->kind;
  VtSlot *slot = &hub->slots[kind];
  watch->dead = true;
  slot->running++; /* leave() frees the dead, unless a dispatch is on its way */
  leave(slot);
  install(hub, kind);
}

void vt_watch_drop(VtConn *conn) {
  for (int kind = 0; kind < VT_WATCH_KINDS; kind++) {
    for (VtWatch *watch = conn->hub->slots[kind].first; watch;) {
      VtWatch *next = watch->next;
      if (watch->conn == conn) vt_unwatch(watch);
      watch = next;
    }
  }
}

bool vt_trace_pause(VtConn *conn) {
  VtHub *hub = conn->hub;
  VtSlot *slot = &hub->slots[VT_WATCH_TRACE];
  if (slot->calls == slot->paused || !slot->first || slot->first->next) return false;
  slot->paused = slot->calls;
  return sqlite3_trace_v2(hub->db, 0, NULL, NULL) == SQLITE_OK;
}

void vt_trace_resume(VtConn *conn) {
  VtHub *hub = conn->hub;
  const unsigned mask = hub->slots[VT_WATCH_TRACE].mask;
  sqlite3_trace_v2(hub->db, mask, mask ? on_trace : NULL, hub);
}

/* ---- still there? ----------------------------------------------------------------------- */

bool vt_watch_alive(VtConn *conn, VtWatchKind kind) {
  VtHub *hub = conn->hub;
  VtSlot *slot = &hub->slots[kind];
  if (!any_alive(slot)) return false;
  if (kind == VT_WATCH_PREUPDATE) {
    /* Setting the hook returns the argument of the one before: nothing is lost by asking. */
    Found found;
    return find_preupdate(&found) && found.set(hub->db, on_preupdate, hub) == hub;
  }
  unsigned long long before = slot->calls;
  int rounds = 1 + (kind == VT_WATCH_PROGRESS ? least_steps(slot) / 1000 : 0);
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(hub->db, vt_poll_sql, -1, &stmt, NULL) == SQLITE_OK) {
    for (; rounds > 0 && slot->calls == before; rounds--) {
      sqlite3_step(stmt);
      sqlite3_reset(stmt);
    }
  }
  sqlite3_finalize(stmt);
  return slot->calls != before;
}

int vt_watch_reinstall(VtConn *conn, VtWatchKind kind) { return install(conn->hub, kind); }
