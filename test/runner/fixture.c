/*
** Running fixtures: see fixture.h.
*/
#include "test/runner/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "test/runner/file.h"
#include "test/runner/judge.h"
#include "test/runner/residue.h"
#include "test/runner/run.h"
#include "test/runner/scene.h"
#include "test/runner/starve.h"
#include "test/runner/tap.h"

static const char section_mark[] = "-- case: ";

bool fixture_open(Fixture *fixture, const char *path) {
  *fixture = (Fixture){.preamble = "", .content = file_read(path)};
  if (!fixture->content) return false;
  fixture->preamble = fixture->content;
  char *next;
  for (char *line = fixture->content; *line; line = next) {
    char *end = line + strcspn(line, "\n");
    next = end + (*end == '\n');
    if (strncmp(line, section_mark, strlen(section_mark)) != 0) continue;
    if (!array_grow(fixture->sections, fixture->capacity, fixture->count + 1)) return false;
    *line = *end = '\0'; /* ends the section before as well */
    fixture->sections[fixture->count++] = (Section){line + strlen(section_mark), next};
  }
  return true;
}

const Section *fixture_find(const Fixture *fixture, const char *name) {
  for (size_t i = 0; i < fixture->count; i++) {
    if (strcmp(fixture->sections[i].name, name) == 0) return &fixture->sections[i];
  }
  return NULL;
}

void fixture_close(Fixture *fixture) {
  free(fixture->sections);
  free(fixture->content);
  *fixture = (Fixture){0};
}

/* Runs the preamble, whose rows nobody compares but which must not fail. */
static bool prepare(Stage *stage, const char *preamble, Text *trouble) {
  bool ok = stage_run(stage, preamble, false);
  const char *output = stage_output(stage);
  if (!ok || script_find(output, "! ")) {
    text_addf(trouble, "before the first case:\n%s", output);
  }
  stage_clear(stage);
  return ok;
}

/* The output of one case, to be freed; troubles are added. */
static char *answer(const char *preamble, const char *script, Mode mode, const char *folder,
                    Text *trouble) {
  Stage *stage = stage_open(mode, folder, false);
  char *output = NULL;
  if (!stage) return NULL;
  if (stage_prepare(stage, script) && prepare(stage, preamble, trouble)) {
    stage_run(stage, script, false);
    output = strdup(stage_output(stage));
    const char *wrong = output ? script_find(output, "? ") : NULL; /* whatever the golden says */
    if (wrong) text_addf(trouble, "%.*s\n", (int)strcspn(wrong, "\n"), wrong);
  }
  stage_close(stage, trouble);
  return output;
}

static void run_case(const Fixture *fixture, const Section *section, const Section *golden,
                     Mode mode, const FixtureOptions *options) {
  char name[400];
  Text why = {0};
  snprintf(name, sizeof name, "%s [%s]", section->name, mode_names[mode]);
  tap_running(name, 0);
  if (!golden) {
    text_add(&why, "not in the .expected file\n");
  } else if (mode == MODE_OOM) {
    starve_case(fixture->preamble, section->text, golden->text, options, &why);
  } else {
    char *output = answer(fixture->preamble, section->text, mode, options->folder, &why);
    if (output) judge_equal(golden->text, output, &why);
    free(output);
  }
  if (mode == MODE_PLAIN || mode == MODE_OOM) residue_leaks(&why);
  tap_result(why.length == 0, name, text_get(&why));
  text_finish(&why);
}

/* Loading alone, with every allocation of the entry point refused once. */
static void run_loading(const Fixture *fixture, const FixtureOptions *options) {
  const char *line = script_find(fixture->preamble, "-- load:");
  if (!line) return;
  char *script = strndup(line, strcspn(line, "\n"));
  if (!script) return;
  Text why = {0};
  tap_running("loading [oom]", 0);
  starve_case("", script, "", options, &why);
  tap_result(why.length == 0, "loading [oom]", text_get(&why));
  text_finish(&why);
  free(script);
}

static void update(const char *path, const Fixture *fixture, const FixtureOptions *options) {
  Text content = {0}, trouble = {0};
  Scene scene;
  bool ok = scene_open(&scene, fixture->preamble, options->folder, &trouble);
  for (size_t i = 0; ok && i < fixture->count; i++) {
    const Section *section = &fixture->sections[i];
    unsigned modes = script_modes(section->text, script_modes(fixture->preamble, ~0u));
    Mode mode = modes & (1u << MODE_PLAIN) ? MODE_PLAIN : MODE_UNTRUSTED;
    char *output = answer(fixture->preamble, section->text, mode, options->folder, &trouble);
    text_addf(&content, "%s%s\n%s", section_mark, section->name, output ? output : "");
    free(output);
  }
  scene_close(&scene);
  ok = ok && file_write(path, text_get(&content));
  tap_result(ok && !trouble.length, path, text_get(&trouble));
  text_finish(&trouble);
  text_finish(&content);
}

/* What makes a pair of files unfit to be a test. */
static void check_names(const Fixture *fixture, const Fixture *golden, Text *why) {
  if (!fixture->count) text_add(why, "no cases\n");
  if (!script_modes(fixture->preamble, 1)) text_add(why, "unknown mode\n");
  for (size_t i = 0; i < fixture->count; i++) {
    const Section *section = &fixture->sections[i];
    if (fixture_find(fixture, section->name) != section) {
      text_addf(why, "two cases are named \"%s\"\n", section->name);
    }
    if (!script_modes(section->text, 1)) text_addf(why, "unknown mode in \"%s\"\n", section->name);
  }
  for (size_t i = 0; i < golden->count; i++) {
    if (fixture_find(fixture, golden->sections[i].name)) continue;
    text_addf(why, "no case \"%s\"\n", golden->sections[i].name);
  }
}

static void run_cases(const Fixture *fixture, const Fixture *golden,
                      const FixtureOptions *options) {
  unsigned wanted = script_modes(fixture->preamble, ~0u);
  Text why = {0};
  Scene scene;
  if (!scene_open(&scene, fixture->preamble, options->folder, &why)) {
    tap_result(false, "the commands before the first case", text_get(&why));
  } else {
    if (options->modes & wanted & (1u << MODE_OOM)) run_loading(fixture, options);
    for (size_t i = 0; i < fixture->count; i++) {
      const Section *section = &fixture->sections[i];
      unsigned modes = options->modes & script_modes(section->text, wanted);
      for (int mode = 0; mode < MODES; mode++) {
        if (!(modes & 1u << mode)) continue;
        run_case(fixture, section, fixture_find(golden, section->name), (Mode)mode, options);
      }
    }
  }
  scene_close(&scene);
  text_finish(&why);
}

static char *golden_path(const char *path) {
  size_t length = strlen(path);
  if (length < 5 || strcmp(path + length - 4, ".sql") != 0) return NULL;
  char *golden = malloc(length + 8);
  if (golden) sprintf(golden, "%.*s.expected", (int)length - 4, path);
  return golden;
}

void fixture_run(const char *path, const FixtureOptions *options) {
  Fixture fixture = {0}, golden = {0};
  Text why = {0};
  char *beside = golden_path(path);
  bool ok = beside && fixture_open(&fixture, path);
  if (!ok) text_addf(&why, "cannot read %s\n", path);
  if (ok && options->update) {
    update(beside, &fixture, options);
    goto out;
  }
  if (ok && !(ok = fixture_open(&golden, beside))) text_addf(&why, "cannot read %s\n", beside);
  if (ok) check_names(&fixture, &golden, &why);
  if (why.length) tap_result(false, path, text_get(&why));
  if (!ok) goto out;
  run_cases(&fixture, &golden, options);
out:
  fixture_close(&fixture);
  fixture_close(&golden);
  text_finish(&why);
  free(beside);
}
