/*
** omni_maps: the address spaces of a run at one of its events. omni_modules: which files' code was
** mapped, where, from when to when.
**
**   SELECT * FROM omni_maps(1200);              -- after event 1200, all processes
**   SELECT path, base FROM omni_modules;
*/
#define _GNU_SOURCE /* CLONE_VM */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "extensions/omni/scan.h"
#include "replay/maps.h"
#include "replay/syscalls.h"

typedef struct ProcessSpace {
  int32_t pid;
  bool alive;
  MapList maps;
} ProcessSpace;

typedef struct Module {
  int32_t pid;
  uint32_t file; /* + 1, as in MapRange */
  uint64_t base, end, ev, end_ev;
} Module;

typedef struct MapsCursor {
  OmniCursor base;
  ProcessSpace *spaces;
  size_t nspaces, space_capacity;
  Map by_pid, paths; /* pid -> space; number of a file -> index into names */
  const char **names;
  size_t nnames, name_capacity;
  Module *modules;
  size_t nmodules, module_capacity;
  bool wants_modules;
  size_t space, at; /* the row */
} MapsCursor;

/* ---- spaces over time ------------------------------------------------------------------------ */

static ProcessSpace *space_get(MapsCursor *cur, int32_t pid, bool make) {
  const int64_t *index = map_get(&cur->by_pid, &pid, sizeof pid);
  if (index) return &cur->spaces[*index];
  if (!make || !array_grow(cur->spaces, cur->space_capacity, cur->nspaces + 1) ||
      !map_put(&cur->by_pid, &pid, sizeof pid, (int64_t)cur->nspaces, NULL)) {
    return NULL;
  }
  ProcessSpace *space = &cur->spaces[cur->nspaces++];
  *space = (ProcessSpace){.pid = pid};
  return space;
}

static const char *name_of_file(const MapsCursor *cur, uint32_t file) {
  const int64_t *index = map_get(&cur->paths, &file, sizeof file);
  return index ? cur->names[*index] : "";
}

static bool learn_file(MapsCursor *cur, const Event *event, Fault *fault) {
  int at = 0;
  uint32_t file = (uint32_t)event->aux + 1;
  const Chunk *path = omni_chunk(event, CHUNK_PATH, &at);
  const char *name =
      path ? arena_strndup(&cur->base.base.arena, (const char *)path->bytes, path->size) : "";
  if (!name || !array_grow(cur->names, cur->name_capacity, cur->nnames + 1) ||
      !map_put(&cur->paths, &file, sizeof file, (int64_t)cur->nnames, NULL)) {
    return fault_oom(fault);
  }
  cur->names[cur->nnames++] = name;
  return true;
}

/* Ends the modules of a process whose code is mapped no longer. */
static void end_modules(MapsCursor *cur, const ProcessSpace *space, uint64_t ev) {
  for (size_t i = 0; i < cur->nmodules; i++) {
    Module *module = &cur->modules[i];
    if (module->pid != space->pid || module->end_ev) continue;
    const MapRange *range = maps_find(&space->maps, module->base);
    if (!range || range->file != module->file) module->end_ev = ev;
  }
}

/* The file is mapped to several places that begin with the one of its start. */
static uint64_t base_of(const MapList *maps, size_t i) {
  uint32_t file = maps->ranges[i].file;
  uint64_t start = maps->ranges[i].start - maps->ranges[i].offset;
  while (i > 0 && maps->ranges[i - 1].file == file && maps->ranges[i - 1].start >= start) i--;
  return maps->ranges[i].start;
}

static bool begin_module(MapsCursor *cur, const ProcessSpace *space, size_t i, uint64_t ev) {
  uint64_t base = base_of(&space->maps, i);
  const MapRange *range = &space->maps.ranges[i];
  for (size_t k = 0; k < cur->nmodules; k++) {
    Module *module = &cur->modules[k];
    if (module->pid != space->pid || module->end_ev || module->file != range->file) continue;
    if (module->base != base) continue;
    if (range->end > module->end) module->end = range->end;
    return true;
  }
  if (!array_grow(cur->modules, cur->module_capacity, cur->nmodules + 1)) return false;
  cur->modules[cur->nmodules++] =
      (Module){.pid = space->pid, .file = range->file, .base = base, .end = range->end, .ev = ev};
  return true;
}

static bool note_modules(MapsCursor *cur, const ProcessSpace *space, uint64_t ev, Fault *fault) {
  if (!cur->wants_modules) return true;
  end_modules(cur, space, ev);
  for (size_t i = 0; i < space->maps.count; i++) {
    const MapRange *range = &space->maps.ranges[i];
    if (!range->file || !(range->prot & PROT_EXEC)) continue;
    if (!begin_module(cur, space, i, ev)) return fault_oom(fault);
  }
  return true;
}

static bool begin_image(MapsCursor *cur, const Event *event, Fault *fault) {
  ProcessSpace *space = space_get(cur, event->pid, true);
  if (!space) return fault_oom(fault);
  maps_finish(&space->maps);
  space->maps = (MapList){0};
  space->alive = true;
  int at = 0;
  for (const Chunk *chunk; (chunk = omni_chunk(event, CHUNK_MAP, &at));) {
    TraceMap map;
    if (chunk->size < sizeof map) continue;
    memcpy(&map, chunk->bytes, sizeof map);
    char *name = arena_strndup(&cur->base.base.arena, (const char *)chunk->bytes + sizeof map,
                               chunk->size - sizeof map);
    if (!name) return fault_oom(fault);
    const MapRange range = {map.start, map.end, map.offset, map.prot, map.flags, map.file, name};
    if (map.start < map.end && !maps_add(&space->maps, &range, fault)) return false;
  }
  return note_modules(cur, space, event->ev, fault);
}

static bool copy_space(MapsCursor *cur, const Event *event, Fault *fault) {
  bool forks = event->nr == SYS_fork || event->nr == SYS_vfork;
  if ((!forks && event->nr != SYS_clone) || event->ret <= 0) return true;
  if (!forks && event->args[0] & CLONE_THREAD) return true;
  if (!space_get(cur, event->pid, true) || !space_get(cur, (int32_t)event->ret, true)) {
    return fault_oom(fault);
  }
  ProcessSpace *child = space_get(cur, (int32_t)event->ret, false);
  const ProcessSpace *parent = space_get(cur, event->pid, false);
  if (child == parent) return true;
  maps_finish(&child->maps);
  child->maps = (MapList){0};
  child->alive = true;
  return maps_copy(&parent->maps, &child->maps, fault) &&
         note_modules(cur, child, event->ev, fault);
}

static bool apply(MapsCursor *cur, const Event *event, Fault *fault) {
  ProcessSpace *space;
  const CallInfo *info;
  switch (event->kind) {
  case EVENT_FILE:
    return learn_file(cur, event, fault);
  case EVENT_IMAGE:
    return begin_image(cur, event, fault);
  case EVENT_END:
    space = space_get(cur, event->pid, false);
    if (!space) return true;
    space->alive = false;
    maps_finish(&space->maps);
    space->maps = (MapList){0};
    return note_modules(cur, space, event->ev, fault);
  case EVENT_SYSCALL:
    info = call_info(event->nr);
    if (!info || info->class == CALL_SPAWN) return copy_space(cur, event, fault);
    if (info->class != CALL_MEMORY) return true;
    space = space_get(cur, event->pid, true);
    if (!space) return fault_oom(fault);
    uint32_t file = event->nr == SYS_mmap ? (uint32_t)event->aux : 0;
    return maps_apply(&space->maps, event->nr, event->args, event->ret, file,
                      name_of_file(cur, file), fault) &&
           note_modules(cur, space, event->ev, fault);
  default:
    return true;
  }
}

static int walk(MapsCursor *cur, uint64_t last) {
  Fault fault = {0};
  const Event *event;
  int rc = omni_scan_from(&cur->base, 0);
  while (rc == SQLITE_OK && (rc = omni_scan_next(&cur->base, &event)) == SQLITE_OK && event) {
    if (event->ev > last) break;
    if (!apply(cur, event, &fault)) rc = vt_fault(cur->base.base.tab, &fault);
  }
  return rc;
}

static void maps_done(VtCursor *base) {
  MapsCursor *cur = (MapsCursor *)base;
  for (size_t i = 0; i < cur->nspaces; i++) maps_finish(&cur->spaces[i].maps);
  free(cur->spaces);
  free(cur->names);
  free(cur->modules);
  map_finish(&cur->by_pid);
  map_finish(&cur->paths);
  cur->spaces = NULL;
  cur->names = NULL;
  cur->modules = NULL;
  cur->by_pid = cur->paths = (Map){0};
  cur->nspaces = cur->space_capacity = cur->nnames = cur->name_capacity = 0;
  cur->nmodules = cur->module_capacity = 0;
}

/* ---- omni_maps ------------------------------------------------------------------------------- */

enum {
  RANGE_PID,
  RANGE_START,
  RANGE_END,
  RANGE_PERMS,
  RANGE_OFFSET,
  RANGE_FILE,
  RANGE_NAME,
  RANGE_AT,
  RANGE_TRACE,
  RANGE_NCOL
};

static const VtColumn map_columns[] = {
    [RANGE_PID] = {"pid", "INTEGER", VT_OUT, 0, "process"},
    [RANGE_START] = {"start", "INTEGER", VT_OUT, 0, "first address"},
    [RANGE_END] = {"end", "INTEGER", VT_OUT, 0, "address behind the last"},
    [RANGE_PERMS] = {"perms", "TEXT", VT_OUT, 0, "as in /proc/PID/maps: rwxp"},
    [RANGE_OFFSET] = {"offset", "INTEGER", VT_OUT, 0, "where in the file it begins"},
    [RANGE_FILE] = {"file", "INTEGER", VT_OUT, 0, "number in omni_files; NULL: none"},
    [RANGE_NAME] = {"name", "TEXT", VT_OUT, 0, "path of the file, [stack] ...; may be empty"},
    [RANGE_AT] = {"at", "INTEGER", VT_ARG, 100, "after which event; default: the last"},
    [RANGE_TRACE] = OMNI_COLUMN_TRACE,
};

/* On to a range that exists. */
static void settle(MapsCursor *cur) {
  while (cur->space < cur->nspaces && cur->at >= cur->spaces[cur->space].maps.count) {
    cur->space++;
    cur->at = 0;
  }
  cur->base.base.eof = cur->space >= cur->nspaces;
}

static int map_seek(VtCursor *base, const VtPlan *plan) {
  MapsCursor *cur = (MapsCursor *)base;
  sqlite3_int64 last;
  if (!vt_arg_int(base->tab, plan, RANGE_AT, INT64_MAX, &last)) return SQLITE_ERROR;
  cur->wants_modules = false;
  cur->space = cur->at = 0;
  int rc = omni_scan_open(&cur->base, plan, RANGE_TRACE);
  if (rc == SQLITE_OK) rc = walk(cur, last < 0 ? 0 : (uint64_t)last);
  settle(cur);
  return rc;
}

static int map_step(VtCursor *base) {
  MapsCursor *cur = (MapsCursor *)base;
  cur->at++;
  settle(cur);
  return SQLITE_OK;
}

static int map_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const MapsCursor *cur = (const MapsCursor *)base;
  const MapRange *range = &cur->spaces[cur->space].maps.ranges[cur->at];
  char perms[5];
  switch (col) {
  case RANGE_PID:
    sqlite3_result_int(ctx, cur->spaces[cur->space].pid);
    break;
  case RANGE_START:
    sqlite3_result_int64(ctx, (sqlite3_int64)range->start);
    break;
  case RANGE_END:
    sqlite3_result_int64(ctx, (sqlite3_int64)range->end);
    break;
  case RANGE_PERMS:
    snprintf(perms, sizeof perms, "%c%c%c%c", range->prot & PROT_READ ? 'r' : '-',
             range->prot & PROT_WRITE ? 'w' : '-', range->prot & PROT_EXEC ? 'x' : '-',
             range->flags & MAP_SHARED ? 's' : 'p');
    sqlite3_result_text(ctx, perms, -1, SQLITE_TRANSIENT);
    break;
  case RANGE_OFFSET:
    sqlite3_result_int64(ctx, (sqlite3_int64)range->offset);
    break;
  case RANGE_FILE:
    if (range->file) sqlite3_result_int64(ctx, (sqlite3_int64)range->file - 1);
    break;
  default:
    sqlite3_result_text(ctx, range->name ? range->name : "", -1, SQLITE_TRANSIENT);
  }
  return SQLITE_OK;
}

const VtTable omni_maps_table = {
    .name = "omni_maps",
    .doc = "Address spaces of the processes after an event.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = map_columns,
    .ncols = RANGE_NCOL,
    .rows = 100,
    .seek_cost = 1e5,
    .cursor_size = sizeof(MapsCursor),
    .seek = map_seek,
    .step = map_step,
    .column = map_column,
    .done = maps_done,
    .close = omni_scan_close,
};

/* ---- omni_modules ---------------------------------------------------------------------------- */

enum {
  MODULE_PID,
  MODULE_PATH,
  MODULE_FILE,
  MODULE_BASE,
  MODULE_END,
  MODULE_EV,
  MODULE_END_EV,
  MODULE_TRACE,
  MODULE_NCOL
};

static const VtColumn module_columns[] = {
    [MODULE_PID] = {"pid", "INTEGER", VT_OUT, 0, "process"},
    [MODULE_PATH] = {"path", "TEXT", VT_OUT, 0, "path of the file"},
    [MODULE_FILE] = {"file", "INTEGER", VT_OUT, 0, "its number in omni_files"},
    [MODULE_BASE] = {"base", "INTEGER", VT_OUT, 0, "address of its beginning"},
    [MODULE_END] = {"end", "INTEGER", VT_OUT, 0, "address behind its code"},
    [MODULE_EV] = {"ev", "INTEGER", VT_OUT, 0, "event since which its code is there"},
    [MODULE_END_EV] = {"end_ev", "INTEGER", VT_OUT, 0,
                       "event that took it away; NULL: it stayed to the end"},
    [MODULE_TRACE] = OMNI_COLUMN_TRACE,
};

static int module_seek(VtCursor *base, const VtPlan *plan) {
  MapsCursor *cur = (MapsCursor *)base;
  cur->wants_modules = true;
  cur->at = 0;
  int rc = omni_scan_open(&cur->base, plan, MODULE_TRACE);
  if (rc == SQLITE_OK) rc = walk(cur, UINT64_MAX);
  base->eof = !cur->nmodules;
  return rc;
}

static int module_step(VtCursor *base) {
  MapsCursor *cur = (MapsCursor *)base;
  base->eof = ++cur->at >= cur->nmodules;
  return SQLITE_OK;
}

static int module_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const MapsCursor *cur = (const MapsCursor *)base;
  const Module *module = &cur->modules[cur->at];
  switch (col) {
  case MODULE_PID:
    sqlite3_result_int(ctx, module->pid);
    break;
  case MODULE_PATH:
    sqlite3_result_text(ctx, name_of_file(cur, module->file), -1, SQLITE_TRANSIENT);
    break;
  case MODULE_FILE:
    sqlite3_result_int64(ctx, (sqlite3_int64)module->file - 1);
    break;
  case MODULE_BASE:
    sqlite3_result_int64(ctx, (sqlite3_int64)module->base);
    break;
  case MODULE_END:
    sqlite3_result_int64(ctx, (sqlite3_int64)module->end);
    break;
  case MODULE_EV:
    sqlite3_result_int64(ctx, (sqlite3_int64)module->ev);
    break;
  default:
    if (module->end_ev) sqlite3_result_int64(ctx, (sqlite3_int64)module->end_ev);
  }
  return SQLITE_OK;
}

const VtTable omni_modules_table = {
    .name = "omni_modules",
    .doc = "Programs and libraries, and where their code was mapped.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = module_columns,
    .ncols = MODULE_NCOL,
    .rows = 10,
    .seek_cost = 1e5,
    .cursor_size = sizeof(MapsCursor),
    .seek = module_seek,
    .step = module_step,
    .column = module_column,
    .done = maps_done,
    .close = omni_scan_close,
};
