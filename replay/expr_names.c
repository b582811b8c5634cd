/*
** What names in expressions stand for.
*/
#include <string.h>

#include "replay/dwarf_index.h"
#include "replay/expr_inner.h"

/* The last of a name in a block hides those before, as in the source. */
static bool find_in_scope(const DwarfScope *scope, const char *name, uint64_t *out) {
  for (size_t i = scope->nvariables; i--;)
    if (!strcmp(scope->variables[i].name, name)) {
      *out = scope->variables[i].die;
      return true;
    }
  return false;
}

static uint64_t file_address(const ValueSource *source) {
  return source->pc - source->bias - source->returned;
}

/* Is it the file, or the end of its path? */
static bool is_file(const char *path, const char *within) {
  if (!within) return true;
  if (!path) return false;
  size_t length = strlen(path), want = strlen(within);
  return want && want <= length && !strcmp(path + length - want, within) &&
         (want == length || path[length - want - 1] == '/');
}

/* Variables of the function at the pc, inlined or not; `beyond`: of those it is inlined in. */
static bool find_local(const ValueSource *source, const char *name, bool beyond, Named *out) {
  const DwarfScope *scope;
  uint64_t die;
  bool own = true;
  if (!source->dwarf || !dwarf_scope_at(source->dwarf, file_address(source), &scope, NULL))
    return false;
  for (; scope; scope = scope->parent) {
    if (own != beyond && find_in_scope(scope, name, &die)) {
      *out = (Named){.kind = NAME_VARIABLE, .source = source, .die = die};
      return true;
    }
    if (scope->kind != SCOPE_BLOCK) own = false;
  }
  return false;
}

static const DwarfUnit *unit_of(const ValueSource *source) {
  size_t i;
  DwarfFunction function;
  if (!source->dwarf || !dwarf_function_at(source->dwarf, file_address(source), &i, NULL) ||
      !dwarf_function_get(source->dwarf, i, &function, NULL))
    return NULL;
  return dwarf_unit_at(source->dwarf, function.die);
}

/* How good a find is: of the unit that asks, visible everywhere, of another unit. */
static int rank_of(const DwarfUnit *unit, const Dwarf *dwarf, uint64_t die, bool external) {
  if (unit && dwarf_unit_at(dwarf, die) == unit) return 3;
  return external ? 2 : 1;
}

static bool find_global(const ValueSource *source, const DwarfUnit *unit, const char *within,
                        const char *name, Named *out) {
  size_t at;
  int best = 0;
  for (size_t i = 0; dwarf_global_named(source->dwarf, name, i, &at, NULL); i++) {
    DwarfGlobal global;
    if (!dwarf_global_get(source->dwarf, at, &global, NULL) || global.is_local ||
        !is_file(global.file, within))
      continue;
    int rank = rank_of(unit, source->dwarf, global.die, global.external);
    if (rank <= best) continue;
    best = rank;
    *out = (Named){.kind = NAME_VARIABLE, .source = source, .die = global.die};
  }
  return best > 0;
}

static bool find_function(const ValueSource *source, const DwarfUnit *unit, const char *within,
                          const char *name, Named *out) {
  size_t at;
  int best = 0;
  for (size_t i = 0; dwarf_function_named(source->dwarf, name, i, &at, NULL); i++) {
    DwarfFunction function;
    if (!dwarf_function_get(source->dwarf, at, &function, NULL) || !function.nranges ||
        !is_file(function.file, within))
      continue;
    int rank = rank_of(unit, source->dwarf, function.die, function.external);
    if (rank <= best) continue;
    best = rank;
    *out = (Named){.kind = NAME_FUNCTION,
                   .source = source,
                   .die = function.die,
                   .entry = function.entry + source->bias};
  }
  return best > 0;
}

static bool find_enumerator(const ValueSource *source, const DwarfUnit *unit, const char *name,
                            Named *out, Fault *fault) {
  uint64_t type, best_type = 0;
  int64_t number;
  int best = 0;
  for (size_t i = 0; dwarf_enumerator_named(source->dwarf, name, i, &type, &number, fault); i++) {
    int rank = rank_of(unit, source->dwarf, type, false);
    if (rank <= best) continue;
    best = rank;
    best_type = type;
    *out = (Named){.kind = NAME_ENUMERATOR, .source = source, .number = number};
  }
  if (best) out->type = dwarf_type_at(source->dwarf, best_type, fault);
  return best && out->type;
}

static bool holds(const DwarfScope *scope, const char *name, uint64_t die) {
  for (size_t i = 0; i < scope->nvariables; i++)
    if (scope->variables[i].die == die && !strcmp(scope->variables[i].name, name)) return true;
  for (const DwarfScope *inner = scope->first; inner; inner = inner->next)
    if (holds(inner, name, die)) return true;
  return false;
}

/* A static variable of the function `within`. */
static bool find_static(const ValueSource *source, const char *within, const char *name,
                        Named *out) {
  size_t at, function;
  for (size_t i = 0; dwarf_global_named(source->dwarf, name, i, &at, NULL); i++) {
    DwarfGlobal global;
    const DwarfScope *scope;
    if (!dwarf_global_get(source->dwarf, at, &global, NULL) || !global.is_local) continue;
    for (size_t k = 0; dwarf_function_named(source->dwarf, within, k, &function, NULL); k++) {
      if (!dwarf_scope_of(source->dwarf, function, &scope, NULL) || !holds(scope, name, global.die))
        continue;
      *out = (Named){.kind = NAME_VARIABLE, .source = source, .die = global.die};
      return true;
    }
  }
  return false;
}

static bool find_gone(const ValueSource *source, const DwarfUnit *unit, const char *name,
                      Named *out) {
  uint64_t die;
  bool found = false, own = false;
  for (size_t i = 0; !own && dwarf_gone_named(source->dwarf, name, i, &die, NULL); i++) {
    own = unit && dwarf_unit_at(source->dwarf, die) == unit;
    if (found && !own) continue;
    found = true;
    *out = (Named){.kind = NAME_VARIABLE, .source = source, .die = die};
  }
  return found;
}

static bool find_in_module(const ValueSource *source, const DwarfUnit *unit, const char *name,
                           Named *out, Fault *fault) {
  return source->dwarf &&
         (find_global(source, unit, NULL, name, out) ||
          find_function(source, unit, NULL, name, out) ||
          find_enumerator(source, unit, name, out, fault) || find_gone(source, unit, name, out));
}

static bool find_within(const ValueSource *source, const char *within, const char *name,
                        Named *out) {
  if (!source->dwarf) return false;
  const char *file = is_file(source->module, within) && source->module ? NULL : within;
  return find_global(source, NULL, file, name, out) ||
         find_function(source, NULL, file, name, out) || find_static(source, within, name, out);
}

bool expr_find_name(const ExprScope *scope, const char *within, const char *name, Named *out,
                    Fault *fault) {
  const ValueSource *source = scope->source;
  *out = (Named){.kind = NAME_NOTHING};
  if (within ? find_within(source, within, name, out)
             : find_local(source, name, false, out) ||
                   find_in_module(source, unit_of(source), name, out, fault))
    return true;
  for (size_t i = 0; i < scope->nothers; i++)
    if (within ? find_within(&scope->others[i], within, name, out)
               : find_in_module(&scope->others[i], NULL, name, out, fault))
      return true;
  return (!within && find_local(source, name, true, out)) || !fault || fault->code == FAULT_NONE;
}

/* ---- types */

static bool fits(TypeKind wanted, const DwarfType *type) {
  if (wanted == TYPE_TYPEDEF) return !dwarf_type_is_record(type) && type->kind != TYPE_ENUM;
  return type->kind == wanted && !type->incomplete;
}

static const DwarfType *type_in(Dwarf *dwarf, const DwarfUnit *unit, TypeKind kind,
                                const char *name, Fault *fault) {
  const DwarfType *best = NULL;
  size_t at;
  for (size_t i = 0; dwarf_type_named(dwarf, name, i, &at, fault); i++) {
    DwarfNamed named;
    if (!dwarf_type_get(dwarf, at, &named, fault)) return NULL;
    const DwarfType *type = dwarf_type_at(dwarf, named.die, fault);
    if (!type) return NULL;
    if (!fits(kind, type)) continue;
    bool own = unit && dwarf_unit_at(dwarf, named.die) == unit;
    if (!best || own) best = type;
    if (own || !unit) break;
  }
  return best;
}

const DwarfType *expr_find_type(const ExprScope *scope, TypeKind kind, const char *name,
                                Fault *fault) {
  const DwarfType *type = NULL;
  if (scope->source->dwarf)
    type = type_in(scope->source->dwarf, unit_of(scope->source), kind, name, fault);
  for (size_t i = 0; i < scope->nothers && !type && (!fault || !fault->code); i++)
    if (scope->others[i].dwarf) type = type_in(scope->others[i].dwarf, NULL, kind, name, fault);
  return type;
}
