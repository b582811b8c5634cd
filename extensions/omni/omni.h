/*
** omni: a recorded run of a program as tables.
**
** What needs no replay is read here, in the host, through replay/trace.h. Everything else is done
** by a helper process (helper.h), so that the host neither traces nor ever meets a hostile ELF
** file.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_OMNI_H
#define TENFOLD_EXTENSIONS_OMNI_OMNI_H

#include "replay/trace.h"
#include "vtab/vt.h"

/* An open recording, shared by all cursors of a connection that read it. */
typedef struct OmniSource {
  struct OmniSource *next;
  Recording *recording;
  char *dir;
  char *path; /* absolute, for the helper, whose folder may be another */
  int refs;
  uint64_t stamp; /* of the file of events when it was opened */
} OmniSource;

/* Of a connection. */
typedef struct OmniState {
  char *library;       /* omni_library_path() when it was loaded, whatever the folder is now */
  char *use;           /* omni_use(), or NULL */
  OmniSource *sources; /* also some that nobody reads now: opening costs more than keeping */
  struct Helper *helpers;
  struct Helper *staying; /* the one of them that is kept for questions ... */
  struct Helper *first;   /* ... and the one that plays first halves (epoch.h), or NULL ... */
  uint64_t staying_stamp; /* ... both about the recording with this stamp */
  struct CallsAnswer *answers;
  struct ProbeKept *probes;
  int workers; /* omni_workers() */
  /* The recording with this stamp, up to this event, is not played in halves ... */
  uint64_t whole_stamp, whole_last;
  /* ... and the one with this stamp, up to this event, is, behind event `half`. */
  uint64_t half_stamp, half_last, half;
} OmniState;

/* The recording in `dir`, or in the one that omni_use() named when dir is NULL. Release it. */
bool omni_source_open(OmniState *state, const char *dir, OmniSource **out, Fault *fault);
void omni_source_release(OmniState *state, OmniSource *source);
void omni_sources_close(OmniState *state);

/* Names of the enumerations in trace.h as they stand in columns; NULL: unknown. */
const char *omni_event_name(int kind);
const char *omni_trap_name(int nr);
const char *omni_chunk_name(int kind);

/* "SIGTERM" for 15, "SIGRT34" for 34, in `out`; NULL: there is no such signal. */
enum { SIGNAL_NAME = 24 };
const char *omni_signal_name(int signal, char out[SIGNAL_NAME]);

/* Absolute path of this shared object (to be freed), or NULL when it has none of its own. False: no
** memory. */
bool omni_library_path(char **out);

extern const VtTable omni_events_table;
extern const VtTable omni_chunks_table;
extern const VtTable omni_syscalls_table;
extern const VtTable omni_signals_table;
extern const VtTable omni_io_table;
extern const VtTable omni_stdout_table;
extern const VtTable omni_stderr_table;
extern const VtTable omni_files_table;
extern const VtTable omni_threads_table;
extern const VtTable omni_processes_table;
extern const VtTable omni_maps_table;
extern const VtTable omni_modules_table;
extern const VtTable omni_meta_table;
extern const VtTable omni_recordings_table;
extern const VtTable omni_calls_table;
extern const VtTable omni_functions_table;
extern const VtTable omni_regs_table;
extern const VtTable omni_mem_table;
extern const VtTable omni_stack_table;
extern const VtTable omni_vars_table;
extern const VtTable omni_eval_table;
extern const VtTable omni_globals_table;
extern const VtTable omni_types_table;
extern const VtTable omni_params_table;
extern const VtTable omni_lines_table;
extern const VtTable omni_probe_table;
extern const VtTable omni_lines_hit_table;
extern const VtTable omnitable_table;
extern const VtTable omni_folded_table;
extern const VtTable omni_writes_table;
extern const VtTable omni_diff_table;

#endif
