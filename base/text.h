/*
** Growing text: build a string in steps, ask once at the end whether memory sufficed.
*/
#ifndef TENFOLD_BASE_TEXT_H
#define TENFOLD_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* All zero is a valid, empty text. After an allocation is refused every further text_add is a
** no-op and `oom` stays true, so callers check once. */
typedef struct Text {
  char *data; /* NUL-terminated when not NULL */
  size_t length, capacity;
  bool oom;
} Text;

void text_add(Text *text, const char *string);
void text_addn(Text *text, const char *bytes, size_t count);
void text_addc(Text *text, char c);
void text_addf(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_addv(Text *text, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

/* "name" and 'string' with inner quotes doubled: always a valid SQL identifier / literal. */
void text_add_name(Text *text, const char *name);
void text_add_string(Text *text, const char *string, size_t length);

/* Length of the well-formed UTF-8 sequence that `string` begins with; 0: none within `left` bytes.
 */
size_t text_utf8_length(const char *string, size_t left);

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void text_add_json(Text *text, const char *string, size_t length);

/* The shortest decimal that reads back as the same double ("0.1", "1.0", "1e+300"); always with a
** point or exponent, so that SQL reads a REAL. NaN and infinities give "null" and "+-9e999". */
void text_add_real(Text *text, double value);

/* strtod() with a point, whatever the locale. */
double text_read_real(const char *digits, char **out_end);

/* "" rather than NULL for an empty text; valid until the next change. NULL only after oom. */
const char *text_get(const Text *text);

void text_clear(Text *text);              /* length 0, memory kept */
void text_cut(Text *text, size_t length); /* back to a length that it had before */
void text_finish(Text *text);             /* memory given back, text empty again */

#endif
