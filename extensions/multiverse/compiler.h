/*
** The making of a policy: shared by policy.c and policy_load.c.
*/
#ifndef TENFOLD_MULTIVERSE_COMPILER_H
#define TENFOLD_MULTIVERSE_COMPILER_H

#include "extensions/multiverse/multiverse.h"

typedef struct Compiler {
  sqlite3 *db;
  Policy *policy;
  Arena *arena;
  Fault *fault;
  SqlSchema schema;
  size_t groups_capacity, lists_capacity, tables_capacity;
} Compiler;

bool compiler_begin(sqlite3 *db, Compiler *compiler, Fault *fault);
/* Faults name the group or the rule. Groups come before rules. */
bool compiler_add_group(Compiler *compiler, const char *name, const char *members);
bool compiler_add_rule(Compiler *compiler, const RuleText *text);

/* The next name of "title, content", and behind it; NULL: there is none left. */
const char *compiler_next_name(const char **list, size_t *length);

/* lists.c: a look-up among values of that affinity and collation decides as SQLite's = would. */
bool compiler_is_plain(SqlAffinity members, const char *collation, const SqlColumn *column);
/* The table's number of the atom, or -1: it has too many. */
int compiler_atom(TablePolicy *table, Atom atom);
/* Notes those of a rule's expression. False without memory. */
bool compiler_find_lists(Compiler *compiler, TablePolicy *table, SqlExpr *expr);

#endif
