/*
** Counts with noise: what a universe sees of a table with a rule of the action `count`.
**
**   INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES
**     ('Diagnosis', 'count', 'NOT draft', 'zip',
**      '{"epsilon":0.5, "unit":"patient", "max_per_unit":2}');
**   SELECT zip, count FROM Diagnosis WHERE zip = 2139;
**
** A *tally* is kept for the rule, in tables of main and by triggers of plain SQL (count_tally.c):
** which rows are counted now, how many of each unit ever were, the exact counts, and a clock that
** ticks with every write, whatever it changes. What is shown at tick T is the exact count plus the
** noise of the nodes that T is made of (count_noise.c).
*/
#ifndef TENFOLD_MULTIVERSE_COUNT_H
#define TENFOLD_MULTIVERSE_COUNT_H

#include "extensions/multiverse/compiler.h"

enum { MOST_BY = 4, SECRET_BYTES = 32, NONCE_BYTES = 8, MOST_NODES = 126 };

/* An epsilon is counted in millionths. */
#define EPSILON_ONE 1000000LL

struct Count {
  sqlite3_int64 rule; /* its id */
  RuleText text;
  SqlExpr *when;        /* which rows are counted */
  int by[MOST_BY], nby; /* columns */
  int unit;             /* column: whom the noise protects */
  sqlite3_int64 epsilon, most;
  sqlite3_int64 budget; /* 0: none is given */
  SqlSelect *keys;      /* the groups that are listed; NULL: those that are asked for */
  sqlite3_int64 tally;  /* 0: the policy is not the stored one */
};

/* ---- rules: count_rule.c --------------------------------------------------------------------- */

/* Reads the rule and makes it the table's. The faults do not name the rule yet. */
bool count_compile(Compiler *compiler, TablePolicy *table, const RuleText *text);
/* The table may have rules about rows. */
bool count_lets(Compiler *compiler, const TablePolicy *table);

/* ---- triggers: count_triggers.c -------------------------------------------------------------- */

/* The name of each, and what follows CREATE TRIGGER main.; *n of them. */
enum { MOST_TRIGGERS = 7 };
typedef struct Trigger {
  Text name, text;
} Trigger;
bool count_triggers(sqlite3 *db, const TablePolicy *table, Trigger out[MOST_TRIGGERS], int *n,
                    Fault *fault);
void count_triggers_finish(Trigger triggers[MOST_TRIGGERS]);
/* Statements that make the tally agree with the table's rows, at one tick. */
enum { RECOUNT_STATEMENTS = 4 };
void count_recount(const TablePolicy *table, Text out[RECOUNT_STATEMENTS]);

/* ---- tallies: count_tally.c ------------------------------------------------------------------ */

/* May a rule with this text, of which the table has been compiled alone, stand beside those that
** are stored, but the one with the id `but` (NULL: none)? */
bool count_check(sqlite3 *db, const RuleText *text, const TablePolicy *table, sqlite3_value *but,
                 Fault *fault);

/* Makes the tallies those of the stored rules. What has a tally already keeps it. */
bool count_settle(sqlite3 *db, Fault *fault);
/* Finds the tallies of the stored policy's tables. */
bool count_attach(sqlite3 *db, Policy *policy, Fault *fault);
/* Without noise, and without the limit of rows for each unit: multiverse_sql(). */
void count_sql(const Policy *policy, const TablePolicy *table, Text *out);

/* ---- noise: count_noise.c -------------------------------------------------------------------- */

/* Ticks that are summed, and get noise once. */
typedef struct NoiseNode {
  int level;                        /* it holds 2^level ticks … */
  sqlite3_int64 end;                /* … and this is the last one */
  int levels;                       /* of its segment */
  bool whole;                       /* it is the segment */
  unsigned char nonce[NONCE_BYTES]; /* of its last tick */
} NoiseNode;

/* The nodes that ticks 1 to `tick` are made of; their nonces are not set. */
int noise_nodes(sqlite3_int64 tick, NoiseNode nodes[MOST_NODES]);

typedef struct Noise {
  unsigned char secret[SECRET_BYTES];
  sqlite3_int64 epsilon, most; /* as of the Count */
  NoiseNode nodes[MOST_NODES];
  int nnodes;
} Noise;

/* Of all the nodes, for a key; always the same. False without memory. */
bool noise_draw(const Noise *noise, const void *key, size_t length, sqlite3_int64 *out);
bool noise_secret(unsigned char secret[SECRET_BYTES], Fault *fault);

#endif
