/*
** What a write runs: see judge.c.
*/
#ifndef TENFOLD_MULTIVERSE_JUDGE_H
#define TENFOLD_MULTIVERSE_JUDGE_H

#include "extensions/multiverse/shadow.h"

typedef struct Judgement {
  bool *rules; /* which apply */
  int nrules;
  bool seen;
  bool few[16];
} Judgement;

/* All rules of the action apply so far; FAULT_DENIED when there are none. */
void judgement_end(Judgement *judgement);
bool judgement_begin(const Shadow *shadow, Action action, Judgement *out, Fault *fault);
/* Rules that do not apply to the row of a judging statement are struck out. */
void judgement_read(sqlite3_stmt *statement, Judgement *out);
bool judgement_permits(const Judgement *judgement); /* any rule is left */

/* `values` are the columns of a row that is to be. */
bool judge_new(Shadow *shadow, Action action, sqlite3_value **values, Judgement *judgement,
               Fault *fault);

/* verdict.c: the same without asking SQLite. False: it has to be asked. */
bool verdict_new(Shadow *shadow, Action action, sqlite3_value **values, Judgement *judgement);

/* A statement, bound to the universe: 'o' judges the row whose key it is given, and tells of
** each column whether it is rewritten, its raw value and what is shown; 'i', 'u', 'd' insert,
** update and delete; 'v' gives the defaults. `flags`: the columns that it writes, and the rowid
** last. */
Inner *write_statement(Shadow *shadow, char what, Action action, const bool *flags, Fault *fault);
/* May what the statement writes change the members of a group? */
bool footprint_reaches_groups(const Shadow *shadow, const char *sql, bool *out, Fault *fault);
/* A parameter whose value stays where it is until the statement has run. */
bool write_bind(const Shadow *shadow, sqlite3_stmt *statement, int term, sqlite3_value *value,
                Fault *fault);
/* The parameters of a column, and of a column of the key that says which row. */
int write_column_term(const Shadow *shadow, int column);
int write_key_term(const Shadow *shadow, int key);

/* keys.c: the row that SQLite means by a number, in a statement that asks for it by its key. */
bool keys_bind(Shadow *shadow, sqlite3_stmt *statement, sqlite3_value *rowid, Fault *fault);
bool values_are_same(sqlite3_value *a, sqlite3_value *b);

#endif
