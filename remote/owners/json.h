/*
** As much of JSON as etcd's answers need: looking for a member by its name.
*/
#ifndef TENFOLD_REMOTE_OWNERS_JSON_H
#define TENFOLD_REMOTE_OWNERS_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value's text: from..end. All NULL: there is none. */
typedef struct JsonText {
  const char *at, *end;
} JsonText;

/* The value of a member of the object, or nothing. What is no JSON has no members. */
JsonText json_member(JsonText object, const char *name);

/* The first element of an array, and the one after one. */
JsonText json_first(JsonText array);
JsonText json_next(JsonText array, JsonText element);

/* A number, or one that is written as a string, as etcd does; 0 when it is none. */
int64_t json_integer(JsonText value);
bool json_true(JsonText value);

/* A string that holds base64: what it means, NUL-terminated. False: it is none, or too long. */
bool json_base64(JsonText value, char *out, size_t room);

/* The other way: room for 4 * (length + 2) / 3 + 1. */
void json_to_base64(const void *bytes, size_t length, char *out);

#endif
