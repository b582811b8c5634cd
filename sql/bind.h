/*
** What the binding files share. Internal to sql/.
**
** A Scope is one SELECT arm (or statement) whose names are visible to the expressions below it; its
** flags change as its clauses are bound, since each clause sees something else. Scopes chain
** outwards exactly as SELECTs stand in each other, so that depths count SELECTs; a scope that is
** not visible from a place (its own FROM clause, for one) still counts.
*/
#ifndef TENFOLD_SQL_BIND_H
#define TENFOLD_SQL_BIND_H

#include "sql/equal.h"
#include "sql/sql.h"
#include "sql/statement.h"

enum { RESULT_AGGREGATE = 1, RESULT_WINDOW = 2 }; /* what a result column contains */

typedef struct Scope {
  struct Scope *outer;
  SqlSelect *select; /* NULL in statements */
  SqlSource *from;
  bool from_visible;
  bool aliases_visible;
  bool cut; /* ORDER BY and GROUP BY see nothing outside */
  bool allow_aggregate, allow_window;
  bool lands;    /* an aggregate computed here is in its right place */
  bool in_rows;  /* in IN ((…), …), which SQLite reads as VALUES: a SELECT of its own */
  bool grouping; /* in GROUP BY, where no aggregate is right */
  bool has_aggregate, has_window; /* seen since last cleared */
  bool walled;    /* rows of VALUES after other arms: a sub-select in FROM to SQLite */
  bool in_window; /* in the arguments of a window function */
  bool plain;     /* an aggregate was seen outside of those */
  bool uses_windows;
  SqlExpr *remote; /* an aggregate of this scope that stands in a sub-select of its results */
  unsigned char *result_flags; /* of each expanded result */
  int *result_depths;          /* of each: as Tracker.depth */
  int on_index;                /* >= 0: in the ON of this source: those after it are out of reach */
  bool beyond_on;              /* one of those was used */
  SqlSource *excluded;         /* in DO UPDATE: the table whose columns `excluded` has */
} Scope;

typedef enum CteState {
  CTE_NEW,
  CTE_BUSY,
  CTE_RECURSIVE,
  CTE_SUBQUERY,
  CTE_TABLES,
  CTE_DONE
} CteState;

typedef struct WithFrame {
  struct WithFrame *outer;
  SqlWith *with;
  CteState *states;
} WithFrame;

/* Watches which SELECTs the columns of an expression come from, while it is bound. */
typedef struct Tracker {
  struct Tracker *outer;
  Scope *scope;
  int depth; /* the least number of scopes out from `scope`; -1: none seen */
} Tracker;

typedef struct Binder {
  Arena *arena;
  const SqlSchema *schema;
  Fault *fault;
  const char *text; /* of the select being bound; NULL: places are unknown */
  WithFrame *withs;
  int quiet; /* > 0: failures are expected and not reported */
  bool oom;
  bool in_trigger;
  SqlSource *trigger_table; /* whose columns NEW and OLD have */
  bool has_new, has_old;
  Tracker *trackers;
  int copies;             /* of CTEs bound more than once */
  bool tables_only;       /* see bind_tables */
  const char *found_name; /* what the source of the last COLUMN calls it */
  int level;              /* nesting of binding, to bound recursion through CTEs */
} Binder;

/* ---- bind.c */
bool bind_fail(Binder *binder, SqlSpan at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool bind_oom(Binder *binder);
void *bind_alloc(Binder *binder, size_t count, size_t size);
/* All arms; `outer` is the scope around. */
bool bind_select(Binder *binder, SqlSelect *select, Scope *outer);
bool bind_push_with(Binder *binder, SqlWith *with, WithFrame *frame);
/* The body of a CTE that a source names; `scope` is where the source stands. */
bool bind_cte(Binder *binder, SqlSource *source, WithFrame *frame, int index, Scope *scope);
bool bind_results(Binder *binder, Scope *scope, SqlResult *results, int n, SqlResult **expanded,
                  int *nexpanded);

/* ---- bind_from.c */
bool bind_from(Binder *binder, Scope *scope, SqlSource *first);
bool bind_columns_of(Binder *binder, SqlSource *source, SqlSelect *select, const char **names,
                     int nnames);
bool bind_is_dead(const SqlSource *first, const SqlExpr *where);
/* dead: nothing depends on them, so they may be wrong. */
bool bind_on(Binder *binder, Scope *scope, SqlSource *first, bool dead);
bool bind_arguments(Binder *binder, Scope *scope, SqlSource *first);

/* ---- bind_join.c: USING, NATURAL, parenthesised joins, * */

/* A column of a parenthesised join: what it is called inside and what it is. */
typedef struct JoinColumn {
  const char *label;        /* what its * calls it, before it is made unique */
  const char *table, *name; /* table NULL: joined by USING, belongs to no single table */
  const SqlSource *owner;   /* whose database it is */
  SqlSource *source;
  int column;
  bool merged;
  bool joined;    /* stands for several by USING */
  bool no_expand; /* not part of an outer * */
} JoinColumn;

bool bind_joins(Binder *binder, SqlSource *first);
bool bind_nested(Binder *binder, SqlSource *join);
bool bind_star(Binder *binder, SqlSource *first, const SqlExpr *star, SqlResult **items, int *count,
               int *room);
const JoinColumn *bind_join_columns(const SqlSource *join);
bool bind_has_right_join(const SqlSource *first);

/* ---- bind_name.c */
typedef struct Wanted {
  const char *schema, *table, *name;
  const SqlSource *like; /* instead of schema: only sources of the same database as this one */
} Wanted;

typedef struct Found {
  int count; /* 0: none, 1: this, more: ambiguous */
  SqlSource *source;
  int column;
  bool merged;
  bool merged_here; /* by a join of this FROM itself, not within parentheses */
  int index;        /* the place of the last match in its FROM */
  const char *name; /* what that FROM calls it */
  int rowids;       /* sources whose rowid it may be */
  SqlSource *rowid;
  int rowid_index;
} Found;

void bind_search(SqlSource *first, const Wanted *wanted, Found *found);
const char *bind_alias(const SqlResult *result); /* by which other clauses may call it, or NULL */
bool bind_column(Binder *binder, Scope *scope, SqlExpr *e);
int bind_find(const SqlSource *source, const char *name);     /* a column by name, or -1 */
bool bind_equates(const SqlSource *source, const char *name); /* USING or NATURAL names it */
const char *bind_source_name(const SqlSource *source); /* what qualifies its columns, or NULL */
const char *bind_database(const SqlSource *source);    /* NULL: no table */

/* ---- bind_expr.c */
bool bind_expr(Binder *binder, Scope *scope, SqlExpr *e);   /* a single value */
bool bind_values(Binder *binder, Scope *scope, SqlExpr *e); /* may be a row */
bool bind_exprs(Binder *binder, Scope *scope, SqlExpr **list, int n);
void bind_quietly(Binder *binder, Scope *scope, SqlExpr *e);
bool bind_is_false(const SqlExpr *e);
int bind_size(const SqlExpr *e);

/* ---- bind_call.c */
bool bind_call(Binder *binder, Scope *scope, SqlExpr *e);
bool bind_operator_function(Binder *binder, SqlExpr *e, const char *name, int nargs);
/* Only the tables and * of the SELECTs in an expression, no names: what SQLite does before all
 * else. */
bool bind_tables(Binder *binder, SqlExpr *e);
bool bind_unused_windows(Binder *binder, SqlSelect *select);
bool bind_window_definitions(Binder *binder, const SqlSelect *select);

/* ---- bind_order.c */
bool bind_position(const SqlExpr *e, long *position); /* an ORDER BY or GROUP BY number */
bool bind_order(Binder *binder, Scope *scope, SqlOrder *order, int n);
bool bind_group(Binder *binder, Scope *scope, SqlExpr **group, int n);
bool bind_compound_order(Binder *binder, SqlSelect *select);

#endif
