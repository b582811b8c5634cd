/*
** What values look like: the parts that JSON and scalars share.
*/
#ifndef TENFOLD_REPLAY_VALUE_INNER_H
#define TENFOLD_REPLAY_VALUE_INNER_H

#include "replay/value.h"

enum { MOST_NUMBER = 32 }; /* bytes of the largest number: a complex long double */

/* ---- value_number.c: numbers by their type (stripped) and bytes */

typedef struct Number {
  enum { NUMBER_SIGNED, NUMBER_UNSIGNED, NUMBER_REAL, NUMBER_OTHER } kind;
  bool exact;   /* `low`, `real` is all of it; otherwise the digits are */
  uint64_t low; /* of integers: the lowest 64 bits */
  double real;
  char digits[64];
} Number;

/* Integers, characters, bools, enumerations' integers, floats. NUMBER_OTHER: none of these. */
void value_number(const DwarfType *plain, bool is_signed, const uint8_t *bytes, size_t size,
                  Number *out);

/* ---- value_text.c */

typedef enum TextWidth { WIDTH_NONE = 0, WIDTH_8 = 1, WIDTH_16 = 2, WIDTH_32 = 4 } TextWidth;

/* Is it a type of characters: char and its like, wchar_t, char16_t, char32_t? */
bool value_text_width(const DwarfType *type, TextWidth *out, Fault *fault);
/* Units of `width` as UTF-8. Bytes stay what they are; false: wider ones that are no characters. */
bool value_add_units(const uint8_t *bytes, size_t count, TextWidth width, Text *out);
/* A text in quotes; what is no UTF-8 becomes \udc80 and so on. */
void value_add_quoted(const char *bytes, size_t size, Text *out);
/* The text at an address, up to its NUL, no more than `limit` units. *out_whole: the NUL was
** there. */
bool value_text_at(const ValueSource *source, uint64_t addr, TextWidth width, size_t limit,
                   Text *out, bool *out_whole, ValueState *out_state, Fault *fault);

/* ---- value_enum.c */

/* The name of an enumeration's value, names of bits, or the number. */
bool value_add_enumerator(const DwarfType *plain, const Number *number, Text *out, bool *out_named,
                          Fault *fault);
/* "add", "add+4": what is at an address of code. False: nothing known. */
bool value_add_symbol(const ValueSource *source, uint64_t addr, Text *out);

/* ---- value_entry.c: a variable whose place is not written yet becomes what it is instead. */
bool value_entered(const ValueSource *source, uint64_t die, Arena *arena, Value *value,
                   Fault *fault);

static inline size_t style_elements(const ValueStyle *style) {
  return style && style->elements ? style->elements : 200;
}
static inline size_t style_text(const ValueStyle *style) {
  return style && style->text ? style->text : 4096;
}
static inline int style_depth(const ValueStyle *style) {
  return style && style->depth ? style->depth : 20;
}

#endif
