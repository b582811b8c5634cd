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
  size_t groups_capacity, tables_capacity;
} Compiler;

bool compiler_begin(sqlite3 *db, Compiler *compiler, Fault *fault);
/* Faults name the group or the rule. Groups come before rules. */
bool compiler_add_group(Compiler *compiler, const char *name, const char *members);
bool compiler_add_rule(Compiler *compiler, const RuleText *text);

#endif
