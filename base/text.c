/*
** Growing text: see text.h.
*/
#define _GNU_SOURCE /* strtod_l */
#include "base/text.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(Text *text, size_t extra) {
  if (text->oom) return false;
  if (extra < text->capacity - text->length) return true;
  if (extra >= SIZE_MAX / 2 - text->length) return !(text->oom = true);
  size_t capacity = text->capacity ? text->capacity : 64;
  while (capacity <= text->length + extra) capacity *= 2;
  char *data = realloc(text->data, capacity);
  if (!data) return !(text->oom = true);
  text->data = data;
  text->capacity = capacity;
  return true;
}

void text_addn(Text *text, const char *bytes, size_t count) {
  if (!reserve(text, count)) return;
  if (count) memcpy(text->data + text->length, bytes, count);
  text->length += count;
  text->data[text->length] = '\0';
}

void text_add(Text *text, const char *string) { text_addn(text, string, strlen(string)); }

void text_addc(Text *text, char c) { text_addn(text, &c, 1); }

void text_addv(Text *text, const char *format, va_list args) {
  va_list again;
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  if (length < 0) {
    text->oom = true;
  } else if (reserve(text, (size_t)length)) {
    vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
    text->length += (size_t)length;
  }
  va_end(again);
}

void text_addf(Text *text, const char *format, ...) {
  va_list args;
  va_start(args, format);
  text_addv(text, format, args);
  va_end(args);
}

static void add_quoted(Text *text, char quote, const char *string, size_t length) {
  text_addc(text, quote);
  for (size_t i = 0; i < length; i++) {
    if (string[i] == quote) text_addc(text, quote);
    text_addc(text, string[i]);
  }
  text_addc(text, quote);
}

void text_add_name(Text *text, const char *name) { add_quoted(text, '"', name, strlen(name)); }

void text_add_string(Text *text, const char *string, size_t length) {
  add_quoted(text, '\'', string, length);
}

size_t text_utf8_length(const char *string, size_t left) {
  const unsigned char *s = (const unsigned char *)string;
  size_t n = s[0] < 0x80   ? 1
             : s[0] < 0xC2 ? 0
             : s[0] < 0xE0 ? 2
             : s[0] < 0xF0 ? 3
             : s[0] < 0xF5 ? 4
                           : 0;
  if (n == 0 || n > left) return 0;
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xC0) != 0x80) return 0;
  }
  if (s[0] == 0xE0 && s[1] < 0xA0) return 0;
  if (s[0] == 0xED && s[1] > 0x9F) return 0;
  if (s[0] == 0xF0 && s[1] < 0x90) return 0;
  if (s[0] == 0xF4 && s[1] > 0x8F) return 0;
  return n;
}

void text_add_json(Text *text, const char *string, size_t length) {
  const unsigned char *s = (const unsigned char *)string;
  text_addc(text, '"');
  for (size_t i = 0; i < length;) {
    size_t n = text_utf8_length(string + i, length - i);
    if (n == 0) {
      text_add(text, "\xEF\xBF\xBD");
      i++;
      continue;
    }
    if (s[i] == '"' || s[i] == '\\') {
      text_addf(text, "\\%c", s[i]);
    } else if (s[i] < 0x20) {
      text_addf(text, "\\u%04x", s[i]);
    } else {
      text_addn(text, string + i, n);
    }
    i += n;
  }
  text_addc(text, '"');
}

/* printf follows the host's locale, SQL does not: whatever stands for the point becomes one. */
static void use_point(char *digits) {
  char *point = digits + strspn(digits, "-0123456789");
  if (*point == '\0' || *point == 'e') return;
  char *fraction = point + strcspn(point, "0123456789");
  *point = '.';
  memmove(point + 1, fraction, strlen(fraction) + 1);
}

void text_add_real(Text *text, double value) {
  if (isnan(value)) {
    text_add(text, "null");
    return;
  }
  if (isinf(value)) {
    text_add(text, value < 0 ? "-9e999" : "9e999");
    return;
  }
  char digits[40];
  /* 15 digits always survive in a normal number; those near zero carry fewer. */
  for (int precision = fabs(value) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value) break;
  }
  use_point(digits);
  text_add(text, digits);
  if (!strpbrk(digits, ".e")) text_add(text, ".0");
}

double text_read_real(const char *digits, char **out_end) {
  /* Costs nothing: the C library has this one ready. */
  locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  double value = c ? strtod_l(digits, out_end, c) : strtod(digits, out_end);
  if (c) freelocale(c);
  return value;
}

const char *text_get(const Text *text) {
  if (text->oom) return NULL;
  return text->data ? text->data : "";
}

void text_clear(Text *text) {
  text->length = 0;
  text->oom = false;
  if (text->data) text->data[0] = '\0';
}

void text_cut(Text *text, size_t length) {
  if (length >= text->length) return;
  text->length = length;
  text->data[length] = '\0';
}

void text_finish(Text *text) {
  free(text->data);
  *text = (Text){0};
}
