/*
** Virtual tables as data. Include vtab/vt.h.
**
**   enum { STEP_VALUE, STEP_STOP, STEP_NCOL };
**   static const VtColumn step_cols[] = {
**     [STEP_VALUE] = {"value", "INTEGER", VT_EQ | VT_RANGE, 1, "the number"},
**     [STEP_STOP] = {"stop", "INTEGER", VT_ARG | VT_MUST, 1000, "last number"},
**   };
**   const VtTable step_table = {
**     .name = "demo_steps", .doc = "Counts.", .risk = SQLITE_VTAB_INNOCUOUS, .rows = 1000,
**     .cols = step_cols, .ncols = STEP_NCOL, .cursor_size = sizeof(StepCursor),
**     .seek = step_seek, .step = step_step, .column = step_column,
**   };
**
** Three sorts of table: called like a function, `t(arg)`, when it has VT_ARG columns; read like a
** plain table, when it has none; made by CREATE VIRTUAL TABLE, when .created is set. The first two
** exist in every connection without being created. Any sort is writable when .writer is set.
**
** One call of SQLite is one call of the author: stepping a million rows costs no allocation here.
*/
#ifndef TENFOLD_VTAB_TABLE_H
#define TENFOLD_VTAB_TABLE_H

#ifndef TENFOLD_VTAB_VT_H
#error "include vtab/vt.h"
#endif

#include <limits.h>

#include "base/arena.h"

typedef struct VtTable VtTable;
typedef struct VtTab VtTab;
typedef struct VtCursor VtCursor;
typedef struct VtBinding VtBinding;

/* ---- columns --------------------------------------------------------------------------------- */

typedef enum VtColumnFlag {
  VT_OUT = 0,        /* produced, never pushed down */
  VT_EQ = 1 << 0,    /* column = value reaches seek() */
  VT_RANGE = 1 << 1, /* < <= > >= (BETWEEN is two of them) */
  VT_IN = 1 << 2,    /* an IN list arrives whole: vt_in_next(). Without: one seek per element */
  VT_GLOB = 1 << 3,  /* GLOB; VT_LIKE: LIKE */
  VT_LIKE = 1 << 4,
  /* What is passed on but not exact may let too many rows through, never too few. */
  VT_EXACT = 1 << 5,    /* seek() applies what it gets exactly as SQLite would; no second test */
  VT_UNIQUE = 1 << 6,   /* at most one row has a given value */
  VT_ROWID = 1 << 7,    /* this column is the rowid: constraints on rowid count as on it */
  VT_HIDDEN = 1 << 8,   /* not part of SELECT * */
  VT_KEY = 1 << 9,      /* part of the primary key of a WITHOUT ROWID table */
  VT_NOTNULL = 1 << 10, /* declared NOT NULL */
  VT_ARG = 1 << 11,     /* an argument: hidden, passed by = only; these are the last columns */
  VT_MUST = 1 << 12,    /* with VT_ARG: its absence is an error that names it */
  VT_NULLABLE = 1 << 13 /* with VT_ARG: NULL reaches seek(), and so do pointers, which look like
                           NULL to everybody else. Without: a NULL gives no rows */
} VtColumnFlag;

typedef struct VtColumn {
  const char *name;
  const char *type; /* as declared: "INTEGER", "TEXT", "REAL", "BLOB" or "" */
  unsigned flags;   /* VtColumnFlag */
  double rows;      /* rows expected for one given value; 0: not known */
  const char *doc;  /* one line; for an argument with a default, say it */
} VtColumn;

/* More about a column that was decided at run time, and may hold anything, as an ordinary table's
** may. */
typedef struct VtNature {
  const char *collation; /* constraints under another one are not passed on */
  bool whole_in;         /* IN is not taken apart: SQLite would compare a TEXT column with numbers
                            among its elements otherwise than in an ordinary table */
} VtNature;

/* ---- plans ----------------------------------------------------------------------------------- */

typedef enum VtOp {
  VT_OP_EQ,
  VT_OP_IN,
  VT_OP_LT,
  VT_OP_LE,
  VT_OP_GT,
  VT_OP_GE,
  VT_OP_GLOB,
  VT_OP_LIKE
} VtOp;

typedef struct VtTerm {
  int col;
  VtOp op;
  sqlite3_value *value; /* in estimate(): NULL when not known yet */
} VtTerm;

enum { VT_MAX_TERMS = 32, VT_MAX_SORT = 8 };

typedef struct VtOrder {
  int col; /* -1: the rowid */
  bool descending;
} VtOrder;

/* What a query asks of one seek. Terms are joined by AND: of each column one = or one IN, or else
** at most one lower bound, one upper bound, one GLOB and one LIKE; SQLite tests the rest. Valid
** during the call only. Values are never NULL, except for VT_NULLABLE arguments: what compares with
** NULL has no rows. */
typedef struct VtPlan {
  int nterms;
  VtTerm terms[VT_MAX_TERMS];
  bool ordered;              /* rows must come as .order says, because SQLite will not sort them */
  bool reverse;              /* ... in the opposite direction, all of it */
  VtOrder sort[VT_MAX_SORT]; /* of tables with .any_order: the order that rows must come in */
  int nsort;
  sqlite3_int64 limit; /* so many rows are wanted first; INT64_MAX: not known. SQLite 3.40 says so
                          although it tests `a > b` of two columns itself: then it reads on */
  sqlite3_uint64 used; /* columns that may be read (bit 63: all from 63 on), see .wants_used */
  bool has_limit, has_offset; /* the kit's: values after those of the terms */
} VtPlan;

/* The first term with this column and operator, or NULL. */
const VtTerm *vt_term(const VtPlan *plan, int col, VtOp op);

/* Argument `col`, or NULL when it was not given (its default applies). */
sqlite3_value *vt_arg(const VtPlan *plan, int col);

/* The elements of an IN list, duplicates and NULLs included: start with *at = false. NULL at the
** end or, with *rc set, on failure. */
sqlite3_value *vt_in_next(const VtTerm *term, bool *started, int *rc);

/* All = and range terms of an integer column folded into lo <= x <= hi, with SQLite's comparison
** rules for reals and text ("x > 2.5" is 3 and up, "x < 'abc'" all numbers). False: no integer
** fits. VT_IN terms are not looked at. Exact, so such columns may be VT_EXACT. */
bool vt_int_range(const VtPlan *plan, int col, sqlite3_int64 *lo, sqlite3_int64 *hi);

/* Whether a text matches a term with this operator (not VT_OP_IN: ask for each element), by
** SQLite's rules for a column of type TEXT under BINARY: numbers compare as their text, blobs
** sort after all texts. `text` is NUL-terminated at `length`. */
bool vt_text_matches(VtOp op, sqlite3_value *value, const char *text, size_t length);

/* ---- tables ---------------------------------------------------------------------------------- */

/* A table in a connection. Authors embed it as the first member; `table_size` says how large. */
struct VtTab {
  sqlite3_vtab base;
  const VtTable *desc;
  VtConn *conn;
  sqlite3 *db;
  const VtColumn *cols; /* desc->cols, unless connect() set others: see there */
  int ncols;
  const char *name;        /* in messages; set by connect(), else the descriptor's */
  const VtNature *natures; /* of the columns, set by connect(). NULL: all are BINARY, and an INTEGER
                              or REAL column holds numbers alone */
  bool rowid_unordered;    /* set by connect(): .any_order, but not that of rowids */
  bool without_rowid;      /* these three: the descriptor's, unless connect() says otherwise */
  const VtOrder *order;
  int norder;
  Arena arena; /* lives as long as the table */
  /* The rest is the kit's. */
  int first_arg, rowid_col;
  bool began, connected;
  int top, written; /* savepoints: the open one, the deepest one written under; -1: none */
  bool doomed;
  VtCursor *spare; /* of a scan that has ended: the next one often has the same plan */
};

/* A scan. Authors embed it as the first member; `cursor_size` says how large. Zeroed at start. */
struct VtCursor {
  sqlite3_vtab_cursor base;
  VtTab *tab;
  bool eof;            /* set by seek() and step() when there is no (further) row */
  sqlite3_int64 rowid; /* counted from 1 in each seek; unused when .rowid is given */
  Arena arena;         /* one seek long: reset after done() */
  VtPoll poll;         /* for long work in seek, step and column: vt_poll(&cur->poll) */
  /* The rest is the kit's. */
  int (*step)(VtCursor *);
  int (*column)(VtCursor *, sqlite3_context *, int);
  const char *plan_text; /* the idxStr that `plan` was read from, in this statement */
  bool sought;
  /* What is left to the next scan: */
  VtPlan plan;
  char plan_read[64];  /* what it was read from; empty: nothing, or it is longer */
  struct VtKept *kept; /* given arguments, for reading them back as columns */
};

/* The words after USING name(, raw: text as written, trimmed, without the commas between them. */
typedef struct VtCreate {
  bool create; /* false: the table exists and is opened again */
  const char *module, *schema, *name;
  int nargs;
  const char *const *args;
} VtCreate;

/* Writes. Any function may be NULL: the operation is refused with a message (SQLITE_READONLY).
** `columns` holds ncols values in the order of the columns; in an UPDATE those not assigned may be
** sqlite3_value_nochange(). Keys: the rowid, or in WITHOUT ROWID tables the VT_KEY column.
**
** SQLite's rules for transactions: everything that can fail happens in sync(); begin/sync are never
** called for reads. The kit calls begin() before the CREATE VIRTUAL TABLE commits, too, and calls
** sync/commit/rollback only after begin(). */
typedef struct VtWriter {
  int (*insert)(VtTab *tab, sqlite3_value *key, sqlite3_value **columns, sqlite3_int64 *rowid);
  int (*update)(VtTab *tab, sqlite3_value *old_key, sqlite3_value *new_key,
                sqlite3_value **columns);
  int (*remove)(VtTab *tab, sqlite3_value *key);
  int (*begin)(VtTab *tab);
  int (*sync)(VtTab *tab);
  void (*commit)(VtTab *tab);
  void (*rollback)(VtTab *tab);

  /* Savepoints, one of three: `native`, when all writes go to SQLite tables of this connection;
  ** the callbacks; or neither, and then a ROLLBACK TO that would have to undo a write of ours
  ** makes the COMMIT fail, naming the reason, so that nothing wrong is ever stored. */
  bool native;
  int (*savepoint)(VtTab *tab, int n);
  int (*release)(VtTab *tab, int n);
  int (*rollback_to)(VtTab *tab, int n);
  bool constraints; /* SQLITE_VTAB_CONSTRAINT_SUPPORT: honours ON CONFLICT by itself */
} VtWriter;

struct VtTable {
  const char *name;
  const char *doc;       /* one line */
  const char *needs;     /* engine named in the reference ("solver: GLPK"), or NULL */
  const VtError *errors; /* for the reference, or NULL */
  const char *example;   /* SQL whose real output the reference shows, or NULL */
  int risk;              /* SQLITE_VTAB_INNOCUOUS or SQLITE_VTAB_DIRECTONLY; nothing else */

  const VtColumn *cols;
  int ncols;
  double rows;          /* expected without any constraint */
  double row_cost;      /* of one row, in units of a row of an ordinary table; 0: 1 */
  double seek_cost;     /* of one seek, in the same unit */
  const VtOrder *order; /* rows come in this order (SQLite's: NULLs first, texts by memcmp) when
                           plan->ordered; NULL: none */
  int norder;
  bool reversible;    /* ... and backwards when plan->reverse */
  bool any_order;     /* instead of .order: rows come in whatever order plan->sort asks for */
  bool wants_limit;   /* seek() makes use of plan->limit */
  bool wants_used;    /* seek() makes use of plan->used; it is then part of the plan's text */
  bool without_rowid; /* VT_KEY columns are the key; exactly one when writable */

  size_t table_size, cursor_size; /* 0: nothing beyond VtTab, VtCursor */

  /* The table's life; each may be NULL. connect() may point tab->cols/ncols to columns decided at
  ** run time (memory: tab->arena). disconnect() follows every connect(), also a failed one, and
  ** frees what the author's members own (they are zeroed before connect). */
  int (*connect)(VtTab *tab, const VtCreate *create);
  void (*disconnect)(VtTab *tab);

  /* For tables made by CREATE VIRTUAL TABLE. destroy() drops what is stored (a failure keeps the
  ** table), rename() renames it. `is_shadow` says whether NAME_suffix is ours, given the suffix. */
  bool created;
  int (*destroy)(VtTab *tab);
  int (*rename)(VtTab *tab, const char *name);
  int (*is_shadow)(const char *suffix);

  /* Refine the guess (optional): *rows and *cost come filled. */
  void (*estimate)(VtTab *tab, const VtPlan *plan, double *rows, double *cost);

  /* The scan. seek() stands on the first row, step() goes to the next; both set cur->eof when there
  ** is none. column() answers for `col`, which is never an argument (the kit returns those).
  ** done() follows every seek, also a failed one, before the next seek or the end. open/close
  ** frame the cursor's life; all but seek, step and column may be NULL.
  **
  ** rowid() names the row the same way in every scan. Tables with searched columns must have it:
  ** for `a = 1 OR b = 2` SQLite seeks twice and drops a row whose rowid it has seen. Writable
  ** ones, too. For tables that are only called with arguments the kit's count will do. */
  int (*open)(VtCursor *cur);
  int (*seek)(VtCursor *cur, const VtPlan *plan);
  int (*step)(VtCursor *cur);
  int (*column)(VtCursor *cur, sqlite3_context *ctx, int col);
  sqlite3_int64 (*rowid)(VtCursor *cur);
  /* For tables of millions of rows, instead of step() and column(): what SQLite calls without the
  ** kit between, a nanosecond or two for each value. The base is that of a VtCursor; needs rowid(),
  ** and the column of an argument is vt_argument(). */
  int (*next)(sqlite3_vtab_cursor *base);
  int (*value)(sqlite3_vtab_cursor *base, sqlite3_context *ctx, int col);
  void (*done)(VtCursor *cur);
  void (*close)(VtCursor *cur);

  const VtWriter *writer; /* NULL: read-only */
};

/* Answers for the column of an argument: see VtTable.value. */
int vt_argument(VtCursor *cur, sqlite3_context *ctx, int col);

/* An argument's value checked against what the table wants. False after vt_fail() with a message
** that names it: `t: argument "n" must be an integer, not 'abc'`. Absent: *out is the default. */
bool vt_arg_int(VtTab *tab, const VtPlan *plan, int col, sqlite3_int64 preset, sqlite3_int64 *out);
bool vt_arg_real(VtTab *tab, const VtPlan *plan, int col, double preset, double *out);
/* Text: valid during seek(). Numbers are accepted as their text, blobs are not. */
bool vt_arg_text(VtTab *tab, const VtPlan *plan, int col, const char *preset, const char **out);
/* A pointer given with sqlite3_bind_pointer() under this static type; NULL: something else. */
void *vt_arg_pointer(const VtPlan *plan, int col, const char *type);

#endif
