/*
** Answers about calls: see answer.h.
*/
#include "extensions/omni/answer.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/helper.h"
#include "extensions/omni/store.h"

enum { KEPT = 4 }; /* answers that nobody reads now */

void answer_free(CallsAnswer *answer) {
  if (!answer) return;
  answer_clear(answer);
  free(answer->returned);
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

/* ---- the same again -------------------------------------------------------------------------- */

static bool make_key(const OmniSource *source, const Ask *ask, Text *out, Fault *fault) {
  Wire *wire = malloc(sizeof *wire);
  if (!wire) return fault_oom(fault);
  Ask anywhere = *ask; /* the folder may be moved */
  anywhere.dir = "";
  answer_question(wire, &anywhere);
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
    ok = answer_replay(answer, conn, poll, source, ask, fault);
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
