/*
** Answers about calls by replay: one helper plays all of it, or two a half each (epoch.h).
*/
#define _GNU_SOURCE /* memfd_create, CPU_COUNT */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/answer.h"
#include "extensions/omni/epoch.h"
#include "extensions/omni/functions.h"
#include "extensions/omni/helper.h"
#include "extensions/omni/store.h"

/* ---- asking ---------------------------------------------------------------------------------- */

void answer_question(Wire *wire, const Ask *ask) {
  wire_begin(wire, WIRE_CALLS);
  wire_put_text(wire, ask->dir);
  wire_put_u32(wire, (uint32_t)ask->nnames);
  for (int i = 0; i < ask->nnames; i++) {
    wire_put_u32(wire, ask->names[i].is_pattern);
    wire_put_text(wire, ask->names[i].text);
  }
  wire_put_text(wire, ask->module);
  wire_put_u64(wire, ask->columns);
  wire_put_u32(wire, ask->returns);
  wire_put_u64(wire, ask->limit);
  wire_put_u64(wire, ask->first);
  wire_put_u64(wire, ask->last);
  wire_put_u64(wire, ask->near);
  wire_put_u32(wire, ask->beside);
  wire_put_u32(wire, (uint32_t)ask->ntests);
  for (int i = 0; i < ask->ntests; i++) {
    wire_put_u32(wire, ask->tests[i].column);
    wire_put_u64(wire, (uint64_t)ask->tests[i].low);
    wire_put_u64(wire, (uint64_t)ask->tests[i].high);
  }
}

static bool add_sites(CallsAnswer *answer, size_t *capacity, Wire *wire, Fault *fault) {
  const uint32_t n = wire_get_u32(wire);
  for (uint32_t i = 0; i < n && !wire->failed; i++) {
    if (!array_grow(answer->sites, *capacity, answer->nsites + 1)) return fault_oom(fault);
    CallSite *site = &answer->sites[answer->nsites++];
    site->name = arena_strdup(&answer->arena, wire_get_text(wire));
    site->module = arena_strdup(&answer->arena, wire_get_text(wire));
    site->addr = wire_get_u64(wire);
    site->key = wire_get_u64(wire);
    if (!site->name || !site->module) return fault_oom(fault);
  }
  return wire_end(wire, fault);
}

static void hear_done(CallsAnswer *answer, Wire *wire) {
  for (int i = 0; i < 3; i++) wire_get_u64(wire); /* counts, for those who want to know */
  answer->half = wire_get_u64(wire);
}

static bool hear_answer(CallsAnswer *answer, Helper *helper, VtPoll *poll, Fault *fault) {
  size_t capacity = 0;
  for (;;) {
    if (!helper_hear(helper, poll, -1, fault)) return false;
    if (helper->wire.kind == WIRE_DONE) {
      hear_done(answer, &helper->wire);
      return wire_end(&helper->wire, fault);
    }
    if (helper->wire.kind != WIRE_ROWS) {
      return fault_set(fault, FAULT_CORRUPT, "the helper answers with a message of kind %d",
                       helper->wire.kind);
    }
    if (!add_sites(answer, &capacity, &helper->wire, fault)) return false;
  }
}

/* The rows must be what was asked for: the helper is not trusted with that. */
static bool open_rows(CallsAnswer *answer, const Ask *ask, int fd, Fault *fault) {
  if (answer->nsites == 0) return true; /* there are no such functions: nothing was played */
  answer->has_rows = packed_open(fd, &answer->rows, fault);
  if (!answer->has_rows) return false;
  const RowLayout *layout = &answer->rows.layout; /* made by row_layout() */
  if (layout->columns != ask->columns || layout->returns != ask->returns) {
    return fault_set(fault, FAULT_CORRUPT, "the helper's rows are of another shape");
  }
  if (answer->rows.state == ROWS_COMPLETE || answer->rows.state == ROWS_LIMITED) return true;
  return fault_set(fault, FAULT_CORRUPT, "the helper's rows are not complete");
}

static bool open_file(int *out, Fault *fault) {
  *out = memfd_create("omni rows", MFD_CLOEXEC);
  return *out >= 0 || fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
}

/* ---- by one ---------------------------------------------------------------------------------- */

/* Asks a helper that comes and goes; or, with `kept`, the one there, which comes and stays. */
static bool ask_one(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const Ask *ask, int fd,
                    Helper **kept, Fault *fault) {
  Helper *helper = kept ? *kept : NULL;
  bool ok = helper || helper_start(conn, poll, &helper, fault);
  if (ok) answer_question(&helper->wire, ask);
  ok = ok && helper_ask(helper, fd, fault) && hear_answer(answer, helper, poll, fault) &&
       open_rows(answer, ask, fd, fault);
  if (kept) *kept = ok ? helper : NULL;
  if (!kept || !ok) helper_end(helper);
  return ok;
}

/* ---- by two ---------------------------------------------------------------------------------- */

/* How long the recorded run took, in ns; 0: not known. */
static uint64_t length_of(const OmniSource *source) {
  TraceCursor *cursor;
  Fault ignored = {0};
  uint64_t first, last, time = 0;
  const Event *event = NULL;
  if (!trace_open(source->recording, &cursor, &ignored)) return 0;
  if (trace_range(source->recording, &first, &last, &ignored) &&
      trace_seek(cursor, last, &ignored) && trace_next(cursor, &event, &ignored) && event) {
    time = event->time;
  }
  trace_close(cursor);
  return time;
}

/* What the host can tell at once; the helper looks closer. */
static bool is_worth(VtConn *conn, const OmniSource *source, const Ask *ask) {
  const OmniState *state = vt_state(conn);
  cpu_set_t processors;
  const bool whole = state->whole_stamp == source->stamp && state->whole_last == ask->last;
  if (state->workers == 1 || ask->limit || whole) return false;
  if (state->workers == 2) return true;
  return sched_getaffinity(0, sizeof processors, &processors) == 0 && CPU_COUNT(&processors) > 1 &&
         length_of(source) > EPOCH_LEAST_NS;
}

static bool hear_middle(Helper *helper, VtPoll *poll, uint64_t *out, Fault *fault) {
  if (!helper_hear(helper, poll, -1, fault)) return false;
  if (helper->wire.kind != WIRE_NEWS) {
    return fault_set(fault, FAULT_CORRUPT, "the helper answers with a message of kind %d",
                     helper->wire.kind);
  }
  *out = wire_get_u64(&helper->wire);
  return wire_end(&helper->wire, fault);
}

static bool has_same_sites(const CallsAnswer *a, const CallsAnswer *b, Fault *fault) {
  bool same = a->nsites == b->nsites;
  for (size_t i = 0; same && i < a->nsites; i++) same = a->sites[i].key == b->sites[i].key;
  return same || fault_set(fault, FAULT_CORRUPT, "two helpers found different functions");
}

/* The rows of the second half go behind those of the first. */
static bool join(CallsAnswer *first, CallsAnswer *second, const Ask *ask, int fd, Fault *fault) {
  if (!has_same_sites(first, second, fault)) return false;
  if (!first->has_rows) return true;
  if (!pack_append(fd, &second->rows, fault)) return false;
  packed_close(&first->rows);
  first->has_rows = false;
  return open_rows(first, ask, fd, fault);
}

/* The second helper and its part of the work. */
typedef struct Second {
  Helper *helper;
  CallsAnswer *answer;
  Ask *ask;
  int fd;
} Second;

/* From now on: nobody is needed for first halves. */
static void play_whole(OmniState *state, uint64_t stamp, uint64_t last) {
  state->whole_stamp = stamp;
  state->whole_last = last;
  helper_end(state->first);
  state->first = NULL;
}

/* The first question: one helper plays all of it, the other one makes ready the state from which it
** will play the second half of the next. */
static bool ask_first(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const Ask *ask, int fd,
                      Second *second, Fault *fault) {
  OmniState *state = vt_state(conn);
  Ask *whole = second->ask; /* it has been sent */
  uint64_t middle = 0;
  if (!hear_middle(second->helper, poll, &middle, fault)) return false;
  *whole = *ask;
  whole->near = middle;
  if (!ask_one(answer, conn, poll, whole, fd, &state->first, fault) ||
      !hear_answer(second->answer, second->helper, poll, fault)) {
    return false;
  }
  if (!middle || !answer->half) {
    play_whole(state, state->staying_stamp, ask->last);
    return true;
  }
  state->half = answer->half;
  state->half_last = ask->last;
  state->half_stamp = state->staying_stamp;
  return true;
}

/* The next ones: two halves at once. */
static bool ask_halves(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const Ask *ask, int fd,
                       Second *second, Fault *fault) {
  OmniState *state = vt_state(conn);
  Ask *half = second->ask;
  *half = *ask;
  half->last = state->half;
  half->beside = true;
  return ask_one(answer, conn, poll, half, fd, &state->first, fault) &&
         hear_answer(second->answer, second->helper, poll, fault) &&
         open_rows(second->answer, ask, second->fd, fault) &&
         join(answer, second->answer, ask, fd, fault);
}

static bool ask_two(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const OmniSource *source,
                    const Ask *ask, int fd, Fault *fault) {
  OmniState *state = vt_state(conn);
  const bool known = state->half_stamp == source->stamp && state->half_last == ask->last;
  Second second = {
      .answer = calloc(1, sizeof *second.answer), .ask = malloc(sizeof *second.ask), .fd = -1};
  bool ok = (second.answer && second.ask) || fault_oom(fault);
  ok = ok && open_file(&second.fd, fault) &&
       helper_staying(conn, poll, source, &second.helper, fault);
  if (ok) {
    *second.ask = *ask;
    second.ask->first = known ? state->half : ASK_MIDDLE;
    answer_question(&second.helper->wire, second.ask);
  }
  ok = ok && helper_ask(second.helper, second.fd, fault) &&
       (known ? ask_halves : ask_first)(answer, conn, poll, ask, fd, &second, fault);
  if (!ok) helper_forget(state);
  if (second.fd >= 0) close(second.fd);
  answer_free(second.answer);
  free(second.ask);
  return ok;
}

enum { TRIES = 2 };

/* Whether one helper may do what two could not. */
static bool is_reason(const Fault *fault) {
  return fault->code == FAULT_UNSUPPORTED || fault->code == FAULT_NOMEM ||
         fault->code == FAULT_IO || fault->code == FAULT_NOTFOUND;
}

static bool ask_all(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const OmniSource *source,
                    const Ask *ask, int fd, Fault *fault) {
  bool two = is_worth(conn, source, ask);
  for (int tries = 0; two && tries < TRIES; tries++) {
    Fault why = {0};
    if (ask_two(answer, conn, poll, source, ask, fd, &why)) return true;
    if (!is_reason(&why)) return fault_set(fault, why.code, "%s", why.text);
    answer_clear(answer);
    two = why.code == FAULT_IO; /* helpers that have gone: others may do better */
    if (why.code == FAULT_UNSUPPORTED) play_whole(vt_state(conn), source->stamp, ask->last);
  }
  return ask_one(answer, conn, poll, ask, fd, NULL, fault);
}

bool answer_replay(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const OmniSource *source,
                   const Ask *ask, Fault *fault) {
  int fd;
  if (!open_file(&fd, fault)) return false;
  const bool ok = ask_all(answer, conn, poll, source, ask, fd, fault) &&
                  (!ask->returns || answer_pair(answer, poll, fault));
  if (ok) store_save(source, answer, fd);
  close(fd);
  return ok;
}

/* ---- how many -------------------------------------------------------------------------------- */

void omni_workers(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  OmniState *state = vt_state(vt_conn(ctx));
  if (argc == 1) {
    const sqlite3_int64 count = sqlite3_value_int64(argv[0]);
    if (sqlite3_value_type(argv[0]) != SQLITE_INTEGER || count < 0 || count > 2) {
      const char *text = (const char *)sqlite3_value_text(argv[0]);
      func_fail(ctx, SQLITE_ERROR, "0, 1 or 2 workers, not %s", text ? text : "NULL");
      return;
    }
    state->workers = (int)count;
    if (count == 1) { /* no halves */
      helper_end(state->first);
      state->first = NULL;
    }
  }
  sqlite3_result_int(ctx, state->workers);
}
