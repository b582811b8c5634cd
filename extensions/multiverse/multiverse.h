/*
** multiverse: a private view of the database for every user, under the same table names.
**
** A policy is rows of two storage tables. Entering a universe compiles it (policy.c), puts a
** virtual table in front of every table it opens (table.c, in the TEMP schema, which SQLite looks
** into first) and forbids everything else (guard.c). What a table shows is an inner statement on
** the base table: the policy's meaning for this user, partially evaluated for what the query asks
** (meaning.c, seek.c). Marzoev et al., "Towards Multiverse Databases", HotOS'19.
*/
#ifndef TENFOLD_MULTIVERSE_H
#define TENFOLD_MULTIVERSE_H

#include "base/arena.h"
#include "base/array.h"
#include "extensions/multiverse/datum.h"
#include "sql/sql.h"
#include "vtab/query.h"
#include "vtab/vt.h"
#include "vtab/watch.h"

/* ---- base tables: base.c ------------------------------------------------------------------ */

typedef struct BaseIndex {
  const char *name;
  int *columns; /* -1: an expression */
  double *rows; /* expected for given values of the first, the first two, … columns */
  int ncolumns;
  bool unique, partial;
} BaseIndex;

typedef struct BaseTable {
  const char *name;
  SqlColumn *columns;
  const char **presets; /* DEFAULT as written, or NULL */
  bool has_presets;
  bool *generated;
  int ncolumns;
  const char *rowid; /* a name of it that no column has; NULL: WITHOUT ROWID */
  int rowid_column;  /* the column that is the rowid, or -1 */
  int *keys;         /* columns of the primary key */
  int nkeys;
  BaseIndex *indexes;
  int nindexes;
  double rows;
} BaseTable;

/* An ordinary table of main. *out is NULL when there is none of that name. */
bool base_find(sqlite3 *db, const char *name, Arena *arena, BaseTable **out, Fault *fault);

bool base_is_utf8(sqlite3 *db, Fault *fault); /* its texts; false with the fault set: not known */

/* What sql_bind asks: tables and views of main. `ctx` is a sqlite3 pointer. */
extern bool (*const base_source)(void *ctx, const char *schema, const char *name, Arena *arena,
                                 SqlSource *source, Fault *fault);
SqlFunctionKind base_function(void *ctx, const char *name, int nargs);
/* Every overload of it says that its result depends on its arguments alone. */
bool base_is_deterministic(sqlite3 *db, const char *name, bool *out, Fault *fault);

/* ---- policies: policy.c ---------------------------------------------------------------------- */

/* Who is in which group: SELECT … AS gid and other columns, each of which is compared with the
** context's parameter of the same name. */
typedef struct Group {
  const char *name, *members;
  SqlSelect *select;
  const char **keys; /* its result columns but gid */
  int *params;       /* of the policy, for each of them */
  int nkeys;
  SqlAffinity affinity; /* of gid */
  const char *collation;
} Group;

/* An expression over a row, TRUE or not; of a group: for any of the user's gids. */
typedef struct Condition {
  const Group *group; /* NULL: no group */
  SqlExpr *expr;
  int atom; /* of the table: "column = :gid", which `rest` then leaves out; -1: not of that form */
  SqlExpr **rest;
  int nrest;
} Condition;

typedef enum Action {
  ACTION_ALLOW,
  ACTION_DENY,
  ACTION_REWRITE,
  ACTION_INSERT,
  ACTION_UPDATE,
  ACTION_DELETE,
  ACTION_PEEPHOLE,
  ACTION_COUNT, /* of a Count, not a Rule */
  ACTIONS
} Action;

typedef struct Rule {
  sqlite3_int64 id;
  Action action;
  Condition when, unless;
  bool has_unless;
  int column;     /* rewrite */
  SqlExpr *value; /* rewrite: what the cell shows */
  bool *columns;  /* update: which; NULL: all */
  struct Rule *next;
} Rule;

/* A membership that is known when the value of a column is: column = :gid, or one of a list. */
typedef struct Atom {
  int set, column; /* a set: groups, then lists */
  bool listed;
} Atom;

typedef struct Listed { /* where a rule of a table has a list */
  const SqlExpr *expr;
  int atom;
  struct Listed *next;
} Listed;

enum { MAX_ATOMS = 32 };

typedef struct Count Count; /* count.h */

typedef struct TablePolicy {
  const BaseTable *base;
  SqlSource *source;
  Rule *rules[ACTIONS], **last[ACTIONS]; /* in the order of their ids */
  bool *rewritten;                       /* per column */
  Atom atoms[MAX_ATOMS];
  int natoms;
  Count *count; /* the table is counted, and has no rules; NULL: it is shown by rows */
  Listed *listed;
} TablePolicy;

typedef struct Policy {
  Arena arena;
  Group *groups;
  int ngroups;
  const SqlExpr **lists; /* column IN (SELECT …), which depends on the context alone: lists.c */
  int nlists;
  TablePolicy **tables;
  int ntables;
  const char **params; /* of the context, in no order; not gid */
  int nparams;
  size_t params_capacity;
  bool blinded;  /* of a view as somebody: its peepholes come before all rewrites */
  uint64_t hash; /* of its rows and of the schema */
} Policy;

/* Rows as stored; texts may be NULL. */
typedef struct RuleText {
  sqlite3_int64 id;
  const char *table, *action, *group, *rule, *column, *value, *unless_group, *unless;
} RuleText;

/* Made from the storage tables; NULL with the fault set. `known`: the hash of a policy that the
** caller has: *same tells that it is still that one, and then NULL is returned without a fault. */
Policy *policy_load(sqlite3 *db, bool blinded, uint64_t known, bool *same, Fault *fault);
void policy_destroy(Policy *policy);
const TablePolicy *policy_table(const Policy *policy, const char *name);
static inline int policy_sets(const Policy *policy) { /* of members, that a universe has */
  return policy->ngroups + policy->nlists;
}
/* The atom that an expression of a rule of the table is, or NULL. */
const Atom *policy_listed(const TablePolicy *table, const SqlExpr *expr);
bool policy_hash(sqlite3 *db, bool blinded, uint64_t *out, Fault *fault);
/* Of multiverse_policy_json(). Faults name the place in the document. */
Policy *policy_of_document(sqlite3 *db, const char *json, Fault *fault);

/* The rows as stored, in the order in which they apply; and whether the tables have been made. */
extern const char policy_groups_sql[], policy_rules_sql[];
bool policy_is_stored(sqlite3 *db, bool *out, Fault *fault);
bool storage_create(sqlite3 *db, Fault *fault);

/* Is a row fit to be stored? Faults name the rule and the place. */
/* `but`: the id of the rule that it takes the place of, or NULL. */
bool policy_check_rule(sqlite3 *db, const RuleText *text, sqlite3_value *but, Fault *fault);
bool policy_check_group(sqlite3 *db, const char *name, const char *members, Fault *fault);

extern const char *const action_names[ACTIONS];

/* ---- who asks: universe.c -------------------------------------------------------------------- */

/* The gids of a user in a group, or what a list returns. */
typedef struct MemberSet {
  int64_t *integers; /* ascending */
  size_t count, capacity;
  uint64_t *bits; /* a bit for each integer from the first to the last, if they are close */
  size_t words;
  Map others[SQLITE_NULL]; /* by type: texts, blobs, reals that are no integers */
  bool null;               /* there is one */
  bool loaded;
} MemberSet;

bool member_has_datum(const MemberSet *set, const Datum *cell);
int member_in(const MemberSet *set, const Datum *cell); /* as IN: 1, 0, or -1 for NULL */
static inline bool member_has_bit(const MemberSet *set, int64_t integer) { /* when it has words */
  const uint64_t at = (uint64_t)integer - (uint64_t)set->integers[0];
  return at < set->words * 64 && (set->bits[at / 64] >> at % 64 & 1);
}
void member_clear(MemberSet *set);
size_t member_count(const MemberSet *set);
size_t member_bytes(const MemberSet *set); /* that it takes, itself included */
/* Everything the statement returns. */
bool member_load(MemberSet *set, sqlite3_stmt *statement, Fault *fault);
void multiverse_member(sqlite3_context *ctx, int argc, sqlite3_value **argv);
#define MEMBER_POINTER "multiverse-members"

typedef struct Context { /* {"uid": 7, …} */
  const char **names;
  sqlite3_value **values;
  int count;
  Arena arena;
} Context;

bool context_read(sqlite3 *db, const char *json, Context *out, Fault *fault);
void context_finish(Context *context);
sqlite3_value *context_value(const Context *context, const char *name);
/* All parameters of the policy have a value. */
bool context_suits(const Context *context, const Policy *policy, Fault *fault);

typedef struct Universe {
  Context context;
  MemberSet *sets; /* of the policy's groups, then of its lists */
  uint64_t serial; /* tells universes apart */
} Universe;

/* ---- the connection's state: init.c, enter.c ------------------------------------------------- */

/* Since the connection was opened. */
typedef struct Stats {
  sqlite3_int64 entered;          /* universes */
  sqlite3_int64 loaded, members;  /* groups of a user, and their members in all */
  sqlite3_int64 prepared, reused; /* inner statements */
  sqlite3_int64 scans, rows;      /* of tier 1: rows that it passed on … */
  sqlite3_int64 counted;          /* … and that it only counted */
  sqlite3_int64 counts, kept;     /* statements that counted, and counts that were known */
  sqlite3_int64 caught_up;        /* scans that were looked at after all */
  size_t universe;                /* bytes of the last universe that was left */
} Stats;

/* What queries ask of a table: advise.c. Columns are bits. */
typedef struct Shape {
  char table[64];
  sqlite3_uint64 equal, used;
  int sort; /* a column, SORT_NONE or SORT_ROWID */
  sqlite3_int64 scans;
} Shape;

enum { SORT_NONE = -1, SORT_ROWID = -2, MOST_SHAPES = 64 };

typedef struct State {
  Stats stats;
  Shape shapes[MOST_SHAPES];
  int nshapes;
  VtConn *conn;
  Policy *policy;     /* the last one compiled; while inside, the one that holds */
  Universe *universe; /* NULL: outside */
  VtWatch *guard, *veto;
  sqlite3_stmt *harmless[64]; /* veto.c: statements that were looked at … */
  bool compiled;              /* … unless one has been compiled since */
  Map functions;              /* that may be called inside */
  Map taken;                  /* names of tables, views, triggers, modules */
  uint8_t *token;
  int token_size; /* -1: no way back */
  uint64_t serials;
  /* sync.c: the state of the database that the policy and the sets are of. */
  bool synced;
  bool
      touched; /* memberships, by a write of this connection: it may be taken back without a trace */
  sqlite3_int64 data_version;
  unsigned file_version;
  sqlite3_value **fresh; /* the row that ROW_PREFIX tables show */
  struct Cache *cache;   /* cache.c; NULL: off */
} State;

void universe_forget(State *state);

/* Outside of every universe: what tells about all of the base data asks first, though the
** authorizer already denies it inside. */
bool state_is_admin(const State *state, Fault *fault);

/* ---- what a policy means: meaning.c ---------------------------------------------------------- */

/* Of the rules that allow: those that let the same rows be seen in every universe for which the
** query decides the same memberships, and the others. */
typedef enum Part { PART_ALL, PART_SHARED, PART_OWN } Part;

/* Where SQL for a table is written: plain SQL with the context's values in it, or for the engine,
** with numbered parameters: context, then sets of members, then the values of a query's terms. */
typedef struct Meaning {
  const Policy *policy;
  const TablePolicy *table;
  const Context *context;    /* plain; NULL: for the engine */
  const signed char *truths; /* per atom of the table: 1, 0, or -1 for not known; engine only */
  bool of_one;               /* row, so that lists are looked up in sets as well; engine only */
  bool queried; /* numbered parameters, but memberships by sub-selects, as in plain SQL */
  bool named;   /* … and parameters by their names */
  Part part;    /* the rules that meaning_visible() is about */
  /* Per parameter of the policy, or NULL: conditions that ask for one that is not known are NULL,
  ** unless AND, OR and NOT make of the rest what they would of any value. */
  const bool *unknown;
} Meaning;

typedef enum Truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_TEXT } Truth;

static inline int meaning_first_term(const Policy *policy) { /* the first parameter behind those */
  return 1 + policy->nparams + policy_sets(policy);
}

/* Text is added only for TRUTH_TEXT, and never needs parentheses around it. */
Truth meaning_visible(const Meaning *meaning, Text *out);
/* The rule applies to the row. */
Truth meaning_rule(const Meaning *meaning, const Rule *rule, Text *out);
/* A cell is rewritten, by any rule. */
Truth meaning_rewritten(const Meaning *meaning, int column, Text *out);
/* What a universe sees of a column. */
void meaning_column(const Meaning *meaning, int column, Text *out);
/* The cell that a rewrite shows instead. */
void meaning_replacement(const Meaning *meaning, const Rule *rule, Text *out);
/* SELECT up to and without its WHERE: multiverse_verdict, what the condition's expression is for a
** row, 1, 0 or NULL; of a group also multiverse_gid and the membership as a text, a row for each of
** the user's. */
void meaning_verdict(const Meaning *meaning, const Condition *condition, Text *out);
/* SELECT DISTINCT up to and without WHERE: an expression, of a row or of the group's rules; a key
** of the group's members; and both bare. */
void meaning_values(const Meaning *meaning, const Group *group, const SqlExpr *expr, Text *out);
void meaning_keys(const Meaning *meaning, const Group *group, const char *key, Text *out);
void meaning_expr(const Meaning *meaning, const SqlExpr *expr, Text *out);
void meaning_select(const Meaning *meaning, const SqlSelect *select, Text *out);
void meaning_value(sqlite3_value *value, Text *out); /* a literal */
void meaning_members(const Policy *policy, int set, Text *out);
/* main."Post" AS multiverse_row */
void meaning_from(const TablePolicy *table, Text *out);
void meaning_raw(const TablePolicy *table, int column, Text *out); /* -1: the rowid */

/* The whole of it as a SELECT: the oracle, and what an auditor reads. */
void meaning_sql(const Policy *policy, const TablePolicy *table, const Context *context, Text *out);

/* ---- what rules are like: nature.c ----------------------------------------------------------- */

/* None of them, from this one on, can fail, so that it does not matter which is asked first. */
bool nature_are_calm(const TablePolicy *table, const Rule *rule);
/* Of a group that the user is in as far as the query goes: most rows meet it. */
bool nature_is_broad(const Meaning *meaning, const Rule *rule);
Part nature_part(const Meaning *meaning, const Rule *rule);
/* In how many parts rows can be counted: 2, where some rules are shared, and an index finds the
** rows of the others; 1, where all are shared; 0: not by parts. */
int nature_parts(const Meaning *meaning);

/* ---- tables and functions -------------------------------------------------------------------- */

extern const VtTable multiverse_groups_table, multiverse_rules_table, multiverse_table_table,
    multiverse_row_table, multiverse_explain_table, multiverse_who_table, multiverse_stats_table,
    multiverse_check_table, multiverse_diff_table, multiverse_advise_table, multiverse_count_table,
    multiverse_budget_table;

/* The base table of one in TEMP that connects; a code of SQLite's, told. */
int shadow_look_up(VtTab *tab, const char *name, BaseTable **out);

/* Columns of tables in TEMP that have those of a base table. */
int shadow_declare(VtTab *tab, const BaseTable *base, const TablePolicy *policy, unsigned flags);

/* row.c: "multiverse_row:Post" shows one row, as Post would store it. */
#define ROW_PREFIX "multiverse_row:"

void multiverse_enter(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void multiverse_view_as(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void multiverse_leave(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void multiverse_sql(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void multiverse_policy_json(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void multiverse_policy_load(sqlite3_context *ctx, int argc, sqlite3_value **argv);

/* guard.c: the authorizer inside a universe, and the functions it lets through. */
int guard_ask(void *ctx, int action, const char *a, const char *b, const char *database,
              const char *accessor);
bool guard_prepare(State *state, Fault *fault);

/* veto.c: at the start of a statement. */
int veto_start(unsigned event, void *ctx, void *p, void *x);

#endif
