/*
** The virtual table that stands in front of a base table.
*/
#ifndef TENFOLD_MULTIVERSE_SHADOW_H
#define TENFOLD_MULTIVERSE_SHADOW_H

#include "extensions/multiverse/multiverse.h"

typedef struct Shadow Shadow;

/* Where the value of a column is found: in a column of the statement, or it is an integer that a
** term of the query says. */
typedef struct Place {
  int at; /* … or PLACE_ABSENT: nobody reads it */
  int64_t known;
} Place;

enum { PLACE_ABSENT = -1, PLACE_KNOWN = -2 };

/* A prepared statement of a table's, for queries of one shape. */
typedef struct Inner {
  sqlite3_stmt *statement;
  char *shape;     /* what it was prepared for */
  Place *places;   /* per column of the table: where it is found, or what is bound to it */
  uint64_t serial; /* the universe whose parameters are bound */
  bool busy;
  bool sorted;             /* order.c: by its keys */
  size_t unsorted;         /* bytes of its SQL without ORDER BY */
  bool reaches;            /* of a write: it may change memberships */
  char *counts[2];         /* what counts its rows, in parts; or NULL */
  struct Counted *counted; /* counted.c: NULL until a scan has read none of its rows */
  struct Inner *next;
} Inner;

/* keys.c: of rows of a table WITHOUT ROWID, by the number that stands for each. */
typedef struct Keys {
  bool wanted, starved;   /* starved: some could not be kept */
  Map places;             /* rowid: of its first value; or AMBIGUOUS */
  sqlite3_value **values; /* as many for each as the key has columns */
  size_t count, capacity;
} Keys;

struct Shadow { /* a table in a connection */
  VtTab tab;
  State *state;
  BaseTable *base;
  const Policy *policy; /* that `table` is of */
  const TablePolicy *table;
  int number; /* of it in the policy */
  Inner *inners;
  sqlite3_stmt *version; /* PRAGMA data_version */
  uint64_t
      settled;  /* sync.c: the universe whose memberships this write transaction has looked at */
  bool is_utf8; /* the database's texts */
  SqlAffinity *affinities; /* of the columns */
  bool journal;        /* of the statement that writes: it has one, which does not reach main yet */
  bool *given;         /* per column and the rowid: an INSERT writes it */
  Inner *inserters[2]; /* write.c: without a rowid, and with one */
  sqlite3_value **values; /* of the row that is inserted */
  sqlite3_stmt **members; /* per group of the policy */
  int nmembers;
  sqlite3_stmt *pin; /* PRAGMA data_version, which stands on its row while `pins` cursors read */
  int pins;
  Keys keys;
  struct Eye *eye;                   /* served.c: the universe's, as the table's lens has it */
  struct Verdict *verdicts[ACTIONS]; /* verdict.c */
};

typedef struct ShadowCursor {
  VtCursor cursor;
  Inner *inner;          /* tier 1 */
  struct Served *served; /* tier 2 */
  bool silent;           /* nothing of a row has been asked for yet */
  bool counting; /* … so that rows are only counted: the statement stands `behind` rows back */
  int stepped;   /* rows, while silent */
  sqlite3_int64 left, behind;
  int failed; /* what could not be told when it happened; the next step tells it */
} ShadowCursor;

/* How a term is passed on. Of the last two it tells the column's value, too. */
typedef enum Mode {
  MODE_SKIP = '-',
  MODE_RAW = 'r',
  MODE_SHOWN = 's',
  MODE_RAW_KNOWN = 'R',
  MODE_SHOWN_KNOWN = 'S'
} Mode;

typedef struct Question { /* a plan, looked at: seek.c */
  Shadow *shadow;
  const VtPlan *plan;
  char modes[VT_MAX_TERMS];
  signed char truths[MAX_ATOMS];
  char known[MAX_ATOMS + 1]; /* the same as a text */
} Question;

/* Which terms can be passed on and how, and which memberships they decide. */
void question_read(Question *question, Shadow *shadow, const VtPlan *plan);

/* keys.c: while a transaction writes to the table. */
void keys_begin(Shadow *shadow);
void keys_end(Shadow *shadow);
void keys_note(Shadow *shadow, sqlite3_int64 rowid, sqlite3_stmt *row);

/* order.c: sorts the rows of a statement, whose text this is, where their order would tell what is
** not shown. */
bool order_settle(const Question *question, Text *sql, bool *sorted, Fault *fault);

/* Inside a universe whose policy opens this table, and its memberships are those of the database's
** present state. Without SYNC_SURELY they may be of an earlier one, which shadow_is_current() tells
** once a statement reads; without SYNC_LISTS they are those of groups. */
typedef enum Sync { SYNC_GROUPS = 0, SYNC_LISTS = 1, SYNC_SURELY = 2 } Sync;
bool shadow_sync(Shadow *shadow, Sync sync, Fault *fault);
bool shadow_is_current(const Shadow *shadow);
unsigned shadow_file_version(const Shadow *shadow);
void shadow_forget(Shadow *shadow); /* its statements */

/* A statement for what the plan asks, its parameters bound. `text` is the plan's, as SQLite keeps
** it. */
bool shadow_statement(Shadow *shadow, const VtPlan *plan, const char *text, Inner **out,
                      Fault *fault);

/* One of its statements that is not in use and has this shape, or NULL; and a new one, which is put
** among them. */
Inner *shadow_find(const Shadow *shadow, const char *shape);
Inner *shadow_add(Shadow *shadow, const char *shape, const Text *sql, Fault *fault);

/* counted.c: a scan that nobody looks at. */
typedef struct Counted Counted;
void counted_seek(ShadowCursor *cursor, const VtPlan *plan);
bool counted_at_once(ShadowCursor *cursor); /* before the first row: rows need not be read */
void counted_passed(ShadowCursor *cursor);
int counted_catch_up(ShadowCursor *cursor); /* SQLITE_OK: the statement stands on the row */
void counted_done(ShadowCursor *cursor);
void counted_destroy(Counted *counted);

void advise_note(const Shadow *shadow,
                 const VtPlan *plan); /* advise.c: a scan that was asked for */

extern const VtWriter shadow_writer;

/* served.c: tier 2. True: the cursor stands on its first row, or is at the end. */
bool served_seek(ShadowCursor *cursor, const VtPlan *plan);
/* Whether it is, depends on what is in memory. */
bool served_might(const Question *question);
void served_step(ShadowCursor *cursor);
void served_column(const ShadowCursor *cursor, sqlite3_context *ctx, int column);
sqlite3_int64 served_rowid(const ShadowCursor *cursor);
void served_done(ShadowCursor *cursor);
void served_forget(Shadow *shadow);

/* verdict.c */
void verdict_forget(Shadow *shadow);

/* The context's parameters and the sets of members. */
void shadow_bind(const State *state, sqlite3_stmt *statement);

#endif
