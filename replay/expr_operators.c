/*
** Operators on numbers, pointers and texts.
*/
#include <string.h>

#include "replay/expr_eval.h"

enum { MOST_TEXT = 65536 };

/* An operand: what it is, and its number if it is one. */
typedef struct Operand {
  Value value;
  const DwarfType *plain;
  Num num;
  bool is_num, is_pointer;
  ValueState state;
} Operand;

static bool load(const Eval *eval, Operand *out) {
  if (!eval_decay(eval, &out->value)) return false;
  out->plain = dwarf_type_strip(out->value.type, eval->fault);
  if (!out->plain || !num_load(&out->value, &out->num, &out->is_num, &out->state, eval->fault))
    return false;
  out->is_pointer = out->plain->kind == TYPE_POINTER;
  return true;
}

static bool need_num(const Eval *eval, const Expr *node, const Operand *operand) {
  return operand->is_num || eval_fail(eval, node, FAULT_INVALID, "%s is no number",
                                      eval_type_name(eval, operand->value.type));
}

bool eval_truth(const Eval *eval, const Expr *node, bool *out, ValueState *out_state) {
  Operand operand;
  if (!eval_expr(eval, node, &operand.value) || !load(eval, &operand) ||
      !need_num(eval, node, &operand))
    return false;
  *out_state = operand.state;
  *out = operand.state == VALUE_KNOWN && !num_is_zero(&operand.num);
  return true;
}

static bool give_truth(const Eval *eval, bool truth, ValueState state, Value *out) {
  Num num = num_integer(BASIC_INT, truth);
  return state == VALUE_KNOWN ? eval_num(eval, &num, num.type, out)
                              : eval_absent(eval, num.type, state, out);
}

bool eval_unary_number(const Eval *eval, const Expr *node, Value *out) {
  Operand operand;
  bool truth;
  ValueState state;
  if (node->op == '!')
    return eval_truth(eval, node->a, &truth, &state) && give_truth(eval, !truth, state, out);
  if (!eval_expr(eval, node->a, &operand.value) || !load(eval, &operand) ||
      !need_num(eval, node->a, &operand))
    return false;
  if (operand.is_pointer || (node->op == '~' && operand.num.is_real))
    return eval_fail(eval, node, FAULT_INVALID, "\"%c\" is not for %s", node->op,
                     eval_type_name(eval, operand.value.type));
  if (operand.state != VALUE_KNOWN) return eval_absent(eval, operand.num.type, operand.state, out);
  Num result = operand.num, other = operand.num;
  other.integer = node->op == '~' ? ~(Wide)0 : 0;
  other.real = -0.0L;
  if (node->op != '+')
    num_binary(node->op == '~' ? '^' : '-', &other, &operand.num, &result, &state);
  return eval_num(eval, &result, result.type, out);
}

/* ---- pointers */

static bool target_size(const Eval *eval, const Expr *node, const DwarfType *pointer,
                        uint64_t *out) {
  const DwarfType *target = dwarf_type_target(pointer, eval->fault);
  const DwarfType *plain = target ? dwarf_type_strip(target, eval->fault) : NULL;
  if (!plain) return false;
  *out = 1;
  if (plain->kind == TYPE_VOID || plain->kind == TYPE_FUNCTION) return true;
  return dwarf_type_size(target, out, eval->fault) ||
         fault_prefix(eval->fault, "column %zu: ", node->at + 1);
}

bool eval_pointer_plus(const Eval *eval, const Expr *node, const Value *pointer, const Num *num,
                       ValueState num_state, bool minus, Value *out) {
  const DwarfType *plain = dwarf_type_strip(pointer->type, eval->fault);
  uint64_t size, addr;
  ValueState state;
  if (!plain || !target_size(eval, node, plain, &size) ||
      !value_bytes(pointer, &addr, sizeof addr, &state, eval->fault))
    return false;
  if (state == VALUE_SYNTHETIC && num_state == VALUE_KNOWN) {
    uint64_t bytes = (uint64_t)num->integer * size;
    return value_synthetic_plus(pointer, (int64_t)(minus ? 0 - bytes : bytes), eval->arena, out,
                                eval->fault);
  }
  if (state == VALUE_KNOWN) state = num_state;
  if (state != VALUE_KNOWN) return eval_absent(eval, pointer->type, state, out);
  uint64_t distance = (uint64_t)num->integer * size;
  addr = minus ? addr - distance : addr + distance;
  return eval_bytes(eval, pointer->type, &addr, sizeof addr, out);
}

static bool pointer_minus(const Eval *eval, const Expr *node, const Operand *a, const Operand *b,
                          Value *out) {
  uint64_t size;
  const DwarfType *type = expr_basic(BASIC_LONG);
  if (!target_size(eval, node, a->plain, &size)) return false;
  if (!size)
    return eval_fail(eval, node, FAULT_INVALID, "%s points to what has no size",
                     eval_type_name(eval, a->value.type));
  ValueState state = a->state != VALUE_KNOWN ? a->state : b->state;
  if (state != VALUE_KNOWN) return eval_absent(eval, type, state, out);
  int64_t distance = (int64_t)((uint64_t)a->num.integer - (uint64_t)b->num.integer);
  distance /= size > INT64_MAX ? INT64_MAX : (int64_t)size;
  return eval_bytes(eval, type, &distance, sizeof distance, out);
}

static bool is_comparison(int op) {
  return op == OP_EQ || op == OP_NE || op == '<' || op == '>' || op == OP_LE || op == OP_GE;
}

/* *out_done false: it is for numbers. */
static bool with_pointers(const Eval *eval, const Expr *node, const Operand *a, const Operand *b,
                          Value *out, bool *out_done) {
  int op = node->op;
  *out_done = (a->is_pointer || b->is_pointer) && !is_comparison(op);
  if (!*out_done) return true;
  bool forward = a->is_pointer && !b->is_pointer && (op == '+' || op == '-');
  bool backward = b->is_pointer && !a->is_pointer && op == '+';
  const Operand *number = forward ? b : a, *pointer = forward ? a : b;
  if ((forward || backward) && number->is_num && !number->num.is_real)
    return eval_pointer_plus(eval, node, &pointer->value, &number->num, number->state, op == '-',
                             out);
  if (a->is_pointer && b->is_pointer && op == '-') return pointer_minus(eval, node, a, b, out);
  return eval_fail(eval, node, FAULT_INVALID, "this operator is not for %s and %s",
                   eval_type_name(eval, a->value.type), eval_type_name(eval, b->value.type));
}

/* ---- texts */

static bool is_text(const Eval *eval, const Value *value, bool *out) {
  const DwarfType *plain = dwarf_type_strip(value->type, eval->fault);
  const DwarfType *target = NULL;
  TextWidth width = WIDTH_NONE;
  *out = false;
  if (!plain) return false;
  if (plain->kind != TYPE_POINTER && plain->kind != TYPE_ARRAY) return true;
  if (!(target = dwarf_type_target(plain, eval->fault)) ||
      !value_text_width(target, &width, eval->fault))
    return false;
  *out = width == WIDTH_8;
  return true;
}

/* The bytes up to the NUL, or all of an array without one. */
static bool load_text(const Eval *eval, const Value *value, Text *out, ValueState *out_state) {
  const DwarfType *plain = dwarf_type_strip(value->type, eval->fault);
  uint64_t addr;
  bool whole;
  if (!plain) return false;
  if (plain->kind == TYPE_POINTER) {
    if (!value_bytes(value, &addr, sizeof addr, out_state, eval->fault)) return false;
    return *out_state != VALUE_KNOWN || value_text_at(value->source, addr, WIDTH_8, MOST_TEXT, out,
                                                      &whole, out_state, eval->fault);
  }
  size_t size = plain->has_count ? plain->count : 0;
  if (size > MOST_TEXT) size = MOST_TEXT;
  char *bytes = arena_alloc(eval->arena, size + 1);
  if (!bytes) return fault_oom(eval->fault);
  if (!value_bytes(value, bytes, size, out_state, eval->fault)) return false;
  text_addn(out, bytes, strnlen(bytes, size));
  return !out->oom || fault_oom(eval->fault);
}

static bool compare_texts(const Eval *eval, const Expr *node, const Value *a, const Value *b,
                          Value *out) {
  Text x = {0}, y = {0};
  ValueState state = VALUE_KNOWN, other = VALUE_KNOWN;
  bool ok = load_text(eval, a, &x, &state) && load_text(eval, b, &y, &other);
  bool equal = ok && x.length == y.length && !memcmp(text_get(&x), text_get(&y), x.length);
  text_finish(&x);
  text_finish(&y);
  if (state == VALUE_KNOWN) state = other;
  return ok && give_truth(eval, equal == (node->op == OP_EQ), state, out);
}

/* A literal has no address that anybody knows: with == and != its text is meant. */
static bool with_literal(const Eval *eval, const Expr *node, const Value *a, const Value *b,
                         Value *out, bool *out_done) {
  bool literal = node->a->kind == NODE_STRING || node->b->kind == NODE_STRING, x, y;
  *out_done = false;
  if (!literal || (node->op != OP_EQ && node->op != OP_NE)) return true;
  if (!is_text(eval, a, &x) || !is_text(eval, b, &y)) return false;
  if (!x || !y)
    return eval_fail(eval, node, FAULT_INVALID, "%s is no text",
                     eval_type_name(eval, x ? b->type : a->type));
  *out_done = true;
  return compare_texts(eval, node, a, b, out);
}

/* ---- any */

static bool with_numbers(const Eval *eval, const Expr *node, Operand *a, Operand *b, Value *out) {
  if (!need_num(eval, node->a, a) || !need_num(eval, node->b, b)) return false;
  bool shifts = node->op == OP_SHL || node->op == OP_SHR;
  if (!shifts) num_balance(&a->num, &b->num);
  Num result = a->num;
  ValueState state = a->state != VALUE_KNOWN ? a->state : b->state, own = VALUE_KNOWN;
  bool mixed = shifts && (a->num.is_real || b->num.is_real);
  if (mixed || !num_binary(node->op, &a->num, &b->num, &result, &own))
    return eval_fail(eval, node, FAULT_INVALID, "this operator is not for %s and %s",
                     eval_type_name(eval, a->value.type), eval_type_name(eval, b->value.type));
  if (state == VALUE_KNOWN) state = own;
  return state == VALUE_KNOWN ? eval_num(eval, &result, result.type, out)
                              : eval_absent(eval, result.type, state, out);
}

static bool eval_logical(const Eval *eval, const Expr *node, Value *out) {
  bool stops = node->op == OP_OR, truth;
  ValueState state;
  if (!eval_truth(eval, node->a, &truth, &state)) return false;
  if (state == VALUE_KNOWN && truth != stops && !eval_truth(eval, node->b, &truth, &state))
    return false;
  return give_truth(eval, truth, state, out);
}

bool eval_binary(const Eval *eval, const Expr *node, Value *out) {
  Operand a, b;
  bool done;
  if (node->op == OP_AND || node->op == OP_OR) return eval_logical(eval, node, out);
  if (!eval_expr(eval, node->a, &a.value) || !eval_expr(eval, node->b, &b.value) ||
      !with_literal(eval, node, &a.value, &b.value, out, &done))
    return false;
  if (done) return true;
  if (!load(eval, &a) || !load(eval, &b) || !with_pointers(eval, node, &a, &b, out, &done))
    return false;
  return done || with_numbers(eval, node, &a, &b, out);
}
