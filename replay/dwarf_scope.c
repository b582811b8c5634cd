/*
** The scopes of a function.
**
** Of an inlined function, or one compiled apart from its abstract entry, the code's entry lists
** only what the compiler still knows something about. What the abstract entry has beyond that is
** in scope as well: it was optimised out, and that is said.
*/
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_index.h"
#include "replay/dwarf_scope.h"

/* Entries read for one function. A compiler's largest have some 100,000. */
enum { MOST_WORK = 1 << 22 };

typedef struct Maker {
  Dwarf *dwarf;
  int work;
  Fault *fault;
} Maker;

typedef struct Variables {
  DwarfVariable *list;
  size_t count, capacity;
} Variables;

/* Abstract entries that the entries of the code complete. */
typedef struct Origins {
  uint64_t *list;
  size_t count, capacity;
} Origins;

static bool working(Maker *maker) {
  if (maker->work-- > 0) return true;
  return fault_set(maker->fault, FAULT_LIMIT, "a function with more than %d entries", MOST_WORK);
}

static bool add_variable(Maker *maker, const Die *die, Variables *out) {
  const char *name = die_name(die);
  if (!name || (die_flag(die, DW_AT_declaration) && die_flag(die, DW_AT_external))) return true;
  if (!array_grow(out->list, out->capacity, out->count + 1)) return fault_oom(maker->fault);
  out->list[out->count++] = (DwarfVariable){.name = name,
                                            .die = die->offset,
                                            .is_parameter = die_tag(die) == DW_TAG_formal_parameter,
                                            .is_artificial = die_flag(die, DW_AT_artificial)};
  return true;
}

static bool add_origins(Maker *maker, const Die *die, Origins *out) {
  Die at = *die;
  for (int hops = 0; hops < 8 && die_follow(&at, DW_AT_abstract_origin, &at); hops++) {
    if (!array_grow(out->list, out->capacity, out->count + 1)) return fault_oom(maker->fault);
    out->list[out->count++] = at.offset;
  }
  return true;
}

static int by_offset(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static bool fill_scope(Maker *maker, const Die *die, DwarfScope *scope, int depth);

/* *out_scope NULL: it has no code. */
static bool make_scope(Maker *maker, const Die *die, ScopeKind kind, const DwarfScope *parent,
                       int depth, DwarfScope **out_scope) {
  AddrRanges ranges = {0};
  Arena *arena = &maker->dwarf->arena;
  *out_scope = NULL;
  if (!die_ranges(die, &ranges)) ranges.count = 0;
  DwarfScope *scope = NULL;
  DwarfRange *copy = NULL;
  if (ranges.count) {
    scope = arena_alloc(arena, sizeof *scope);
    copy = arena_array(arena, ranges.count, sizeof *copy);
    if (copy) memcpy(copy, ranges.ranges, ranges.count * sizeof *copy);
  }
  size_t count = ranges.count;
  free(ranges.ranges);
  if (!count) return true;
  if (!scope || !copy) return fault_oom(maker->fault);
  *scope = (DwarfScope){.kind = kind,
                        .name = kind == SCOPE_BLOCK ? NULL : die_name(die),
                        .die = die->offset,
                        .parent = parent,
                        .ranges = copy,
                        .nranges = count};
  if (kind == SCOPE_INLINED) {
    scope->call_file = dwarf_file_name(die->unit, die_attr(die, DW_AT_call_file).number);
    scope->call_line = (uint32_t)die_attr(die, DW_AT_call_line).number;
  }
  if (!fill_scope(maker, die, scope, depth + 1)) return false;
  *out_scope = scope;
  return true;
}

typedef struct Filling {
  Maker *maker;
  DwarfScope *scope;
  Variables variables;
  Origins origins;
  DwarfScope **last; /* where the next inner scope is hung */
} Filling;

static bool fill_children(Filling *filling, const Die *die, int depth, bool abstract);

static bool take_child(Filling *filling, const Die *child, int depth, bool abstract) {
  Maker *maker = filling->maker;
  DwarfScope *inner = NULL;
  switch (die_tag(child)) {
  case DW_TAG_formal_parameter:
  case DW_TAG_variable:
    return add_variable(maker, child, &filling->variables);
  case DW_TAG_inlined_subroutine:
    if (abstract) return true;
    if (!make_scope(maker, child, SCOPE_INLINED, filling->scope, depth, &inner)) return false;
    break;
  case DW_TAG_lexical_block:
    if (abstract || (die_attr(child, DW_AT_low_pc).class == ATTR_ABSENT &&
                     die_attr(child, DW_AT_ranges).class == ATTR_ABSENT))
      return fill_children(filling, child, depth + 1, abstract);
    if (!make_scope(maker, child, SCOPE_BLOCK, filling->scope, depth, &inner)) return false;
    break;
  default:
    return true;
  }
  if (!inner) return true;
  *filling->last = inner;
  filling->last = &inner->next;
  return true;
}

/* `abstract`: the children of an abstract entry that no entry of the code completes. */
static bool fill_children(Filling *filling, const Die *die, int depth, bool abstract) {
  Maker *maker = filling->maker;
  if (depth > DWARF_DEPTH)
    return fault_set(maker->fault, FAULT_LIMIT, "blocks nested more than %d deep", DWARF_DEPTH);
  DieChildren children = die_children(die);
  Die child;
  while (die_next_child(&children, &child)) {
    if (!working(maker)) return false;
    if (abstract && filling->origins.count &&
        bsearch(&child.offset, filling->origins.list, filling->origins.count,
                sizeof *filling->origins.list, by_offset))
      continue;
    if (!abstract && !add_origins(maker, &child, &filling->origins)) return false;
    if (!take_child(filling, &child, depth, abstract)) return false;
  }
  return true;
}

static bool keep_variables(Filling *filling) {
  const Variables *variables = &filling->variables;
  if (!variables->count) return true;
  size_t size = variables->count * sizeof *variables->list;
  DwarfVariable *copy = arena_alloc(&filling->maker->dwarf->arena, size);
  if (!copy) return fault_oom(filling->maker->fault);
  memcpy(copy, variables->list, size);
  filling->scope->variables = copy;
  filling->scope->nvariables = variables->count;
  return true;
}

static bool fill_scope(Maker *maker, const Die *die, DwarfScope *scope, int depth) {
  Filling filling = {.maker = maker, .scope = scope, .last = &scope->first};
  Die origin;
  bool ok = fill_children(&filling, die, depth, false);
  if (ok && die_follow(die, DW_AT_abstract_origin, &origin)) {
    if (filling.origins.count)
      qsort(filling.origins.list, filling.origins.count, sizeof *filling.origins.list, by_offset);
    ok = fill_children(&filling, &origin, depth, true);
  }
  ok = ok && keep_variables(&filling);
  free(filling.variables.list);
  free(filling.origins.list);
  return ok;
}

static bool scope_of_die(Dwarf *dwarf, uint64_t offset, const DwarfScope **out, Fault *fault) {
  const int64_t *known = map_get(&dwarf->scopes, &offset, sizeof offset);
  if (known) {
    *out = (const DwarfScope *)(uintptr_t)*known;
    return true;
  }
  Maker maker = {dwarf, MOST_WORK, fault};
  Die die;
  DwarfScope *scope;
  if (!die_at(dwarf, offset, &die))
    return fault_set(fault, FAULT_CORRUPT, "the entry of a function is broken");
  if (!make_scope(&maker, &die, SCOPE_FUNCTION, NULL, 0, &scope)) return false;
  if (!scope) return fault_set(fault, FAULT_NOTFOUND, "a function without code of its own");
  if (!map_put(&dwarf->scopes, &offset, sizeof offset, (int64_t)(uintptr_t)scope, NULL))
    return fault_oom(fault);
  *out = scope;
  return true;
}

bool dwarf_scope_of(Dwarf *dwarf, size_t function, const DwarfScope **out, Fault *fault) {
  DwarfFunction about;
  return dwarf_function_get(dwarf, function, &about, fault) &&
         scope_of_die(dwarf, about.die, out, fault);
}

static bool holds(const DwarfScope *scope, uint64_t addr) {
  for (size_t i = 0; i < scope->nranges; i++)
    if (addr >= scope->ranges[i].lo && addr < scope->ranges[i].hi) return true;
  return false;
}

bool dwarf_scope_at(Dwarf *dwarf, uint64_t addr, const DwarfScope **out, Fault *fault) {
  size_t function;
  const DwarfScope *scope;
  if (!dwarf_function_at(dwarf, addr, &function, fault) ||
      !dwarf_scope_of(dwarf, function, &scope, fault))
    return false;
  for (const DwarfScope *inner = scope->first; inner;) {
    if (holds(inner, addr)) {
      scope = inner;
      inner = scope->first;
    } else {
      inner = inner->next;
    }
  }
  *out = scope;
  return true;
}

static const DwarfType *type_of(Dwarf *dwarf, uint64_t offset, Fault *fault) {
  Die die;
  DieAttr attr = {0};
  if (die_at(dwarf, offset, &die)) attr = die_attr_deep(&die, DW_AT_type);
  return dwarf_type_at(dwarf, attr.class == ATTR_ENTRY ? attr.number : 0, fault);
}

const DwarfType *dwarf_variable_type(Dwarf *dwarf, uint64_t die, Fault *fault) {
  return type_of(dwarf, die, fault);
}

/* The entry that has the parameters: of code compiled apart from it, the abstract one. */
const DwarfType *dwarf_function_type(Dwarf *dwarf, uint64_t offset, Fault *fault) {
  Die die;
  for (int hops = 0; hops < 8 && die_at(dwarf, offset, &die); hops++) {
    DieAttr attr = die_attr(&die, DW_AT_abstract_origin);
    if (attr.class != ATTR_ENTRY) break;
    offset = attr.number;
  }
  return dwarf_type_at(dwarf, offset, fault);
}
