#include "remote/owners/json.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH = 32 };

static const char *skip_space(const char *at, const char *end) {
  while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')) at++;
  return at;
}

/* Behind the string that begins at `at`; NULL: it does not end. */
static const char *skip_string(const char *at, const char *end) {
  for (at++; at < end && *at != '"'; at++)
    if (*at == '\\') at++;
  return at < end ? at + 1 : NULL;
}

static const char *skip_value(const char *at, const char *end) {
  int depth = 0;
  at = skip_space(at, end);
  do {
    if (at >= end || depth > DEPTH) return NULL;
    if (*at == '"') {
      if (!(at = skip_string(at, end))) return NULL;
      continue;
    }
    if (*at == '{' || *at == '[') depth++;
    if (*at == '}' || *at == ']') depth--;
    if (depth < 0) return NULL;
    const bool plain = !strchr("{}[],: \n\t\r", *at);
    at++;
    while (plain && at < end && !strchr("{}[],:\" \n\t\r", *at)) at++;
    if (depth) at = skip_space(at, end);
  } while (depth);
  return at;
}

static JsonText value_at(const char *at, const char *end) {
  at = skip_space(at, end);
  const char *after = skip_value(at, end);
  return after && after > at ? (JsonText){at, after} : (JsonText){0};
}

JsonText json_member(JsonText object, const char *name) {
  const char *at = object.at ? skip_space(object.at, object.end) : NULL, *end = object.end;
  const size_t length = strlen(name);
  if (!at || at >= end || *at != '{') return (JsonText){0};
  at = skip_space(at + 1, end);
  while (at < end && *at == '"') {
    const char *after = skip_string(at, end);
    if (!after) break;
    const bool mine = (size_t)(after - at) == length + 2 && !memcmp(at + 1, name, length);
    at = skip_space(after, end);
    if (at >= end || *at != ':') break;
    const JsonText value = value_at(at + 1, end);
    if (!value.at || mine) return value;
    at = skip_space(value.end, end);
    if (at < end && *at == ',') at = skip_space(at + 1, end);
  }
  return (JsonText){0};
}

JsonText json_first(JsonText array) {
  const char *at = array.at ? skip_space(array.at, array.end) : NULL;
  if (!at || at >= array.end || *at != '[') return (JsonText){0};
  at = skip_space(at + 1, array.end);
  return at < array.end && *at != ']' ? value_at(at, array.end) : (JsonText){0};
}

JsonText json_next(JsonText array, JsonText element) {
  const char *at = skip_space(element.end, array.end);
  return at < array.end && *at == ',' ? value_at(at + 1, array.end) : (JsonText){0};
}

int64_t json_integer(JsonText value) {
  char text[32] = "";
  if (!value.at) return 0;
  const char *at = value.at + (*value.at == '"');
  for (size_t n = 0; at < value.end && *at != '"' && n + 1 < sizeof text;) text[n++] = *at++;
  return strtoll(text, NULL, 10);
}

bool json_true(JsonText value) {
  return value.at && value.end - value.at == 4 && !memcmp(value.at, "true", 4);
}

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool json_base64(JsonText value, char *out, size_t room) {
  unsigned bits = 0;
  int nbits = 0;
  size_t n = 0;
  if (!value.at || *value.at != '"' || !room) return false;
  for (const char *at = value.at + 1; at < value.end && *at != '"' && *at != '='; at++) {
    const char *letter = *at ? strchr(letters, *at) : NULL;
    if (!letter) return false;
    bits = bits << 6 | (unsigned)(letter - letters);
    nbits += 6;
    if (nbits < 8) continue;
    nbits -= 8;
    if (n + 1 >= room) return false;
    out[n++] = (char)(bits >> nbits & 0xff);
  }
  out[n] = '\0';
  return true;
}

void json_to_base64(const void *from, size_t length, char *out) {
  const unsigned char *bytes = from;
  for (size_t i = 0; i < length; i += 3) {
    const unsigned group = (unsigned)bytes[i] << 16 | (i + 1 < length ? bytes[i + 1] << 8 : 0) |
                           (i + 2 < length ? bytes[i + 2] : 0);
    *out++ = letters[group >> 18];
    *out++ = letters[group >> 12 & 63];
    *out++ = i + 1 < length ? letters[group >> 6 & 63] : '=';
    *out++ = i + 2 < length ? letters[group & 63] : '=';
  }
  *out = '\0';
}
