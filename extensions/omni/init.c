/*
** omni: a run, recorded once, asked any number of times. What it is made of: docs/design.md.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/omni.h"

/* ---- functions ---------------------------------------------------------------------------------
 */

static void use(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  OmniState *state = vt_state(vt_conn(ctx));
  Fault fault = {0};
  if (argc == 1 && sqlite3_value_type(argv[0]) == SQLITE_NULL) {
    free(state->use);
    state->use = NULL;
  } else if (argc == 1) {
    const char *dir = func_text(ctx, argv[0], NULL);
    if (!dir) return;
    OmniSource *source;
    if (!omni_source_open(state, dir, &source, &fault)) {
      func_fault(ctx, &fault);
      return;
    }
    char *copy = strdup(dir);
    omni_source_release(state, source);
    if (!copy) {
      sqlite3_result_error_nomem(ctx);
      return;
    }
    free(state->use);
    state->use = copy;
  }
  if (state->use) sqlite3_result_text(ctx, state->use, -1, SQLITE_TRANSIENT);
}

static const VtArgument use_arguments[] = {
    {"dir", "TEXT", "none", "folder of the recording; NULL: none any more"}, {0}};

static const VtError use_errors[] = {{"recording \"x\": No such file or directory",
                                      "there is no such folder", "SELECT dir FROM omni_recordings"},
                                     {"recording \"x\": it has version 2 of the format, not 1",
                                      "another version of omni made it", "read it with that one"},
                                     {0}};

static const VtFunction functions[] = {
    {.name = "omni_use",
     .args = "[dir]",
     .nargs = 0,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "TEXT",
     .doc = "Chooses the recording that tables of this connection read, unless their column "
            "\"trace\" names one; returns it.",
     .arguments = use_arguments,
     .errors = use_errors,
     .scalar = use},
};

/* ---- the extension -----------------------------------------------------------------------------
 */

static const VtTable *const tables[] = {
    &omni_meta_table,     &omni_recordings_table, &omni_events_table,  &omni_chunks_table,
    &omni_syscalls_table, &omni_io_table,         &omni_stdout_table,  &omni_stderr_table,
    &omni_signals_table,  &omni_processes_table,  &omni_threads_table, &omni_files_table,
    &omni_modules_table,  &omni_maps_table,
};

static int open_state(VtConn *conn, void *state, Fault *fault) {
  (void)conn, (void)state, (void)fault;
  return SQLITE_OK;
}

static void close_state(void *state) {
  OmniState *omni = state;
  omni_sources_close(omni);
  free(omni->use);
}

static const VtExtension omni = {
    .name = "omni",
    .version = VT_VERSION,
    .doc = "A run of a program, recorded once, as tables.",
    .guide =
        "Record a program (`omni.so record -o DIR -- PROGRAM ...`), choose the recording with\n"
        "`omni_use('DIR')`, and ask. Every table takes the folder of a recording in the hidden\n"
        "column `trace` as well: `SELECT ... FROM omni_syscalls WHERE trace = 'DIR'`, or\n"
        "`omni_syscalls('DIR')`. `ev`, the ordinal of an event, is the clock of all tables.",
    .tables = tables,
    .ntables = (int)countof(tables),
    .functions = functions,
    .nfunctions = (int)countof(functions),
    .state_size = sizeof(OmniState),
    .open = open_state,
    .close = close_state,
};

VT_EXPORT int sqlite3_omni_init(sqlite3 *db, char **err, const sqlite3_api_routines *api);

int sqlite3_omni_init(sqlite3 *db, char **err, const sqlite3_api_routines *api) {
  return vt_load(db, err, api, &omni);
}
