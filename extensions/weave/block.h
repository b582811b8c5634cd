/*
** One SELECT being evaluated: what the parts of the compiler share about it. See compile.h.
*/
#ifndef TENFOLD_WEAVE_BLOCK_H
#define TENFOLD_WEAVE_BLOCK_H

#include "extensions/weave/compile.h"

enum { MAX_CELLS = 4, MAX_FEEDS = 32, ALIAS_SIZE = 16, MAX_TUPLES = 20 * 1000 * 1000 };

typedef struct Block Block;

/* How a source of the FROM clause is fed to SQLite. */
typedef enum FeedKind {
  FEED_PLAIN, /* reads no decision: as it is */
  FEED_TABLE, /* a table with decisions: one row per class of interchangeable rows */
  FEED_VIEW   /* a symbolic relation: a view, a sub-select, an outer row, a folded join */
} FeedKind;

/* A decision of a table that the block reads. Expanded: joined with its candidates, so that SQLite
** computes with the value and the tuple carries the guard. Otherwise a symbol. */
typedef struct Cell {
  Decision *decision;
  bool expanded;
  char alias[ALIAS_SIZE]; /* of the candidates, in SQL */
  int out;                /* result column with the candidate's index */
} Cell;

/* Which column of a symbolic relation answers for a column of a source. */
typedef struct ColumnMap {
  const SqlSource *source;
  int column, at;
} ColumnMap;

typedef struct Feed {
  FeedKind kind;
  SqlSource *source; /* NULL: outer rows, a folded join */
  char alias[ALIAS_SIZE];
  Table *table;
  SqlJoin join; /* LEFT (kept in SQL) or inner */
  /* TABLE */
  Cell cells[MAX_CELLS];
  int ncells;
  bool by_row;           /* every row is a class of its own */
  Relation classes;      /* (class, key…, domain per cell) */
  uint32_t *class_first; /* rows of class c: class_rows[class_first[c] .. class_first[c + 1]) */
  uint32_t *class_rows;
  Tallied **tallied; /* per class, of its only expanded cell; made at the first need */
  size_t nclasses;
  bool fixed; /* this pass enumerates the rows outside every scope */
  /* VIEW */
  SymRelation *relation;
  ColumnMap *map;
  int nmap;
  int out; /* result column with the class / the tuple */
} Feed;

/* What an expression reads, in a block. */
typedef struct Nature {
  bool symbolic;  /* reads a symbol: not for SQLite */
  bool aggregate; /* an aggregate of this block */
  int cells[8];   /* feed * MAX_CELLS + cell, distinct */
  int ncells;
} Nature;

typedef enum NodeKind {
  NODE_LEAF,      /* computed by SQLite: column `index` of the tuple */
  NODE_CELL,      /* a decision, as a choice or a number: feed, cell */
  NODE_COLUMN,    /* a symbolic column: feed, column */
  NODE_SUBQUERY,  /* block->subqueries[index] */
  NODE_AGGREGATE, /* block->aggregates[index] */
  NODE_OPERATOR   /* expr->kind over the kids */
} NodeKind;

/* An expression prepared for evaluation. */
typedef struct Node {
  NodeKind kind;
  SqlExpr *expr;
  int index, feed;
  struct Node **kids;
  int nkids;
} Node;

/* A sub-select that needs symbols, evaluated for all distinct rows of what it reads outside. */
typedef struct Subquery {
  SqlExpr *expr; /* EXISTS, IN (SELECT), (SELECT); NULL: a scalar made by the compiler */
  SqlSelect *select;
  ColumnMap *map; /* outer columns it reads … */
  int *leaves;    /* … and the leaves that hold them */
  int ncolumns;
  int left;         /* IN: leaf of the left side */
  uint32_t *row_of; /* per tuple: which distinct outer row */
  size_t nrows;
  Sym *values; /* EXISTS and scalars: per outer row */
  /* IN: literals of the inner rows by (outer row, value), and of those that are NULL */
  Map buckets;
  struct LitList *lists;
  size_t nlists, lists_capacity;
} Subquery;

typedef struct LitList {
  Lit *lits;
  size_t count, capacity;
  bool known;
  Lit any; /* their OR, once known */
} LitList;

typedef struct Aggregate {
  SqlExpr *expr;
  Node *arg;    /* NULL: count(*) */
  Node *filter; /* FILTER (WHERE …), or NULL */
} Aggregate;

struct Block {
  Compiler *compiler;
  SqlSelect *select; /* one arm */
  SqlSelect *whole;  /* the whole compound, for WITH */
  Feed feeds[MAX_FEEDS];
  int nfeeds;
  bool has_outer; /* feeds[0] holds the outer rows */
  SqlExpr *const *outputs;
  int noutputs;
  SqlExpr **conditions; /* WHERE and ON of inner joins, split at AND: for SQLite */
  int nconditions;
  size_t conditions_capacity;
  SqlExpr **filters; /* those that read symbols: they become part of the guard */
  int nfilters;
  size_t filters_capacity;
  SqlExpr *left_on[MAX_FEEDS]; /* per feed: ON of a LEFT JOIN kept in SQL */
  bool rows_apart;             /* no classes: every tuple has a guard of one literal */
  SqlExpr *violation;          /* only tuples where this is false are wanted (a must), or NULL */
  int nmusts;                  /* that many of the last outputs are musts */

  SqlExpr **leaves;
  int nleaves, leaves_capacity;
  Subquery *subqueries;
  int nsubqueries;
  Aggregate *aggregates;
  int naggregates;
  struct Part *parts; /* scratch of aggregate.c */
  size_t parts_capacity;

  /* tuples */
  size_t ntuples;
  Guard *guards;
  size_t guards_capacity;
  Value *leaf_values; /* ntuples * nleaves */
  size_t leaf_capacity;
  uint32_t *feed_rows; /* ntuples * nfeeds: class or tuple of each feed; UINT32_MAX: fixed row */
  size_t feed_rows_capacity;
};

/* scope.c */
/* Take apart one arm of `whole`, of which only `outputs` are wanted; `outer` (NULL: none) holds the
** rows of the enclosing SELECT. Sets which decisions are expanded. Close in any case. */
bool block_open(Block *block, Compiler *compiler, SqlSelect *arm, SqlSelect *whole,
                const Feed *outer, SqlExpr *const *outputs, int noutputs);
void block_close(Block *block);
bool block_nature(Block *block, SqlExpr *expr, Nature *out);
bool block_add_feed(Block *block, SqlSource *source, Feed **out);
bool block_add_condition(Block *block, SqlExpr *expr); /* to conditions or filters */
/* Which columns of a source the block reads anywhere: flags per column, the rowid's last; arena. */
bool *block_wanted(Block *block, const SqlSource *of);
bool *block_wanted_but(Block *block, const SqlSource *of, const SqlExpr *const *skip, int nskip);
void block_walk(Block *block, const SqlVisitor *visitor);           /* every expression it reads */
Feed *block_feed(Block *block, const SqlExpr *column, int *out_at); /* whose column it is */
Cell *block_cell(Block *block, const SqlExpr *column); /* NULL: no decision of this block */
void block_expand(Block *block, const Nature *nature); /* force these cells */
bool block_expand_all(Block *block, SqlExpr *expr);    /* all that the expression reads */
bool block_expand_output(Block *block, SqlExpr *expr); /* as far as it is not a symbol of several */
bool block_refuse(Block *block, const SqlExpr *expr, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* classes.c */
bool classes_build(Block *block, Feed *feed);

/* lookup.c: columns of `of` that only serve as keys in an EXISTS are no longer wanted; what they
** find is appended to a list of result columns, in which the table is called `alias`. */
bool lookup_replace(Block *block, const SqlSource *of, const char *alias, bool *wanted,
                    Text *columns, int *count);

/* join.c: a LEFT JOIN whose right side or condition needs symbols becomes one symbolic feed */
bool join_fold(Block *block, SqlSource *source, SqlExpr *on);

/* enumerate_query.c: prepared and bound, NULL after a fault */
sqlite3_stmt *enumerate_query(Block *block, bool stand_in);

/* enumerate.c */
bool enumerate_run(Block *block);
/* Room for one more tuple: what each feed has in it, and its leaves. */
bool enumerate_add(Block *block, const Guard *guard, uint32_t **out_rows, Value **out_leaves);
/* One more tuple per outer row (or one, without) under a guard that is never true: what the leaves
** are when an aggregate without GROUP BY has no rows. */
bool enumerate_stand_ins(Block *block);
int enumerate_leaf(Block *block, SqlExpr *expr); /* column of the tuple; -1: a fault */
static inline const Value *block_leaf(const Block *block, size_t tuple, int leaf) {
  return &block->leaf_values[tuple * (size_t)block->nleaves + (size_t)leaf];
}
static inline uint32_t block_row(const Block *block, size_t tuple, int feed) {
  return block->feed_rows[tuple * (size_t)block->nfeeds + (size_t)feed];
}

/* alone.c */
bool alone_possible(Block *block); /* nothing but columns of one symbolic relation, and constants */
bool alone_run(Block *block);

/* evaluate.c */
Node *evaluate_plan(Block *block, SqlExpr *expr); /* NULL: a fault */
typedef struct Frame {                            /* what a node is evaluated for */
  Block *block;
  size_t tuple;          /* any tuple of the group */
  const Sym *aggregates; /* of the group, or NULL */
} Frame;
bool evaluate(const Frame *frame, const Node *node, Sym *out);

/* subquery.c */
int subquery_plan(Block *block, SqlExpr *expr);        /* index, -1: a fault */
int subquery_plan_mapped(Block *block, SqlExpr *expr); /* a function of one decision, by SQLite */
bool subquery_run(Block *block, Subquery *subquery);
bool subquery_value(Block *block, Subquery *subquery, size_t tuple, Sym *out);
void subquery_finish(Subquery *subquery);

/* group.c: tuples to groups; aggregate.c: aggregates to symbols */
typedef struct Group {
  size_t *tuples;
  size_t ntuples;
  uint32_t outer;
  GuardSet *set; /* always: no GROUP BY, or sure to have a tuple */
} Group;
bool group_tuples(Block *block, Node *const *keys, int nkeys, size_t nouter, Group **out,
                  size_t *out_count);
bool group_constant(Block *block, const Group *group, const Node *node);
bool group_agrees(const Block *block, const Group *group, const Node *node);
bool group_aggregates(Block *block, const Group *group, Sym *out); /* out[naggregates] */

/* block.c */

/* One row of an arm: a tuple (guard set) or a group (group set), with its outputs. */
typedef struct Row {
  Block *block;
  const Guard *guard;    /* NULL: a group */
  const GuardSet *group; /* NULL: a tuple */
  Lit having;            /* of a group: HAVING is true */
  uint32_t outer;        /* row of the outer feed */
  size_t tuple;          /* its (first) tuple */
  const Sym *outputs;
  const Sym *musts; /* NULL when the row is handed over because the must is false in it */
} Row;
typedef bool (*RowSink)(void *ctx, const Row *row);

/* Plan the outputs, enumerate, evaluate sub-selects, apply the symbolic conditions. */
bool block_run(Block *block, Node **nodes);

/* Evaluate an arm and hand over its rows. With musts: their values too. A single must that SQLite
** can compute row by row is tested by SQLite, and only the rows where it is false are handed over:
** that is what makes most rules cheap. */
bool block_evaluate(Compiler *compiler, SqlSelect *arm, SqlSelect *whole, const Feed *outer,
                    SqlExpr *const *outputs, int noutputs, SqlExpr *const *musts, int nmusts,
                    RowSink sink, void *ctx);
bool relation_of_select(Compiler *compiler, SqlSelect *select, const Feed *outer,
                        const bool *wanted, SymRelation *out, uint32_t **out_outer_rows);
bool relation_of_view(Compiler *compiler, Table *view, const bool *wanted, SymRelation **out);
void relation_init(SymRelation *relation, int ncolumns);
bool relation_ready(Compiler *compiler, SymRelation *relation); /* usable even without a tuple */
/* Append a tuple; `values` holds ncolumns symbols. */
bool relation_append(Compiler *compiler, SymRelation *relation, const Guard *guard,
                     const Sym *values);

/* guard.c: presence */
Lit guard_literal(Compiler *compiler, const Guard *guard, uint32_t i);
uint32_t guard_copies(const Guard *guard);
/* The variable that is the sum of the literals, VAR_ONE when there is none. */
Var guard_tally(Compiler *compiler, const Guard *guard);
Guard guard_true(void);
bool guard_is_true(const Guard *guard);
static inline bool guard_is_never(const Guard *guard) {
  return guard->count == 0 && !guard->none_of;
}
Lit guard_both(Compiler *compiler, Lit a, Lit b); /* two values of one decision: false */
bool guard_cross(Compiler *compiler, const Guard *a, const Guard *b, Guard *out);
bool guard_of_literal(Compiler *compiler, Lit lit, Guard *out);
/* The rows of a class, each under its own literals; the query has the candidates. */
bool guard_of_class(Block *block, Feed *feed, sqlite3_stmt *query, uint32_t class, Guard *out);

#endif
