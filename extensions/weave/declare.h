/*
** What CREATE VIRTUAL TABLE name USING weave(…) says: decisions, rules, limits.
**
**   DECIDE [schema.]table.column [IN (values | query | lo..hi)] [OPTIONAL] [WHERE scope]
**   RULES (view [priority], …)
**   LIMIT seconds
*/
#ifndef TENFOLD_WEAVE_DECLARE_H
#define TENFOLD_WEAVE_DECLARE_H

#include "base/arena.h"
#include "base/fault.h"

typedef enum DomainKind {
  DOMAIN_IMPLIED, /* no IN: from the foreign key, else CHECK */
  DOMAIN_QUERY,   /* IN (SELECT …) or IN (a, b): `query` yields the values */
  DOMAIN_INTEGER, /* IN (1..100) */
  DOMAIN_REAL     /* IN (0.0..1.0) */
} DomainKind;

typedef struct DecideClause {
  const char *schema; /* NULL: the virtual table's own */
  const char *table, *column;
  DomainKind domain;
  const char *query;
  double lo, hi;
  bool optional;     /* NULL is a value too */
  const char *scope; /* text of the WHERE expression, NULL: every row */
} DecideClause;

typedef struct RuleClause {
  const char *name;
  int level; /* of a goal; 0: none was written, which means 1 */
} RuleClause;

typedef struct Declaration {
  Arena arena;               /* owns all text */
  const char *schema, *name; /* of the virtual table */
  DecideClause *decisions;
  size_t ndecisions, decisions_capacity;
  RuleClause *rules;
  size_t nrules, rules_capacity;
  double limit; /* seconds; 0: none given */
} Declaration;

/* argv as SQLite gives it to xCreate: module, schema, table, then the arguments. The text of a
** fault names the argument and what was expected. On failure nothing needs to be finished. */
bool declaration_parse(Declaration *out, int argc, const char *const *argv, Fault *fault);
void declaration_finish(Declaration *declaration);

#endif
