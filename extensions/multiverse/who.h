/*
** Who can see a row: which values of the context's parameters can matter.
*/
#ifndef TENFOLD_MULTIVERSE_WHO_H
#define TENFOLD_MULTIVERSE_WHO_H

#include "extensions/multiverse/inquiry.h"

/* A parameter of the policy. Where it is only ever compared for equality, the values it is compared
** with are all that matter: whoever has another one is a stranger, and all strangers see the
** same. */
typedef struct Param {
  bool relevant; /* the table's allow and deny rules ask for it */
  bool open;     /* … in other ways: what matters cannot be listed */
  sqlite3_value **values;
  size_t count, capacity;
  Map seen;
} Param;

typedef struct Who {
  Inquiry inquiry;
  Meaning meaning;
  Param *params; /* of the policy */
  bool *open;    /* per parameter, for meaning.unknown */
  VtPoll *poll;
  Fault *fault;
} Who;

/* Fills .params. */
bool who_look(Who *who);
/* Does the condition depend on an open parameter? */
bool who_is_open(const Who *who, const Condition *condition);
void who_finish(Who *who);

#endif
