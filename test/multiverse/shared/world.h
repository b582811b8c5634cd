/*
** Worlds that are chosen by chance: schemas, rows, policies and users, and what a policy means in
** plain SQL, which is written here from the same choices as the rules, but not by the extension.
*/
#ifndef TENFOLD_TEST_MULTIVERSE_WORLD_H
#define TENFOLD_TEST_MULTIVERSE_WORLD_H

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

typedef struct World {
  bool rich; /* also partial and unique indexes, rules that look into other rows, computed values */
  bool writes;  /* rules of writes; CHECK, DEFAULT and NOT NULL */
  bool repeats; /* rules say what others say */
  bool secrets; /* columns from SECRET on are in no condition, and nobody sees the last row */
} World;

extern World world;

enum { NCOLS = 6, SECRET = 4, NTABLES = 2, ROWS = 30, LAST_KEY = 40 };

typedef struct Table {
  const char *name;
  const char *types[NCOLS]; /* of columns c0 …; c0 is the key */
  const char *more[NCOLS];  /* constraints and defaults */
  bool unique[NCOLS];       /* has an index of its own that says so */
  bool without_rowid;
  bool pair; /* the key is (c1, c0) */
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

void choose_user(User *out);
void write_context(Words *out, const User *user); /* as JSON */
void make_policy(Words *out);
/* What the user may see of a table, in plain SQL. */
void write_oracle(Words *out, int table, const User *user);

/* Parts of it, about a row called r: is it seen, is a cell rewritten, what does it show. */
void write_visible(Words *out, int table, const User *user);
void write_rewritten(Words *out, int table, int column, const User *user);
void write_shown(Words *out, int table, int column, const User *user);

/* Rules have ids from 1 on. This one is left out of all the above; 0: none. */
extern int left_out;
int count_rules(void);
int table_of_rule(int id);

/* The rules of an action: the next one behind `rule`, which begins as -1. -1: there are no more. */
int next_rule(int table, const char *action, int rule);
void write_applies(Words *out, int rule, const User *user);
bool rule_covers(int rule, int column); /* of an update */

/* ---- queries.c */

/* *ordered: the order of its rows counts. */
void write_query(Words *out, bool *ordered);

#endif
