/*
** The index: one walk over all entries that notes where functions, variables with a fixed place and
** types are, so that they can be listed and found by address or name.
*/
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_index.h"

/* What the walk takes from an entry. */
typedef struct Seen {
  DieAttr name, linkage, origin, low, high, ranges, location, constant;
  bool declaration, specification;
} Seen;

/* Where the walk is. */
typedef struct Builder {
  DwarfIndex *index;
  const DwarfUnit *unit;
  DieWalk walk;
  bool inside[DWARF_DEPTH]; /* per depth: a function is around */
  uint64_t enumeration;     /* the last one seen: what enumerators are of */
  bool oom;
} Builder;

static bool is_type(uint16_t tag) {
  switch (tag) {
  case DW_TAG_base_type:
  case DW_TAG_structure_type:
  case DW_TAG_class_type:
  case DW_TAG_union_type:
  case DW_TAG_enumeration_type:
  case DW_TAG_typedef:
    return true;
  default:
    return false;
  }
}

static bool look(Builder *builder, const Die *die, Seen *seen) {
  DieAttr attr;
  memset(seen, 0, sizeof *seen);
  for (uint32_t i = 0; die_next_attr(&builder->walk, die, i, &attr); i++) {
    switch (attr.name) {
    case DW_AT_name:
      seen->name = attr;
      break;
    case DW_AT_linkage_name:
    case DW_AT_MIPS_linkage_name:
      seen->linkage = attr;
      break;
    case DW_AT_specification:
      seen->specification = true; /* fall through */
    case DW_AT_abstract_origin:
      seen->origin = attr;
      break;
    case DW_AT_low_pc:
      seen->low = attr;
      break;
    case DW_AT_high_pc:
      seen->high = attr;
      break;
    case DW_AT_ranges:
      seen->ranges = attr;
      break;
    case DW_AT_location:
      seen->location = attr;
      break;
    case DW_AT_const_value:
      seen->constant = attr;
      break;
    case DW_AT_declaration:
      seen->declaration = attr.number != 0;
      break;
    default:
      break;
    }
  }
  return !builder->walk.in.bad;
}

static const char *name_of(const Die *die, const Seen *seen) {
  if (seen->name.class == ATTR_TEXT) return seen->name.text;
  return seen->origin.class == ATTR_ENTRY ? die_name(die) : NULL;
}

static bool take_ranges(const DwarfUnit *unit, const Seen *seen, AddrRanges *out) {
  DwarfRange range;
  size_t before = out->count;
  if (seen->ranges.class != ATTR_ABSENT) {
    if (!dwarf_ranges_read(unit, &seen->ranges, out)) out->count = before;
  } else if (dwarf_range_of(&seen->low, &seen->high, &range)) {
    if (!array_grow(out->ranges, out->capacity, out->count + 1)) return false;
    out->ranges[out->count++] = range;
  }
  /* What the linker threw away begins at 0. */
  size_t kept = before;
  for (size_t i = before; i < out->count; i++)
    if (out->ranges[i].lo) out->ranges[kept++] = out->ranges[i];
  out->count = kept;
  return out->count <= UINT32_MAX;
}

static bool take_function(Builder *builder, const Die *die, const Seen *seen) {
  DwarfIndex *index = builder->index;
  const char *name = name_of(die, seen);
  if (!name || seen->declaration) return true;
  size_t first = index->ranges.count;
  if (!take_ranges(builder->unit, seen, &index->ranges)) return false;
  if (first > UINT32_MAX ||
      !array_grow(index->functions, index->functions_capacity, index->nfunctions + 1))
    return false;
  index->functions[index->nfunctions++] = (IndexFunction){
      .die = die->offset,
      .origin = seen->origin.class == ATTR_ENTRY && !seen->specification ? seen->origin.number : 0,
      .name = name,
      .linkage = seen->linkage.class == ATTR_TEXT ? seen->linkage.text : NULL,
      .first = (uint32_t)first,
      .nranges = (uint32_t)(index->ranges.count - first),
  };
  return true;
}

/* A place that is the same whoever runs: an address, an offset in the thread's storage, or the
** value itself. Other locations are those of locals. */
static bool is_fixed(const Seen *seen) {
  if (seen->constant.class != ATTR_ABSENT) return true;
  const Span *block = &seen->location.block;
  if (seen->location.class != ATTR_BLOCK || !block->size) return false;
  switch (block->bytes[0]) {
  case DW_OP_addr:
  case DW_OP_addrx:
  case DW_OP_GNU_addr_index:
    return true;
  case DW_OP_const4u:
  case DW_OP_const8u:
  case DW_OP_constx:
  case DW_OP_GNU_const_index:
    return block->bytes[block->size - 1] == DW_OP_form_tls_address ||
           block->bytes[block->size - 1] == DW_OP_GNU_push_tls_address;
  default:
    return false;
  }
}

static bool take_gone(Builder *builder, const Die *die, const Seen *seen) {
  DwarfIndex *index = builder->index;
  if (seen->location.class != ATTR_ABSENT || seen->declaration || seen->name.class != ATTR_TEXT)
    return true;
  if (!array_grow(index->gone, index->gone_capacity, index->ngone + 1)) return false;
  index->gone[index->ngone++] = (IndexName){.die = die->offset, .name = seen->name.text};
  return true;
}

static bool take_variable(Builder *builder, const Die *die, const Seen *seen, bool local) {
  DwarfIndex *index = builder->index;
  if (!is_fixed(seen)) return local || take_gone(builder, die, seen);
  /* A constant inside a function is a local that the compiler did away with. */
  if (local && seen->location.class == ATTR_ABSENT) return true;
  const char *name = name_of(die, seen);
  if (!name) return true;
  if (!array_grow(index->globals, index->globals_capacity, index->nglobals + 1)) return false;
  index->globals[index->nglobals++] =
      (IndexName){.die = die->offset, .name = name, .tag = die_tag(die), .local = local};
  return true;
}

/* Which functions are inlined somewhere. */
static bool take_inlined(Builder *builder, const Seen *seen) {
  DwarfIndex *index = builder->index;
  if (seen->origin.class != ATTR_ENTRY) return true;
  if (!array_extend(index->inlined, index->inlined_capacity, index->ninlined + 1)) return false;
  index->inlined[index->ninlined++] = seen->origin.number;
  return true;
}

static bool take_type(Builder *builder, const Die *die, const Seen *seen) {
  DwarfIndex *index = builder->index;
  if (seen->name.class != ATTR_TEXT || seen->declaration) return true;
  if (!array_grow(index->types, index->types_capacity, index->ntypes + 1)) return false;
  index->types[index->ntypes++] =
      (IndexName){.die = die->offset, .name = seen->name.text, .tag = die_tag(die)};
  return true;
}

/* Of unnamed enumerations, too, which are in no list of types. */
static bool take_enumerator(Builder *builder, const Die *die, const Seen *seen) {
  DwarfIndex *index = builder->index;
  if (seen->name.class != ATTR_TEXT) return true;
  if (!array_extend(index->enumerators, index->enumerators_capacity, index->nenumerators + 1))
    return false;
  index->enumerators[index->nenumerators++] =
      (IndexName){.die = die->offset, .name = seen->name.text, .parent = builder->enumeration};
  return true;
}

static bool take(Builder *builder, const Die *die, int depth) {
  uint16_t tag = die_tag(die);
  bool local = depth > 0 && builder->inside[depth - 1];
  builder->inside[depth] = local;
  bool variable = tag == DW_TAG_variable, function = tag == DW_TAG_subprogram;
  bool inlined = tag == DW_TAG_inlined_subroutine, enumerator = tag == DW_TAG_enumerator;
  if (tag == DW_TAG_enumeration_type) builder->enumeration = die->offset;
  if (!variable && !function && !inlined && !enumerator && !is_type(tag))
    return die_skip(&builder->walk, die);
  Seen seen;
  if (!look(builder, die, &seen)) return false;
  builder->inside[depth] = local || function;
  bool ok = function     ? take_function(builder, die, &seen)
            : inlined    ? take_inlined(builder, &seen)
            : variable   ? take_variable(builder, die, &seen, local)
            : enumerator ? take_enumerator(builder, die, &seen)
                         : take_type(builder, die, &seen);
  builder->oom = builder->oom || !ok;
  return ok;
}

/* What was noted before something broken is kept. */
static bool index_unit(DwarfIndex *index, const DwarfUnit *unit) {
  Builder builder = {.index = index, .unit = unit, .walk = die_walk(unit, unit->first)};
  Die die;
  int depth;
  while (die_next(&builder.walk, &die, &depth)) {
    if (depth >= DWARF_DEPTH || !take(&builder, &die, depth)) break;
  }
  return !builder.oom;
}

/* ---- by address */

/* Assembler has many names for one piece of code ("__GI___kill", "__kill", "kill"): the one with
** the fewest underscores in front, then the first, is the name that people know. It is sorted
** last, where the search by address ends up. */
static int by_low(const void *a, const void *b, void *ctx) {
  const IndexCode *x = a, *y = b;
  const IndexFunction *functions = ctx;
  if (x->lo != y->lo) return x->lo < y->lo ? -1 : 1;
  size_t p = strspn(functions[x->function].name, "_");
  size_t q = strspn(functions[y->function].name, "_");
  if (p != q) return p > q ? -1 : 1;
  return (x->function < y->function) - (x->function > y->function);
}

static bool order_code(DwarfIndex *index) {
  index->code = calloc(index->ranges.count + 1, sizeof *index->code);
  if (!index->code) return false;
  for (size_t i = 0; i < index->nfunctions; i++) {
    const IndexFunction *function = &index->functions[i];
    for (uint32_t k = 0; k < function->nranges; k++) {
      DwarfRange range = index->ranges.ranges[function->first + k];
      index->code[index->ncode++] = (IndexCode){range.lo, range.hi, (uint32_t)i};
    }
  }
  qsort_r(index->code, index->ncode, sizeof *index->code, by_low, index->functions);
  return true;
}

/* ---- functions that are not, or not only, code of their own */

static int by_offset(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Both arrays are in the order of offsets. */
static void mark_inlined(DwarfIndex *index) {
  if (index->ninlined) qsort(index->inlined, index->ninlined, sizeof *index->inlined, by_offset);
  size_t k = 0;
  for (size_t i = 0; i < index->nfunctions; i++) {
    IndexFunction *function = &index->functions[i];
    while (k < index->ninlined && index->inlined[k] < function->die) k++;
    function->inlined = k < index->ninlined && index->inlined[k] == function->die;
  }
}

static int by_die(const void *a, const void *b) {
  uint64_t x = ((const IndexFunction *)a)->die, y = ((const IndexFunction *)b)->die;
  return (x > y) - (x < y);
}

/* An inlined function that was compiled on its own as well is two entries: the abstract one and the
** code. Only the latter stays; and nothing stays of a function that is nowhere. */
static void merge_abstract(DwarfIndex *index) {
  for (size_t i = 0; i < index->nfunctions; i++) {
    IndexFunction *function = &index->functions[i], key = {.die = function->origin};
    if (!function->origin || !function->nranges) continue;
    IndexFunction *abstract =
        bsearch(&key, index->functions, index->nfunctions, sizeof *index->functions, by_die);
    if (!abstract || abstract->nranges) continue;
    function->inlined = function->inlined || abstract->inlined;
    if (!function->linkage) function->linkage = abstract->linkage;
    abstract->merged = true;
  }
  size_t kept = 0;
  for (size_t i = 0; i < index->nfunctions; i++) {
    const IndexFunction *function = &index->functions[i];
    if (!function->merged && (function->nranges || function->inlined))
      index->functions[kept++] = *function;
  }
  index->nfunctions = kept;
}

DwarfIndex *dwarf_index_get(Dwarf *dwarf, Fault *fault) {
  if (dwarf->index) return dwarf->index;
  DwarfIndex *index = calloc(1, sizeof *index);
  bool ok = index != NULL;
  dwarf->index = index;
  for (size_t i = 0; ok && i < dwarf->nunits; i++) ok = index_unit(index, &dwarf->units[i]);
  if (ok) mark_inlined(index);
  if (ok) merge_abstract(index);
  if (ok && order_code(index)) return index;
  dwarf_index_free(dwarf);
  fault_oom(fault);
  return NULL;
}

void dwarf_index_free(Dwarf *dwarf) {
  DwarfIndex *index = dwarf->index;
  if (!index) return;
  free(index->functions);
  free(index->globals);
  free(index->types);
  free(index->enumerators);
  free(index->gone);
  free(index->inlined);
  free(index->ranges.ranges);
  free(index->code);
  for (int i = 0; i < NAMES_COUNT; i++) free(index->names[i].order);
  free(index);
  dwarf->index = NULL;
}
