/*
** What grammar.y needs to build trees: the parser's state and the constructors its rules call.
**
** Every constructor may fail (memory, limits, or wrong input that a grammar cannot express). It
** then sets parse->failed and returns something empty; constructors do nothing once that is set,
** so that rules need no checks. Internal to sql/.
*/
#ifndef TENFOLD_SQL_BUILD_H
#define TENFOLD_SQL_BUILD_H

#include "sql/sql.h"
#include "sql/statement.h"
#include "sql/token.h"

typedef struct Parse {
  Arena *arena;
  const char *text; /* NUL-terminated, in the arena */
  Fault *fault;
  bool failed;
  int nested; /* SELECTs that have begun and not ended */
  int nvariables;
  uint32_t variable_at; /* the first */
  /* the result, by what was asked for */
  SqlStatement *statement;
  SqlSelect *select;
  SqlExpr *expr;
} Parse;

/* An expression and the text it stands on, parentheses around it included. */
typedef struct Ex {
  SqlExpr *e;
  SqlSpan at;
} Ex;

/* Growing arrays in the arena; what is outgrown is left behind, at most as much again. */
typedef struct Exprs {
  SqlExpr **items;
  int count, room;
} Exprs;

typedef struct Names {
  const char **items;
  int count, room;
} Names;

typedef struct Orders {
  SqlOrder *items;
  int count, room;
} Orders;

typedef struct Results {
  SqlResult *items;
  int count, room;
} Results;

typedef struct Sets {
  SqlSet *items;
  int count, room;
} Sets;

typedef struct Windows {
  SqlWindow *items;
  int count, room;
} Windows;

typedef struct Ctes {
  SqlCte *items;
  int count, room;
} Ctes;

typedef struct Constraints {
  SqlConstraint *items;
  int count, room;
} Constraints;

typedef struct Columns {
  SqlColumnDef *items;
  int count, room;
} Columns;

typedef struct Statements {
  SqlStatement **items;
  int count, room;
} Statements;

typedef struct Upserts {
  SqlUpsert *items; /* innermost (last written) first */
  int count, room;
} Upserts;

typedef struct UpsertTail { /* what follows the rows of an INSERT */
  Upserts list;
  Results returning;
} UpsertTail;

typedef struct TriggerEvent {
  SqlStatementKind kind;
  Names columns;
} TriggerEvent;

typedef struct ForeignTail { /* what follows REFERENCES table (columns) */
  SqlAction on_delete, on_update;
} ForeignTail;

typedef struct Defer {
  bool deferrable, not_deferrable, deferred, immediate;
  SqlSpan at;
} Defer;

typedef struct Alias { /* name.length is 0: none */
  SqlSpan name;
  bool as;
} Alias;

typedef struct Joined { /* ON or USING or neither */
  SqlExpr *on;
  Names using_names;
} Joined;

typedef struct Indexed { /* by.length is 0 and not unset: neither */
  SqlSpan by;
  bool not_indexed;
} Indexed;

typedef struct Join { /* a join operator */
  SqlJoin kind;
  bool natural, inner_word;
} Join;

typedef struct Sources { /* a FROM list, and the operator that will join the next source to it */
  SqlSource *first, *last;
  Join join;
} Sources;

typedef struct Arms { /* a compound under construction */
  SqlSelect *first, *last;
  int count;
} Arms;

typedef struct WithClause {
  SqlWith *with;
  uint32_t at;
} WithClause;

typedef struct CteParts {
  SqlSpan name;
  Names columns;
  int mode;
  Arms select;
  SqlSpan last;
} CteParts;

typedef struct SetParts {
  Names names;
  bool row;
  SqlExpr *value;
} SetParts;

typedef struct InsertWord {
  SqlConflict conflict;
  bool replace_word;
} InsertWord;

typedef struct Bound {
  SqlFrameBound kind;
  SqlExpr *expr;
} Bound;

typedef struct Name { /* [schema.]name */
  SqlSpan schema, name;
} Name;

/* What follows WHERE in an UPDATE or DELETE. */
typedef struct Tail {
  SqlExpr *where;
  Results returning;
} Tail;

typedef struct Limit {
  SqlExpr *limit, *offset;
  bool offset_first;
} Limit;

/* ---- build.c: shared */

void *build_alloc(Parse *parse, size_t size);
void build_fail(Parse *parse, uint32_t at, FaultCode code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void build_syntax_error(Parse *parse, SqlSpan token);
SqlSpan build_span(SqlSpan first, SqlSpan last);
const char *build_name(Parse *parse, SqlSpan token); /* unquoted copy; NULL for an empty span */
const char *build_text(Parse *parse, uint32_t from, uint32_t to); /* a copy, trimmed */
const char *build_raw_text(Parse *parse, SqlSpan span);

Exprs build_exprs(Parse *parse, Exprs list, SqlExpr *e);
Names build_names(Parse *parse, Names list, SqlSpan name);
Orders build_order(Parse *parse, Orders list, Ex e, int sort, int nulls);
Results build_result(Parse *parse, Results list, Ex e, uint32_t end, Alias alias);
Results build_star(Parse *parse, Results list, SqlSpan table, SqlSpan star);
Sets build_set(Parse *parse, Sets list, Names names, bool row, SqlExpr *value);
void build_height(Parse *parse, int *height, const SqlExpr *child);
/* Set the height of e from its children and check the limit. */
void build_finish(Parse *parse, SqlExpr *e);

/* ---- build_expr.c */

Ex build_literal(Parse *parse, SqlExprKind kind, SqlSpan token);
Ex build_variable(Parse *parse, SqlSpan token);
Ex build_column(Parse *parse, SqlSpan schema, SqlSpan table, SqlSpan name);
Ex build_parens(SqlSpan open, Ex e, SqlSpan close);
Ex build_unary(Parse *parse, SqlOp op, SqlSpan token, Ex a);
Ex build_binary(Parse *parse, Ex a, SqlOp op, Ex b);
Ex build_is(Parse *parse, Ex a, bool negated, Ex b);
Ex build_is_null(Parse *parse, Ex a, bool negated, SqlSpan last);
Ex build_like(Parse *parse, Ex a, SqlSpan op, bool negated, Ex b, Ex escape);
Ex build_between(Parse *parse, Ex a, bool negated, Ex low, Ex high);
Ex build_in_list(Parse *parse, Ex a, bool negated, Exprs list, SqlSpan close);
Ex build_in_select(Parse *parse, Ex a, bool negated, Arms select, SqlSpan close);
Ex build_in_table(Parse *parse, Ex a, bool negated, Name name, bool call, Exprs args, SqlSpan end);
Ex build_case(Parse *parse, SqlSpan first, Ex base, Exprs list, Ex otherwise, SqlSpan last);
Ex build_cast(Parse *parse, SqlSpan first, Ex a, SqlSpan type, SqlSpan last);
Ex build_collate(Parse *parse, Ex a, SqlSpan name);
Ex build_function(Parse *parse, SqlSpan name, bool distinct, bool star, Exprs args, SqlSpan last);
Ex build_window_call(Parse *parse, Ex call, SqlExpr *filter, SqlWindow *over, uint32_t end);
Ex build_select(Parse *parse, SqlExprKind kind, SqlSpan first, Arms select, SqlSpan last);
Ex build_row(Parse *parse, SqlSpan open, Exprs list, SqlSpan close);
Ex build_raise(Parse *parse, SqlSpan first, SqlSpan kind, SqlSpan message, SqlSpan last);

/* ---- build_select.c */

void build_enter(Parse *parse);
SqlSelect *build_one(Parse *parse, SqlSpan first, int distinct, Results results, Sources from,
                     SqlExpr *where, Exprs group, SqlExpr *having);
void build_one_tail(Parse *parse, SqlSelect *select, Windows windows, Orders order, Limit limit,
                    uint32_t end);
SqlSelect *build_values(Parse *parse, SqlSelect *select, SqlSpan first, Exprs row, SqlSpan last);
Arms build_arm(Parse *parse, Arms arms, SqlCompound op, SqlSelect *arm);
Arms build_with(Parse *parse, SqlWith *with, SqlSpan first, Arms arms);
Arms build_compound(Parse *parse, Arms arms); /* checks the whole */
Ctes build_cte(Parse *parse, Ctes list, SqlSpan name, Names columns, int materialized, Arms select,
               SqlSpan last);
SqlWith *build_with_clause(Parse *parse, bool recursive, Ctes list);
SqlWindow *build_window(Parse *parse, SqlSpan base, Exprs partition, Orders order,
                        SqlWindow *frame);
SqlWindow *build_frame(Parse *parse, SqlSpan first, SqlFrameUnit unit, bool between, Bound start,
                       Bound end, SqlFrameExclude exclude);
SqlWindow *build_window_name(Parse *parse, SqlSpan name);
Windows build_window_definition(Parse *parse, Windows list, SqlSpan name, SqlWindow *window,
                                SqlSpan last);

/* ---- build_from.c */

Join build_join(Parse *parse, SqlSpan a, SqlSpan b, SqlSpan c);
Sources build_joined(Sources list, Join join);
Sources build_table(Parse *parse, Sources list, Name name, Alias alias, Indexed indexed,
                    Joined joined, uint32_t end);
Sources build_call(Parse *parse, Sources list, Name name, Exprs args, Alias alias, Joined joined,
                   uint32_t end);
Sources build_sub_select(Parse *parse, Sources list, SqlSpan open, Arms select, Alias alias,
                         Joined joined, uint32_t end);
Sources build_nested(Parse *parse, Sources list, SqlSpan open, Sources inner, Alias alias,
                     Joined joined, uint32_t end);
SqlSource *build_target(Parse *parse, Name name, SqlSpan alias);
void build_target_index(Parse *parse, SqlSource *source, Indexed indexed);

/* ---- build_statement.c */

SqlStatement *build_statement(Parse *parse, SqlStatementKind kind);
SqlStatement *build_select_statement(Parse *parse, Arms select);
SqlStatement *build_insert(Parse *parse, SqlWith *with, SqlConflict conflict, bool replace_word,
                           SqlSource *table, Names columns);
void build_insert_rows(Parse *parse, SqlStatement *insert, Arms select, UpsertTail tail);
SqlStatement *build_update(Parse *parse, SqlWith *with, SqlConflict conflict, SqlSource *table,
                           Sets sets, SqlSource *from, Tail tail, Orders order, Limit limit);
SqlStatement *build_delete(Parse *parse, SqlWith *with, SqlSource *table, Tail tail, Orders order,
                           Limit limit);
Upserts build_upsert(Parse *parse, Upserts list, Orders target, SqlExpr *target_where, bool update,
                     Sets sets, SqlExpr *where);
Statements build_body(Parse *parse, Statements list, SqlStatement *statement);

/* ---- build_create.c */

SqlStatement *build_create(Parse *parse, SqlStatementKind kind, bool temp, bool if_not_exists,
                           Name name);
void build_defer(SqlConstraint *constraint, Defer defer);
SqlConstraint *build_foreign(Parse *parse, SqlSpan at, Names names, SqlSpan parent,
                             Names parent_names, ForeignTail tail, Defer defer);
/* 1: WITHOUT ROWID, 2: STRICT. */
int build_table_option(Parse *parse, SqlSpan without, SqlSpan option);
Columns build_column_def(Parse *parse, Columns list, SqlSpan name, SqlSpan type,
                         Constraints constraints);
Constraints build_constraint(Parse *parse, Constraints list, const SqlConstraint *constraint);
SqlConstraint *build_new_constraint(Parse *parse, SqlConstraintKind kind, SqlSpan at);
SqlConstraint *build_default(Parse *parse, SqlSpan at, bool parens, Ex e, uint32_t from,
                             uint32_t to);
Names build_virtual_arg(Parse *parse, Names list, SqlSpan arg);
void build_no_variables(Parse *parse, const char *what);

#endif
