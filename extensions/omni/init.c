/*
** omni: a run, recorded once, asked any number of times. What it is made of: docs/design.md.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/answer.h"
#include "extensions/omni/functions.h"
#include "extensions/omni/helper.h"
#include "extensions/omni/probe_kept.h"

/* ---- functions ------------------------------------------------------------------------------- */

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

static const VtArgument record_arguments[] = {
    {"dir", "TEXT", NULL, "folder to make; must not exist, or be empty"},
    {"program", "TEXT", NULL, "what to run, looked up in PATH"},
    {"arguments", "TEXT", "none", "its arguments, any number"},
    {"options", "TEXT (JSON)", "{}",
     "as the last argument, made by json() or json_object(): chaos, the seed of a hostile schedule "
     "(0: none); hash, events between two hashes of the memory (0: by a share of the time); "
     "inside, 1: system calls that end at once are logged in the process, without a stop, 0: each "
     "of them is one (1 unless there is chaos); stdin, stdout, stderr: files (default: nothing to "
     "read, and the output of this process)"},
    {0}};

static const VtError record_errors[] = {
    {"unsupported: x", "the program did something that cannot be recorded",
     "what was recorded until then is in the folder"},
    {"recording \"x\": there is one already", "the folder is not empty", "another one"},
    {"unknown option \"x\"; there are chaos, hash, inside, stdin, stdout, stderr",
     "the last argument", "use one of these"},
    {"the helper process has gone before it answered", "it was killed from outside", "try again"},
    {"the helper \"x\" cannot be started: y", "omni.so is gone, or processes are used up", "see y"},
    {0}};

static const VtArgument verify_arguments[] = {
    {"dir", "TEXT", "omni_use()", "folder of the recording"}, {0}};

static const VtError verify_errors[] = {
    {"event n, thread t: x", "the replay does not do what was recorded",
     "nothing that needs replay can be trusted in this recording; make it again"},
    {0}};

static const VtArgument eval_arguments[] = {
    {"moment", "TEXT", NULL, "as the table omni_eval has it; NULL gives NULL"},
    {"expr", "TEXT", NULL, "one expression of C"},
    {"dir", "TEXT", "omni_use()", "folder of the recording"},
    {0}};

static const VtError eval_errors[] = {
    {"column n: x", "the expression makes no sense there", "column counts its bytes from 1"},
    {"several expressions are rows: SELECT value FROM omni_eval(moment, exprs)",
     "there is a comma in the expression", "ask the table of the same name"},
    {0}};

static const VtArgument workers_arguments[] = {
    {"n", "INTEGER", "none", "1 or 2; 0, as it is at first: as many as there are processors"}, {0}};

static const VtError workers_errors[] = {{"0, 1 or 2 workers, not x", "n", "one of these"}, {0}};

static const VtFunction functions[] = {
    {.name = "omni_workers",
     .args = "[n]",
     .nargs = 0,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "How many processes this connection lets play one recording at the same time, for "
            "questions about calls; returns it.",
     .arguments = workers_arguments,
     .errors = workers_errors,
     .scalar = omni_workers},
    {.name = "omni_eval",
     .args = "moment, expr [, dir]",
     .nargs = 2,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "",
     .doc = "What an expression of C is worth at a moment, in the innermost frame; NULL when that "
            "is not known (the table of the same name says why).",
     .arguments = eval_arguments,
     .errors = eval_errors,
     .scalar = omni_eval},
    {.name = "omni_record",
     .args = "dir, program, ... [, options]",
     .nargs = -1,
     .flags = VT_EFFECT | VT_JSON,
     .returns = "TEXT (JSON)",
     .doc = "Runs a program and records it; returns how it ended and what was recorded.",
     .arguments = record_arguments,
     .errors = record_errors,
     .scalar = omni_record},
    {.name = "omni_verify",
     .args = "[dir]",
     .nargs = 0,
     .optional = 1,
     .flags = VT_EFFECT | VT_JSON,
     .returns = "TEXT (JSON)",
     .doc = "Plays a recording to its end and compares all that was recorded; fails where it "
            "diverges.",
     .arguments = verify_arguments,
     .errors = verify_errors,
     .scalar = omni_verify},
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

/* ---- the extension --------------------------------------------------------------------------- */

static const VtTable *const tables[] = {
    &omni_meta_table,     &omni_recordings_table, &omni_events_table,  &omni_chunks_table,
    &omni_syscalls_table, &omni_io_table,         &omni_stdout_table,  &omni_stderr_table,
    &omni_signals_table,  &omni_processes_table,  &omni_threads_table, &omni_files_table,
    &omni_modules_table,  &omni_maps_table,       &omni_calls_table,   &omni_functions_table,
    &omni_regs_table,     &omni_mem_table,        &omni_stack_table,   &omni_vars_table,
    &omni_eval_table,     &omni_globals_table,    &omni_types_table,   &omni_params_table,
    &omni_lines_table,    &omni_lines_hit_table,  &omnitable_table,    &omni_folded_table,
    &omni_writes_table,   &omni_diff_table,       &omni_probe_table,
};

static int open_state(VtConn *conn, void *state, Fault *fault) {
  (void)conn, (void)fault;
  return omni_library_path(&((OmniState *)state)->library) ? SQLITE_OK : SQLITE_NOMEM;
}

static void close_state(void *state) {
  OmniState *omni = state;
  helpers_finish(omni);
  answers_close(omni);
  probe_kept_finish(omni);
  omni_sources_close(omni);
  free(omni->use);
  free(omni->library);
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
