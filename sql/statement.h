/*
** The statements beside SELECT: what triggers do (INSERT, UPDATE, DELETE) and what sqlite_schema
** holds (CREATE …). Same rules as sql.h: all nodes in the arena, names unquoted, NULL when absent.
*/
#ifndef TENFOLD_SQL_STATEMENT_H
#define TENFOLD_SQL_STATEMENT_H

#include "sql/sql.h"

typedef enum SqlConflict { /* OR … and ON CONFLICT … */
                           SQL_CONFLICT_NONE,
                           SQL_CONFLICT_ROLLBACK,
                           SQL_CONFLICT_ABORT,
                           SQL_CONFLICT_FAIL,
                           SQL_CONFLICT_IGNORE,
                           SQL_CONFLICT_REPLACE
} SqlConflict;

/* a = value, or (a, b) = value */
typedef struct SqlSet {
  const char **columns;
  int ncolumns;
  bool row; /* written with parentheses, even around one name */
  SqlExpr *value;
} SqlSet;

/* ON CONFLICT [(target) [WHERE]] DO NOTHING | DO UPDATE SET … [WHERE] */
typedef struct SqlUpsert {
  SqlOrder *target;
  int ntarget;
  SqlExpr *target_where;
  bool update;
  SqlSet *sets;
  int nsets;
  SqlExpr *where;
} SqlUpsert;

struct SqlInsert {
  SqlWith *with;
  SqlConflict conflict;
  bool replace_word; /* REPLACE INTO: conflict is REPLACE */
  SqlSource *table;  /* schema, name, alias */
  const char **columns;
  int ncolumns;
  SqlSelect *select; /* NULL: DEFAULT VALUES */
  SqlUpsert *upserts;
  int nupserts;
  SqlResult *returning;
  int nreturning;
  SqlResult *expanded; /* filled by sql_bind_statement: returning with * expanded */
  int nexpanded;
};

struct SqlUpdate {
  SqlWith *with;
  SqlConflict conflict;
  SqlSource *table; /* schema, name, alias, INDEXED BY */
  SqlSet *sets;
  int nsets;
  SqlSource *from;
  SqlExpr *where;
  SqlResult *returning;
  int nreturning;
  SqlResult *expanded; /* filled by sql_bind_statement: returning with * expanded */
  int nexpanded;
  SqlOrder *order;
  int norder;
  SqlExpr *limit, *offset;
  bool offset_first; /* as in SqlSelect */
};

struct SqlDelete {
  SqlWith *with;
  SqlSource *table;
  SqlExpr *where;
  SqlResult *returning;
  int nreturning;
  SqlResult *expanded; /* filled by sql_bind_statement: returning with * expanded */
  int nexpanded;
  SqlOrder *order;
  int norder;
  SqlExpr *limit, *offset;
  bool offset_first; /* as in SqlSelect */
};

typedef enum SqlConstraintKind {
  SQL_CONSTRAINT_NAME,     /* CONSTRAINT name with nothing after it */
  SQL_CONSTRAINT_DEFAULT,  /* column: expr, and text as written */
  SQL_CONSTRAINT_NULL,     /* column: NULL, no meaning */
  SQL_CONSTRAINT_NOT_NULL, /* column */
  SQL_CONSTRAINT_PRIMARY,  /* column: descending, autoincrement; table: columns */
  SQL_CONSTRAINT_UNIQUE,   /* table: columns */
  SQL_CONSTRAINT_CHECK,    /* expr */
  SQL_CONSTRAINT_FOREIGN,  /* column: REFERENCES …; table: FOREIGN KEY (names) REFERENCES … */
  SQL_CONSTRAINT_DEFER,    /* column: [NOT] DEFERRABLE … */
  SQL_CONSTRAINT_COLLATE,  /* column: text */
  SQL_CONSTRAINT_GENERATED /* column: AS (expr) text; text: STORED, VIRTUAL or NULL */
} SqlConstraintKind;

typedef enum SqlAction { /* of a foreign key */
                         SQL_ACTION_UNSET,
                         SQL_ACTION_NO_ACTION,
                         SQL_ACTION_RESTRICT,
                         SQL_ACTION_SET_NULL,
                         SQL_ACTION_SET_DEFAULT,
                         SQL_ACTION_CASCADE
} SqlAction;

typedef struct SqlConstraint {
  SqlConstraintKind kind;
  SqlSpan span;
  const char *name; /* CONSTRAINT name */
  const char *text;
  SqlExpr *expr;
  SqlConflict conflict;
  bool descending, sort_given, autoincrement;
  bool as_only;        /* GENERATED: written without GENERATED ALWAYS */
  bool default_parens; /* DEFAULT (expr) */
  SqlOrder *columns;   /* PRIMARY KEY, UNIQUE of a table */
  int ncolumns;
  const char **names; /* FOREIGN KEY (…) of a table */
  int nnames;
  const char *parent; /* REFERENCES parent (parent_names) */
  const char **parent_names;
  int nparent_names;
  SqlAction on_delete, on_update;
  bool deferrable, not_deferrable, deferred, immediate; /* [NOT] DEFERRABLE [INITIALLY …] */
} SqlConstraint;

typedef struct SqlColumnDef {
  const char *name;
  const char *type; /* as written, "" when none */
  SqlConstraint *constraints;
  int nconstraints;
} SqlColumnDef;

typedef enum SqlTriggerTime {
  SQL_TRIGGER_UNSET,
  SQL_TRIGGER_BEFORE,
  SQL_TRIGGER_AFTER,
  SQL_TRIGGER_INSTEAD
} SqlTriggerTime;

struct SqlCreate {
  bool temp, if_not_exists;
  const char *schema, *name;

  SqlColumnDef *columns; /* TABLE */
  int ncolumns;
  SqlConstraint *constraints;
  int nconstraints;
  bool without_rowid, strict;
  SqlSelect *select; /* VIEW, TABLE … AS */

  const char **names; /* VIEW (names), TRIGGER … UPDATE OF names */
  int nnames;

  bool unique;                      /* INDEX */
  const char *table_schema, *table; /* INDEX and TRIGGER: ON table */
  SqlOrder *terms;                  /* INDEX */
  int nterms;
  SqlExpr *where; /* INDEX: partial; TRIGGER: WHEN */

  SqlTriggerTime time;    /* TRIGGER */
  SqlStatementKind event; /* SQL_STATEMENT_INSERT, _UPDATE or _DELETE */
  bool for_each_row;
  SqlStatement **body;
  int nbody;

  const char *module; /* VIRTUAL */
  const char **args;  /* text as written, trimmed */
  int nargs;
  bool has_args; /* parentheses were written */
};

#endif
