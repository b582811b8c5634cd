/*
** Scenes: see scene.h.
*/
#define _GNU_SOURCE /* nftw */
#include "test/runner/scene.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "test/runner/run.h"

static const char mark[] = "-- shell: ", place[] = "case";
static bool is_open;

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
  (void)walk;
  if (type == FTW_D || type == FTW_DP) return rmdir(path);
  (void)info;
  return unlink(path);
}

/* What the commands left running may still write there, until it sees that the folder is gone. */
static void remove_tree(const char *path) {
  const struct timespec pause = {0, 50000000};
  for (int i = 0; i < 40 && access(path, F_OK) == 0; i++) {
    if (i) nanosleep(&pause, NULL);
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
  }
}

/* Standard output is where tests report. */
static bool run_command(const char *line, Text *why) {
  Text command = {0};
  text_addf(&command, "{ %.*s; } >&2", (int)strcspn(line, "\n"), line);
  int status = command.oom ? -1 : system(command.data);
  if (status != 0) text_addf(why, "status %d of: %s\n", status, text_get(&command));
  text_finish(&command);
  return status == 0;
}

bool scene_open(Scene *scene, const char *preamble, const char *extensions, Text *why) {
  *scene = (Scene){0};
  const char *line = script_find(preamble, mark);
  if (!line) return true;
  char folder[] = "/tmp/sqltest-XXXXXX", *build = realpath(extensions, NULL);
  scene->back = realpath(".", NULL);
  scene->folder = mkdtemp(folder) ? strdup(folder) : NULL;
  bool ok = build && scene->back && scene->folder && chdir(folder) == 0;
  if (!ok) text_add(why, "no folder for its commands can be made\n");
  if (ok) {
    setenv("BUILD", build, 1);
    setenv("ROOT", scene->back, 1);
    is_open = true;
  }
  free(build);
  for (; ok && line; line = script_find(line + 1, mark)) {
    ok = run_command(line + strlen(mark), why);
  }
  return ok;
}

void scene_close(Scene *scene) {
  if (scene->back && chdir(scene->back) != 0) abort(); /* everything after it would be wrong */
  if (scene->folder) remove_tree(scene->folder);
  free(scene->folder);
  free(scene->back);
  *scene = (Scene){0};
  is_open = false;
}

void scene_enter(void) {
  if (is_open && (mkdir(place, 0777) != 0 || chdir(place) != 0)) abort();
}

void scene_leave(void) {
  if (!is_open) return;
  if (chdir("..") != 0) abort();
  remove_tree(place);
}
