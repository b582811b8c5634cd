/*
** Running scripts: see run.h.
*/
#define _GNU_SOURCE
#include "test/runner/run.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "test/runner/failing.h"
#include "test/runner/file.h"
#include "test/runner/scene.h"
#include "test/runner/stage.h"

const char *const mode_names[MODES] = {"plain", "untrusted", "oom"};

enum { MAX_DEPTH = 8 };

/* ---- connections and extensions */

static void load(Stage *stage, sqlite3 *db, const char *name) {
  char path[4096];
  char *message = NULL;
  snprintf(path, sizeof path, "%s/%s.so", stage->folder, name);
  /* In memory beforehand, and for good: then a refused allocation meets the extension's own code,
  ** not the loader's, and leak reports have symbols. */
  if (!dlopen(path, RTLD_NOW | RTLD_NOLOAD)) dlopen(path, RTLD_NOW);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  failing_resume();
  int rc = sqlite3_load_extension(db, path, NULL, &message);
  failing_pause();
  if (rc != SQLITE_OK) stage_error(stage, rc, message);
  sqlite3_free(message);
}

static void load_words(Stage *stage, char *words) {
  sqlite3 *db = stage->connections[stage->current].db;
  char *rest = NULL;
  for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
    if (stage->starved) return;
    if (stage->nloads < MAX_LOADS && strlen(word) < NAME_SIZE) {
      strcpy(stage->loads[stage->nloads++], word);
    }
    load(stage, db, word);
  }
}

static bool complain(Stage *stage, const char *what, const char *detail) {
  text_addf(&stage->output, "? %s: %s\n", what, detail);
  return false;
}

/* Make the connection of that name the current one, opening it when new. */
static bool connect_to(Stage *stage, const char *name) {
  for (int i = 0; i < stage->nconnections; i++) {
    if (strcmp(stage->connections[i].name, name) == 0) {
      stage->current = i;
      return true;
    }
  }
  if (stage->nconnections == MAX_CONNECTIONS || strlen(name) >= NAME_SIZE) {
    return complain(stage, "too many connections", name);
  }
  char path[NAME_SIZE + 16] = ":memory:";
  if (stage->scratch[0]) snprintf(path, sizeof path, "%s/test.db", stage->scratch);
  sqlite3 *db = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK) {
    sqlite3_close(db);
    return complain(stage, "cannot open", path);
  }
  if (stage->mode == MODE_UNTRUSTED) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  }
  stage->current = stage->nconnections++;
  strcpy(stage->connections[stage->current].name, name);
  stage->connections[stage->current].db = db;
  for (int i = 0; i < stage->nloads && !stage->starved; i++) load(stage, db, stage->loads[i]);
  return true;
}

/* ---- directives */

static bool use_file(Stage *stage, const char *kind) {
  if (strcmp(kind, "file") != 0) return complain(stage, "unknown kind of database", kind);
  if (stage->scratch[0]) return true;
  if (stage->nconnections) return complain(stage, "database", "must come before the first use");
  strcpy(stage->scratch, "/tmp/sqltest-XXXXXX");
  if (mkdtemp(stage->scratch)) return true;
  stage->scratch[0] = '\0';
  return complain(stage, "cannot make a folder in", "/tmp");
}

static bool add_mask(Stage *stage, const char *regex) {
  if (stage->nmasks == MAX_MASKS) return complain(stage, "too many masks", regex);
  if (regcomp(&stage->masks[stage->nmasks], regex, REG_EXTENDED | REG_NEWLINE) != 0) {
    return complain(stage, "not a regular expression", regex);
  }
  stage->nmasks++;
  return true;
}

static bool run_script(Stage *stage, const char *script);

static bool read_script(Stage *stage, const char *path) {
  char *script = file_read(path);
  if (!script || stage->depth == MAX_DEPTH) {
    free(script);
    return complain(stage, "cannot read", path);
  }
  stage->depth++;
  bool ok = run_script(stage, script);
  stage->depth--;
  free(script);
  return ok;
}

static bool directive(Stage *stage, const char *name, char *value) {
  if (strcmp(name, "database") == 0) return use_file(stage, value);
  if (strcmp(name, "mode") == 0) return true;  /* see script_modes */
  if (strcmp(name, "shell") == 0) return true; /* see scene.h */
  if (strcmp(name, "connection") == 0) return connect_to(stage, value);
  if (!stage->nconnections && !connect_to(stage, "main")) return false;
  if (strcmp(name, "load") == 0) {
    load_words(stage, value);
  } else if (strcmp(name, "sort") == 0) {
    stage->sort = true;
  } else if (strcmp(name, "header") == 0) {
    stage->header = true;
  } else if (strcmp(name, "mask") == 0) {
    return add_mask(stage, value);
  } else if (strcmp(name, "interrupt-after") == 0) {
    stage->interrupt_after = atoi(value);
  } else if (strcmp(name, "progress-limit") == 0) {
    stage->progress_limit = atoi(value);
  } else {
    return complain(stage, "unknown directive", name);
  }
  return true;
}

/* `-- name: value` or `-- name` of lower-case letters and dashes. Other comments are SQL's. */
static bool parse_directive(char *line, char **name, char **value) {
  if (strncmp(line, "-- ", 3) != 0) return false;
  char *end = line + 3;
  while (islower((unsigned char)*end) || *end == '-') end++;
  *name = line + 3;
  if (end == line + 3) return false;
  if (*end == '\0') {
    *value = end;
    return strcmp(*name, "sort") == 0 || strcmp(*name, "header") == 0;
  }
  if (*end != ':') return false;
  *end++ = '\0';
  *value = end + strspn(end, " ");
  return true;
}

/* .load and .read, as in the shell. */
static bool dot_command(Stage *stage, char *line) {
  char *name = strtok(line, " ");
  char *value = strtok(NULL, " ");
  if (value && strcmp(name, ".load") == 0) {
    char *slash = strrchr(value, '/');
    return directive(stage, "load", slash ? slash + 1 : value);
  }
  if (value && strcmp(name, ".read") == 0) return read_script(stage, value);
  return complain(stage, "unknown command", name);
}

/* ---- scripts */

/* Nothing but white space and comments. */
static bool blank(const char *text) {
  for (;;) {
    text += strspn(text, " \t\n");
    if (strncmp(text, "--", 2) != 0) return *text == '\0';
    text += strcspn(text, "\n");
  }
}

/* Where the first statement of the text ends: after the semicolon that completes it. */
static size_t statement_length(char *sql) {
  for (char *semicolon = strchr(sql, ';'); semicolon; semicolon = strchr(semicolon + 1, ';')) {
    char next = semicolon[1];
    semicolon[1] = '\0';
    int complete = sqlite3_complete(sql);
    semicolon[1] = next;
    if (complete) return (size_t)(semicolon + 1 - sql);
  }
  return strlen(sql);
}

static bool execute_all(Stage *stage, char *sql) {
  if (!stage->nconnections && !connect_to(stage, "main")) return false;
  while (!blank(sql) && !stage->starved) {
    size_t length = statement_length(sql);
    stage_execute(stage, sql, length);
    sql += length;
  }
  return true;
}

static bool run_line(Stage *stage, Text *pending, char *line) {
  char *name, *value;
  if (blank(text_get(pending))) {
    if (line[0] == '.') return dot_command(stage, line);
    if (parse_directive(line, &name, &value)) return directive(stage, name, value);
  }
  text_addf(pending, "%s\n", line);
  if (!strchr(line, ';') || !sqlite3_complete(text_get(pending))) return true;
  bool ok = execute_all(stage, pending->data);
  text_clear(pending);
  return ok;
}

static bool run_script(Stage *stage, const char *script) {
  Text pending = {0};
  bool ok = true;
  while (ok && *script && !stage->starved) {
    size_t length = strcspn(script, "\n");
    char *line = strndup(script, length);
    ok = line && run_line(stage, &pending, line);
    free(line);
    script += length + (script[length] == '\n');
  }
  if (ok && !stage->starved && pending.length) ok = execute_all(stage, pending.data);
  text_finish(&pending);
  return ok;
}

bool stage_run(Stage *stage, const char *script, bool counted) {
  failing_enable(counted);
  bool ok = run_script(stage, script);
  failing_enable(false);
  return ok;
}

const char *script_find(const char *script, const char *start) {
  size_t length = strlen(start);
  for (; *script; script += strcspn(script, "\n"), script += *script == '\n') {
    if (strncmp(script, start, length) == 0) return script;
  }
  return NULL;
}

bool stage_prepare(Stage *stage, const char *script) {
  return !script_find(script, "-- database: file") || use_file(stage, "file");
}

unsigned script_modes(const char *script, unsigned otherwise) {
  const char *line = script_find(script, "-- mode:");
  if (!line) return otherwise;
  char words[256];
  unsigned modes = 0;
  line += strcspn(line, ":") + 1;
  snprintf(words, sizeof words, "%.*s", (int)strcspn(line, "\n"), line);
  char *rest = NULL;
  for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
    unsigned found = 0;
    for (int i = 0; i < MODES; i++) {
      if (strcmp(word, mode_names[i]) == 0) found = 1u << i;
    }
    if (!found && strcmp(word, "only") != 0) return 0;
    modes |= found;
  }
  return modes;
}

/* ---- life of a stage */

Stage *stage_open(Mode mode, const char *folder, bool raw) {
  Stage *stage = calloc(1, sizeof *stage);
  if (!stage) return NULL;
  stage->mode = mode;
  stage->folder = folder;
  stage->raw = raw;
  scene_enter();
  stage->before = residue_take();
  return stage;
}

const char *stage_output(Stage *stage) {
  text_clear(&stage->masked);
  text_add(&stage->masked, text_get(&stage->output));
  for (int i = 0; i < stage->nmasks; i++) {
    Text next = {0};
    regmatch_t match;
    const char *at = text_get(&stage->masked);
    while (regexec(&stage->masks[i], at, 1, &match, 0) == 0 && match.rm_eo > match.rm_so) {
      text_addn(&next, at, (size_t)match.rm_so);
      text_add(&next, "*");
      at += match.rm_eo;
    }
    text_add(&next, at);
    text_finish(&stage->masked);
    stage->masked = next;
  }
  return text_get(&stage->masked);
}

bool stage_starved(const Stage *stage) { return stage->starved; }

void stage_clear(Stage *stage) { text_clear(&stage->output); }

static void remove_scratch(const Stage *stage) {
  static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
  char path[NAME_SIZE + 32];
  if (!stage->scratch[0]) return;
  for (size_t i = 0; i < countof(suffixes); i++) {
    snprintf(path, sizeof path, "%s/test.db%s", stage->scratch, suffixes[i]);
    unlink(path);
  }
  rmdir(stage->scratch);
}

void stage_close(Stage *stage, Text *trouble) {
  for (int i = stage->nconnections - 1; i >= 0; i--) {
    int rc = sqlite3_close(stage->connections[i].db);
    if (rc == SQLITE_OK) continue;
    text_addf(trouble, "sqlite3_close() is %d: %s\n", rc, sqlite3_errmsg(stage->connections[i].db));
    sqlite3_close_v2(stage->connections[i].db);
  }
  remove_scratch(stage);
  scene_leave();
  for (int i = 0; i < stage->nmasks; i++) regfree(&stage->masks[i]);
  residue_compare(&stage->before, trouble);
  text_finish(&stage->output);
  text_finish(&stage->masked);
  free(stage);
}
