/*
** Functions: counters, mutexes, and what is in a far memory.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"
#include "remote/names.h"
#include "remote/word.h"

typedef struct Call { /* of a function on a thing in far memory */
  sqlite3_context *ctx;
  FarLink *link;
  const char *name;
  VtPoll poll;
  Stop stop;
  Fault fault;
} Call;

static Stop stop_of(Call *it) { return (Stop){.asked = vt_asked, .ctx = &it->poll}; }

static void end(Call *it, bool ok) {
  if (!ok) func_fault(it->ctx, &it->fault);
  vt_poll_end(&it->poll);
}

/* The arguments `name` and `at`: false after an error. */
static bool begin(Call *it, sqlite3_context *ctx, sqlite3_value *name, sqlite3_value *at) {
  VtConn *conn = vt_conn(ctx);
  *it = (Call){.ctx = ctx};
  const char *where = at ? func_text(ctx, at, NULL) : "shm:default";
  it->name = name ? func_text(ctx, name, NULL) : "";
  if (!where || !it->name) return false;
  it->link = far_link(vt_state(conn), where, NULL, &it->fault);
  if (!it->link) {
    func_fault(ctx, &it->fault);
    return false;
  }
  it->poll = vt_poll_begin(conn);
  Stop stop = stop_of(it);
  if (far_link_ready(it->link, &stop, &it->fault)) return true;
  end(it, false);
  return false;
}

/* The word of that name: looked for once in a connection. */
static bool word_of(Call *it, FarPointer *out, Stop *stop) {
  const size_t length = strlen(it->name);
  int64_t *known = map_get(&it->link->words, it->name, length);
  if (known) {
    *out = (FarPointer)*known;
    return true;
  }
  return far_word_open(it->link->memory, it->name, out, stop, &it->fault) &&
         (map_put(&it->link->words, it->name, length, (int64_t)*out, NULL) ||
          fault_oom(&it->fault));
}

static void far_add(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  FarPointer word;
  int64_t value = 0;
  if (sqlite3_value_numeric_type(argv[1]) != SQLITE_INTEGER) {
    func_fail(ctx, SQLITE_MISMATCH, "what is added is an integer, not '%s'",
              sqlite3_value_text(argv[1]));
    return;
  }
  if (!begin(&it, ctx, argv[0], argc > 2 ? argv[2] : NULL)) return;
  Stop stop = stop_of(&it);
  const bool ok =
      word_of(&it, &word, &stop) &&
      far_word_add(it.link->memory, word, sqlite3_value_int64(argv[1]), &value, &stop, &it.fault);
  if (ok) sqlite3_result_int64(ctx, value);
  end(&it, ok);
}

static void far_lock(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  FarPointer word;
  FarLocked locked;
  const sqlite3_int64 ms = argc > 2 ? sqlite3_value_int64(argv[2]) : 1000;
  if (ms < 0 || ms > 1000000000) {
    func_fail(ctx, SQLITE_RANGE, "a wait of 0 to 10^9 ms, not %lld", (long long)ms);
    return;
  }
  if (!begin(&it, ctx, argv[0], argc > 1 ? argv[1] : NULL)) return;
  Stop stop = stop_of(&it);
  const bool ok = word_of(&it, &word, &stop) &&
                  far_mutex_lock(it.link->memory, word, ms * 1000000, &locked, &stop, &it.fault);
  if (ok) sqlite3_result_int(ctx, (int)locked);
  end(&it, ok);
}

static void far_unlock(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  FarPointer word;
  if (!begin(&it, ctx, argv[0], argc > 1 ? argv[1] : NULL)) return;
  Stop stop = stop_of(&it);
  const bool ok =
      word_of(&it, &word, &stop) && far_mutex_unlock(it.link->memory, word, &stop, &it.fault);
  if (ok) sqlite3_result_int(ctx, 1);
  end(&it, ok);
}

static void far_come(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  FarPointer word;
  bool passed;
  const sqlite3_int64 ms = argc > 3 ? sqlite3_value_int64(argv[3]) : 1000;
  if (ms < 0 || ms > 1000000000) {
    func_fail(ctx, SQLITE_RANGE, "a wait of 0 to 10^9 ms, not %lld", (long long)ms);
    return;
  }
  if (!begin(&it, ctx, argv[0], argc > 2 ? argv[2] : NULL)) return;
  Stop stop = stop_of(&it);
  const bool ok =
      word_of(&it, &word, &stop) && far_barrier(it.link->memory, word, sqlite3_value_int64(argv[1]),
                                                ms * 1000000, &passed, &stop, &it.fault);
  if (ok) sqlite3_result_int(ctx, passed);
  end(&it, ok);
}

/* What other connections do with it fails from then on. */
static bool drop_map(Call *it, const FarName *name, Stop *stop) {
  FarMemory *memory = it->link->memory;
  FarMapRoot root;
  FarShape shape;
  FarMap *map = NULL;
  FarOp op = {.code = FAR_READ, .at = name->root, .local = &root, .length = sizeof root};
  if (!far_round(memory, &op, 1, stop, &it->fault)) return false;
  far_shape_of_word(root.shape, &shape);
  const bool ok =
      far_map_open(memory, it->name, &shape, root.schema, false, &map, stop, &it->fault) &&
      far_map_drop(map, stop, &it->fault);
  far_map_close(map);
  return ok;
}

static bool drop(Call *it, Stop *stop) {
  FarMemory *memory = it->link->memory;
  FarName name;
  bool found;
  if (!far_name_find(memory, it->name, &name, &found, stop, &it->fault)) return false;
  if (!found)
    return fault_set(&it->fault, FAULT_NOTFOUND, "%s: there is no \"%s\"", far_at(memory),
                     it->name);
  switch (name.kind) {
  case FAR_KIND_MAP:
    return drop_map(it, &name, stop);
  case FAR_KIND_VECTOR:
    return far_vector_drop(memory, it->name, stop, &it->fault);
  case FAR_KIND_QUEUE:
    return far_queue_drop(memory, it->name, stop, &it->fault);
  case FAR_KIND_HISTOGRAM:
    return far_histogram_drop(memory, it->name, stop, &it->fault);
  default:
    map_finish(&it->link->words);
    return far_name_remove(memory, it->name, name.root, stop, &it->fault);
  }
}

static void far_drop(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  if (!begin(&it, ctx, argv[0], argc > 1 ? argv[1] : NULL)) return;
  Stop stop = stop_of(&it);
  const bool ok = drop(&it, &stop);
  if (ok) sqlite3_result_int(ctx, 1);
  end(&it, ok);
}

static void far_forget(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Fault fault = {0};
  (void)argc;
  const char *at = func_text(ctx, argv[0], NULL);
  if (!at) return;
  if (far_unlink(at, &fault)) {
    sqlite3_result_int(ctx, 1);
  } else if (fault.code == FAULT_NOTFOUND) {
    sqlite3_result_int(ctx, 0);
  } else {
    func_fault(ctx, &fault);
  }
}

static void far_inject(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  Call it;
  const char *what = func_text(ctx, argv[0], NULL);
  const sqlite3_int64 n = sqlite3_value_int64(argv[1]);
  if (!what || !begin(&it, ctx, NULL, argc > 2 ? argv[2] : NULL)) return;
  FarInjection *injection = far_injection(it.link->memory);
  bool ok = n >= 0 && n <= 1000000000;
  if (!ok) {
    fault_set(&it.fault, FAULT_LIMIT, "0 to 10^9, not %lld", (long long)n);
  } else if (!strcmp(what, "ns")) {
    injection->ns = n;
  } else if (!strcmp(what, "dies")) {
    injection->dies = (uint64_t)n;
  } else if (!strcmp(what, "lost")) {
    injection->lost = (unsigned)n;
  } else if (!strcmp(what, "twice")) {
    injection->twice = (unsigned)n;
  } else if (!strcmp(what, "late")) {
    injection->late_ns = n;
  } else {
    ok = fault_set(&it.fault, FAULT_INVALID, "\"%s\": there are ns, dies, lost, twice and late",
                   what);
  }
  end(&it, ok);
}

static const VtArgument inject_arguments[] = {{"what", "TEXT", NULL,
                                               "'ns': so many nanoseconds more for each round; "
                                               "'dies': this process is killed before its n-th "
                                               "operation; 'lost', 'twice': so one in n notices "
                                               "is; 'late': so many nanoseconds are all notices"},
                                              {"n", "INTEGER", NULL, "how much of it; 0: no more"},
                                              {"at", "TEXT", "'shm:default'", "the far memory"},
                                              {0}};
static const VtArgument add_arguments[] = {
    {"name", "TEXT", NULL, "of the counter; made, as 0, when there is none"},
    {"n", "INTEGER", NULL, "what is added; 0 reads it"},
    {"at", "TEXT", "'shm:default'", "the far memory"},
    {0}};
static const VtArgument lock_arguments[] = {
    {"name", "TEXT", NULL, "of the mutex; made when there is none"},
    {"at", "TEXT", "'shm:default'", "the far memory"},
    {"wait", "INTEGER", "1000", "how many milliseconds to wait for another holder"},
    {0}};
static const VtArgument barrier_arguments[] = {
    {"name", "TEXT", NULL, "of the barrier; made when there is none"},
    {"parties", "INTEGER", NULL, "how many come to it: all have to say the same"},
    {"at", "TEXT", "'shm:default'", "the far memory"},
    {"wait", "INTEGER", "1000", "how many milliseconds to wait for the others"},
    {0}};
static const VtArgument watch_arguments[] = {
    {"name", "TEXT", NULL,
     "of a far_map table of this connection, or of a map, counter or mutex in the far memory"},
    {"key", "", "NULL", "the row; NULL: all of the map"},
    {"at", "TEXT", "the table's, or 'shm:default'", "the far memory"},
    {0}};
static const VtArgument wait_arguments[] = {
    {"ms", "INTEGER", NULL, "how long to wait, when nothing has come already"}, {0}};
static const VtArgument pump_arguments[] = {
    {"table", "TEXT", NULL,
     "an ordinary table, with some of the columns of far_events; of TEMP or the main database"},
    {0}};
static const VtArgument name_arguments[] = {
    {"name", "TEXT", NULL, "of the thing"}, {"at", "TEXT", "'shm:default'", "the far memory"}, {0}};
static const VtArgument at_arguments[] = {{"at", "TEXT", NULL, "'shm:NAME'"}, {0}};

const VtFunction far_functions[FAR_NFUNCTIONS] = {
    {.name = "far_add",
     .args = "name, n [, at]",
     .nargs = 2,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Adds to a counter that all clients share, and tells what it is then. One round; not "
            "part of the transaction.",
     .arguments = add_arguments,
     .scalar = far_add},
    {.name = "far_lock",
     .args = "name [, at [, wait]]",
     .nargs = 1,
     .optional = 2,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc =
         "Takes a mutex for this connection: 1, or 2 when its last holder died with it; 0 when "
         "another one held it all the time. Given back by far_unlock(), by closing, or by death.",
     .arguments = lock_arguments,
     .scalar = far_lock},
    {.name = "far_unlock",
     .args = "name [, at]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Gives a mutex back.",
     .arguments = name_arguments,
     .scalar = far_unlock},
    {.name = "far_barrier",
     .args = "name, parties [, at [, wait]]",
     .nargs = 2,
     .optional = 2,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc =
         "Waits until so many clients have come here: 1; 0 when not all of them came in time, and "
         "then this one has not come either. Can be used again and again.",
     .arguments = barrier_arguments,
     .scalar = far_come},
    {.name = "far_watch",
     .args = "name [, key [, at]]",
     .nargs = 1,
     .optional = 2,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "From now on, what anybody changes of this comes to far_events. 1, or 0 when it was "
            "watched already. At most 256 watches in each far memory.",
     .arguments = watch_arguments,
     .scalar = far_sql_watch},
    {.name = "far_unwatch",
     .args = "name [, key [, at]]",
     .nargs = 1,
     .optional = 2,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Ends what far_watch() with the same arguments began, and forgets its event. 1, or 0 "
            "when it was not watched.",
     .arguments = watch_arguments,
     .scalar = far_sql_unwatch},
    {.name = "far_wait",
     .args = "ms",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Forgets the events that were read, and waits until there are others: how many.",
     .arguments = wait_arguments,
     .scalar = far_sql_wait},
    {.name = "far_pump",
     .args = "table",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Forgets the events that were read, and inserts those that have come since into an "
            "ordinary table, so that its triggers run: how many. If one fails, none is inserted, "
            "and all are kept.",
     .arguments = pump_arguments,
     .scalar = far_sql_pump},
    {.name = "far_drop",
     .args = "name [, at]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Removes a map, vector, queue or histogram with all it holds, or a counter or mutex, "
            "for all clients.",
     .arguments = name_arguments,
     .scalar = far_drop},
    {.name = "far_inject",
     .args = "what, n [, at]",
     .nargs = 2,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "NULL",
     .doc = "For tests of programs that use far memory: a slower network, a sudden death, for this "
            "connection.",
     .arguments = inject_arguments,
     .scalar = far_inject},
    {.name = "far_forget",
     .args = "at",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Gives up shared memory: whoever opens that name next begins anew. 1, or 0 when there "
            "was none.",
     .arguments = at_arguments,
     .scalar = far_forget},
    {.name = "far_add_at",
     .args = "vector, i, n [, column]",
     .nargs = 3,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Adds to an element of a vector, and tells what it is then. One round; not part of the "
            "transaction.",
     .arguments = far_add_at_arguments,
     .scalar = far_add_at},
    {.name = "far_refresh",
     .args = "vector",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc = "Brings the copy of a vector with refresh= up to date, and tells how many groups of it "
            "had changed: one round when none had, else two.",
     .arguments = far_refresh_arguments,
     .scalar = far_refresh},
    {.name = "far_pop",
     .args = "queue [, n]",
     .nargs = 1,
     .optional = 1,
     .flags = VT_EFFECT | VT_JSON,
     .doc =
         "Takes what waits at the front of a queue: its value, or a JSON object if it has several "
         "columns (blobs as hex() shows them); NULL when nothing waits. One round; taken at once, "
         "also when the transaction is rolled back.",
     .returns = "ANY",
     .arguments = far_pop_arguments,
     .scalar = far_pop},
    {.name = "far_observe",
     .args = "histogram, value [, n]",
     .nargs = 2,
     .optional = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc =
         "Counts a value in the newest window, and tells in which bucket. One round; not part of "
         "the transaction.",
     .arguments = far_observe_arguments,
     .scalar = far_observe},
    {.name = "far_turn",
     .args = "histogram",
     .nargs = 1,
     .flags = VT_EFFECT,
     .returns = "INTEGER",
     .doc =
         "Begins the next window of a histogram, for all clients, and tells its number; the oldest "
         "one makes room.",
     .arguments = far_turn_arguments,
     .scalar = far_turn},
};
