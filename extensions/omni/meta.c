/*
** omni_meta: what a recording says of itself. omni_files: the files it holds copies of.
** omni_recordings: the recordings in a folder.
*/
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "extensions/omni/scan.h"

/* ---- omni_meta ------------------------------------------------------------------------------- */

enum { META_KEY, META_VALUE, META_TRACE, META_NCOL };

static const VtColumn meta_columns[] = {
    [META_KEY] =
        {"key", "TEXT", VT_OUT, 0,
         "program, argv (one row each), env (one row each), cwd, cpu, kernel, started ..."},
    [META_VALUE] = {"value", "TEXT", VT_OUT, 0, "its value"},
    [META_TRACE] = OMNI_COLUMN_TRACE,
};

typedef struct MetaCursor {
  OmniCursor base;
  int at; /* number of the chunk behind the row's */
  const Chunk *chunk;
} MetaCursor;

static int meta_step(VtCursor *base) {
  MetaCursor *cur = (MetaCursor *)base;
  cur->chunk = omni_chunk(cur->base.event, CHUNK_META, &cur->at);
  base->eof = !cur->chunk;
  return SQLITE_OK;
}

static int meta_seek(VtCursor *base, const VtPlan *plan) {
  MetaCursor *cur = (MetaCursor *)base;
  cur->at = 0;
  int rc = omni_scan_open(&cur->base, plan, META_TRACE);
  if (rc == SQLITE_OK) rc = omni_scan_from(&cur->base, 0);
  if (rc == SQLITE_OK) rc = omni_scan_next(&cur->base, &cur->base.event);
  if (rc != SQLITE_OK) return rc;
  if (cur->base.event && cur->base.event->kind == EVENT_META) return meta_step(base);
  base->eof = true;
  return SQLITE_OK;
}

static int meta_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const Chunk *chunk = ((MetaCursor *)base)->chunk;
  const uint8_t *nul = chunk->size ? memchr(chunk->bytes, 0, chunk->size) : NULL;
  size_t key = nul ? (size_t)(nul - chunk->bytes) : chunk->size;
  if (col == META_KEY) {
    omni_result_string(ctx, chunk->bytes, key);
  } else if (nul) {
    omni_result_string(ctx, nul + 1, chunk->size - key - 1);
  }
  return SQLITE_OK;
}

const VtTable omni_meta_table = {
    .name = "omni_meta",
    .doc = "What the recording says of itself: command, environment, machine.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = meta_columns,
    .ncols = META_NCOL,
    .rows = 50,
    .cursor_size = sizeof(MetaCursor),
    .seek = meta_seek,
    .step = meta_step,
    .column = meta_column,
    .close = omni_scan_close,
};

/* ---- omni_files ------------------------------------------------------------------------------ */

enum {
  FILE_EV,
  FILE_NUMBER,
  FILE_PATH,
  FILE_SIZE,
  FILE_MTIME,
  FILE_DEVICE,
  FILE_INODE,
  FILE_COPY,
  FILE_TRACE,
  FILE_NCOL
};

static const VtColumn file_columns[] = {
    [FILE_EV] = SCAN_COLUMN_EV,
    [FILE_NUMBER] = {"file", "INTEGER", VT_OUT, 0, "number of the file in this recording"},
    [FILE_PATH] = {"path", "TEXT", VT_OUT, 0, "where it was"},
    [FILE_SIZE] = {"size", "INTEGER", VT_OUT, 0, "bytes, then"},
    [FILE_MTIME] = {"mtime", "INTEGER", VT_OUT, 0, "when it was last changed: ns since 1970"},
    [FILE_DEVICE] = {"device", "INTEGER", VT_OUT, 0, "st_dev"},
    [FILE_INODE] = {"inode", "INTEGER", VT_OUT, 0, "st_ino"},
    [FILE_COPY] = {"copy", "TEXT", VT_OUT, 0, "path of the copy in the recording"},
    [FILE_TRACE] = OMNI_COLUMN_TRACE,
};

static int file_seek(VtCursor *base, const VtPlan *plan) {
  ((OmniCursor *)base)->kinds = 1u << EVENT_FILE;
  return omni_scan_seek(base, plan, FILE_TRACE); /* of its columns only `ev` is searched here */
}

static TraceFile file_about(const Event *event) {
  TraceFile about = {0};
  int at = 0;
  const Chunk *chunk = omni_chunk(event, CHUNK_STAT, &at);
  if (chunk && chunk->size >= sizeof about) memcpy(&about, chunk->bytes, sizeof about);
  return about;
}

static int file_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const OmniCursor *cur = (const OmniCursor *)base;
  int at = 0;
  const Chunk *path;
  switch (col) {
  case FILE_NUMBER:
    sqlite3_result_int64(ctx, (sqlite3_int64)cur->event->aux);
    break;
  case FILE_PATH:
    path = omni_chunk(cur->event, CHUNK_PATH, &at);
    if (path) omni_result_string(ctx, path->bytes, path->size);
    break;
  case FILE_SIZE:
    sqlite3_result_int64(ctx, (sqlite3_int64)file_about(cur->event).size);
    break;
  case FILE_MTIME:
    sqlite3_result_int64(ctx, (sqlite3_int64)file_about(cur->event).mtime_ns);
    break;
  case FILE_DEVICE:
    sqlite3_result_int64(ctx, (sqlite3_int64)file_about(cur->event).device);
    break;
  case FILE_INODE:
    sqlite3_result_int64(ctx, (sqlite3_int64)file_about(cur->event).inode);
    break;
  case FILE_COPY: {
    char *copy = sqlite3_mprintf("%s/files/%llu", cur->source->dir, cur->event->aux);
    if (!copy) return SQLITE_NOMEM;
    sqlite3_result_text(ctx, copy, -1, sqlite3_free);
    break;
  }
  default:
    return omni_scan_column(base, ctx, SCAN_EV);
  }
  return SQLITE_OK;
}

const VtTable omni_files_table = {
    .name = "omni_files",
    .doc = "Files that were mapped into the program: their copies are part of the recording.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = file_columns,
    .ncols = FILE_NCOL,
    .rows = 20,
    .row_cost = 100,
    .order = (const VtOrder[]){{FILE_EV, false}},
    .norder = 1,
    .cursor_size = sizeof(OmniCursor),
    .seek = file_seek,
    .step = omni_scan_step,
    .column = file_column,
    .rowid = omni_scan_rowid,
    .close = omni_scan_close,
};

/* ---- omni_recordings ------------------------------------------------------------------------- */

enum {
  RECORDING_DIR,
  RECORDING_PROGRAM,
  RECORDING_STARTED,
  RECORDING_EVENTS,
  RECORDING_COMPLETE,
  RECORDING_ERROR,
  RECORDING_FOLDER,
  RECORDING_NCOL
};

static const VtColumn recording_columns[] = {
    [RECORDING_DIR] = {"dir", "TEXT", VT_OUT, 0, "folder of the recording"},
    [RECORDING_PROGRAM] = {"program", "TEXT", VT_OUT, 0, "what was run"},
    [RECORDING_STARTED] = {"started", "TEXT", VT_OUT, 0, "when"},
    [RECORDING_EVENTS] = {"events", "INTEGER", VT_OUT, 0, "ordinal of the last event"},
    [RECORDING_COMPLETE] = {"complete", "INTEGER", VT_OUT, 0,
                            "0: the recorder was stopped, the run is not there to its end"},
    [RECORDING_ERROR] = {"error", "TEXT", VT_OUT, 0, "why it cannot be read, or NULL"},
    [RECORDING_FOLDER] = {"folder", "TEXT", VT_ARG, 10, "where to look; default: the present one"},
};

typedef struct RecordingCursor {
  VtCursor base;
  char **dirs;
  size_t count, capacity, at;
  Recording *recording; /* of the row; NULL: `fault` says why */
  uint64_t events;
  Fault fault;
} RecordingCursor;

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

/* False: memory was refused. */
static bool looks_like_one(const char *dir, bool *out) {
  struct stat st;
  Text path = {0};
  text_addf(&path, "%s/events", dir);
  const bool ok = !path.oom;
  *out = ok && stat(path.data, &st) == 0 && S_ISREG(st.st_mode);
  text_finish(&path);
  return ok;
}

static int list_folder(RecordingCursor *cur, const char *folder) {
  DIR *open = opendir(folder);
  if (!open) {
    if (errno == ENOMEM) return SQLITE_NOMEM;
    return vt_fail(cur->base.tab, SQLITE_CANTOPEN, "folder \"%s\": %s", folder, strerror(errno));
  }
  bool plain = strcmp(folder, ".") == 0, ok = true;
  for (struct dirent *entry; ok && (entry = readdir(open));) {
    if (entry->d_name[0] == '.') continue;
    char *dir = plain ? arena_strdup(&cur->base.arena, entry->d_name)
                      : arena_printf(&cur->base.arena, "%s/%s", folder, entry->d_name);
    bool is_one = false;
    ok = dir && looks_like_one(dir, &is_one);
    if (!is_one) continue;
    ok = array_grow(cur->dirs, cur->capacity, cur->count + 1);
    if (ok) cur->dirs[cur->count++] = dir;
  }
  closedir(open);
  if (ok && cur->count) qsort(cur->dirs, cur->count, sizeof *cur->dirs, by_name);
  return ok ? SQLITE_OK : SQLITE_NOMEM;
}

/* Opens the recording of the row. That it cannot be opened is what the row says. */
static int stand(RecordingCursor *cur) {
  recording_close(cur->recording);
  cur->recording = NULL;
  cur->base.eof = cur->at >= cur->count;
  if (cur->base.eof) return SQLITE_OK;
  fault_clear(&cur->fault);
  uint64_t first;
  if (recording_open(cur->dirs[cur->at], &cur->recording, &cur->fault)) {
    trace_range(cur->recording, &first, &cur->events, &cur->fault);
  }
  if (cur->fault.code == FAULT_NOMEM) return SQLITE_NOMEM;
  return vt_poll(&cur->base.poll);
}

static int recordings_seek(VtCursor *base, const VtPlan *plan) {
  RecordingCursor *cur = (RecordingCursor *)base;
  const char *folder;
  if (!vt_arg_text(base->tab, plan, RECORDING_FOLDER, ".", &folder)) return SQLITE_ERROR;
  cur->count = cur->at = 0;
  int rc = list_folder(cur, folder);
  return rc == SQLITE_OK ? stand(cur) : rc;
}

static int recordings_step(VtCursor *base) {
  ((RecordingCursor *)base)->at++;
  return stand((RecordingCursor *)base);
}

static int recordings_column(VtCursor *base, sqlite3_context *ctx, int col) {
  const RecordingCursor *cur = (const RecordingCursor *)base;
  const char *text = NULL;
  if (col == RECORDING_DIR) text = cur->dirs[cur->at];
  if (col == RECORDING_ERROR && cur->fault.code != FAULT_NONE) text = cur->fault.text;
  if (!cur->recording) {
    if (text) sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
    return SQLITE_OK;
  }
  if (col == RECORDING_PROGRAM) text = recording_argv(cur->recording, 0);
  if (col == RECORDING_STARTED) text = recording_meta(cur->recording, "started");
  if (text) sqlite3_result_text(ctx, text, -1, SQLITE_TRANSIENT);
  if (col == RECORDING_EVENTS) sqlite3_result_int64(ctx, (sqlite3_int64)cur->events);
  if (col == RECORDING_COMPLETE) sqlite3_result_int(ctx, !recording_is_cut(cur->recording));
  return SQLITE_OK;
}

static void recordings_done(VtCursor *base) {
  RecordingCursor *cur = (RecordingCursor *)base;
  recording_close(cur->recording);
  cur->recording = NULL;
}

static void recordings_close(VtCursor *base) { free(((RecordingCursor *)base)->dirs); }

const VtTable omni_recordings_table = {
    .name = "omni_recordings",
    .doc = "The recordings in a folder.",
    .risk = SQLITE_VTAB_DIRECTONLY,
    .cols = recording_columns,
    .ncols = RECORDING_NCOL,
    .rows = 10,
    .row_cost = 1000,
    .cursor_size = sizeof(RecordingCursor),
    .seek = recordings_seek,
    .step = recordings_step,
    .column = recordings_column,
    .done = recordings_done,
    .close = recordings_close,
};
