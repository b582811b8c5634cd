/*
** Running one script on a fresh database and writing down what SQLite answers.
**
** A script is SQL with directives, each a comment on a line of its own between two statements:
**   -- load: weave viz           load these extensions
**   -- mode: plain only          the modes to run in (plain, untrusted, oom); `only` is optional
**   -- database: file            a database in a file instead of memory; at the top
**   -- connection: other         go on in another connection, opened at first mention
**   -- sort                      rows of every statement from here on are sorted
**   -- header                    column names are printed from here on
**   -- mask: REGEX               what matches (POSIX extended) is printed as * in the whole output
**   -- interrupt-after: 50       interrupt the next statement after 50 ms; it must end within 1 s
**   -- progress-limit: 50        a progress handler stops the next statement after 50 ms, likewise
**   -- shell: COMMAND            see scene.h; before the first case of a fixture
**   .load ./weave                what the documentation says, the same as -- load: weave
**   .read path/to/script.sql     run another script here
** Rows are values joined with |, NULL as NULL, REAL with 12 significant digits; text is quoted as
** in SQL where it could be taken for something else. An error is `! CODE MESSAGE`.
*/
#ifndef TENFOLD_TEST_RUNNER_RUN_H
#define TENFOLD_TEST_RUNNER_RUN_H

#include <stdbool.h>

#include "base/text.h"

typedef enum Mode { MODE_PLAIN, MODE_UNTRUSTED, MODE_OOM, MODES } Mode;

extern const char *const mode_names[MODES];

/* The modes a script wants, as a set of 1 << Mode; those of `otherwise` when it does not say. An
** unknown word gives 0. */
unsigned script_modes(const char *script, unsigned otherwise);

/* The first line of the script that begins so; NULL: none. */
const char *script_find(const char *script, const char *start);

typedef struct Stage Stage;

/* A stage is where scripts are played: connections, what they load, what came out. Extensions come
** from `folder`. `raw` prints text unquoted, as pages of documentation do. The strings must outlive
** the stage. NULL when out of memory. */
Stage *stage_open(Mode mode, const char *folder, bool raw);

/* Heed a later script's wish for a database in a file, before anything else is run. */
bool stage_prepare(Stage *stage, const char *script);

/* Run a script, appending to the stage's output. `counted`: let the failing allocator count and
** refuse meanwhile. False when the script itself is wrong (unknown directive, missing file), which
** is then said in the output as `? MESSAGE`. */
bool stage_run(Stage *stage, const char *script, bool counted);

/* The output so far, masked; owned by the stage. Whether an answer was "out of memory", after
** which nothing more was run. */
const char *stage_output(Stage *stage);
bool stage_starved(const Stage *stage);

/* Forget the output so far. */
void stage_clear(Stage *stage);

/* Close everything. What does not go away properly is added to `trouble`, a line each. */
void stage_close(Stage *stage, Text *trouble);

#endif
