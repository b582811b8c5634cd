/*
** The helper, seen from the host: see helper.h.
*/
#include "extensions/omni/helper.h"

#include <stdlib.h>
#include <string.h>

#include "base/stop.h"

enum { TURN_MS = 20, HELLO_MS = 10000, STOPPING_MS = 60 };

/* ---- coming ---------------------------------------------------------------------------------- */

/* Frees those that were let go and have ended. */
static void collect(OmniState *state, bool wait) {
  for (Helper **link = &state->helpers; *link;) {
    Helper *helper = *link;
    bool left = helper->keeper.socket < 0;
    if (!left || !keeper_gone(&helper->keeper, wait)) {
      link = &helper->next;
      continue;
    }
    *link = helper->next;
    free(helper);
  }
}

static bool hear_hello(Helper *helper, VtPoll *poll, Fault *fault) {
  int64_t until = clock_now() + (int64_t)HELLO_MS * 1000000;
  do {
    if (!helper_hear(helper, poll, TURN_MS, fault)) return false;
    if (clock_now() > until) {
      return fault_set(fault, FAULT_TIMEOUT, "the helper does not say hello within %d s",
                       HELLO_MS / 1000);
    }
  } while (helper->wire.kind == WIRE_NONE);
  bool hello = helper->wire.kind == WIRE_HELLO;
  uint32_t version = wire_get_u32(&helper->wire);
  const char *text = wire_get_text(&helper->wire);
  if (!hello || !wire_end(&helper->wire, fault)) {
    return fault_set(fault, FAULT_CORRUPT, "what was started is no helper");
  }
  if (version == WIRE_VERSION && strcmp(text, VT_VERSION) == 0) return true;
  return fault_set(fault, FAULT_UNSUPPORTED,
                   "omni.so was replaced by version %.20s since it was loaded as %s: connect again",
                   text, VT_VERSION);
}

static bool start(Helper *helper, const char *library, Fault *fault) {
  if (!library) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "a host that has omni built in has no omni.so to run as its helper");
  }
  return keeper_start(library, &helper->keeper, fault);
}

bool helper_start(VtConn *conn, VtPoll *poll, Helper **out, Fault *fault) {
  OmniState *state = vt_state(conn);
  collect(state, false);
  Helper *helper = calloc(1, sizeof *helper);
  if (!helper || !start(helper, state->library, fault)) {
    free(helper);
    return fault_oom(fault); /* unless there is a better reason already */
  }
  helper->next = state->helpers;
  state->helpers = helper;
  helper->conn = conn;
  helper->busy = true;
  if (hear_hello(helper, poll, fault)) {
    helper->busy = false;
    *out = helper;
    return true;
  }
  helper_end(helper);
  return false;
}

/* ---- asking ---------------------------------------------------------------------------------- */

static bool unexpected(Fault *fault) {
  return fault_set(fault, FAULT_IO, "the helper process has gone before it answered");
}

bool helper_ask(Helper *helper, int fd, Fault *fault) {
  Fault why = {0};
  helper->busy = true;
  if (wire_send(helper->keeper.socket, &helper->wire, fd, &why)) return true;
  if (why.code == FAULT_NOTFOUND) return unexpected(fault);
  return fault_set(fault, why.code, "%s", why.text);
}

static bool heard_fault(Helper *helper, Fault *fault) {
  uint32_t code = wire_get_u32(&helper->wire);
  const char *text = wire_get_text(&helper->wire);
  helper->busy = false;
  if (!wire_end(&helper->wire, fault)) return false;
  if (code == FAULT_NONE || code > FAULT_INTERNAL) code = FAULT_INTERNAL;
  return fault_set(fault, (FaultCode)code, "%s", text);
}

/* The user wants to stop. The helper gets a moment to say that it did; what it says is of no
** interest. */
static bool stop(Helper *helper, Fault *fault) {
  Fault ignored = {0};
  int64_t until = clock_now() + (int64_t)STOPPING_MS * 1000000;
  wire_begin(&helper->wire, WIRE_STOP);
  bool there = wire_send(helper->keeper.socket, &helper->wire, -1, &ignored);
  while (there && helper->busy && clock_now() < until) {
    there = wire_receive(helper->keeper.socket, TURN_MS, &helper->wire, &ignored);
    if (helper->wire.kind == WIRE_DONE || helper->wire.kind == WIRE_FAULT) helper->busy = false;
  }
  return fault_set(fault, FAULT_INTERRUPT, "interrupted");
}

bool helper_hear(Helper *helper, VtPoll *poll, int wait, Fault *fault) {
  Fault why = {0};
  for (;;) {
    int turn = wait >= 0 && wait < TURN_MS ? wait : TURN_MS;
    if (vt_poll(poll) != SQLITE_OK) return stop(helper, fault);
    if (!wire_receive(helper->keeper.socket, turn, &helper->wire, &why)) {
      if (why.code == FAULT_NOTFOUND) return unexpected(fault);
      return fault_set(fault, why.code, "the helper says %s", why.text);
    }
    if (helper->wire.kind == WIRE_FAULT) return heard_fault(helper, fault);
    if (helper->wire.kind == WIRE_DONE) helper->busy = false;
    if (helper->wire.kind != WIRE_NONE || wait >= 0) return true;
  }
}

bool helper_answer(Helper *helper, VtPoll *poll, Fault *fault) {
  do {
    if (!helper_hear(helper, poll, -1, fault)) return false;
  } while (helper->wire.kind == WIRE_NEWS);
  if (helper->wire.kind == WIRE_DONE) return true;
  return fault_set(fault, FAULT_CORRUPT, "the helper answers with a message of kind %d",
                   helper->wire.kind);
}

/* ---- leaving --------------------------------------------------------------------------------- */

void helper_end(Helper *helper) {
  if (!helper) return;
  keeper_leave(&helper->keeper);
  collect(vt_state(helper->conn), false);
}

void helpers_finish(OmniState *state) {
  helper_forget(state);
  collect(state, true);
}

/* ---- staying --------------------------------------------------------------------------------- */

void helper_forget(OmniState *state) {
  helper_end(state->staying);
  helper_end(state->first);
  state->staying = state->first = NULL;
}

bool helper_staying(VtConn *conn, VtPoll *poll, const OmniSource *source, Helper **out,
                    Fault *fault) {
  OmniState *state = vt_state(conn);
  if (state->staying && state->staying_stamp != source->stamp) helper_forget(state);
  if (!state->staying && !helper_start(conn, poll, &state->staying, fault)) return false;
  state->staying_stamp = source->stamp;
  *out = state->staying;
  return true;
}

/* Sends the question and hears WIRE_NEWS of its arrival. `out_gone`: the helper had ended before.
 */
static bool ask_staying(Helper *helper, VtPoll *poll, const Wire *question, int fd, bool *out_gone,
                        Fault *fault) {
  Fault why = {0};
  helper->busy = true;
  bool ok = wire_send(helper->keeper.socket, question, fd, &why);
  *out_gone = !ok && why.code == FAULT_NOTFOUND;
  if (*out_gone) return unexpected(fault);
  if (!ok) return fault_set(fault, why.code, "%s", why.text);
  if (helper_hear(helper, poll, -1, fault)) return true;
  *out_gone = helper->busy && fault->code == FAULT_IO;
  return false;
}

bool helper_question(VtConn *conn, VtPoll *poll, const OmniSource *source, Wire *wire, int fd,
                     Fault *fault) {
  Helper *helper;
  bool gone;
  if (!helper_staying(conn, poll, source, &helper, fault)) return false;
  bool ok = ask_staying(helper, poll, wire, fd, &gone, fault);
  if (!ok && gone) { /* while nobody asked it anything: another one is asked */
    fault_clear(fault);
    helper_forget(vt_state(conn));
    if (!helper_staying(conn, poll, source, &helper, fault)) return false;
    ok = ask_staying(helper, poll, wire, fd, &gone, fault);
  }
  ok = ok && (helper->wire.kind == WIRE_DONE || helper_answer(helper, poll, fault));
  /* One that said what is wrong can go on; one that did not cannot be trusted with it. */
  if (helper->busy) helper_forget(vt_state(conn));
  if (ok) *wire = helper->wire;
  return ok;
}
