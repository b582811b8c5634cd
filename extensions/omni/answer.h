/*
** The answer to a question about calls, kept by the connection: the same question again, or another
** scan of a join, costs no replay.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_ANSWER_H
#define TENFOLD_EXTENSIONS_OMNI_ANSWER_H

#include <stdlib.h>

#include "base/arena.h"
#include "extensions/omni/ask.h"
#include "extensions/omni/omni.h"
#include "extensions/omni/wire.h"
#include "replay/packed.h"

typedef struct CallSite {
  const char *name, *module;
  uint64_t addr; /* 0: not the same in all processes */
  uint64_t key;  /* tells the function from all others of the recording */
} CallSite;

enum { NO_ROW = UINT32_MAX };

typedef struct CallsAnswer {
  struct CallsAnswer *next; /* of the connection, newest first */
  int refs;
  Text question; /* the message it answers, with the recording's id: the key */
  bool has_rows; /* there are such functions */
  Packed rows;
  CallSite *sites;
  size_t nsites;
  uint64_t half;      /* the event where half of the time of its playing was over; 0: not known */
  uint32_t *returned; /* per row, when returns were asked for: its return row, or NO_ROW */
  Arena arena;
} CallsAnswer;

/* From what is kept, or by replay. Release it. */
bool answer_get(VtConn *conn, VtPoll *poll, const OmniSource *source, const Ask *ask,
                CallsAnswer **out, Fault *fault);
void answer_release(CallsAnswer *answer);
void answers_close(OmniState *state);

/* answer_replay.c: the question as a message; its answer by replay, which is kept on disk, too. */
void answer_question(Wire *wire, const Ask *ask);
bool answer_replay(CallsAnswer *answer, VtConn *conn, VtPoll *poll, const OmniSource *source,
                   const Ask *ask, Fault *fault);
void answer_free(CallsAnswer *answer);
/* Drops rows and sites, for another try. */
static inline void answer_clear(CallsAnswer *answer) {
  if (answer->has_rows) packed_close(&answer->rows);
  free(answer->sites);
  answer->has_rows = false;
  answer->sites = NULL;
  answer->nsites = 0;
}

/* calls_pair.c: which return belongs to which entry. */
bool answer_pair(CallsAnswer *answer, VtPoll *poll, Fault *fault);

#endif
