/*
** C's arithmetic: promotions, conversions, operators.
*/
#include <string.h>

#include "replay/expr_inner.h"

/* Cuts an integer to its size; is_signed: widened again by its sign. */
static Wide cut(Wide number, uint32_t size, bool is_signed) {
  if (size >= 16) return number;
  Wide mask = ((Wide)1 << size * 8) - 1;
  number &= mask;
  return is_signed && number >> (size * 8 - 1) ? number | ~mask : number;
}

Num num_integer(BasicType type, uint64_t integer) {
  const DwarfType *basic = expr_basic(type);
  Num num = {.type = basic, .is_signed = basic->kind == TYPE_SIGNED, .size = (uint32_t)basic->size};
  num.integer = cut(integer, num.size, num.is_signed);
  return num;
}

static BasicType rank_of(uint64_t size, bool is_signed) {
  if (size > 8) return is_signed ? BASIC_INT128 : BASIC_UNSIGNED_INT128;
  if (size > 4) return is_signed ? BASIC_LONG : BASIC_UNSIGNED_LONG;
  return is_signed || size < 4 ? BASIC_INT : BASIC_UNSIGNED;
}

void num_promote(Num *num) {
  if (num->is_real) return;
  /* What is smaller than an int fits in one. long long is as large as long, and stays itself. */
  bool is_signed = num->size < 4 || num->is_signed;
  bool keeps =
      num->size == 8 && num->type && num->type->name && strstr(num->type->name, "long long");
  const DwarfType *type = expr_basic(rank_of(num->size, is_signed));
  if (keeps) type = expr_basic(is_signed ? BASIC_LONG_LONG : BASIC_UNSIGNED_LONG_LONG);
  num->type = type;
  num->size = (uint32_t)type->size;
  num->is_signed = is_signed;
  num->integer = cut(num->integer, num->size, is_signed);
}

/* ---- loading */

static bool load_real(const uint8_t *bytes, uint64_t size, const DwarfType *plain, Num *out) {
  float single;
  double twice;
  *out = (Num){.is_real = true, .is_signed = true, .size = (uint32_t)size};
  if (size == 4) {
    memcpy(&single, bytes, sizeof single);
    out->real = single;
    out->type = expr_basic(BASIC_FLOAT);
  } else if (size == 8) {
    memcpy(&twice, bytes, sizeof twice);
    out->real = twice;
    out->type = expr_basic(BASIC_DOUBLE);
  } else {
    memcpy(&out->real, bytes, 10);
    out->type = expr_basic(BASIC_LONG_DOUBLE);
  }
  return size == 4 || size == 8 || (size == 16 && !(plain->name && strstr(plain->name, "128")));
}

static bool is_number(TypeKind kind) {
  return kind >= TYPE_SIGNED && kind <= TYPE_POINTER && kind != TYPE_COMPLEX;
}

/* A bit field is as wide as it says: narrower than an int, it becomes one. */
static void narrow(const Value *value, Num *num) {
  if (!value->bit_size || value->bit_size >= 32) return;
  num->is_signed = true;
  num->size = 4;
  num->type = expr_basic(BASIC_INT);
}

bool num_load(const Value *value, Num *out, bool *out_ok, ValueState *out_state, Fault *fault) {
  const DwarfType *plain = dwarf_type_strip(value->type, fault);
  uint8_t bytes[16] = {0};
  uint64_t size;
  bool is_signed;
  *out_ok = false;
  *out_state = value->state;
  if (!plain) return false;
  if (!is_number(plain->kind) || !dwarf_type_size(plain, &size, NULL) || !size ||
      size > sizeof bytes)
    return true;
  if (!value_is_signed(plain, &is_signed, fault) ||
      !value_bytes(value, bytes, size, out_state, fault))
    return false;
  if (plain->kind == TYPE_FLOAT) {
    *out_ok = load_real(bytes, size, plain, out);
    return true;
  }
  *out_ok = true;
  *out = (Num){.type = plain, .is_signed = is_signed, .size = (uint32_t)size};
  memcpy(&out->integer, bytes, sizeof out->integer);
  out->integer = cut(out->integer, out->size, is_signed);
  narrow(value, out);
  num_promote(out);
  return true;
}

/* ---- conversions */

static long double as_real(const Num *num) {
  if (num->is_real) return num->real;
  return num->is_signed ? (long double)(SignedWide)num->integer : (long double)num->integer;
}

static void set_real(Num *num, uint32_t size, long double real) {
  num->type = expr_basic(size == 4 ? BASIC_FLOAT : size == 8 ? BASIC_DOUBLE : BASIC_LONG_DOUBLE);
  num->is_real = num->is_signed = true;
  num->size = size;
  num->real = size == 4 ? (long double)(float)real : size == 8 ? (long double)(double)real : real;
}

/* Of what C leaves open, what the processor does. */
static Wide from_real(long double real, uint32_t size) {
  long double most = size > 4 ? 0x1p127L : 0x1p63L;
  if (!(real > -most && real < most)) return (Wide)1 << (size > 8 ? 127 : 63);
  return (Wide)(SignedWide)real;
}

bool num_convert(const Num *num, const DwarfType *plain, Num *out) {
  uint64_t size;
  bool is_signed;
  if (!dwarf_type_size(plain, &size, NULL) || !size || size > 16 ||
      !value_is_signed(plain, &is_signed, NULL) || !is_number(plain->kind))
    return false;
  *out = *num;
  if (plain->kind == TYPE_FLOAT) {
    if ((size != 4 && size != 8 && size != 16) || (plain->name && strstr(plain->name, "128")))
      return false;
    set_real(out, (uint32_t)size, as_real(num));
  } else {
    out->size = (uint32_t)size;
    out->integer = plain->kind == TYPE_BOOL ? !num_is_zero(num)
                   : num->is_real           ? from_real(num->real, out->size)
                                            : num->integer;
    out->integer = cut(out->integer, out->size, is_signed);
    out->is_real = false;
    out->is_signed = is_signed;
  }
  out->type = plain;
  return true;
}

/* Of two types of one size: the unsigned one, then the long long one. */
static const DwarfType *larger(const Num *a, const Num *b) {
  if (a->size != b->size) return a->size > b->size ? a->type : b->type;
  bool a_longer =
      a->type == expr_basic(BASIC_LONG_LONG) || a->type == expr_basic(BASIC_UNSIGNED_LONG_LONG);
  bool b_longer =
      b->type == expr_basic(BASIC_LONG_LONG) || b->type == expr_basic(BASIC_UNSIGNED_LONG_LONG);
  bool is_signed = a->is_signed && b->is_signed;
  if (a->size == 8 && (a_longer || b_longer))
    return expr_basic(is_signed ? BASIC_LONG_LONG : BASIC_UNSIGNED_LONG_LONG);
  return expr_basic(rank_of(a->size, is_signed));
}

void num_balance(Num *a, Num *b) {
  num_promote(a);
  num_promote(b);
  if (a->is_real || b->is_real) {
    uint32_t size = a->is_real ? a->size : 0;
    if (b->is_real && b->size > size) size = b->size;
    set_real(a, size, as_real(a));
    set_real(b, size, as_real(b));
    return;
  }
  const DwarfType *type = larger(a, b);
  a->type = b->type = type;
  a->size = b->size = (uint32_t)type->size;
  a->is_signed = b->is_signed = type->kind == TYPE_SIGNED;
  a->integer = cut(a->integer, a->size, a->is_signed);
  b->integer = cut(b->integer, b->size, b->is_signed);
}

bool num_is_zero(const Num *num) { return num->is_real ? num->real == 0 : num->integer == 0; }

/* ---- operators */

static int order(const Num *a, const Num *b) {
  if (a->is_real) return (a->real > b->real) - (a->real < b->real);
  if (!a->is_signed) return (a->integer > b->integer) - (a->integer < b->integer);
  SignedWide x = (SignedWide)a->integer, y = (SignedWide)b->integer;
  return (x > y) - (x < y);
}

/* With a NaN nothing holds but !=. */
static bool compare(int op, const Num *a, const Num *b, Num *out) {
  bool unordered = a->is_real && (a->real != a->real || b->real != b->real), is;
  int order_is = order(a, b);
  switch (op) {
  case OP_EQ:
    is = order_is == 0;
    break;
  case OP_NE:
    is = order_is != 0;
    break;
  case '<':
    is = order_is < 0;
    break;
  case '>':
    is = order_is > 0;
    break;
  case OP_LE:
    is = order_is <= 0;
    break;
  case OP_GE:
    is = order_is >= 0;
    break;
  default:
    return false;
  }
  *out = num_integer(BASIC_INT, unordered ? op == OP_NE : is);
  return true;
}

/* Each precision by its own arithmetic. */
static bool real_binary(int op, const Num *a, const Num *b, Num *out) {
  bool twice = a->size == 8;
  double x = (double)a->real, y = (double)b->real;
  long double result;
  switch (op) {
  case '+':
    result = twice ? (long double)(x + y) : a->real + b->real;
    break;
  case '-':
    result = twice ? (long double)(x - y) : a->real - b->real;
    break;
  case '*':
    result = twice ? (long double)(x * y) : a->real * b->real;
    break;
  case '/':
    result = twice ? (long double)(x / y) : a->real / b->real;
    break;
  default:
    return false;
  }
  set_real(out, a->size, result);
  return true;
}

static void divide(int op, const Num *a, const Num *b, Num *out, ValueState *out_state) {
  if (!b->integer) {
    *out_state = VALUE_DIVISION;
  } else if (!a->is_signed) {
    out->integer = op == '/' ? a->integer / b->integer : a->integer % b->integer;
  } else if (b->integer == ~(Wide)0) {
    out->integer = op == '/' ? (Wide)0 - a->integer : 0; /* the least number by -1 */
  } else {
    SignedWide x = (SignedWide)a->integer, y = (SignedWide)b->integer;
    out->integer = (Wide)(op == '/' ? x / y : x % y);
  }
}

/* As the processor does it: a count too large is taken modulo the width. */
static void shift(int op, const Num *a, const Num *b, Num *out) {
  unsigned count = (unsigned)(b->integer & (a->size * 8u - 1));
  if (op == OP_SHL)
    out->integer = a->integer << count;
  else if (a->is_signed)
    out->integer = (Wide)((SignedWide)a->integer >> count);
  else
    out->integer = a->integer >> count;
}

bool num_binary(int op, const Num *a, const Num *b, Num *out, ValueState *out_state) {
  if (compare(op, a, b, out)) return true;
  *out = *a;
  if (a->is_real || b->is_real) return a->is_real && b->is_real && real_binary(op, a, b, out);
  switch (op) {
  case '+':
    out->integer = a->integer + b->integer;
    break;
  case '-':
    out->integer = a->integer - b->integer;
    break;
  case '*':
    out->integer = a->integer * b->integer;
    break;
  case '/':
  case '%':
    divide(op, a, b, out, out_state);
    break;
  case '&':
    out->integer = a->integer & b->integer;
    break;
  case '|':
    out->integer = a->integer | b->integer;
    break;
  case '^':
    out->integer = a->integer ^ b->integer;
    break;
  default:
    shift(op, a, b, out);
  }
  out->integer = cut(out->integer, out->size, out->is_signed);
  return true;
}

size_t num_store(const Num *num, uint8_t out[16]) {
  float single = (float)num->real;
  double twice = (double)num->real;
  memset(out, 0, 16);
  if (!num->is_real)
    memcpy(out, &num->integer, 16);
  else if (num->size == 4)
    memcpy(out, &single, sizeof single);
  else if (num->size == 8)
    memcpy(out, &twice, sizeof twice);
  else
    memcpy(out, &num->real, 10);
  return num->size;
}
