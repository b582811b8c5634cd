/*
** Pages of documentation as tests: see fixture.h.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/runner/file.h"
#include "test/runner/fixture.h"
#include "test/runner/judge.h"
#include "test/runner/run.h"
#include "test/runner/scene.h"
#include "test/runner/tap.h"

/* A ```sql block, and the ```text block behind it when there is one. */
typedef struct Block {
  const char *sql, *sql_end;
  const char *golden, *golden_end; /* NULL: none */
  int line;                        /* of the ```sql */
} Block;

static const char *next_line(const char *text) {
  text += strcspn(text, "\n");
  return text + (*text == '\n');
}

static bool fence(const char *line, const char *language) {
  size_t length = strlen(language);
  return strncmp(line, "```", 3) == 0 && strncmp(line + 3, language, length) == 0 &&
         strchr("\n ", line[3 + length]);
}

static const char *fence_end(const char *line) {
  while (*line && !fence(line, "")) line = next_line(line);
  return line;
}

static int lines_between(const char *from, const char *to) {
  int count = 0;
  for (; from < to; from++) count += *from == '\n';
  return count;
}

/* The next block to run at or after `at`. */
static bool find_block(const char *page, const char *at, Block *out) {
  for (;; at = next_line(at)) {
    if (!*at) return false;
    if (strncmp(at, "```", 3) != 0) continue;
    bool wanted = fence(at, "sql") && strncmp(at, "```sql no-run", 13) != 0;
    const char *body = next_line(at), *end = fence_end(body);
    if (wanted) {
      *out = (Block){.sql = body, .sql_end = end, .line = 1 + lines_between(page, at)};
      break;
    }
    at = end;
    if (!*at) return false;
  }
  const char *behind = next_line(out->sql_end);
  while (*behind == '\n') behind++;
  if (fence(behind, "text")) {
    out->golden = next_line(behind);
    out->golden_end = fence_end(out->golden);
  }
  return true;
}

static char *copy(const char *from, const char *to) { return strndup(from, (size_t)(to - from)); }

static bool has_error(const char *output) {
  return script_find(output, "! ") || script_find(output, "? ");
}

static void check_block(const Block *block, const char *output, Text *why) {
  if (!block->golden) {
    if (has_error(output)) text_add(why, output);
    return;
  }
  char *golden = copy(block->golden, block->golden_end);
  if (golden) judge_equal(golden, output, why);
  free(golden);
}

/* Runs every block; with `rewritten` the page with new answers is built there, else each block is
** compared. */
static void run_page(const char *path, const char *page, Mode mode, const FixtureOptions *options,
                     Text *rewritten) {
  Stage *stage = stage_open(mode, options->folder, true);
  if (!stage) return;
  Block block;
  const char *at = page, *written = page;
  char name[400];
  while (find_block(page, at, &block)) {
    Text why = {0};
    snprintf(name, sizeof name, "%s:%d [%s]", path, block.line, mode_names[mode]);
    tap_running(name, 0);
    char *script = copy(block.sql, block.sql_end);
    if (script) stage_run(stage, script, false);
    free(script);
    if (rewritten && block.golden) {
      text_addn(rewritten, written, (size_t)(block.golden - written));
      text_add(rewritten, stage_output(stage));
      written = block.golden_end;
    } else if (!rewritten) {
      check_block(&block, stage_output(stage), &why);
      tap_result(why.length == 0, name, text_get(&why));
    }
    stage_clear(stage);
    text_finish(&why);
    at = next_line(block.golden ? block.golden_end : block.sql_end);
  }
  if (rewritten) text_add(rewritten, written);
  Text trouble = {0};
  stage_close(stage, &trouble);
  snprintf(name, sizeof name, "%s closes [%s]", path, mode_names[mode]);
  if (!rewritten || trouble.length) tap_result(!trouble.length, name, text_get(&trouble));
  text_finish(&trouble);
}

void markdown_run(const char *path, const FixtureOptions *options) {
  char *page = file_read(path);
  Text why = {0}, rewritten = {0};
  Scene scene = {0};
  bool ok = page && scene_open(&scene, page, options->folder, &why);
  if (!ok) {
    tap_result(false, path, page ? text_get(&why) : "cannot be read");
  } else if (options->update) {
    run_page(path, page, MODE_PLAIN, options, &rewritten);
  } else {
    for (int mode = MODE_PLAIN; mode <= MODE_UNTRUSTED; mode++) {
      if (options->modes & 1u << mode) run_page(path, page, (Mode)mode, options, NULL);
    }
  }
  scene_close(&scene); /* before the page is written: the path may be relative */
  if (ok && options->update) {
    tap_result(!rewritten.oom && file_write(path, text_get(&rewritten)), path, NULL);
  }
  text_finish(&rewritten);
  text_finish(&why);
  free(page);
}
