/*
** What the test of tier 2 is made of: see main.c.
*/
#ifndef TENFOLD_TEST_MULTIVERSE_MEMORY_H
#define TENFOLD_TEST_MULTIVERSE_MEMORY_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- chance */

unsigned below(unsigned n); /* 0 … n-1 */
bool happens(unsigned percent);
void begin_chance(uint64_t seed);

typedef struct Line { /* a statement in the making */
  char at[6000];
  size_t length;
} Line;

void put(Line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- the forum: world.c */

enum { USERS = 5, CLASSES = 4, KEYS = 40 };

extern const char *const schema[]; /* statements, then NULL */
extern const char *const policy[];
/* Rows that a user sees, as a table expression in plain SQL. `table`: "Post" or "Note". */
void put_seen(Line *out, const char *table, int uid);

/* A write, in plain SQL. */
void choose_write(Line *out);
/* A write of a user's: what the user says, and what it comes to if it is let through. */
void choose_own_write(Line *said, Line *meant, int uid);
/* A question: what the user asks, and the same to plain tables. */
void choose_question(Line *asked, Line *plain, int uid, bool *ordered);
/* DDL and the like. */
const char *choose_change(void);
/* The policy gets a rule more, or loses it. */
const char *change_policy(void);
void begin_policy(void);
/* Who is in which class. */
void choose_membership(Line *out);

#endif
