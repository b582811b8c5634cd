/*
** The compiler from rules to a model: what its parts share.
**
** A rule is a view. The compiler evaluates it symbolically: SQLite enumerates the tuples a SELECT
** could produce under any decision (with every expression that reads at most one decision already
** computed, exactly, by SQLite itself), and what remains (aggregates, comparisons of several
** decisions) becomes symbols (symbol.h) over the model (solver/model.h).
**
**   declare.c   what to decide, which rules
**   catalog.c   tables and views behind names
**   domain.c    rows in scope, the model's choices (values.c: candidate values)
**   scope.c     one SELECT taken apart: sources, conditions
**   nature.c    what an expression reads, which decisions SQLite is made to compute with
**   classes.c   interchangeable rows
**   enumerate.c the query SQLite runs, and its tuples (guard.c: their presence)
**   evaluate.c  symbols of expressions over a tuple
**   block.c     a SELECT as a symbolic relation: joins, groups, sub-selects
**   rule.c      requirements and goals
**   snapshot.c  what other connections write meanwhile
**
** After section 3 of the Weave paper (HotOS'19): policies over tables, decisions as columns.
*/
#ifndef TENFOLD_WEAVE_COMPILE_H
#define TENFOLD_WEAVE_COMPILE_H

#include "base/arena.h"
#include "base/array.h"
#include "base/stop.h"
#include "extensions/weave/declare.h"
#include "extensions/weave/query.h"
#include "extensions/weave/relation.h"
#include "extensions/weave/symbol.h"
#include "solver/model.h"
#include "sql/sql.h"

typedef struct Compiler Compiler;
typedef struct Table Table;
typedef struct Decision Decision;
typedef struct SymRelation SymRelation;

/* ---- tables and views ----------------------------------------------------------------------- */

/* A table or view of the database. Lives in the compiler's arena. */
struct Table {
  Table *next;
  const char *schema, *name; /* as stored, schema always given */
  bool is_view, is_virtual;
  const char *sql; /* CREATE statement, NULL for table functions */
  SqlColumn *columns;
  const int *notnull; /* per column */
  int ncolumns;
  bool has_rowid;
  const char **keys; /* what identifies a row: rowid, or the primary key's columns; none: nothing */
  int nkeys;
  const char **primary; /* columns of the primary key */
  int nprimary;
  const char *label;    /* the only column of the primary key, NULL: none or several */
  Decision **decisions; /* per column; NULL array when none is decided */
  const bool *derived;  /* per column: generated from decided ones; NULL like `decisions` */
  /* rows that some decision of the table covers, in key order */
  size_t nrows;
  Value *row_keys;     /* nrows * nkeys */
  Value *row_labels;   /* nrows */
  bool has_fixed_rows; /* rows outside every scope */
  /* views */
  SqlSelect *select;     /* parsed and bound, at the first need */
  int depends;           /* reads a decision: -1 not known yet */
  bool open;             /* being bound: a view that needs itself is an error */
  SymRelation *relation; /* evaluated: shared by all rules */
};

/* One decided column. */
struct Decision {
  const DecideClause *clause;
  Table *table;
  int column;
  SqlExpr *scope; /* bound to scope_source, NULL: every row */
  SqlSource *scope_source;
  SqlAffinity affinity;
  Collation collation;
  /* Finite: per row of table->nrows, its first variable and its domain. var is VAR_ONE where the
  ** row is out of this decision's scope: a constant, whose domain is its present value. */
  Var *first;
  int *domain;
  int *current; /* index of the present value in the domain, -1: not in it */
  bool numeric; /* a number variable (first[row]) rather than a choice */
  bool integral;
  struct Domain *domains;
  size_t ndomains, domains_capacity;
  Relation candidates; /* (domain, index, value): for SQLite */
  Value *present;      /* value per row now */
  Sym **symbols;       /* per row: its choice as a symbol, made at the first need */
};

/* A list of candidate values; NULL, when allowed, is the last. */
typedef struct Domain {
  Value *values;
  int count;
} Domain;

/* ---- symbolic relations --------------------------------------------------------------------- */

/* Rows whose choices a tuple stands for, as a tally of the model. */
typedef struct Tallied {
  Var first;          /* of the tally; VAR_ONE: not made yet */
  const Var *choices; /* count of them */
  uint32_t count;
} Tallied;

/* The presence of a tuple. Interchangeable rows give one tuple with a guard for each of them. With
** none_of the tuple is there (once) when none of the literals is true: the row a LEFT JOIN makes
** up. */
typedef struct Guard {
  const Lit *lits;
  uint32_t count;
  bool none_of;
  int32_t value;    /* each literal says that its choice takes this value … */
  Tallied *tallied; /* … and these are the choices. NULL: the literals are anything */
} Guard;

/* What a SELECT gives: tuples with guards and columns. Column values are constants where they can
** be; `symbols` holds the others. */
struct SymRelation {
  SymRelation *all_next; /* all of the compiler */
  int ncolumns;
  size_t ntuples, capacity;
  Guard *guards;
  Relation rows; /* (tuple, column…): NULL where the column is symbolic; for SQLite */
  Sym **symbols; /* per column: NULL, or a symbol per tuple */
  size_t *symbols_capacity;
  bool *wanted;            /* per column: was computed */
  SqlAffinity *affinities; /* per column */
  const char **collations;
};

/* ---- requirements and goals ----------------------------------------------------------------- */

/* One rule view, or a constraint of the schema turned into one. */
typedef struct Rule {
  const char *name; /* "r_capacity", or "UNIQUE pod(node)" */
  Table *view;      /* NULL for a constraint of the schema */
  const char *text; /* SQL that `select` was parsed from */
  SqlSelect *select;
  int must, maximize, minimize; /* columns, -1: none */
  int level;                    /* of its goals */
} Rule;

/* Where a requirement comes from: tags of the model index this. */
typedef struct Origin {
  int rule;
  const char *key;    /* JSON object of the row's constant columns, NULL when not recorded */
  const char *detail; /* the condition with its numbers, NULL */
} Origin;

/* Whose choice it is. */
typedef struct ChoiceOwner {
  Decision *decision;
  uint32_t row;
} ChoiceOwner;

struct Compiler {
  sqlite3 *db;
  const Declaration *declaration;
  Arena arena;
  Fault *fault;
  Stop *stop;
  Model *model;
  Algebra algebra;
  SqlSchema schema;
  const char *text;      /* SQL being compiled: the places in messages are in it */
  const char *resolving; /* schema in which unqualified names are looked up first; NULL: any */
  Table *tables;
  Decision *decisions;
  size_t ndecisions;
  Rule *rules;
  size_t nrules, rules_capacity;
  bool record_origins; /* keep keys and details (weave_explain, weave_whynot) */
  Origin *origins;
  size_t norigins, origins_capacity;
  ChoiceOwner *owners; /* per choice of the model */
  size_t nowners, owners_capacity;
  SymRelation *relations; /* for compiler_finish() */
  sqlite3_stmt *snapshot;
  const char *versions; /* of the databases, when they were read */
  int aliases;          /* counter for unique names in generated SQL */
  /* figures for weave_status */
  int64_t tuples; /* rows enumerated by SQLite */
  int64_t statements;
  double seconds_domain, seconds_rules;
};

/* Everything from the declaration to a complete model. On failure the fault names the rule and the
** place. The compiler must be finished in any case; the model dies with it. */
bool compile(Compiler *out, sqlite3 *db, const Declaration *declaration, bool record_origins,
             Stop *stop, Fault *fault);
void compiler_finish(Compiler *compiler);

/* FAULT_UNSUPPORTED about a piece of a rule, with its text and place; prefixed later with the
** rule's name. Returns false. */
bool compile_refuse(Compiler *compiler, const SqlExpr *expr, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What the algebra refused gets a place, unless it has one. Returns false. */
bool compile_locate(Compiler *compiler, const SqlExpr *expr);

/* catalog.c */
Table *catalog_table(Compiler *compiler, const char *schema, const char *name);
/* What the declaration names: without a schema, that of the model before all others. */
Table *catalog_own(Compiler *compiler, const char *schema, const char *name);
bool catalog_view_select(Compiler *compiler, Table *view);         /* parse and bind */
bool catalog_depends(Compiler *compiler, Table *table, bool *out); /* reads a decision */
/* Has the program registered a function of that name and arity itself? */
bool catalog_replaced(Compiler *compiler, const char *name, int nargs, bool *out);
void catalog_schema(Compiler *compiler); /* fills compiler->schema */
bool compile_select_depends(Compiler *compiler, SqlSelect *select, bool *out);
bool compile_expr_depends(Compiler *compiler, SqlExpr *expr, bool *out);

/* The rowid by whatever name, or a column of the key where there is none. */
bool catalog_identifies(const Table *table, const char *column);
bool catalog_generated(Compiler *compiler, const Table *table, int column);

/* Once all decisions are known: fills table->derived. */
bool catalog_derive(Compiler *compiler, Table *table);
bool catalog_changes(const SqlExpr *column); /* a column, bound: decided or derived */

/* CHECK expressions of a table, parsed, unbound; in the arena. */
bool catalog_checks(Compiler *compiler, Table *table, SqlExpr ***out, int *out_count);

/* domain.c */
bool domain_load(Compiler *compiler);
/* SELECT columns FROM table WHERE in some scope ORDER BY keys: rows as in table->row_keys. */
void domain_rows_sql(Text *sql, const Table *table, const char *columns);
bool domain_constraints(Compiler *compiler); /* UNIQUE, CHECK, FOREIGN KEY as rules */

/* values.c: candidate values of a decision. Lists are appended to decision->domains; the functions
** that return an index give -1 after a fault. */
bool values_store(Compiler *compiler, SqlAffinity affinity, Value *value); /* as the column would */
int values_add(Compiler *compiler, Decision *decision, const Value *values, int count);
int values_read(Compiler *compiler, Decision *decision, sqlite3_stmt *query); /* column 0 */
enum { SMALL_RANGE = 128 }; /* lo..hi this wide becomes a choice: usable anywhere */
bool values_range(Compiler *compiler, Decision *decision); /* each integer of lo..hi */
bool values_one_column(Compiler *compiler, const Decision *decision, sqlite3_stmt *query);
bool values_imply(Compiler *compiler, Decision *decision); /* no IN: foreign key, CHECK */

/* snapshot.c: outside a transaction every query would see the databases as they are then, and rows
** and rules be of different times. */
bool snapshot_open(Compiler *compiler);
void snapshot_close(Compiler *compiler);
bool snapshot_note(Compiler *compiler); /* which state this is */
/* An answer that does not fit: when another connection has written since, that is why. */
void snapshot_blame(Compiler *compiler, Fault *fault);

/* rule.c */
bool rule_load(Compiler *compiler);
bool rule_add(Compiler *compiler, const Rule *rule);
bool rule_compile(Compiler *compiler, size_t rule);

/* pairs.c: rules that two decisions differ, gathered into cliques */
typedef struct Pairs Pairs;
Pairs *pairs_create(void);
bool pairs_add(Compiler *compiler, Pairs *pairs, const Sym *left, const Sym *right, int tag);
bool pairs_post(Compiler *compiler, Pairs *pairs); /* requirements, then forgets */
void pairs_destroy(Pairs *pairs);

/* Report a stop (interrupt or deadline), a model that refused something. Both return false, the
** second true when all is well. */
bool compile_stopped(Compiler *compiler);
bool model_ok_or_fault(Compiler *compiler);

/* A copy in the compiler's arena, with out-of-memory reported. */
char *compile_strdup(Compiler *compiler, const char *text);
char *compile_text(Compiler *compiler, Text *text); /* takes and finishes the text */

#endif
