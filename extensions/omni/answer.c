/*
** Answers about calls: see answer.h.
*/
#define _GNU_SOURCE /* memfd_create */
#include "extensions/omni/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/helper.h"
#include "extensions/omni/store.h"

enum { KEPT = 4 }; /* answers that nobody reads now */

static void answer_free(CallsAnswer *answer) {
  if (!answer) return;
  if (answer->has_rows) rows_close(&answer->rows);
  free(answer->returned);
  free(answer->sites);
  text_finish(&answer->question);
  arena_finish(&answer->arena);
  free(answer);
}

void answer_release(CallsAnswer *answer) {
  if (answer) answer->refs--;
}

/* Keeps the newest that are not in use, and all that are. */
static void forget_old(OmniState *state, int keep) {
  CallsAnswer **link = &state->answers;
  while (*link) {
    CallsAnswer *answer = *link;
    if (answer->refs > 0 || keep-- > 0) {
      link = &answer->next;
      continue;
    }
    *link = answer->next;
    answer_free(answer);
  }
}

void answers_close(OmniState *state) { forget_old(state, 0); }

/* ---- asking ------------------------------------------------------------------------------------
 */

static void put_question(Wire *wire, const Ask *ask) {
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
  wire_put_u64(wire, ask->last);
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

static bool hear_answer(CallsAnswer *answer, Helper *helper, VtPoll *poll, Fault *fault) {
  size_t capacity = 0;
  for (;;) {
    if (!helper_hear(helper, poll, -1, fault)) return false;
    if (helper->wire.kind == WIRE_DONE) return true;
    if (helper->wire.kind != WIRE_ROWS) {
      return fault_set(fault, FAULT_CORRUPT, "the helper answers with a message of kind %d",
                       helper->wire.kind);
    }
    if (!add_sites(answer, &capacity, &helper->wire, fault)) return false;
  }
}

/* The rows must be what was asked for: the helper is not trusted with that. */
static bool open_rows(CallsAnswer *answer, const Ask *ask, int fd, Fault *fault) {
  RowState state;
  if (answer->nsites == 0) return true; /* there are no such functions: nothing was played */
  answer->has_rows = rows_open(fd, &answer->rows, fault);
  if (!answer->has_rows) return false;
  const RowLayout *layout = &answer->rows.layout; /* made by row_layout() */
  if (layout->columns != ask->columns || layout->returns != ask->returns) {
    return fault_set(fault, FAULT_CORRUPT, "the helper's rows are of another shape");
  }
  if (!rows_count(&answer->rows, &answer->nrows, &state, fault)) return false;
  if (state == ROWS_COMPLETE || state == ROWS_LIMITED) return true;
  return fault_set(fault, FAULT_CORRUPT, "the helper's rows are not complete");
}

static bool replay(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const OmniSource *source,
                   const Ask *ask, Fault *fault) {
  Helper *helper = NULL;
  int fd = memfd_create("omni rows", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  bool ok = helper_start(conn, poll, &helper, fault);
  if (ok) put_question(&helper->wire, ask);
  ok = ok && helper_ask(helper, fd, fault) && hear_answer(answer, helper, poll, fault) &&
       open_rows(answer, ask, fd, fault) && (!ask->returns || answer_pair(answer, poll, fault));
  helper_end(helper);
  if (ok) store_save(source, answer, fd);
  close(fd);
  return ok;
}

/* ---- the same again ----------------------------------------------------------------------------
 */

static bool make_key(const OmniSource *source, const Ask *ask, Text *out, Fault *fault) {
  Wire *wire = malloc(sizeof *wire);
  if (!wire) return fault_oom(fault);
  Ask anywhere = *ask; /* the folder may be moved */
  anywhere.dir = "";
  put_question(wire, &anywhere);
  const bool fits = !wire->failed;
  const uint64_t id = recording_id(source->recording);
  text_addn(out, (const char *)&id, sizeof id);
  text_addn(out, (const char *)&source->stamp, sizeof source->stamp);
  text_addn(out, (const char *)wire->bytes, wire->size);
  free(wire);
  if (!fits) return fault_set(fault, FAULT_LIMIT, "the names are too long");
  return !out->oom || fault_oom(fault);
}

static CallsAnswer *find(const OmniState *state, const Text *key) {
  for (CallsAnswer *answer = state->answers; answer; answer = answer->next) {
    if (answer->question.length == key->length &&
        memcmp(answer->question.data, key->data, key->length) == 0) {
      return answer;
    }
  }
  return NULL;
}

bool answer_get(VtConn *conn, VtPoll *poll, const OmniSource *source, const Ask *ask,
                CallsAnswer **out, Fault *fault) {
  OmniState *state = vt_state(conn);
  CallsAnswer *answer = calloc(1, sizeof *answer);
  if (!answer) return fault_oom(fault);
  if (!make_key(source, ask, &answer->question, fault)) {
    answer_free(answer);
    return false;
  }
  CallsAnswer *known = find(state, &answer->question);
  if (known) {
    answer_free(answer);
    known->refs++;
    *out = known;
    return true;
  }
  bool ok = store_load(source, ask, answer, fault);
  if (ok) {
    ok = !ask->returns || answer_pair(answer, poll, fault);
  } else if (!fault->code) {
    ok = replay(answer, conn, poll, source, ask, fault);
  }
  if (!ok) {
    answer_free(answer);
    return false;
  }
  answer->refs = 1;
  answer->next = state->answers;
  state->answers = answer;
  forget_old(state, KEPT);
  *out = answer;
  return true;
}
