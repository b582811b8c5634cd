/*
** Questions to the index: the i-th, by address, by name.
*/
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_index.h"
#include "replay/dwarf_scope.h"

/* ---- by name */

typedef struct NameList {
  const DwarfIndex *index;
  IndexNames which;
} NameList;

static const char *name_at(const NameList *list, uint32_t i) {
  const DwarfIndex *index = list->index;
  const char *linkage;
  switch (list->which) {
  case NAMES_FUNCTIONS:
    return index->functions[i].name;
  case NAMES_LINKAGE:
    linkage = index->functions[i].linkage;
    return linkage ? linkage : "";
  case NAMES_GLOBALS:
    return index->globals[i].name;
  case NAMES_ENUMERATORS:
    return index->enumerators[i].name;
  case NAMES_GONE:
    return index->gone[i].name;
  default:
    return index->types[i].name;
  }
}

static int by_name(const void *a, const void *b, void *ctx) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  int order = strcmp(name_at(ctx, x), name_at(ctx, y));
  return order ? order : (x > y) - (x < y);
}

static size_t list_size(const NameList *list) {
  switch (list->which) {
  case NAMES_FUNCTIONS:
  case NAMES_LINKAGE:
    return list->index->nfunctions;
  case NAMES_GLOBALS:
    return list->index->nglobals;
  case NAMES_ENUMERATORS:
    return list->index->nenumerators;
  case NAMES_GONE:
    return list->index->ngone;
  default:
    return list->index->ntypes;
  }
}

static const NameOrder *ordered(DwarfIndex *index, NameList *list, Fault *fault) {
  NameOrder *names = &index->names[list->which];
  if (names->order) return names;
  size_t count = list_size(list);
  if (count >= UINT32_MAX || !(names->order = calloc(count + 1, sizeof *names->order))) {
    fault_oom(fault);
    return NULL;
  }
  for (size_t i = 0; i < count; i++) names->order[i] = (uint32_t)i;
  names->count = count;
  qsort_r(names->order, count, sizeof *names->order, by_name, list);
  return names;
}

/* The i-th of that name. False without a fault: there is none. */
static bool find_name(Dwarf *dwarf, IndexNames which, const char *name, size_t i, size_t *out,
                      Fault *fault) {
  DwarfIndex *index = dwarf_index_get(dwarf, fault);
  if (!index) return false;
  NameList list = {index, which};
  const NameOrder *names = ordered(index, &list, fault);
  if (!names) return false;
  size_t lo = 0, hi = names->count;
  while (lo < hi) {
    size_t middle = lo + (hi - lo) / 2;
    if (strcmp(name_at(&list, names->order[middle]), name) < 0)
      lo = middle + 1;
    else
      hi = middle;
  }
  if (i >= names->count - lo || strcmp(name_at(&list, names->order[lo + i]), name)) return false;
  *out = names->order[lo + i];
  return true;
}

/* ---- functions */

bool dwarf_function_count(Dwarf *dwarf, size_t *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  if (!index) return false;
  *out = index->nfunctions;
  return true;
}

static uint64_t number_of(const Die *die, uint16_t name) {
  DieAttr attr = die_attr_deep(die, name);
  return attr.class == ATTR_NUMBER || attr.class == ATTR_SIGNED ? attr.number : 0;
}

const char *dwarf_declared_at(const Die *die, uint32_t *out_line) {
  *out_line = (uint32_t)number_of(die, DW_AT_decl_line);
  /* The number of a file counts in the unit of the entry that has it. */
  Die at = *die;
  for (int hops = 0; hops < 8; hops++) {
    DieAttr file = die_attr(&at, DW_AT_decl_file);
    if (file.class != ATTR_ABSENT) return dwarf_file_name(at.unit, file.number);
    Die next;
    if (!die_follow(&at, DW_AT_abstract_origin, &next) &&
        !die_follow(&at, DW_AT_specification, &next))
      break;
    at = next;
  }
  return "";
}

bool dwarf_function_get(Dwarf *dwarf, size_t i, DwarfFunction *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  if (!index) return false;
  if (i >= index->nfunctions)
    return fault_set(fault, FAULT_INVALID, "function %zu: there are %zu", i, index->nfunctions);
  const IndexFunction *function = &index->functions[i];
  Die die;
  if (!die_at(dwarf, function->die, &die))
    return fault_set(fault, FAULT_CORRUPT, "function %s: its entry is broken", function->name);
  const char *linkage = function->linkage;
  if (!linkage) {
    DieAttr attr = die_attr_deep(&die, DW_AT_linkage_name);
    linkage = attr.class == ATTR_TEXT ? attr.text : function->name;
  }
  *out = (DwarfFunction){
      .die = function->die,
      .name = function->name,
      .linkage = linkage,
      .external = die_flag(&die, DW_AT_external),
      .inlined = function->inlined,
      .nranges = function->nranges,
      .ranges = &index->ranges.ranges[function->first],
  };
  out->file = dwarf_declared_at(&die, &out->line);
  if (out->nranges) {
    DieAttr entry = die_attr(&die, DW_AT_entry_pc);
    out->entry = entry.class == ATTR_ADDRESS ? entry.number : out->ranges[0].lo;
  }
  return true;
}

bool dwarf_function_at(Dwarf *dwarf, uint64_t addr, size_t *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  if (!index) return false;
  size_t lo = 0, hi = index->ncode;
  while (lo < hi) {
    size_t middle = lo + (hi - lo) / 2;
    if (index->code[middle].lo <= addr)
      lo = middle + 1;
    else
      hi = middle;
  }
  if (!lo || addr >= index->code[lo - 1].hi)
    return fault_set(fault, FAULT_NOTFOUND, "0x%llx: no function is known at this address",
                     (unsigned long long)addr);
  *out = index->code[lo - 1].function;
  return true;
}

bool dwarf_function_named(Dwarf *dwarf, const char *name, size_t i, size_t *out, Fault *fault) {
  if (find_name(dwarf, NAMES_FUNCTIONS, name, i, out, fault)) return true;
  size_t count = 0, found;
  while (count < i && find_name(dwarf, NAMES_FUNCTIONS, name, count, &found, fault)) count++;
  return find_name(dwarf, NAMES_LINKAGE, name, i - count, out, fault);
}

/* ---- globals and types */

static bool get_named(Dwarf *dwarf, const IndexName *entry, Die *out, Fault *fault) {
  return die_at(dwarf, entry->die, out) ||
         fault_set(fault, FAULT_CORRUPT, "%s: its entry is broken", entry->name);
}

bool dwarf_global_count(Dwarf *dwarf, size_t *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  if (!index) return false;
  *out = index->nglobals;
  return true;
}

bool dwarf_global_get(Dwarf *dwarf, size_t i, DwarfGlobal *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  Die die;
  if (!index) return false;
  if (i >= index->nglobals)
    return fault_set(fault, FAULT_INVALID, "global %zu: there are %zu", i, index->nglobals);
  const IndexName *entry = &index->globals[i];
  if (!get_named(dwarf, entry, &die, fault)) return false;
  *out = (DwarfGlobal){.die = entry->die,
                       .name = entry->name,
                       .external = die_flag(&die, DW_AT_external),
                       .is_local = entry->local};
  out->file = dwarf_declared_at(&die, &out->line);
  return true;
}

bool dwarf_global_named(Dwarf *dwarf, const char *name, size_t i, size_t *out, Fault *fault) {
  return find_name(dwarf, NAMES_GLOBALS, name, i, out, fault);
}

bool dwarf_type_count(Dwarf *dwarf, size_t *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  if (!index) return false;
  *out = index->ntypes;
  return true;
}

bool dwarf_type_get(Dwarf *dwarf, size_t i, DwarfNamed *out, Fault *fault) {
  const DwarfIndex *index = dwarf_index_get(dwarf, fault);
  Die die;
  if (!index) return false;
  if (i >= index->ntypes)
    return fault_set(fault, FAULT_INVALID, "type %zu: there are %zu", i, index->ntypes);
  const IndexName *entry = &index->types[i];
  if (!get_named(dwarf, entry, &die, fault)) return false;
  *out = (DwarfNamed){.die = entry->die, .name = entry->name};
  out->file = dwarf_declared_at(&die, &out->line);
  return true;
}

bool dwarf_type_named(Dwarf *dwarf, const char *name, size_t i, size_t *out, Fault *fault) {
  return find_name(dwarf, NAMES_TYPES, name, i, out, fault);
}

bool dwarf_enumerator_named(Dwarf *dwarf, const char *name, size_t i, uint64_t *out_type,
                            int64_t *out_number, Fault *fault) {
  size_t at;
  Die die;
  if (!find_name(dwarf, NAMES_ENUMERATORS, name, i, &at, fault)) return false;
  const IndexName *entry = &dwarf_index_get(dwarf, fault)->enumerators[at];
  *out_type = entry->parent;
  *out_number =
      die_at(dwarf, entry->die, &die) ? (int64_t)die_attr(&die, DW_AT_const_value).number : 0;
  return true;
}

bool dwarf_gone_named(Dwarf *dwarf, const char *name, size_t i, uint64_t *out, Fault *fault) {
  size_t at;
  if (!find_name(dwarf, NAMES_GONE, name, i, &at, fault)) return false;
  *out = dwarf_index_get(dwarf, fault)->gone[at].die;
  return true;
}
