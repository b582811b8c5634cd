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
#include "test/runner/session.h"

const char *const mode_names[MODES] = {"plain", "untrusted", "oom"};

enum { MAX_DEPTH = 8 };

/* ---- connections and extensions */

static void load(Session *session, sqlite3 *db, const char *name) {
  char path[4096];
  char *message = NULL;
  snprintf(path, sizeof path, "%s/%s.so", session->folder, name);
  /* In memory beforehand, and for good: then a refused allocation meets the extension's own code,
  ** not the loader's, and leak reports have symbols. */
  if (!dlopen(path, RTLD_NOW | RTLD_NOLOAD)) dlopen(path, RTLD_NOW);
  sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, NULL);
  failing_resume();
  int rc = sqlite3_load_extension(db, path, NULL, &message);
  failing_pause();
  if (rc != SQLITE_OK) session_error(session, rc, message);
  sqlite3_free(message);
}

static void load_words(Session *session, char *words) {
  sqlite3 *db = session->connections[session->current].db;
  char *rest = NULL;
  for (char *word = strtok_r(words, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
    if (session->starved) return;
    if (session->nloads < MAX_LOADS && strlen(word) < NAME_SIZE) {
      strcpy(session->loads[session->nloads++], word);
    }
    load(session, db, word);
  }
}

static bool complain(Session *session, const char *what, const char *detail) {
  text_addf(&session->output, "? %s: %s\n", what, detail);
  return false;
}

/* Make the connection of that name the current one, opening it when new. */
static bool connect_to(Session *session, const char *name) {
  for (int i = 0; i < session->nconnections; i++) {
    if (strcmp(session->connections[i].name, name) == 0) {
      session->current = i;
      return true;
    }
  }
  if (session->nconnections == MAX_CONNECTIONS || strlen(name) >= NAME_SIZE) {
    return complain(session, "too many connections", name);
  }
  char path[NAME_SIZE + 16] = ":memory:";
  if (session->scratch[0]) snprintf(path, sizeof path, "%s/test.db", session->scratch);
  sqlite3 *db = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK) {
    sqlite3_close(db);
    return complain(session, "cannot open", path);
  }
  if (session->mode == MODE_UNTRUSTED) {
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
  }
  session->current = session->nconnections++;
  strcpy(session->connections[session->current].name, name);
  session->connections[session->current].db = db;
  for (int i = 0; i < session->nloads && !session->starved; i++) load(session, db, session->loads[i]);
  return true;
}

/* ---- directives */

static bool use_file(Session *session, const char *kind) {
  if (strcmp(kind, "file") != 0) return complain(session, "unknown kind of database", kind);
  if (session->scratch[0]) return true;
  if (session->nconnections) return complain(session, "database", "must come before the first use");
  strcpy(session->scratch, "/tmp/sqltest-XXXXXX");
  if (mkdtemp(session->scratch)) return true;
  session->scratch[0] = '\0';
  return complain(session, "cannot make a folder in", "/tmp");
}

static bool add_mask(Session *session, const char *regex) {
  if (session->nmasks == MAX_MASKS) return complain(session, "too many masks", regex);
  if (regcomp(&session->masks[session->nmasks], regex, REG_EXTENDED | REG_NEWLINE) != 0) {
    return complain(session, "not a regular expression", regex);
  }
  session->nmasks++;
  return true;
}

static bool run_script(Session *session, const char *script);

static bool read_script(Session *session, const char *path) {
  char *script = file_read(path);
  if (!script || session->depth == MAX_DEPTH) {
    free(script);
    return complain(session, "cannot read", path);
  }
  session->depth++;
  bool ok = run_script(session, script);
  session->depth--;
  free(script);
  return ok;
}

static bool directive(Session *session, const char *name, char *value) {
  if (strcmp(name, "database") == 0) return use_file(session, value);
  if (strcmp(name, "mode") == 0) return true; /* see script_modes */
  if (strcmp(name, "connection") == 0) return connect_to(session, value);
  if (!session->nconnections && !connect_to(session, "main")) return false;
  if (strcmp(name, "load") == 0) {
    load_words(session, value);
  } else if (strcmp(name, "sort") == 0) {
    session->sort = true;
  } else if (strcmp(name, "header") == 0) {
    session->header = true;
  } else if (strcmp(name, "mask") == 0) {
    return add_mask(session, value);
  } else if (strcmp(name, "interrupt-after") == 0) {
    session->interrupt_after = atoi(value);
  } else if (strcmp(name, "progress-limit") == 0) {
    session->progress_limit = atoi(value);
  } else {
    return complain(session, "unknown directive", name);
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
static bool dot_command(Session *session, char *line) {
  char *name = strtok(line, " ");
  char *value = strtok(NULL, " ");
  if (value && strcmp(name, ".load") == 0) {
    char *slash = strrchr(value, '/');
    return directive(session, "load", slash ? slash + 1 : value);
  }
  if (value && strcmp(name, ".read") == 0) return read_script(session, value);
  return complain(session, "unknown command", name);
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

static bool execute_all(Session *session, char *sql) {
  if (!session->nconnections && !connect_to(session, "main")) return false;
  while (!blank(sql) && !session->starved) {
    size_t length = statement_length(sql);
    session_execute(session, sql, length);
    sql += length;
  }
  return true;
}

static bool run_line(Session *session, Text *pending, char *line) {
  char *name, *value;
  if (blank(text_get(pending))) {
    if (line[0] == '.') return dot_command(session, line);
    if (parse_directive(line, &name, &value)) return directive(session, name, value);
  }
  text_addf(pending, "%s\n", line);
  if (!strchr(line, ';') || !sqlite3_complete(text_get(pending))) return true;
  bool ok = execute_all(session, pending->data);
  text_clear(pending);
  return ok;
}

static bool run_script(Session *session, const char *script) {
  Text pending = {0};
  bool ok = true;
  while (ok && *script && !session->starved) {
    size_t length = strcspn(script, "\n");
    char *line = strndup(script, length);
    ok = line && run_line(session, &pending, line);
    free(line);
    script += length + (script[length] == '\n');
  }
  if (ok && !session->starved && pending.length) ok = execute_all(session, pending.data);
  text_finish(&pending);
  return ok;
}

bool session_run(Session *session, const char *script, bool counted) {
  failing_enable(counted);
  bool ok = run_script(session, script);
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

bool session_prepare(Session *session, const char *script) {
  return !script_find(script, "-- database: file") || use_file(session, "file");
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

/* ---- life of a session */

Session *session_open(Mode mode, const char *folder, bool raw) {
  Session *session = calloc(1, sizeof *session);
  if (!session) return NULL;
  session->mode = mode;
  session->folder = folder;
  session->raw = raw;
  session->before = residue_take();
  return session;
}

const char *session_output(Session *session) {
  text_clear(&session->masked);
  text_add(&session->masked, text_get(&session->output));
  for (int i = 0; i < session->nmasks; i++) {
    Text next = {0};
    regmatch_t match;
    const char *at = text_get(&session->masked);
    while (regexec(&session->masks[i], at, 1, &match, 0) == 0 && match.rm_eo > match.rm_so) {
      text_addn(&next, at, (size_t)match.rm_so);
      text_add(&next, "*");
      at += match.rm_eo;
    }
    text_add(&next, at);
    text_finish(&session->masked);
    session->masked = next;
  }
  return text_get(&session->masked);
}

bool session_starved(const Session *session) { return session->starved; }

void session_clear(Session *session) { text_clear(&session->output); }

static void remove_scratch(const Session *session) {
  static const char *const suffixes[] = {"", "-journal", "-wal", "-shm"};
  char path[NAME_SIZE + 32];
  if (!session->scratch[0]) return;
  for (size_t i = 0; i < countof(suffixes); i++) {
    snprintf(path, sizeof path, "%s/test.db%s", session->scratch, suffixes[i]);
    unlink(path);
  }
  rmdir(session->scratch);
}

void session_close(Session *session, Text *trouble) {
  for (int i = session->nconnections - 1; i >= 0; i--) {
    int rc = sqlite3_close(session->connections[i].db);
    if (rc == SQLITE_OK) continue;
    text_addf(trouble, "sqlite3_close() is %d: %s\n", rc, sqlite3_errmsg(session->connections[i].db));
    sqlite3_close_v2(session->connections[i].db);
  }
  remove_scratch(session);
  for (int i = 0; i < session->nmasks; i++) regfree(&session->masks[i]);
  residue_compare(&session->before, trouble);
  text_finish(&session->output);
  text_finish(&session->masked);
  free(session);
}
