/*
** Expressions evaluated: names, places, types. Arithmetic is in expr_operators.c.
*/
#include <string.h>

#include "replay/expr_eval.h"

/* ---- making values */

bool eval_fail(const Eval *eval, const Expr *node, FaultCode code, const char *format, ...) {
  Fault inner = {0};
  va_list args;
  va_start(args, format);
  fault_vset(&inner, code, format, args);
  va_end(args);
  return expr_fail(eval->fault, code, node->at, "%s", inner.text);
}

const char *eval_type_name(const Eval *eval, const DwarfType *type) {
  Text text = {0};
  const char *name = NULL;
  if (dwarf_type_name(type, &text, NULL)) name = arena_strdup(eval->arena, text_get(&text));
  text_finish(&text);
  return name ? name : "a type";
}

bool eval_bytes(const Eval *eval, const DwarfType *type, const void *bytes, size_t size,
                Value *out) {
  return value_of_bytes(eval->scope->source, type, bytes, size, eval->arena, out, eval->fault);
}

bool eval_absent(const Eval *eval, const DwarfType *type, ValueState state, Value *out) {
  if (!eval_bytes(eval, type, NULL, 0, out)) return false;
  out->state = state;
  return true;
}

bool eval_num(const Eval *eval, const Num *num, const DwarfType *type, Value *out) {
  uint8_t bytes[16];
  size_t size = num_store(num, bytes);
  return eval_bytes(eval, type, bytes, size, out);
}

static bool plain_of(const Eval *eval, const Value *value, const DwarfType **out) {
  *out = dwarf_type_strip(value->type, eval->fault);
  return *out != NULL;
}

/* ---- leaves */

static bool eval_name(const Eval *eval, const Expr *node, Value *out) {
  Named named;
  const DwarfType *type;
  if (!expr_find_name(eval->scope, node->within, node->name, &named, eval->fault)) return false;
  switch (named.kind) {
  case NAME_VARIABLE:
    return value_variable(named.source, named.die, eval->arena, out, eval->fault);
  case NAME_FUNCTION:
    type = dwarf_function_type(named.source->dwarf, named.die, eval->fault);
    return type && value_at(named.source, type, named.entry, eval->arena, out, eval->fault);
  case NAME_ENUMERATOR: /* an int in C, if it fits */
    type = named.number == (int32_t)named.number ? expr_basic(BASIC_INT) : named.type;
    return eval_bytes(eval, type, &named.number, sizeof named.number, out);
  default:
    return node->within
               ? eval_fail(eval, node, FAULT_NOTFOUND, "there is no variable \"%s\" in \"%s\"",
                           node->name, node->within)
               : eval_fail(eval, node, FAULT_NOTFOUND, "there is no variable \"%s\" here",
                           node->name);
  }
}

static bool eval_register(const Eval *eval, const Expr *node, Value *out) {
  static const char *const names[] = {"rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8",
                                      "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
  const ValueSource *source = eval->scope->source;
  const DwarfType *type = expr_basic(BASIC_UNSIGNED_LONG);
  unsigned number = 0;
  uint64_t value;
  while (number < countof(names) && strcmp(names[number], node->name)) number++;
  if (number == countof(names))
    return eval_fail(eval, node, FAULT_NOTFOUND, "there is no register \"%s\"", node->name);
  if (!source->reg || !source->reg(source->ctx, number, &value, sizeof value))
    return eval_absent(eval, type, VALUE_NOT_SAVED, out);
  return eval_bytes(eval, type, &value, sizeof value, out);
}

static bool eval_number(const Eval *eval, const Expr *node, Value *out) {
  const Token *token = &node->token;
  Num num = {.type = token->type, .size = (uint32_t)token->type->size, .integer = token->integer};
  num.is_real = token->kind == TOKEN_REAL;
  num.real = token->real;
  return eval_num(eval, &num, token->type, out);
}

static bool eval_string(const Eval *eval, const Expr *node, Value *out) {
  size_t size = node->token.nbytes;
  char *bytes = arena_alloc(eval->arena, size + 1);
  if (!bytes) return fault_oom(eval->fault);
  if (size) memcpy(bytes, node->token.bytes, size);
  const DwarfType *type =
      dwarf_type_array(expr_basic(BASIC_CHAR), size + 1, eval->arena, eval->fault);
  return type && eval_bytes(eval, type, bytes, size + 1, out);
}

/* ---- places */

bool eval_decay(const Eval *eval, Value *value) {
  const DwarfType *plain, *target, *pointer;
  uint64_t addr;
  if (!plain_of(eval, value, &plain)) return false;
  if (plain->kind != TYPE_ARRAY && plain->kind != TYPE_FUNCTION) return true;
  target = plain->kind == TYPE_ARRAY ? dwarf_type_target(plain, eval->fault) : plain;
  pointer = target ? dwarf_type_pointer(target, eval->arena, eval->fault) : NULL;
  if (!pointer) return false;
  if (value->state != VALUE_KNOWN) return eval_absent(eval, pointer, value->state, value);
  if (!value_address(value, &addr)) return eval_absent(eval, pointer, VALUE_NO_ADDRESS, value);
  return eval_bytes(eval, pointer, &addr, sizeof addr, value);
}

static bool target_of(const Eval *eval, const Expr *node, const Value *value, Value *out) {
  const DwarfType *plain, *target;
  if (!plain_of(eval, value, &plain)) return false;
  if (plain->kind == TYPE_ARRAY) return value_element(value, 0, out, eval->fault);
  if (plain->kind == TYPE_FUNCTION) {
    *out = *value;
    return true;
  }
  if (plain->kind != TYPE_POINTER && plain->kind != TYPE_REFERENCE)
    return eval_fail(eval, node, FAULT_INVALID, "%s is no pointer",
                     eval_type_name(eval, value->type));
  target = dwarf_type_target(plain, eval->fault);
  if (target) target = dwarf_type_strip(target, eval->fault);
  if (target && target->kind == TYPE_VOID)
    return eval_fail(eval, node, FAULT_INVALID, "what a void pointer points to has no type");
  return target && value_target(value, eval->arena, out, eval->fault);
}

static bool address_of(const Eval *eval, const Expr *node, const Value *value, Value *out) {
  uint64_t addr;
  NodeKind kind = node->a->kind;
  bool stored = kind == NODE_NAME || kind == NODE_INDEX || kind == NODE_MEMBER ||
                (kind == NODE_UNARY && node->a->op == '*');
  if (!stored)
    return eval_fail(eval, node, FAULT_INVALID, "a value that is computed has no address");
  if (value->bit_size) return eval_fail(eval, node, FAULT_INVALID, "a bit field has no address");
  const DwarfType *type = dwarf_type_pointer(value->type, eval->arena, eval->fault);
  if (!type) return false;
  if (value->state != VALUE_KNOWN) return eval_absent(eval, type, value->state, out);
  if (!value_address(value, &addr)) return eval_absent(eval, type, VALUE_NO_ADDRESS, out);
  return eval_bytes(eval, type, &addr, sizeof addr, out);
}

/* The member, also of unnamed members and base classes. *out_found says whether there is one. */
static bool find_member(const Eval *eval, const Value *value, const DwarfType *plain,
                        const char *name, int depth, Value *out, bool *out_found) {
  const DwarfMember *members;
  size_t count;
  *out_found = false;
  if (!dwarf_type_members(plain, &members, &count, eval->fault)) return false;
  for (size_t i = 0; i < count && !*out_found; i++) {
    Value part;
    const DwarfType *inner;
    if (!value_member(value, &members[i], &part, eval->fault) || !plain_of(eval, &part, &inner))
      return false;
    if (members[i].name && !strcmp(members[i].name, name)) {
      *out = part;
      *out_found = true;
    } else if ((!members[i].name || members[i].is_base) && dwarf_type_is_record(inner) && depth) {
      if (!find_member(eval, &part, inner, name, depth - 1, out, out_found)) return false;
    }
  }
  return true;
}

/* What `.` or `->` is written behind, as a structure. */
static bool record_of(const Eval *eval, const Expr *node, Value *value, const DwarfType **out) {
  if (!plain_of(eval, value, out)) return false;
  bool pointer = (*out)->kind == TYPE_POINTER || (*out)->kind == TYPE_ARRAY;
  bool arrow = node->op == OP_ARROW;
  if (arrow && dwarf_type_is_record(*out))
    return eval_fail(eval, node, FAULT_INVALID, "%s is no pointer: write a dot",
                     eval_type_name(eval, value->type));
  if (!arrow && pointer)
    return eval_fail(eval, node, FAULT_INVALID, "%s is a pointer: write ->",
                     eval_type_name(eval, value->type));
  Value target;
  if (arrow || (*out)->kind == TYPE_REFERENCE) {
    if (!target_of(eval, node, value, &target) || !plain_of(eval, &target, out)) return false;
    *value = target;
  }
  return dwarf_type_is_record(*out) || eval_fail(eval, node, FAULT_INVALID, "%s has no members",
                                                 eval_type_name(eval, value->type));
}

static bool eval_member(const Eval *eval, const Expr *node, Value *out) {
  Value value;
  const DwarfType *plain;
  bool found;
  if (!eval_expr(eval, node->a, &value) || !record_of(eval, node, &value, &plain) ||
      !find_member(eval, &value, plain, node->name, 16, out, &found))
    return false;
  if (found) return true;
  const char *name = eval_type_name(eval, plain);
  if (plain->incomplete)
    return eval_fail(eval, node, FAULT_NOTFOUND,
                     "%s is only declared here: its members are unknown", name);
  return eval_fail(eval, node, FAULT_NOTFOUND, "%s has no member \"%s\"", name, node->name);
}

static bool eval_index(const Eval *eval, const Expr *node, Value *out) {
  Value array, index, pointer;
  Num num;
  bool ok;
  ValueState state;
  const DwarfType *plain;
  if (!eval_expr(eval, node->a, &array) || !eval_expr(eval, node->b, &index) ||
      !num_load(&index, &num, &ok, &state, eval->fault) || !plain_of(eval, &array, &plain))
    return false;
  if (!ok || num.is_real)
    return eval_fail(eval, node->b, FAULT_INVALID, "an index must be an integer, not %s",
                     eval_type_name(eval, index.type));
  if (plain->kind != TYPE_ARRAY && plain->kind != TYPE_POINTER)
    return eval_fail(eval, node, FAULT_INVALID, "%s is no array", eval_type_name(eval, array.type));
  bool inside = plain->kind == TYPE_ARRAY && plain->has_count && num.integer < plain->count;
  if (state == VALUE_KNOWN && inside)
    return value_element(&array, (uint64_t)num.integer, out, eval->fault);
  /* Outside, or by a pointer: as an address. */
  return eval_decay(eval, &array) &&
         eval_pointer_plus(eval, node, &array, &num, state, false, &pointer) &&
         target_of(eval, node, &pointer, out);
}

/* ---- types */

static bool eval_cast(const Eval *eval, const Expr *node, Value *out) {
  Value value;
  const DwarfType *to = dwarf_type_strip(node->type, eval->fault), *from;
  Num num, converted;
  bool ok;
  ValueState state;
  if (!to || !eval_expr(eval, node->a, &value) || !eval_decay(eval, &value) ||
      !plain_of(eval, &value, &from))
    return false;
  if ((to->kind == TYPE_POINTER && from->kind == TYPE_POINTER) || to == from) {
    *out = value;
    out->type = node->type;
    return true;
  }
  if (to->kind == TYPE_VOID) return eval_absent(eval, node->type, VALUE_KNOWN, out);
  if (!num_load(&value, &num, &ok, &state, eval->fault)) return false;
  if (!ok || !num_convert(&num, to, &converted))
    return eval_fail(eval, node, FAULT_INVALID, "%s cannot become %s",
                     eval_type_name(eval, value.type), eval_type_name(eval, node->type));
  if (state != VALUE_KNOWN) return eval_absent(eval, node->type, state, out);
  return eval_num(eval, &converted, node->type, out);
}

static bool eval_sizeof(const Eval *eval, const Expr *node, Value *out) {
  const DwarfType *type = node->type;
  Value value;
  uint64_t size;
  if (!type) {
    if (!eval_expr(eval, node->a, &value)) return false;
    if (value.bit_size) return eval_fail(eval, node, FAULT_INVALID, "a bit field has no size");
    type = value.type;
    /* The length of an array may be what is not known. */
    if (value.state != VALUE_KNOWN && !dwarf_type_size(type, &size, NULL))
      return eval_absent(eval, expr_basic(BASIC_UNSIGNED_LONG), value.state, out);
  }
  if (!dwarf_type_size(type, &size, eval->fault))
    return fault_prefix(eval->fault, "column %zu: ", node->at + 1);
  return eval_bytes(eval, expr_basic(BASIC_UNSIGNED_LONG), &size, sizeof size, out);
}

/* Both are looked at, for the type is of both: of numbers C's usual one, of a pointer and a number
** the pointer's. */
static bool eval_choice(const Eval *eval, const Expr *node, Value *out) {
  bool truth, number, other_number;
  ValueState state, chosen_state, other_state;
  Value other;
  Num num, other_num;
  const DwarfType *plain, *other_plain;
  if (!eval_truth(eval, node->a, &truth, &state) ||
      !eval_expr(eval, truth ? node->b : node->c, out) ||
      !eval_expr(eval, truth ? node->c : node->b, &other) || !eval_decay(eval, out) ||
      !eval_decay(eval, &other) || !num_load(out, &num, &number, &chosen_state, eval->fault) ||
      !num_load(&other, &other_num, &other_number, &other_state, eval->fault) ||
      !plain_of(eval, out, &plain) || !plain_of(eval, &other, &other_plain))
    return false;
  if (state == VALUE_KNOWN) state = chosen_state;
  if (number != other_number)
    return eval_fail(eval, node, FAULT_INVALID, "one of %s and %s", eval_type_name(eval, out->type),
                     eval_type_name(eval, other.type));
  if (!number || plain->kind == TYPE_POINTER) {
    if (state != VALUE_KNOWN && number) return eval_absent(eval, out->type, state, out);
    return true;
  }
  if (other_plain->kind == TYPE_POINTER)
    num_convert(&num, other_plain, &num);
  else
    num_balance(&num, &other_num);
  const DwarfType *type = other_plain->kind == TYPE_POINTER ? other.type : num.type;
  return state == VALUE_KNOWN ? eval_num(eval, &num, type, out)
                              : eval_absent(eval, type, state, out);
}

static bool eval_unary(const Eval *eval, const Expr *node, Value *out) {
  Value value;
  if (node->op != '*' && node->op != '&') return eval_unary_number(eval, node, out);
  if (!eval_expr(eval, node->a, &value)) return false;
  return node->op == '*' ? target_of(eval, node, &value, out) : address_of(eval, node, &value, out);
}

bool eval_expr(const Eval *eval, const Expr *node, Value *out) {
  switch (node->kind) {
  case NODE_NAME:
    return eval_name(eval, node, out);
  case NODE_REGISTER:
    return eval_register(eval, node, out);
  case NODE_NUMBER:
    return eval_number(eval, node, out);
  case NODE_STRING:
    return eval_string(eval, node, out);
  case NODE_UNARY:
    return eval_unary(eval, node, out);
  case NODE_BINARY:
    return eval_binary(eval, node, out);
  case NODE_CHOICE:
    return eval_choice(eval, node, out);
  case NODE_INDEX:
    return eval_index(eval, node, out);
  case NODE_MEMBER:
    return eval_member(eval, node, out);
  case NODE_CAST:
    return eval_cast(eval, node, out);
  default:
    return eval_sizeof(eval, node, out);
  }
}

bool expr_evaluate(const Expr *expr, const ExprScope *scope, Arena *arena, Value *out,
                   Fault *fault) {
  Fault own = {0};
  Eval eval = {scope, arena, &own};
  return eval_expr(&eval, expr, out) || fault_set(fault, own.code, "%s", own.text);
}
