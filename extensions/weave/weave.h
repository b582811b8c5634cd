/*
** weave as SQLite sees it: the virtual table and what is kept of its last solve.
*/
#ifndef TENFOLD_WEAVE_WEAVE_H
#define TENFOLD_WEAVE_WEAVE_H

#include "extensions/weave/compile.h"
#include "vtab/vt.h"

/* One cell that the answer changes. */
typedef struct Change {
  const char *schema, *table, *column;
  const char *const *keys; /* names of the key columns */
  int nkeys;
  const Value *key; /* nkeys values */
  Value label, before, after;
} Change;

/* What became of one rule: for weave_status. */
typedef struct RuleResult {
  const char *schema, *name; /* schema NULL: a constraint of the schema, which SQLite enforces */
  bool must, maximize, minimize;
  int level;
  double value; /* sum of its goal, with the sign of the level */
} RuleResult;

/* The outcome of a solve. Everything lives in the arena. */
typedef struct Solution {
  Arena arena;
  bool solved; /* weave_solve has run */
  SolveStatus status;
  Change *changes;
  size_t nchanges;
  size_t nlevels;
  int *levels;
  double *objective, *bound;
  RuleResult *rules;
  size_t nrules;
  size_t rows, columns, nonzeros, groups, choices, candidates;
  int64_t nodes, tuples, statements;
  SolvePhase phases[SOLVE_MAX_PHASES + 8];
  int nphases;
  double seconds;
} Solution;

void solution_finish(Solution *solution);
double solution_gap(const Solution *solution, size_t level); /* relative; infinite when unknown */

typedef struct WeaveTab {
  VtTab base;
  struct WeaveTab *next; /* of the connection */
  Declaration declaration;
  Solution solution;
  bool busy;            /* a solve is running: rules may call functions, but not this one */
  int held;             /* calls that use it now: functions of rules may not drop it */
  bool dropped;         /* DROP TABLE is under way */
  const char *identity; /* schema, name and arguments */
} WeaveTab;

/* The answer of a model that SQLite has disconnected, as it does whenever it reads the schema anew
** (a rollback in a transaction that created something is enough). The same model, connected again,
** takes it back. */
typedef struct KeptAnswer {
  struct KeptAnswer *next;
  char *identity;
  Solution solution;
} KeptAnswer;

/* Per connection. */
typedef struct WeaveState {
  WeaveTab *tabs;
  KeptAnswer *kept;
} WeaveState;

void weave_state_close(void *state);

/* The table called name or schema.name; connects it when nothing in this connection has used it
** yet. FAULT_NOTFOUND when there is none. */
WeaveTab *weave_find(sqlite3 *db, const WeaveState *state, const char *name, Fault *fault);

/* The same for longer work: until weave_release() the table cannot be dropped, and stays connected
** even when a rollback undoes a change of the schema. NULL: *out_hold is NULL too. */
WeaveTab *weave_hold(sqlite3 *db, const WeaveState *state, const char *name,
                     sqlite3_stmt **out_hold, Fault *fault);
void weave_release(WeaveTab *tab, sqlite3_stmt *hold); /* the table may end with it */

/* Options of one solve. */
typedef struct SolveRequest {
  double limit, gap;
  uint64_t seed;
  char progress[64]; /* SQL function called with (phase, seconds, objective, bound); "": none */
} SolveRequest;

bool request_parse(sqlite3 *db, const char *json, const Declaration *declaration, SolveRequest *out,
                   Fault *fault);

/* solve.c: compile, solve, verify; fills the solution. Changes nothing in the database. */
bool weave_run(WeaveTab *tab, const SolveRequest *request, Stop *stop, Fault *fault);

/* The changes that values of the model's variables make, and the rules they are held against. */
bool solution_read_changes(Solution *solution, const Compiler *compiler, const double *values,
                           Fault *fault);
bool solution_read_rules(Solution *solution, const Compiler *compiler, Fault *fault);

/* referee.c: where an answer hangs on how sums are rounded, SQLite is asked, about each answer
 * once. */
typedef struct Referee {
  Compiler *compiler;
  Judge judge; /* what the solver sees of it */
  Arena arena;
  Map known; /* assignments: index of the verdict */
  struct Verdict *verdicts;
  size_t nverdicts, capacity;
  struct Place *places; /* rows of rules, as origins name them */
  size_t nplaces;
  int *place_of; /* per tag; NULL: tags are rules */
} Referee;

/* Which row each origin is of: those of one rule and one key are one row. Numbered from 0 in the
** order in which they come up. */
bool origins_number_rows(const Compiler *compiler, int *out_rows, Fault *fault);

/* Sets options->judge where the model needs one. Close in any case. */
bool referee_open(Referee *referee, Compiler *compiler, SolveOptions *options, Fault *fault);
void referee_close(Referee *referee);

/* apply.c */
/* Writes the changes, has a look, undoes them. *out_refused: a constraint of the schema did not let
** them be written. */
bool apply_try(sqlite3 *db, const Solution *solution, bool (*look)(void *ctx, Fault *fault),
               void *ctx, bool *out_refused, Fault *fault);
bool apply_goal_total(sqlite3 *db, const RuleResult *rule, bool maximize, double *out,
                      Fault *fault);
bool apply_verify(Compiler *compiler, Solution *solution, Fault *fault);
bool apply_changes(sqlite3 *db, WeaveTab *tab, Fault *fault);

extern const VtTable weave_table, weave_relation_table, weave_status_table, weave_explain_table,
    weave_whynot_table;

#endif
