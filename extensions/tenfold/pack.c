/*
** The pack: which systems there are, and loading those that lie beside this library.
**
** Members are opened with dlopen, not through SQLite: hosts switch extension loading off again
** after the first one, and sqlite3_load_extension() is then refused. RTLD_NODELETE keeps a member
** mapped (its functions must outlive our handle, which we close at once), RTLD_LOCAL keeps its
** libraries out of the others' sight.
*/
#if !defined(_WIN32)
#define _GNU_SOURCE /* dladdr, realpath */
#include <dlfcn.h>
#include <unistd.h>
#endif

#include "extensions/tenfold/tenfold.h"

#include <stdlib.h>
#include <string.h>

const Member pack_members[] = {
    {"device", "kernels and device memory, called from SQL"},
    {"far", "tables in far memory: one round per look-up"},
    {"invariant", "protocols and their invariants, proved or refuted"},
    {"link", "an app's own objects as tables, owned by the process that uses them"},
    {"multiverse", "a private view of the database for every user"},
    {"omni", "a recorded run of a program as tables"},
    {"tensor", "tensors and their operators in SQL"},
    {"viz", "pictures out of rows"},
    {"wasm", "sandboxed functions in SQL"},
    {"watchdog", "a process watched, its gray failures found"},
    {"weave", "policies in SQL, placements out"},
};

_Static_assert(sizeof pack_members / sizeof *pack_members == PACK_COUNT, "PACK_COUNT");

const VtExtension *pack_find(const VtConn *conn, const char *name) {
  for (const VtConn *each = NULL; (each = vt_next_loaded(conn, each));) {
    if (strcmp(vt_extension(each)->name, name) == 0) return vt_extension(each);
  }
  return NULL;
}

#if defined(_WIN32) || defined(SQLITE_CORE)

/* A static build has no files to look for: its members load themselves. */
int pack_load(VtConn *conn, Pack *pack) {
  (void)conn, (void)pack;
  return SQLITE_OK;
}

const char *pack_path_of(const void *address) {
  (void)address;
  return NULL;
}

#else

const char *pack_path_of(const void *address) {
  Dl_info info;
  return dladdr(address, &info) ? info.dli_fname : NULL;
}

typedef int Entry(sqlite3 *, char **, const sqlite3_api_routines *);

static bool find_entry(void *library, Arena *arena, const char *name, Entry **out) {
  char *symbol = arena_printf(arena, "sqlite3_%s_init", name);
  void *entry = symbol ? dlsym(library, symbol) : NULL;
  memcpy(out, &entry, sizeof entry); /* ISO C has no cast from data to function pointers */
  return entry != NULL;
}

/* NULL, or why the member at that path is not loaded. */
static char *load_member(VtConn *conn, Arena *arena, const char *name, const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!library) {
    const char *reason = dlerror();
    return arena_strdup(arena, reason ? reason : "not a library");
  }
  char *message = NULL, *err = NULL;
  Entry *entry;
  if (!find_entry(library, arena, name, &entry)) {
    message = arena_printf(arena, "no entry point sqlite3_%s_init", name);
  } else {
    int rc = entry(vt_db(conn), &err, sqlite3_api);
    if (rc != SQLITE_OK && rc != SQLITE_OK_LOAD_PERMANENTLY) {
      message = arena_strdup(arena, err ? err : sqlite3_errstr(rc));
    }
    sqlite3_free(err);
  }
  dlclose(library);
  return message;
}

static char *own_folder(Arena *arena) {
  const char *path = pack_path_of(&pack_members);
  char *real = path ? realpath(path, NULL) : NULL;
  char *slash = real ? strrchr(real, '/') : NULL;
  char *folder = slash ? arena_strndup(arena, real, (size_t)(slash - real)) : NULL;
  free(real);
  return folder;
}

int pack_load(VtConn *conn, Pack *pack) {
  char *folder = own_folder(&pack->arena);
  if (!folder) return SQLITE_NOMEM;
  for (int i = 0; i < PACK_COUNT; i++) {
    Attempt *attempt = &pack->attempts[i];
    const char *name = pack_members[i].name;
    attempt->path = arena_printf(&pack->arena, "%s/%s.so", folder, name);
    if (!attempt->path) return SQLITE_NOMEM;
    attempt->found = access(attempt->path, R_OK) == 0;
    if (!attempt->found || pack_find(conn, name)) continue;
    attempt->message = load_member(conn, &pack->arena, name, attempt->path);
  }
  return SQLITE_OK;
}

#endif
