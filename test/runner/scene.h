/*
** A folder in which scripts run, set up once by shell commands:
**
**   -- shell: gcc -o hello $ROOT/test/omni/hello.c && $BUILD/omni.so record -o hello.omni --
** ./hello
**
** in the part of a fixture before its first case, or anywhere in a page (in a comment, say). ROOT
** is the repository, BUILD the folder of the extensions, both absolute. Every run of a case begins
** in an empty folder beside what was made, so `../hello.omni` above. All of it is removed at the
** end. Fixtures and pages without such a line stay in the repository's root.
*/
#ifndef TENFOLD_TEST_RUNNER_SCENE_H
#define TENFOLD_TEST_RUNNER_SCENE_H

#include <stdbool.h>

#include "base/text.h"

typedef struct Scene {
  char *folder, *back; /* of the scene; where we came from */
} Scene;

/* Runs the commands of the preamble. False: one failed, which `why` then says; close it all the
** same. `extensions` becomes BUILD. */
bool scene_open(Scene *scene, const char *preamble, const char *extensions, Text *why);
void scene_close(Scene *scene);

/* Into an empty folder, and out of it again. Nothing happens without an open scene. */
void scene_enter(void);
void scene_leave(void);

#endif
