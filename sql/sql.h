/*
** SQLite's own dialect, from text to a bound tree and back to text.
**
** Parses what SQLite 3.40 accepts: SELECT in full, expressions in full, INSERT / UPDATE / DELETE
** (trigger bodies), CREATE TABLE / VIEW / TRIGGER / INDEX / VIRTUAL TABLE as found in
** sqlite_schema. Never guesses: text that SQLite would refuse is a Fault that names the construct
** and its place (line and column). The tree keeps source positions for messages.
**
** Three steps, each usable alone:
**   sql_parse_*   text -> tree            syntax only, no schema needed
**   sql_bind      tree + schema -> tree   every column reference points to its source
**   sql_print_*   tree -> text            parses back to an equal tree
**
** Memory: all nodes live in the caller's Arena and point into it only (the source text is copied),
** so trees may share subtrees and need no destroy. Nothing here calls SQLite.
*/
#ifndef TENFOLD_SQL_SQL_H
#define TENFOLD_SQL_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fault.h"
#include "base/text.h"

typedef struct SqlExpr SqlExpr;
typedef struct SqlSelect SqlSelect;
typedef struct SqlSource SqlSource;
typedef struct SqlWindow SqlWindow;
typedef struct SqlWith SqlWith;
typedef struct SqlCte SqlCte;

/* Bytes [at, at + length) of the source text. */
typedef struct SqlSpan {
  uint32_t at, length;
} SqlSpan;

/* 1-based line and column (in code points) of a byte offset, for messages. */
void sql_position(const char *text, uint32_t at, int *line, int *column);

/* ---- expressions ---------------------------------------------------------------------------- */

typedef enum SqlExprKind {
  SQL_EXPR_NULL,
  SQL_EXPR_INTEGER,   /* text: digits or 0x…; beyond int64 decimal digits SQLite reads a REAL */
  SQL_EXPR_REAL,      /* text as written */
  SQL_EXPR_STRING,    /* text: without quotes, '' undone */
  SQL_EXPR_BLOB,      /* text: the hex digits of x'…' */
  SQL_EXPR_CURRENT,   /* name: CURRENT_TIME, CURRENT_DATE or CURRENT_TIMESTAMP */
  SQL_EXPR_VARIABLE,  /* text: as written: ?, ?12, :a, @a, $a */
  SQL_EXPR_COLUMN,    /* [[schema.]table.]name; see `quoted` and the binding fields */
  SQL_EXPR_STAR,      /* * or table.* ; only in result columns and as count(*) 's argument list */
  SQL_EXPR_UNARY,     /* op args[0]; op: NOT - + ~ */
  SQL_EXPR_BINARY,    /* args[0] op args[1], see SqlOp */
  SQL_EXPR_IS_NULL,   /* args[0] ISNULL / IS NULL as written by ISNULL/NOTNULL/NOT NULL; negated */
  SQL_EXPR_BETWEEN,   /* args[0] [NOT] BETWEEN args[1] AND args[2] */
  SQL_EXPR_IN_LIST,   /* args[0] [NOT] IN (args[1..]) ; an empty list is allowed */
  SQL_EXPR_IN_SELECT, /* args[0] [NOT] IN (select) */
  SQL_EXPR_IN_TABLE,  /* args[0] [NOT] IN [schema.]name or name(args[1..]): `source` */
  SQL_EXPR_LIKE,      /* args[0] [NOT] op args[1] [ESCAPE args[2]]; op: LIKE GLOB REGEXP MATCH */
  SQL_EXPR_CASE,      /* [base] (when then)* [else]: see has_base, has_else; args in order */
  SQL_EXPR_CAST,      /* CAST(args[0] AS name); name may be empty */
  SQL_EXPR_COLLATE,   /* args[0] COLLATE name */
  SQL_EXPR_FUNCTION,  /* name([DISTINCT] args | *) [FILTER (WHERE filter)] [OVER over] */
  SQL_EXPR_EXISTS,    /* EXISTS (select) */
  SQL_EXPR_SELECT,    /* (select) as a value */
  SQL_EXPR_ROW,       /* (a, b, …): a row value of two or more */
  SQL_EXPR_RAISE      /* RAISE(name [, args[0] string]); only in trigger bodies */
} SqlExprKind;

typedef enum SqlOp {
  SQL_OP_NONE,
  SQL_OP_OR,
  SQL_OP_AND,
  SQL_OP_NOT,
  SQL_OP_EQ,
  SQL_OP_NE,
  SQL_OP_LT,
  SQL_OP_LE,
  SQL_OP_GT,
  SQL_OP_GE,
  SQL_OP_IS,
  SQL_OP_IS_NOT, /* also IS [NOT] DISTINCT FROM, turned into the other one */
  SQL_OP_BITAND,
  SQL_OP_BITOR,
  SQL_OP_LSHIFT,
  SQL_OP_RSHIFT,
  SQL_OP_ADD,
  SQL_OP_SUB,
  SQL_OP_MUL,
  SQL_OP_DIV,
  SQL_OP_MOD,
  SQL_OP_CONCAT,
  SQL_OP_PTR,
  SQL_OP_PTR2, /* || -> ->> */
  SQL_OP_NEG,
  SQL_OP_POS,
  SQL_OP_BITNOT,
  SQL_OP_LIKE,
  SQL_OP_GLOB,
  SQL_OP_REGEXP,
  SQL_OP_MATCH
} SqlOp;

struct SqlExpr {
  SqlExprKind kind;
  SqlOp op;
  SqlSpan span;            /* the whole expression, parentheses around it not counted */
  bool negated;            /* NOT IN, NOT LIKE, NOT BETWEEN, NOTNULL */
  bool distinct;           /* count(DISTINCT x) */
  bool star;               /* count(*) */
  bool has_base, has_else; /* CASE */
  bool quoted;        /* COLUMN: the name was "double quoted": a string if nothing is so named */
  bool delimited;     /* COLUMN: the name was quoted in any way: true and false are then columns */
  const char *text;   /* literals and variables; NUL-terminated */
  size_t text_length; /* strings may hold NULs only through blobs; kept for exactness */
  const char *schema, *table, *name; /* unquoted; NULL when absent */
  SqlExpr **args;
  int nargs;
  SqlSelect *select; /* IN_SELECT, EXISTS, SELECT */
  SqlSource *source; /* IN_TABLE (a base table or table function) */
  SqlExpr *filter;   /* FUNCTION */
  SqlWindow *over;   /* FUNCTION */
  int height;        /* levels of nodes from here down; kept by the parser */

  /* Filled by sql_bind. */
  SqlSource *bound;  /* COLUMN: where it comes from; NULL: a string (quoted), a trigger's NEW/OLD,
                     ** or a result alias (see alias_of) */
  int column;        /* COLUMN: index in bound's columns; -1: the rowid (a rowid that is an INTEGER
                     ** PRIMARY KEY counts as that column) */
  int depth;         /* COLUMN: how many SELECTs out its source is: 0 is its own */
  SqlExpr *alias_of; /* COLUMN that names a result column (ORDER BY, GROUP BY, WHERE …) */
  bool merged; /* COLUMN joined by FULL JOIN … USING: its value is the first of several columns
               ** that is not NULL; bound is the leftmost of them */
  bool is_aggregate;   /* FUNCTION: an aggregate here (no OVER; min/max with one argument) */
  int aggregate_depth; /* FUNCTION aggregate: how many SELECTs out it is computed; 0: here */
};

/* window: OVER name, OVER (base PARTITION BY … ORDER BY … frame), or a WINDOW clause entry */
typedef struct SqlOrder {
  SqlExpr *expr;
  bool descending;
  bool nulls_given, nulls_last;
  bool sort_given; /* ASC or DESC written */
} SqlOrder;

typedef enum SqlFrameUnit {
  SQL_FRAME_NONE,
  SQL_FRAME_RANGE,
  SQL_FRAME_ROWS,
  SQL_FRAME_GROUPS
} SqlFrameUnit;
typedef enum SqlFrameBound {
  SQL_BOUND_UNBOUNDED_PRECEDING,
  SQL_BOUND_PRECEDING,
  SQL_BOUND_CURRENT,
  SQL_BOUND_FOLLOWING,
  SQL_BOUND_UNBOUNDED_FOLLOWING
} SqlFrameBound;
typedef enum SqlFrameExclude {
  SQL_EXCLUDE_NONE,
  SQL_EXCLUDE_NO_OTHERS,
  SQL_EXCLUDE_CURRENT,
  SQL_EXCLUDE_GROUP,
  SQL_EXCLUDE_TIES
} SqlFrameExclude;

struct SqlWindow {
  const char *name; /* WINDOW name AS …, NULL in OVER */
  const char *base; /* OVER name, or the window extended */
  bool base_only;   /* OVER name without parentheses */
  SqlExpr **partition;
  int npartition;
  SqlOrder *order;
  int norder;
  SqlFrameUnit unit;
  bool between; /* written BETWEEN a AND b, else only the start */
  SqlFrameBound start, end;
  SqlExpr *start_expr, *end_expr;
  SqlFrameExclude exclude;
  SqlSpan span;
  bool bound; /* set by sql_bind for those of a WINDOW clause that are used */
};

/* ---- FROM ----------------------------------------------------------------------------------- */

typedef enum SqlSourceKind {
  SQL_SOURCE_TABLE,    /* [schema.]name */
  SQL_SOURCE_FUNCTION, /* [schema.]name(args) */
  SQL_SOURCE_SELECT,   /* (select) */
  SQL_SOURCE_JOIN      /* (a JOIN b …): a parenthesised FROM clause */
} SqlSourceKind;

typedef enum SqlJoin {                /* how a source is joined with everything on its left */
                       SQL_JOIN_NONE, /* the first */
                       SQL_JOIN_COMMA,
                       SQL_JOIN_INNER, /* JOIN, INNER JOIN */
                       SQL_JOIN_CROSS,
                       SQL_JOIN_LEFT,
                       SQL_JOIN_RIGHT,
                       SQL_JOIN_FULL
} SqlJoin;

/* What sql_bind knows about one column of a source. */
typedef struct SqlColumn {
  const char *name;
  const char *type;      /* declared type, "" when none */
  const char *collation; /* NULL: BINARY */
  bool hidden;           /* not part of * */
  SqlExpr *expr;         /* column of a sub-select: the expression behind it (of its first arm) */
} SqlColumn;

struct SqlSource {
  SqlSourceKind kind;
  SqlSpan span;
  const char *schema, *name; /* TABLE, FUNCTION */
  const char *alias;         /* NULL: none written */
  bool alias_as;             /* AS was written (kept only for printing) */
  const char *indexed_by;    /* INDEXED BY name */
  bool not_indexed;
  SqlExpr **args; /* FUNCTION */
  int nargs;
  SqlSelect *select; /* SELECT */
  SqlSource *first;  /* JOIN: the list inside the parentheses */

  SqlJoin join;
  bool natural;
  bool inner_word; /* INNER was written; no meaning */
  SqlExpr *on;
  const char **using_names;
  int nusing;
  SqlSource *next; /* to the right of this one */
  int height;      /* as in SqlExpr */

  /* Filled by sql_bind. */
  SqlCte *cte;        /* TABLE that names a CTE in scope */
  bool recursive;     /* and is the reference of that CTE to itself */
  SqlColumn *columns; /* in declaration order, hidden ones included */
  int ncolumns;
  bool has_rowid;
  int rowid_column; /* 1 + the index of its INTEGER PRIMARY KEY; 0: none */
  bool is_view, is_virtual;
  const char *database;    /* the schema it was found in; NULL: main */
  void *object;            /* whatever the schema callback stored for this table */
  SqlExpr **left, **right; /* USING and NATURAL: the columns made equal, each a bound COLUMN */
  int nequal;
};

struct SqlCte {
  const char *name;
  const char **columns; /* NULL: none written */
  int ncolumns;
  int materialized; /* 0 nothing written, 1 MATERIALIZED, -1 NOT MATERIALIZED */
  SqlSelect *select;
  SqlSpan span;
  bool recursive; /* set by sql_bind: refers to itself */
};

struct SqlWith {
  bool recursive;
  SqlCte *ctes;
  int nctes;
};

/* ---- SELECT --------------------------------------------------------------------------------- */

typedef enum SqlCompound { /* how an arm is combined with the arms before it */
                           SQL_COMPOUND_NONE,
                           SQL_COMPOUND_UNION,
                           SQL_COMPOUND_UNION_ALL,
                           SQL_COMPOUND_INTERSECT,
                           SQL_COMPOUND_EXCEPT
} SqlCompound;

typedef struct SqlResult {
  SqlExpr *expr;     /* SQL_EXPR_STAR for * and t.* */
  const char *alias; /* NULL: none */
  bool alias_as;
  const char
      *written;     /* the source text; set by the parser where SQLite may name the column by it */
  const char *name; /* filled by sql_bind: the column name SQLite would give */
} SqlResult;

/* One SELECT or VALUES. A compound is a chain of arms through `next`; WITH, ORDER BY and LIMIT of
** the whole stand in the first arm. */
struct SqlSelect {
  const char
      *text; /* what spans count in (the arena's copy); faults of sql_bind tell places by it */
  SqlSpan span;
  SqlWith *with;
  SqlCompound compound; /* NONE in the first arm */
  SqlSelect *next;      /* the following arm */
  bool is_values;       /* VALUES (…),(…): rows in `rows`, else results */
  SqlExpr **rows;       /* each an SQL_EXPR_ROW (also for one value: args[0..nargs)) */
  int nrows;
  bool distinct, all_given;
  SqlResult *results;
  int nresults;
  SqlSource *from;
  SqlExpr *where;
  SqlExpr **group;
  int ngroup;
  SqlExpr *having;
  SqlWindow *windows; /* WINDOW clause */
  int nwindows;
  SqlOrder *order;
  int norder;
  SqlExpr *limit, *offset;
  bool offset_first; /* written LIMIT offset, limit; matters only to the numbers of ? */
  int height;        /* as in SqlExpr */

  /* Filled by sql_bind. */
  bool is_aggregate;   /* has GROUP BY, or an aggregate computed here */
  bool is_correlated;  /* reads a column of an enclosing SELECT */
  SqlSelect *outer;    /* the SELECT this one stands in, NULL at the top */
  SqlResult *expanded; /* results with * expanded; equal to results when there is none */
  int nexpanded;
};

/* ---- statements ----------------------------------------------------------------------------- */

typedef enum SqlStatementKind {
  SQL_STATEMENT_SELECT,
  SQL_STATEMENT_INSERT,
  SQL_STATEMENT_UPDATE,
  SQL_STATEMENT_DELETE,
  SQL_STATEMENT_CREATE_TABLE,
  SQL_STATEMENT_CREATE_VIEW,
  SQL_STATEMENT_CREATE_INDEX,
  SQL_STATEMENT_CREATE_TRIGGER,
  SQL_STATEMENT_CREATE_VIRTUAL
} SqlStatementKind;

typedef struct SqlInsert SqlInsert; /* sql/statement.h: fields of these four */
typedef struct SqlUpdate SqlUpdate;
typedef struct SqlDelete SqlDelete;
typedef struct SqlCreate SqlCreate;

typedef struct SqlStatement {
  SqlStatementKind kind;
  const char *text; /* the arena's copy of the source */
  SqlSelect *select;
  SqlInsert *insert;
  SqlUpdate *update;
  SqlDelete *delete_;
  SqlCreate *create; /* CREATE_*: a view's SELECT is create->select */
} SqlStatement;

/* ---- parsing -------------------------------------------------------------------------------- */

enum {
  SQL_MAX_DEPTH = 1000,         /* nesting of expressions, as SQLITE_LIMIT_EXPR_DEPTH */
  SQL_MAX_NESTED_SELECTS = 100, /* SQLite 3.40's parser stack ends at about 20 */
  SQL_MAX_COMPOUND = 500,       /* arms, as SQLITE_LIMIT_COMPOUND_SELECT */
  SQL_MAX_COLUMNS = 2000,       /* of a result, as SQLITE_LIMIT_COLUMN */
  SQL_MAX_ARGUMENTS = 127,      /* of a function, as SQLITE_LIMIT_FUNCTION_ARG */
  SQL_MAX_VARIABLE = 250000,    /* ?NNN, as Debian's SQLITE_LIMIT_VARIABLE_NUMBER */
  SQL_MAX_TABLES = 64,          /* in one join */
  SQL_MAX_LENGTH = 1000 * 1000 * 1000
};

/* Parse one statement (a trailing semicolon and comments are allowed), one SELECT, one expression.
** Messages: `near "WHER": syntax error (line 1, column 15)`. Cost: linear in the text. */
SqlStatement *sql_parse_statement(Arena *arena, const char *text, size_t length, Fault *fault);
SqlSelect *sql_parse_select(Arena *arena, const char *text, size_t length, Fault *fault);
SqlExpr *sql_parse_expr(Arena *arena, const char *text, size_t length, Fault *fault);

/* ---- binding -------------------------------------------------------------------------------- */

typedef enum SqlFunctionKind {
  SQL_FUNCTION_NONE, /* no such function */
  SQL_FUNCTION_SCALAR,
  SQL_FUNCTION_AGGREGATE, /* also usable with OVER */
  SQL_FUNCTION_WINDOW,    /* only with OVER */
  SQL_FUNCTION_WRONG_ARGS /* the name exists, not with this many arguments */
} SqlFunctionKind;

/* What the binder needs to know of a database. */
typedef struct SqlSchema {
  void *ctx;
  /* Fill source->columns, ncolumns, has_rowid, object (from the arena) for a table or view; also
  ** rowid_column, is_view, is_virtual, database where they apply. schema may be NULL. False with no
  ** fault set: no such table. */
  bool (*table)(void *ctx, const char *schema, const char *name, Arena *arena, SqlSource *source,
                Fault *fault);
  /* NULL: the functions built into SQLite 3.40 are known. */
  SqlFunctionKind (*function)(void *ctx, const char *name, int nargs);
  /* NULL: every index named in INDEXED BY exists. (Collations are taken on trust: SQLite itself
  ** asks for one only where it compares.) */
  bool (*index)(void *ctx, const SqlSource *source, const char *name);
  /* The host was built with SQLITE_ALLOW_ROWID_IN_VIEW, as Debian's is: sub-selects have a rowid,
  ** which is NULL. `table` says the same of views by has_rowid. */
  bool rowid_in_views;
} SqlSchema;

/* The functions of a stock SQLite 3.40 with JSON and mathematics; what `function` may fall back on.
** Cost: a binary search. */
SqlFunctionKind sql_builtin_function(const char *name, int nargs);

/* Bind a SELECT: resolve tables, CTEs, columns, aliases, aggregates, as SQLite does (innermost
** scope first, rowid names last, "quoted" falls back to a string). Faults as SQLite words them
** ("no such column: x", "ambiguous column name: x", "misuse of aggregate: sum()") plus the place.
** As in SQLite, CTEs and windows that nobody uses are not looked at, and what AND with a literal 0
** or IN () makes dead is bound where it can be and may be wrong otherwise. A tree is bound once. */
bool sql_bind(SqlSelect *select, const SqlSchema *schema, Arena *arena, Fault *fault);

/* Bind one expression against the columns of the sources given (joined through `next`), which are
** bound too. No aggregates, no aliases; faults tell no place. */
bool sql_bind_expr(SqlExpr *expr, SqlSource *from, const SqlSchema *schema, Arena *arena,
                   Fault *fault);

/* Bind an INSERT, UPDATE, DELETE or SELECT, or the body of a trigger (whose NEW and OLD stand for
** its table). Other CREATE statements are taken as they are. */
bool sql_bind_statement(SqlStatement *statement, const SqlSchema *schema, Arena *arena,
                        Fault *fault);

/* Number of columns of a bound select's rows, and its column i of [0, n). */
int sql_width(const SqlSelect *select);
const SqlResult *sql_result(const SqlSelect *select, int i);

typedef enum SqlAffinity {                    /* datatype3.html section 3 */
                           SQL_AFFINITY_NONE, /* an expression without affinity */
                           SQL_AFFINITY_BLOB,
                           SQL_AFFINITY_TEXT,
                           SQL_AFFINITY_NUMERIC,
                           SQL_AFFINITY_INTEGER,
                           SQL_AFFINITY_REAL
} SqlAffinity;

/* a op b is b mirrored(op) a. */
SqlOp sql_op_mirrored(SqlOp op);
/* Of =, <>, <, <=, >, >=, IS, IS NOT: does it hold of values in this order (below 0, 0, above)? */
bool sql_op_holds(SqlOp op, int order);

SqlAffinity sql_type_affinity(const char *declared_type);
SqlAffinity sql_expr_affinity(const SqlExpr *expr);  /* of a bound expression */
const char *sql_expr_collation(const SqlExpr *expr); /* NULL: BINARY by default */

/* ---- walking -------------------------------------------------------------------------------- */

typedef enum SqlWalk { SQL_WALK_ON, SQL_WALK_SKIP, SQL_WALK_STOP } SqlWalk;

/* Called before the children. SKIP leaves them out. */
typedef struct SqlVisitor {
  void *ctx;
  SqlWalk (*expr)(void *ctx, SqlExpr *expr);       /* NULL: descend */
  SqlWalk (*select)(void *ctx, SqlSelect *select); /* every arm; NULL: descend */
  SqlWalk (*source)(void *ctx, SqlSource *source); /* NULL: descend */
} SqlVisitor;

/* False when a visitor said STOP. Walks results, FROM (ON, arguments, sub-selects), WHERE, GROUP,
** HAVING, windows, ORDER, LIMIT, CTEs, and the arms after this one. NULL is fine. */
bool sql_walk_expr(SqlExpr *expr, const SqlVisitor *visitor);
bool sql_walk_select(SqlSelect *select, const SqlVisitor *visitor);

/* Structural equality: same meaning by construction (positions ignored, names case-folded, bound
** columns compared by source and index; sources of sub-selects by their place). */
bool sql_expr_equal(const SqlExpr *a, const SqlExpr *b);

/* Deep copies into the arena. Bindings into copied sources are redirected to the copies. */
SqlExpr *sql_copy_expr(Arena *arena, const SqlExpr *expr);
SqlSelect *sql_copy_select(Arena *arena, const SqlSelect *select);

/* ---- printing ------------------------------------------------------------------------------- */

/* Printing with substitutions: a hook that writes its own text for a node returns true, and the
** node is not printed otherwise. */
typedef struct SqlPrinter {
  Text *out;
  void *ctx;
  bool (*expr)(void *ctx, Text *out, const SqlExpr *expr); /* NULL: none */
  bool (*source)(void *ctx, Text *out,
                 const SqlSource *source); /* text for the table part, alias included */
} SqlPrinter;

/* Parentheses are written where precedence needs them; identifiers are quoted where needed. */
void sql_print_expr(const SqlPrinter *printer, const SqlExpr *expr);
void sql_print_select(const SqlPrinter *printer, const SqlSelect *select);
void sql_print_source(const SqlPrinter *printer,
                      const SqlSource *source); /* one, with its join and ON */
void sql_print_statement(const SqlPrinter *printer, const SqlStatement *statement);

#endif
