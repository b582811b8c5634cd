/*
** What stands behind USING name(…): column definitions and options, taken apart. Include vtab/vt.h.
*/
#ifndef TENFOLD_VTAB_WORDS_H
#define TENFOLD_VTAB_WORDS_H

#include "vtab/vt.h"

const char *vt_skip_space(const char *at);

/* A name or a string, with its quotes taken off, cut when it is longer than the room. Returns what
** follows; NULL: there is none. */
const char *vt_word(const char *at, char *out, size_t room);

/* Is that the next word? Then *at goes behind it. */
bool vt_word_is(const char **at, const char *wanted);

/* "name = value", with the value's quotes taken off; anything else is a column. The value is the
** arena's; NULL: no memory. */
bool vt_option(Arena *arena, const char *text, char name[64], const char **out_value);

/* SQLite's rules of affinity, for the four types that columns of fixed form have: SQLITE_INTEGER,
** SQLITE_FLOAT, SQLITE_TEXT, SQLITE_BLOB; 0: none of them. */
int vt_column_type(const char *type);

/* 100, 64k, 4M, 1G. False: no number. */
bool vt_size(const char *text, uint64_t *out);

#endif
