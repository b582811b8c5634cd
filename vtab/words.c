#include "vtab/words.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

const char *vt_skip_space(const char *at) {
  while (isspace((unsigned char)*at)) at++;
  return at;
}

const char *vt_word(const char *at, char *out, size_t room) {
  at = vt_skip_space(at);
  const char quote = *at == '[' ? ']' : *at == '"' || *at == '`' || *at == '\'' ? *at : 0;
  size_t n = 0;
  if (quote) at++;
  while (*at && n + 1 < room) {
    if (quote && *at == quote && (quote == ']' || at[1] != quote)) break;
    if (!quote && !isalnum((unsigned char)*at) && *at != '_' && !(*at & 0x80)) break;
    if (quote && *at == quote) at++;
    out[n++] = *at++;
  }
  out[n] = '\0';
  if (quote && *at++ != quote) return NULL;
  return n || quote ? at : NULL;
}

bool vt_word_is(const char **at, const char *wanted) {
  char text[32];
  const char *after = vt_word(*at, text, sizeof text);
  if (!after || sqlite3_stricmp(text, wanted)) return false;
  *at = after;
  return true;
}

bool vt_option(Arena *arena, const char *text, char name[64], const char **out_value) {
  const char *at = vt_word(text, name, 64);
  if (!at || *(at = vt_skip_space(at)) != '=') return false;
  at = vt_skip_space(at + 1);
  size_t length = strlen(at);
  char *value = arena_alloc(arena, length + 1);
  *out_value = value;
  if (!value) return true;
  if (*at == '\'' || *at == '"') return vt_word(at, value, length + 1) != NULL;
  while (length && isspace((unsigned char)at[length - 1])) length--;
  memcpy(value, at, length);
  return true;
}

int vt_column_type(const char *type) {
  static const struct {
    const char *part;
    int type;
  } parts[] = {{"int", SQLITE_INTEGER}, {"char", SQLITE_TEXT}, {"clob", SQLITE_TEXT},
               {"text", SQLITE_TEXT},   {"blob", SQLITE_BLOB}, {"real", SQLITE_FLOAT},
               {"floa", SQLITE_FLOAT},  {"doub", SQLITE_FLOAT}};
  for (size_t i = 0; i < countof(parts); i++) {
    for (const char *at = type; *at; at++)
      if (!sqlite3_strnicmp(at, parts[i].part, (int)strlen(parts[i].part))) return parts[i].type;
  }
  return 0;
}

bool vt_size(const char *text, uint64_t *out) {
  char *end;
  const uint64_t number = strtoull(text, &end, 10);
  static const char units[] = "kMGT";
  const char *unit = *end ? strchr(units, *end == 'K' ? 'k' : *end) : NULL;
  if (end == text || *text == '-' || (*end && (!unit || end[1]))) return false;
  const int shift = unit ? 10 * (int)(unit - units + 1) : 0;
  if (number > UINT64_MAX >> (shift + 1)) return false;
  *out = number << shift;
  return true;
}
