/*
** Finding mistakes in a policy: what check.c asks.
*/
#ifndef TENFOLD_MULTIVERSE_CHECK_H
#define TENFOLD_MULTIVERSE_CHECK_H

#include "extensions/multiverse/compiler.h"
#include "extensions/multiverse/lines.h"

typedef struct Check {
  sqlite3 *db;
  Policy *policy; /* what of it can be compiled */
  LinesCursor *lines;
  VtPoll *poll;
  Fault *fault;
  bool broken; /* not all of it could */
} Check;

typedef enum Severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_NOTE } Severity;

enum { NO_RULE = -1 };

/* A finding about a rule, or of the policy (NULL). `witness` is a row where it shows, or NULL. */
bool check_tell(Check *check, const Rule *rule, Severity severity, const char *witness,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
/* With the interrupt looked at. */
bool check_goes_on(Check *check);

/* Neither row nor user matters: check_tables() has told of it. */
bool check_is_constant(const Condition *condition);

bool check_groups(Check *check);   /* check_groups.c */
bool check_tables(Check *check);   /* check_rules.c */
bool check_rewrites(Check *check); /* check_overlap.c */
bool check_proofs(Check *check);   /* check_proof.c */

/* ---- users to try things with: sample.c ------------------------------------------------------ */

/* Contexts made of the members of groups and of what rules compare parameters with. */
typedef struct Sample {
  sqlite3_value ***values; /* per parameter of the policy */
  int *counts;
  int ncontexts, nparams;
} Sample;

enum { SAMPLE_MOST = 24 };

/* A row of the table and a user that meet a condition, with parameters by name, are written to
** `witness`, which stays empty where none is found among the first rows: "Post 3 for {"uid":7}". */
bool sample_find(sqlite3 *db, const Sample *sample, const Policy *policy, const TablePolicy *table,
                 const Text *condition, VtPoll *poll, Text *witness, Fault *fault);

bool sample_take(sqlite3 *db, const Policy *policy, Sample *out, Fault *fault);
void sample_finish(Sample *sample);

#endif
