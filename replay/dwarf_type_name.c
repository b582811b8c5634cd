/*
** Types as C writes them, which is inside out: what is left of the name, the name, what is right.
*/
#include <string.h>

#include "replay/dwarf_inner.h"
#include "replay/dwarf_types.h"

enum { MOST_NESTED = 32 };

static bool write_type(const DwarfType *type, const char *inner, int depth, Text *out,
                       Fault *fault);

static const char *keyword(const DwarfType *type) {
  switch (type->kind) {
  case TYPE_STRUCT:
    return type->is_class ? "class " : "struct ";
  case TYPE_UNION:
    return "union ";
  case TYPE_ENUM:
    return "enum ";
  default:
    return "";
  }
}

/* "name inner" */
static bool join(const char *name, const char *inner, Text *out) {
  text_add(out, name);
  if (*inner) text_addc(out, ' ');
  text_add(out, inner);
  return true;
}

static bool is_cpp(const DwarfType *type) {
  Die die;
  if (!type->die || !die_at(type->dwarf, type->die, &die)) return false;
  uint16_t language = die.unit->language;
  return language == DW_LANG_C_plus_plus || language == DW_LANG_C_plus_plus_11 ||
         language == DW_LANG_C_plus_plus_14;
}

static bool write_named(const DwarfType *type, const char *inner, Text *out) {
  if (type->kind == TYPE_VOID) return join(type->name ? type->name : "void", inner, out);
  if (!is_cpp(type)) text_add(out, keyword(type));
  if (type->name) return join(type->name, inner, out);
  /* An unnamed one has braces. */
  if (is_cpp(type)) text_add(out, keyword(type));
  return join("{...}", inner, out);
}

/* What a pointer or array of is written around a function or an array needs parentheses. */
static bool is_suffixed(const DwarfType *type) {
  return type->kind == TYPE_FUNCTION || type->kind == TYPE_ARRAY;
}

/* Qualifiers at the beginning, as bits. *type is what they qualify; NULL after a fault. */
static unsigned take_qualifiers(const DwarfType **type, Fault *fault) {
  unsigned set = 0;
  for (int hops = 0; *type && (*type)->kind >= TYPE_CONST && (*type)->kind <= TYPE_ATOMIC; hops++) {
    set |= 1u << ((*type)->kind - TYPE_CONST);
    *type = dwarf_type_target(*type, fault);
    if (hops <= MOST_NESTED) continue;
    fault_set(fault, FAULT_CORRUPT, "a type that is made of itself");
    *type = NULL;
  }
  return set;
}

static bool write_pointer(const DwarfType *type, const char *inner, int depth, Text *out,
                          Fault *fault) {
  const DwarfType *target = dwarf_type_target(type, fault), *plain = target;
  if (target) take_qualifiers(&plain, fault);
  if (!target || !plain) return false;
  Text text = {0};
  const char *star = type->kind == TYPE_REFERENCE ? "&" : "*";
  bool around = is_suffixed(plain), word = *inner && *inner != '*' && *inner != '&' &&
                                           *inner != '(' && *inner != '[' && *inner != ')';
  text_addf(&text, "%s%s%s%s%s", around ? "(" : "", star, word ? " " : "", inner,
            around ? ")" : "");
  bool ok = !text.oom && write_type(target, text_get(&text), depth, out, fault);
  if (text.oom) fault_oom(fault);
  text_finish(&text);
  return ok;
}

static bool write_array(const DwarfType *type, const char *inner, int depth, Text *out,
                        Fault *fault) {
  const DwarfType *target = dwarf_type_target(type, fault);
  if (!target) return false;
  Text text = {0};
  text_add(&text, inner);
  if (type->is_vector)
    text_addf(&text, " __attribute__ ((vector_size(%llu)))", (unsigned long long)type->count);
  else if (type->has_count)
    text_addf(&text, "[%llu]", (unsigned long long)type->count);
  else
    text_add(&text, type->dynamic ? "[variable length]" : "[]");
  bool ok = !text.oom && write_type(target, text_get(&text), depth, out, fault);
  if (text.oom) fault_oom(fault);
  text_finish(&text);
  return ok;
}

static bool write_parameters(const DwarfType *type, Text *out, int depth, Fault *fault) {
  Die die, child;
  int count = 0;
  bool open = false;
  if (!type->die || !die_at(type->dwarf, type->die, &die)) return true;
  DieChildren children = die_children(&die);
  while (die_next_child(&children, &child)) {
    uint16_t tag = die_tag(&child);
    if (tag != DW_TAG_formal_parameter && tag != DW_TAG_unspecified_parameters) continue;
    if (count++) text_add(out, ", ");
    open = tag == DW_TAG_unspecified_parameters;
    if (open) {
      text_add(out, "...");
      continue;
    }
    DieAttr attr = die_attr_deep(&child, DW_AT_type);
    const DwarfType *each =
        dwarf_type_at(type->dwarf, attr.class == ATTR_ENTRY ? attr.number : 0, fault);
    if (!each || !write_type(each, "", depth, out, fault)) return false;
  }
  if (!count && (die_flag(&die, DW_AT_prototyped) || is_cpp(type))) text_add(out, "void");
  return true;
}

static bool write_function(const DwarfType *type, const char *inner, int depth, Text *out,
                           Fault *fault) {
  const DwarfType *target = dwarf_type_target(type, fault);
  if (!target) return false;
  Text text = {0};
  text_addf(&text, "%s(", inner);
  bool ok = write_parameters(type, &text, depth, fault);
  text_addc(&text, ')');
  ok = ok && !text.oom && write_type(target, text_get(&text), depth, out, fault);
  if (text.oom) fault_oom(fault);
  text_finish(&text);
  return ok;
}

/* Those of an array are its elements', which may have some of them already. */
static bool drop_repeated(const DwarfType *type, unsigned *set, Fault *fault) {
  for (int hops = 0; type->kind == TYPE_ARRAY && hops < MOST_NESTED; hops++) {
    if (!(type = dwarf_type_target(type, fault))) return false;
    *set &= ~take_qualifiers(&type, fault);
    if (!type) return false;
  }
  return true;
}

/* Qualifiers of a pointer stand behind its star, of anything else in front; several in one order,
** whatever the compiler's. */
static bool write_qualified(const DwarfType *type, const char *inner, int depth, Text *out,
                            Fault *fault) {
  static const char *const words[] = {"const", "volatile", "restrict", "_Atomic"};
  unsigned set = take_qualifiers(&type, fault);
  if (!type || !drop_repeated(type, &set, fault)) return false;
  bool behind = type->kind == TYPE_POINTER || type->kind == TYPE_REFERENCE;
  Text text = {0};
  for (unsigned i = 0; i < countof(words); i++)
    if (set & 1u << i) text_addf(&text, "%s%s", text.length ? " " : "", words[i]);
  if (!behind && text.length) text_addf(out, "%s ", text_get(&text));
  if (behind && *inner) text_addf(&text, " %s", inner);
  bool ok = !text.oom && write_type(type, behind ? text_get(&text) : inner, depth, out, fault);
  if (text.oom) fault_oom(fault);
  text_finish(&text);
  return ok;
}

static bool write_type(const DwarfType *type, const char *inner, int depth, Text *out,
                       Fault *fault) {
  if (depth > MOST_NESTED || strlen(inner) > 4096 || out->length > 65536)
    return fault_set(fault, FAULT_LIMIT, "a type too long to be written");
  switch (type->kind) {
  case TYPE_POINTER:
  case TYPE_REFERENCE:
    return write_pointer(type, inner, depth + 1, out, fault);
  case TYPE_ARRAY:
    return write_array(type, inner, depth + 1, out, fault);
  case TYPE_FUNCTION:
    return write_function(type, inner, depth + 1, out, fault);
  case TYPE_CONST:
  case TYPE_VOLATILE:
  case TYPE_RESTRICT:
  case TYPE_ATOMIC:
    return write_qualified(type, inner, depth + 1, out, fault);
  default:
    return write_named(type, inner, out);
  }
}

bool dwarf_type_name(const DwarfType *type, Text *out, Fault *fault) {
  return write_type(type, "", 0, out, fault) && (!out->oom || fault_oom(fault));
}
