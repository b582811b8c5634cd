/*
** Loading: from an extension's descriptor to registered functions and modules, and the hub where
** the extensions of one connection find each other.
*/
#if !defined(_WIN32)
#define _GNU_SOURCE /* dladdr, RTLD_NODELETE */
#include <dlfcn.h>
#endif

#include "vtab/inside.h"

#include <stdio.h>
#include <string.h>

SQLITE_EXTENSION_INIT1

/* ---- hub -------------------------------------------------------------------------------- */

static void hub_release(void *pointer) {
  VtHub *hub = pointer;
  if (--hub->refs == 0) sqlite3_free(hub);
}

static void hub_scalar(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  (void)argc;
  VtHub **out = sqlite3_value_pointer(argv[0], VT_HUB_TYPE);
  if (out) *out = sqlite3_user_data(ctx);
}

/* *out is NULL when there is no hub yet. */
static bool hub_find(sqlite3 *db, const char *who, VtHub **out, Fault *fault) {
  sqlite3_stmt *stmt = NULL;
  VtHub *hub = NULL;
  *out = NULL;
  int rc = sqlite3_prepare_v2(db, "SELECT " VT_HUB_NAME "(?1)", -1, &stmt, NULL);
  if (rc == SQLITE_NOMEM) return fault_oom(fault);
  if (rc != SQLITE_OK) {
    const char *message = sqlite3_errmsg(db);
    if (strncmp(message, "no such function", 16) == 0) return true;
    return fault_set(fault, FAULT_DENIED, "%s: looking for other extensions: %s", who, message);
  }
  rc = sqlite3_bind_pointer(stmt, 1, &hub, VT_HUB_TYPE, NULL);
  if (rc == SQLITE_OK) sqlite3_step(stmt);
  rc = sqlite3_finalize(stmt);
  if (rc == SQLITE_NOMEM) return fault_oom(fault);
  if (!hub) {
    return fault_set(fault, FAULT_DENIED,
                     "%s: another build of tenfold is loaded in this connection, or its authorizer "
                     "hides " VT_HUB_NAME "()",
                     who);
  }
  *out = hub;
  return true;
}

static bool hub_make(sqlite3 *db, const char *who, VtHub **out, Fault *fault) {
  VtHub *hub = sqlite3_malloc64(sizeof *hub);
  if (!hub) return fault_oom(fault);
  memset(hub, 0, sizeof *hub);
  hub->db = db;
  hub->refs = 1;
  int rc = sqlite3_create_function_v2(db, VT_HUB_NAME, 1, SQLITE_UTF8 | SQLITE_DIRECTONLY, hub,
                                      hub_scalar, NULL, NULL, hub_release);
  if (rc == SQLITE_NOMEM) return fault_oom(fault);
  if (rc != SQLITE_OK) {
    return fault_set(fault, FAULT_INTERNAL, "%s: %s", who, sqlite3_errmsg(db));
  }
  /* Found from now on; and the connection's error no longer says "no such function". */
  return hub_find(db, who, out, fault);
}

/* ---- one extension in one connection ---------------------------------------------------- */

void vt_conn_release(VtConn *conn) {
  if (--conn->refs > 0) return;
  VtHub *hub = conn->hub;
  for (VtConn **link = &hub->first; *link; link = &(*link)->next) {
    if (*link != conn) continue;
    *link = conn->next;
    break;
  }
  if (conn->opened && conn->extension->close) conn->extension->close(conn->state);
  vt_watch_drop(conn);
  sqlite3_free(conn->state);
  sqlite3_free(conn);
  hub_release(hub);
}

static void binding_release(void *pointer) { vt_conn_release(((VtBinding *)pointer)->conn); }

static void fill_bindings(VtConn *conn) {
  const VtExtension *extension = conn->extension;
  int count, n = 0;
  const VtFunction *common = vt_common_functions(&count);
  for (int i = 0; i < count; i++) {
    VtBinding *binding = &conn->bindings[n++];
    binding->function = &common[i];
    snprintf(binding->made_name, sizeof binding->made_name, "%s%s", extension->name,
             common[i].name);
    binding->name = binding->made_name;
  }
  for (int i = 0; i < extension->nfunctions; i++) {
    conn->bindings[n].function = &extension->functions[i];
    conn->bindings[n++].name = extension->functions[i].name;
  }
  for (int i = 0; i < extension->ntables; i++) {
    conn->bindings[n].table = extension->tables[i];
    conn->bindings[n++].name = extension->tables[i]->name;
  }
  for (int i = 0; i < n; i++) conn->bindings[i].conn = conn;
  conn->nbindings = n;
}

/* One reference, held by the caller. */
static VtConn *conn_make(VtHub *hub, const VtExtension *extension) {
  int common;
  vt_common_functions(&common);
  size_t count = (size_t)common + (size_t)extension->nfunctions + (size_t)extension->ntables;
  size_t size = sizeof(VtConn) + count * sizeof(VtBinding);
  VtConn *conn = sqlite3_malloc64(size);
  void *state = sqlite3_malloc64(extension->state_size + 1);
  if (!conn || !state) {
    sqlite3_free(conn);
    sqlite3_free(state);
    return NULL;
  }
  memset(conn, 0, size);
  memset(state, 0, extension->state_size + 1);
  conn->hub = hub;
  hub->refs++;
  conn->extension = extension;
  conn->state = state;
  conn->refs = 1;
  fill_bindings(conn);
  return conn;
}

/* ---- registration ----------------------------------------------------------------------- */

/* Each call takes a reference; SQLite gives it back through binding_release, on failure too. */
static int register_arity(sqlite3 *db, VtBinding *binding, int nargs) {
  const VtFunction *function = binding->function;
  unsigned flags = function->flags;
  if (sqlite3_libversion_number() < 3045000) flags &= ~(unsigned)VT_JSON;
  flags |= SQLITE_UTF8;
  binding->conn->refs++;
  if (function->value) {
    return sqlite3_create_window_function(db, binding->name, nargs, (int)flags, binding,
                                          function->step, function->final, function->value,
                                          function->inverse, binding_release);
  }
  return sqlite3_create_function_v2(db, binding->name, nargs, (int)flags, binding, function->scalar,
                                    function->step, function->final, binding_release);
}

static int register_binding(sqlite3 *db, VtBinding *binding) {
  if (binding->table) {
    vt_module_fill(&binding->module, binding->table);
    binding->conn->refs++;
    return sqlite3_create_module_v2(db, binding->name, &binding->module, binding, binding_release);
  }
  int rc = SQLITE_OK, nargs = binding->function->nargs;
  for (int i = 0; rc == SQLITE_OK && i <= binding->function->optional; i++) {
    rc = register_arity(db, binding, nargs + i);
  }
  return rc;
}

static int remove_binding(sqlite3 *db, VtBinding *binding) {
  if (binding->table) return sqlite3_create_module_v2(db, binding->name, NULL, NULL, NULL);
  int rc = SQLITE_OK;
  for (int i = 0; i <= binding->function->optional; i++) {
    int one = sqlite3_create_function_v2(db, binding->name, binding->function->nargs + i,
                                         SQLITE_UTF8, NULL, NULL, NULL, NULL, NULL);
    if (one != SQLITE_OK) rc = one;
  }
  return rc;
}

/* The library stays mapped until the process ends. Also after a failed load whose functions SQLite
** would not let go (it was called from a running statement): they must not point to nowhere. */
static void pin_library(void) {
#if !defined(_WIN32) && !defined(SQLITE_CORE) && defined(RTLD_NODELETE)
  Dl_info info;
  static const char here;
  if (dladdr(&here, &info) && info.dli_fname) {
    dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  }
#endif
}

static bool register_all(VtConn *conn, Fault *fault) {
  sqlite3 *db = conn->hub->db;
  for (int i = 0; i < conn->nbindings; i++) {
    int rc = register_binding(db, &conn->bindings[i]);
    if (rc == SQLITE_OK) continue;
    fault_set(fault, rc == SQLITE_NOMEM ? FAULT_NOMEM : FAULT_INTERNAL, "%s: registering: %s",
              conn->bindings[i].name, sqlite3_errstr(rc));
    bool gone = true;
    for (int k = 0; k <= i; k++) gone = remove_binding(db, &conn->bindings[k]) == SQLITE_OK && gone;
    if (!gone) pin_library();
    return false;
  }
  return true;
}

/* ---- entry ------------------------------------------------------------------------------ */

static bool open_state(VtConn *conn, Fault *fault) {
  if (conn->extension->open) {
    int rc = conn->extension->open(conn, conn->state, fault);
    if (rc == SQLITE_NOMEM) return fault_oom(fault);
    if (rc != SQLITE_OK) {
      return fault_set(fault, FAULT_INTERNAL, "%s: %s", conn->extension->name, sqlite3_errstr(rc));
    }
  }
  conn->opened = true;
  return true;
}

static bool load_into(VtHub *hub, const VtExtension *extension, Fault *fault) {
  VtConn **last = &hub->first;
  for (; *last; last = &(*last)->next) {
    const VtExtension *other = (*last)->extension;
    if (strcmp(other->name, extension->name) != 0) continue;
    if (strcmp(other->version, extension->version) == 0) return true; /* loaded twice: fine */
    return fault_set(fault, FAULT_INVALID, "%s: version %s is loaded already, this is %s",
                     extension->name, other->version, extension->version);
  }
  VtConn *conn = conn_make(hub, extension);
  if (!conn) return fault_oom(fault);
  *last = conn;
  bool ok = open_state(conn, fault) && register_all(conn, fault);
  vt_conn_release(conn);
  return ok;
}

static bool check_host(const sqlite3_api_routines *api, const char *who, Fault *fault) {
#if defined(SQLITE_CORE)
  (void)api, (void)who, (void)fault;
#else
  if (sqlite3_api && sqlite3_api != api) {
    return fault_set(fault, FAULT_INVALID,
                     "%s: in use by another copy of SQLite in this process already", who);
  }
  if (api->libversion_number() < VT_SQLITE_FLOOR) {
    return fault_set(fault, FAULT_UNSUPPORTED, "%s: this is SQLite %s, at least 3.38.0 is needed",
                     who, api->libversion());
  }
  SQLITE_EXTENSION_INIT2(api);
#endif
  return true;
}

int vt_load(sqlite3 *db, char **err, const sqlite3_api_routines *api,
            const VtExtension *extension) {
  Fault fault = {0};
  bool host = check_host(api, extension->name, &fault);
  bool ok = host && vt_check(extension, &fault);
  VtHub *hub = NULL;
  ok = ok && hub_find(db, extension->name, &hub, &fault);
  ok = ok && (hub || hub_make(db, extension->name, &hub, &fault));
  if (ok) {
    hub->refs++;
    ok = load_into(hub, extension, &fault);
    /* A hub without extensions would point into a library that is about to be unmapped. */
    if (!hub->first && sqlite3_create_function_v2(db, VT_HUB_NAME, 1, SQLITE_UTF8, NULL, NULL, NULL,
                                                  NULL, NULL) != SQLITE_OK) {
      pin_library();
    }
    hub_release(hub);
  }
  if (ok) {
    if (extension->permanent) pin_library();
    return SQLITE_OK;
  }
#if !defined(SQLITE_CORE)
  if (err) *err = api->mprintf("%s", fault.text); /* `api`: the host may be below the floor */
#else
  if (err) *err = sqlite3_mprintf("%s", fault.text);
#endif
  return fault.code == FAULT_NOMEM ? SQLITE_NOMEM : SQLITE_ERROR;
}

/* ---- the connection, for authors -------------------------------------------------------- */

sqlite3 *vt_db(const VtConn *conn) { return conn->hub->db; }

void *vt_state(const VtConn *conn) { return conn->state; }

const VtExtension *vt_extension(const VtConn *conn) { return conn->extension; }

const VtConn *vt_next_loaded(const VtConn *conn, const VtConn *previous) {
  return previous ? previous->next : conn->hub->first;
}

void vt_internal_enter(VtConn *conn) { conn->hub->internal++; }

void vt_internal_leave(VtConn *conn) { conn->hub->internal--; }

bool vt_is_internal(const VtConn *conn) { return conn->hub->internal > 0; }
