/*
** Names for numbers: enumerators, and functions at addresses.
*/
#include "replay/value_inner.h"

bool value_add_enumerator(const DwarfType *plain, const Number *number, Text *out, bool *out_named,
                          Fault *fault) {
  const DwarfEnumerator *all;
  size_t count;
  bool flags;
  *out_named = true;
  if (!dwarf_type_enumerators(plain, &all, &count, &flags, fault)) return false;
  for (size_t i = 0; i < count; i++)
    if ((uint64_t)all[i].value == number->low) {
      text_add(out, all[i].name);
      return true;
    }
  *out_named = flags && number->low != 0;
  if (!*out_named) {
    text_add(out, number->digits);
    return true;
  }
  uint64_t left = number->low;
  const char *between = "";
  for (size_t i = 0; i < count; i++)
    if (left & (uint64_t)all[i].value) {
      text_addf(out, "%s%s", between, all[i].name);
      left &= ~(uint64_t)all[i].value;
      between = "|";
    }
  if (left) text_addf(out, "%s0x%llx", between, (unsigned long long)left);
  return true;
}

static const char *own_symbol(const ValueSource *source, uint64_t addr, uint64_t *out_offset) {
  size_t i;
  DwarfFunction function;
  if (!source->dwarf || !dwarf_function_at(source->dwarf, addr - source->bias, &i, NULL) ||
      !dwarf_function_get(source->dwarf, i, &function, NULL))
    return NULL;
  *out_offset = addr - source->bias - function.entry;
  return function.name;
}

bool value_add_symbol(const ValueSource *source, uint64_t addr, Text *out) {
  uint64_t offset = 0;
  const char *name = source->symbol ? source->symbol(source->ctx, addr, &offset)
                                    : own_symbol(source, addr, &offset);
  if (!name) return false;
  text_add(out, name);
  if (offset) text_addf(out, "+%llu", (unsigned long long)offset);
  return true;
}
