/*
** What the oracle test chooses by chance.
*/
#ifndef TENFOLD_TEST_MULTIVERSE_ORACLE_H
#define TENFOLD_TEST_MULTIVERSE_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- chance.c */

typedef struct Words { /* a text in the making */
  char at[16384];
  size_t length;
} Words;

void say(Words *words, const char *format, ...) __attribute__((format(printf, 2, 3)));

void chance_begin(uint64_t seed);
unsigned pick(unsigned n);
bool chance(unsigned percent);
/* Seeds: the choices from a seed on can be made again. */
uint64_t chance_seed(void);
uint64_t chance_swap(uint64_t state); /* the state before */

/* ---- schema.c */

enum { NCOLS = 6, NTABLES = 2, ROWS = 30 };

typedef struct Table {
  const char *name;
  const char *types[NCOLS]; /* of columns c0 …; c0 is the key */
  const char *key;
  bool without_rowid;
} Table;

extern Table tables[NTABLES];

void literal(Words *out);
void make_table(Words *out, Table *table, bool plain); /* plain: without keys */
void make_schema(Words *out);

/* ---- rules.c */

typedef struct User {
  int uid;
  char x[16]; /* as SQL */
} User;

void make_policy(Words *out);
/* What the user may see of a table, in plain SQL. */
void write_oracle(Words *out, int table, const User *user);

/* ---- admin.c */

typedef struct Question { /* two queries with the same answer */
  Words sql, plain;
} Question;

/* What multiverse_explain() says of some rows of a table: which are visible, and cells that are
** rewritten to something else. */
void ask_explain_visible(Question *out, int table, const User *user, const char *context);
void ask_explain_rewrites(Question *out, int table, const User *user, const char *context);

/* ---- who.c */

/* multiverse_who() of a row, against the plain SQL of all users of a small world. False when they
** differ, and *problem tells how. */
struct sqlite3;
bool check_who(struct sqlite3 *db, int table, const char *key, Words *problem);

/* ---- queries.c */

/* *ordered: the order of its rows counts. */
void write_query(Words *out, bool *ordered);

#endif
