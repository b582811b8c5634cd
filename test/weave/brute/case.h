/*
** One random case: tables, rows, decisions, rules, as SQL text. See ../brute.c.
*/
#ifndef TENFOLD_TEST_WEAVE_CASE_H
#define TENFOLD_TEST_WEAVE_CASE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { MAX_RULES = 6, MAX_DECIDES = 3, MAX_CELLS = 12, MAX_ASSIGNMENTS = 2000, MAX_LEVELS = 4 };

/* DECIDE table.column: the clause for the engine, and for the oracle the values each row may take,
** as a query in which ?1 is the row's id. */
typedef struct Decide {
  const char *table, *column;
  char *domain; /* "IN (…)", or "" when the schema implies it */
  char *values;
  bool optional;
  const char *scope; /* "" is every row */
} Decide;

typedef struct Rule {
  char name[8];
  char *sql;                 /* of the view */
  bool must, goal, minimize; /* which columns it has */
  int level;                 /* of a goal */
  bool exact; /* the columns beside `must` name the row, and `must` is one condition */
  bool off;   /* left out, while a wrong case is made smaller */
} Rule;

typedef struct Case {
  uint64_t seed, random;
  int key_kind; /* what node.id holds: see tables.c */
  int numbers;  /* which numbers it is made of: see numbers.c */
  char *strict; /* CREATE TABLE with the constraints, for the engine */
  char *loose;  /* CREATE TABLE without, for the oracle … */
  char *twins;  /* … and tables with them, to which it copies the rows ("" without constraints) */
  char *rows, *views;
  Decide decides[MAX_DECIDES];
  int ndecides;
  Rule rules[MAX_RULES];
  int nrules;
} Case;

/* All of one case from its seed; case_finish() frees it. */
void case_make(Case *c, uint64_t seed);
void case_finish(Case *c);

/* The case as a script for the sqlite3 shell, up to weave_solve(); sqlite3_free it. */
char *case_script(const Case *c);
char *case_declaration(const Case *c); /* CREATE VIRTUAL TABLE; sqlite3_free */

/* tables.c */
void tables_make(Case *c);
const char *tables_key(Case *c); /* a literal that is, mostly, some node's id */

/* numbers.c: what sizes, capacities, weights and bounds are. */
void numbers_choose(Case *c);
const char *numbers_value(Case *c);               /* a literal, never NULL */
void numbers_constant(Case *c, sqlite3_str *out); /* … or an expression of literals */
bool numbers_plain(const Case *c);                /* small and whole, or binary fractions */
double numbers_size(const Case *c);               /* what the largest ones add up to */

/* grammar.c: append what a template makes. */
void grammar_expand(Case *c, sqlite3_str *out, const char *env, const char *form, int depth);

/* rules.c */
void rules_make(Case *c);

static inline int draw(Case *c, int n) {
  c->random = c->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (int)(((c->random >> 33) * (uint64_t)n) >> 31);
}

static inline bool one_in(Case *c, int n) { return draw(c, n) == 0; }

#endif
