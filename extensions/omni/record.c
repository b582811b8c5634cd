/*
** omni_record() and omni_verify().
**
**   SELECT omni_record('gzip.omni', 'gzip', '-k', 'big.txt');
**   SELECT omni_record('race.omni', './race', json('{"chaos": 7}'));
*/
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "extensions/omni/functions.h"
#include "extensions/omni/helper.h"
#include "replay/record.h"

/* ---- options --------------------------------------------------------------------------------- */

typedef struct Options {
  sqlite3_int64 chaos, hash, inside; /* inside < 0: not said */
  char *paths[3];                    /* stdin, stdout, stderr; NULL: not said */
} Options;

static bool set_number(sqlite3_stmt *row, const char *key, sqlite3_int64 *out, Fault *fault) {
  if (sqlite3_column_type(row, 1) == SQLITE_INTEGER && sqlite3_column_int64(row, 1) >= 0) {
    *out = sqlite3_column_int64(row, 1);
    return true;
  }
  return fault_set(fault, FAULT_INVALID, "option \"%s\" must be a whole number, not %s", key,
                   (const char *)sqlite3_column_text(row, 1));
}

static bool set_path(sqlite3_stmt *row, const char *key, char **out, Fault *fault) {
  const char *text = (const char *)sqlite3_column_text(row, 1);
  if (sqlite3_column_type(row, 1) != SQLITE_TEXT || !text || !*text) {
    return fault_set(fault, FAULT_INVALID, "option \"%s\" must be the path of a file", key);
  }
  free(*out);
  *out = strdup(text);
  return *out || fault_oom(fault);
}

static bool set_option(sqlite3_stmt *row, Options *options, Fault *fault) {
  static const char *const streams[] = {"stdin", "stdout", "stderr"};
  const char *key = (const char *)sqlite3_column_text(row, 0);
  if (!key) return fault_oom(fault);
  if (strcmp(key, "chaos") == 0) return set_number(row, key, &options->chaos, fault);
  if (strcmp(key, "hash") == 0) return set_number(row, key, &options->hash, fault);
  if (strcmp(key, "inside") == 0) return set_number(row, key, &options->inside, fault);
  for (int i = 0; i < 3; i++) {
    if (strcmp(key, streams[i]) == 0) return set_path(row, key, &options->paths[i], fault);
  }
  return fault_set(fault, FAULT_INVALID,
                   "unknown option \"%s\"; there are chaos, hash, inside, stdin, stdout, stderr",
                   key);
}

/* The last argument, when json() or its like made it: a program's argument is never taken for it.
 */
static bool read_options(VtConn *conn, sqlite3_value *value, Options *options, Fault *fault) {
  sqlite3_stmt *row = NULL;
  vt_internal_enter(conn);
  int rc = sqlite3_prepare_v2(vt_db(conn), "SELECT key, atom FROM json_each(?)", -1, &row, NULL);
  if (rc == SQLITE_OK) rc = sqlite3_bind_value(row, 1, value);
  bool ok = rc == SQLITE_OK;
  while (ok && (rc = sqlite3_step(row)) == SQLITE_ROW) ok = set_option(row, options, fault);
  if (ok && rc != SQLITE_DONE) {
    ok = fault_set(fault, rc == SQLITE_NOMEM ? FAULT_NOMEM : FAULT_INVALID, "options: %s",
                   sqlite3_errmsg(vt_db(conn)));
  }
  sqlite3_finalize(row);
  vt_internal_leave(conn);
  return ok || fault_set(fault, FAULT_NOMEM, "out of memory");
}

static void options_finish(Options *options) {
  for (int i = 0; i < 3; i++) free(options->paths[i]);
}

/* ---- omni_record ----------------------------------------------------------------------------- */

static bool put_question(Wire *wire, const Options *options, int argc, sqlite3_value **argv,
                         Fault *fault) {
  wire_begin(wire, WIRE_RECORD);
  for (int i = 0; i < argc; i++) {
    const char *text = (const char *)sqlite3_value_text(argv[i]);
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) {
      return fault_set(fault, FAULT_INVALID, "argument %d is NULL", i + 1);
    }
    if (!text) return fault_oom(fault);
    if ((size_t)sqlite3_value_bytes(argv[i]) != strlen(text)) {
      return fault_set(fault, FAULT_INVALID, "argument %d has a NUL in it", i + 1);
    }
    wire_put_text(wire, text);
    if (i > 0) continue;
    wire_put_u64(wire, (uint64_t)options->hash);
    wire_put_u64(wire, (uint64_t)options->chaos);
    wire_put_u32(wire, options->inside < 0 ? CALLS_USUAL
                       : options->inside   ? CALLS_INSIDE
                                           : CALLS_STOP);
    wire_put_text(wire, options->paths[0] ? options->paths[0] : "/dev/null");
    wire_put_text(wire, options->paths[1] ? options->paths[1] : "");
    wire_put_text(wire, options->paths[2] ? options->paths[2] : "");
    wire_put_u32(wire, (uint32_t)argc - 1);
  }
  return true;
}

static bool add_summary(Wire *wire, const char *dir, Text *json, Fault *fault) {
  char name[SIGNAL_NAME];
  int status = (int)wire_get_u32(wire);
  uint64_t events = wire_get_u64(wire), raw = wire_get_u64(wire), stored = wire_get_u64(wire);
  uint32_t threads = wire_get_u32(wire), processes = wire_get_u32(wire);
  uint64_t ns = wire_get_u64(wire);
  if (!wire_end(wire, fault)) return false;
  text_add(json, "{\"dir\":");
  text_add_json(json, dir, strlen(dir));
  if (WIFSIGNALED(status)) {
    const char *signal = omni_signal_name(WTERMSIG(status), name);
    text_addf(json, ",\"signal\":\"%s\"", signal ? signal : "?");
  } else {
    text_addf(json, ",\"exit\":%d", WEXITSTATUS(status));
  }
  text_addf(json, ",\"events\":%llu,\"processes\":%u,\"threads\":%u", (unsigned long long)events,
            processes, threads);
  text_addf(json, ",\"bytes\":%llu,\"raw\":%llu,\"seconds\":%.3f}", (unsigned long long)stored,
            (unsigned long long)raw, (double)ns / 1e9);
  return true;
}

static bool record(VtConn *conn, const Options *options, int argc, sqlite3_value **argv, Text *json,
                   Fault *fault) {
  Helper *helper = NULL;
  VtPoll poll = vt_poll_begin(conn);
  bool ok = helper_start(conn, &poll, &helper, fault) &&
            put_question(&helper->wire, options, argc, argv, fault) &&
            helper_ask(helper, -1, fault) && helper_answer(helper, &poll, fault) &&
            add_summary(&helper->wire, (const char *)sqlite3_value_text(argv[0]), json, fault);
  helper_end(helper);
  vt_poll_end(&poll);
  return ok;
}

void omni_record(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Options options = {.inside = -1};
  Fault fault = {0};
  Text json = {0};
  VtConn *conn = vt_conn(ctx);
  bool has_options = argc > 1 && sqlite3_value_subtype(argv[argc - 1]) == 'J';
  if (argc - has_options < 2) {
    func_fail(ctx, SQLITE_ERROR, "a folder and a program are wanted");
    return;
  }
  bool ok = (!has_options || read_options(conn, argv[argc - 1], &options, &fault)) &&
            record(conn, &options, argc - has_options, argv, &json, &fault);
  options_finish(&options);
  if (ok) {
    vt_result_text(ctx, &json, true);
  } else {
    func_fault(ctx, &fault);
  }
  text_finish(&json);
}

/* ---- omni_verify ----------------------------------------------------------------------------- */

static bool verify(VtConn *conn, const char *dir, Text *json, Fault *fault) {
  Helper *helper = NULL;
  VtPoll poll = vt_poll_begin(conn);
  bool ok = helper_start(conn, &poll, &helper, fault);
  if (ok) {
    wire_begin(&helper->wire, WIRE_VERIFY);
    wire_put_text(&helper->wire, dir);
    ok = helper_ask(helper, -1, fault) && helper_answer(helper, &poll, fault);
  }
  if (ok) {
    uint64_t events = wire_get_u64(&helper->wire), hashes = wire_get_u64(&helper->wire);
    bool cut = wire_get_u32(&helper->wire) != 0;
    ok = wire_end(&helper->wire, fault);
    text_addf(json, "{\"identical\":true,\"events\":%llu,\"hashes\":%llu,\"complete\":%s}",
              (unsigned long long)events, (unsigned long long)hashes, cut ? "false" : "true");
  }
  helper_end(helper);
  vt_poll_end(&poll);
  return ok;
}

void omni_verify(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  VtConn *conn = vt_conn(ctx);
  Fault fault = {0};
  Text json = {0};
  OmniSource *source;
  const char *dir = NULL;
  if (argc == 1 && sqlite3_value_type(argv[0]) != SQLITE_NULL) {
    dir = func_text(ctx, argv[0], NULL);
    if (!dir) return;
  }
  bool ok = omni_source_open(vt_state(conn), dir, &source, &fault);
  if (ok) {
    ok = verify(conn, source->dir, &json, &fault);
    omni_source_release(vt_state(conn), source);
  }
  if (ok) {
    vt_result_text(ctx, &json, true);
  } else {
    func_fault(ctx, &fault);
  }
  text_finish(&json);
}
