/*
** Numbers of every kind that C has, exactly: as SQLite's own where it has them, as digits besides.
*/
#define _GNU_SOURCE
#define __STDC_WANT_IEC_60559_TYPES_EXT__
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/value_inner.h"

__extension__ typedef unsigned __int128 Wide;

static void wide_digits(Wide number, bool negative, char out[64]) {
  char digits[48];
  int count = 0;
  do {
    digits[count++] = (char)('0' + (int)(number % 10));
    number /= 10;
  } while (number);
  char *at = out;
  if (negative) *at++ = '-';
  while (count) *at++ = digits[--count];
  *at = 0;
}

static void integer(const uint8_t *bytes, size_t size, Number *out) {
  Wide number = 0;
  memcpy(&number, bytes, size);
  bool is_signed = out->kind == NUMBER_SIGNED;
  bool negative = is_signed && bytes[size - 1] >> 7;
  if (negative && size < 16) number |= ~(Wide)0 << size * 8;
  out->low = (uint64_t)number;
  Wide high = number >> 64;
  out->exact = is_signed ? high == (out->low >> 63 ? (Wide)UINT64_MAX : 0)
                         : high == 0 && out->low <= INT64_MAX;
  wide_digits(negative ? (Wide)0 - number : number, negative, out->digits);
}

/* JSON has digits and a point, whatever the locale. */
static void point(char *digits) {
  for (char *at = digits; *at; at++)
    if (!strchr("0123456789+-eE", *at)) *at = '.';
}

static void special(long double real, char out[64]) {
  snprintf(out, 64, "%s", isnan(real) ? "nan" : real > 0 ? "inf" : "-inf");
}

/* The mantissa's highest bit is written, and must be there unless the exponent is 0: else the
** processor takes the bytes for no number at all. */
static bool is_extended(const uint8_t *bytes) {
  uint16_t exponent;
  memcpy(&exponent, bytes + 8, sizeof exponent);
  return !(exponent & 0x7fff) || bytes[7] >> 7;
}

static void long_double(long double real, Number *out) {
  out->real = (double)real;
  out->exact = isnan(real) || (long double)out->real == real;
  if (!isfinite(real)) {
    special(real, out->digits);
    return;
  }
  for (int precision = 17; precision <= 21; precision++) {
    snprintf(out->digits, sizeof out->digits, "%.*Lg", precision, real);
    if (strtold(out->digits, NULL) == real) break;
  }
  point(out->digits);
}

static void plain_double(double real, Number *out) {
  Text text = {0};
  out->real = real;
  out->exact = true;
  if (!isfinite(real)) {
    special(real, out->digits);
    return;
  }
  text_add_real(&text, real);
  snprintf(out->digits, sizeof out->digits, "%s", text.oom ? "0.0" : text_get(&text));
  text_finish(&text);
}

/* 1 bit of sign, 5 of exponent, 10 of mantissa. */
static double half(uint16_t bits) {
  int exponent = bits >> 10 & 31;
  double mantissa = bits & 1023, sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

/* clang has no _Float128: what a double holds is kept, and said not to be exact. */
#ifdef __clang__
static void quadruple(const uint8_t *bytes, Number *out) {
  uint64_t low, high;
  memcpy(&low, bytes, sizeof low);
  memcpy(&high, bytes + sizeof low, sizeof high);
  const int exponent = (int)(high >> 48 & 0x7fff);
  const double mantissa = ldexp((double)(high & 0xffffffffffff), -48) + ldexp((double)low, -112);
  double size = exponent ? ldexp(1 + mantissa, exponent - 16383) : 0;
  if (exponent == 0x7fff) size = mantissa != 0 ? NAN : INFINITY;
  plain_double(high >> 63 ? -size : size, out);
  out->exact = false;
}
#else
static void quadruple(const uint8_t *bytes, Number *out) {
  _Float128 real;
  memcpy(&real, bytes, sizeof real);
  out->real = (double)real;
  out->exact = (_Float128)out->real == real || real != real;
  if (real != real || out->real > 0x1p1023 * 2 || out->real < -0x1p1023 * 2)
    special(out->real, out->digits);
  else
    strfromf128(out->digits, sizeof out->digits, "%.36g", real);
  if (isfinite(out->real)) point(out->digits);
}
#endif

static void real_number(const DwarfType *plain, const uint8_t *bytes, size_t size, Number *out) {
  float single;
  double twice;
  long double extended = 0;
  uint16_t bits;
  out->kind = NUMBER_REAL;
  const char *name = plain->name ? plain->name : "";
  if (size == 2 && !strstr(name, "bf16")) {
    memcpy(&bits, bytes, sizeof bits);
    plain_double(half(bits), out);
  } else if (size == 4) {
    memcpy(&single, bytes, sizeof single);
    plain_double(single, out);
  } else if (size == 8) {
    memcpy(&twice, bytes, sizeof twice);
    plain_double(twice, out);
  } else if (size == 16 && strstr(name, "128")) {
    quadruple(bytes, out);
  } else if (size == 16 && is_extended(bytes)) {
    memcpy(&extended, bytes, 10);
    /* With an exponent of 0 and the first bit set, it counts for 1: libc does not know that. */
    if (!(bytes[9] & 0x7f) && !bytes[8] && bytes[7] & 0x80) ((uint8_t *)&extended)[8] = 1;
    long_double(extended, out);
  } else {
    out->kind = NUMBER_OTHER;
  }
}

void value_number(const DwarfType *plain, bool is_signed, const uint8_t *bytes, size_t size,
                  Number *out) {
  *out = (Number){.kind = is_signed ? NUMBER_SIGNED : NUMBER_UNSIGNED};
  switch (plain->kind) {
  case TYPE_FLOAT:
  case TYPE_COMPLEX:
    real_number(plain, bytes, size, out);
    break;
  case TYPE_SIGNED:
  case TYPE_UNSIGNED:
  case TYPE_SIGNED_CHAR:
  case TYPE_UNSIGNED_CHAR:
  case TYPE_UTF:
  case TYPE_BOOL:
  case TYPE_ENUM:
  case TYPE_POINTER:
  case TYPE_REFERENCE:
    if (size && size <= 16) {
      integer(bytes, size, out);
      break;
    }
    /* fall through */
  default:
    out->kind = NUMBER_OTHER;
  }
}
