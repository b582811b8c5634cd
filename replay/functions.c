/*
** The table of functions and how it is searched: see functions.h.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/functions_build.h"

/* ---- areas */

static int by_place(const void *p, const void *q) {
  const FunctionArea *a = p, *b = q;
  if (a->lo != b->lo) return a->lo < b->lo ? -1 : 1;
  if (a->hi != b->hi) return a->hi > b->hi ? -1 : 1;
  return (a->function > b->function) - (a->function < b->function);
}

typedef struct Areas {
  FunctionArea *all;
  size_t count, capacity;
} Areas;

static bool add_area(Areas *areas, uint64_t lo, uint64_t hi, uint32_t function) {
  if (lo >= hi) return true;
  if (!array_grow(areas->all, areas->capacity, areas->count + 1)) return false;
  areas->all[areas->count++] = (FunctionArea){lo, hi, function};
  return true;
}

bool areas_cut(const FunctionArea *areas, size_t count, FunctionArea **out, size_t *out_count) {
  Areas made = {0};
  FunctionArea *open = calloc(count + 1, sizeof *open); /* each inside the one before, in general */
  size_t depth = 0;
  uint64_t at = 0; /* all below is done */
  bool ok = open != NULL;
  for (size_t i = 0; ok && i <= count; i++) {
    const uint64_t until = i < count ? areas[i].lo : UINT64_MAX;
    while (ok && depth && open[depth - 1].hi <= until) {
      const FunctionArea *top = &open[--depth];
      ok = add_area(&made, at, top->hi, top->function);
      if (top->hi > at) at = top->hi;
    }
    if (ok && depth) ok = add_area(&made, at, until, open[depth - 1].function);
    if (i < count) open[depth++] = areas[i];
    if (until > at) at = until;
  }
  free(open);
  if (!ok) free(made.all);
  if (ok) *out = made.all;
  if (ok) *out_count = made.count;
  return ok;
}

const FunctionArea *areas_find(const FunctionArea *areas, size_t count, uint64_t addr) {
  size_t low = 0, high = count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (areas[middle].lo <= addr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low && addr < areas[low - 1].hi ? &areas[low - 1] : NULL;
}

/* ---- building */

/* Where code of no stated size ends: where its range does, or the next label, or the segment. */
static uint64_t end_of(const ElfFile *elf, const Cfi *cfi, const Draft *draft, uint64_t next) {
  for (uint32_t i = 0; i < draft->count; i++) {
    if (draft->first[i].size) return draft->lo + draft->first[i].size;
  }
  const CfiRange *range = cfi_find(cfi, draft->lo);
  if (range && range->lo == draft->lo) return range->hi;
  uint64_t there;
  if (!elf_from(elf, draft->lo, &there)) return draft->lo;
  return draft->lo + there < next ? draft->lo + there : next;
}

static bool make_drafts(const ElfFile *elf, const Cfi *cfi, const Labels *labels, Drafts *drafts,
                        Fault *fault) {
  for (size_t i = 0, end; i < labels->count; i = end) {
    const Label *first = &labels->all[i];
    for (end = i + 1; end < labels->count && labels->all[end].addr == first->addr; end++) {
    }
    if (!array_grow(drafts->all, drafts->capacity, drafts->count + 1)) return fault_oom(fault);
    Draft *draft = &drafts->all[drafts->count++];
    *draft = (Draft){.lo = first->addr,
                     .first = first,
                     .count = (uint32_t)(end - i),
                     .owner = NO_OWNER,
                     .is_entry = true};
    draft->hi = end_of(elf, cfi, draft, end < labels->count ? labels->all[end].addr : UINT64_MAX);
    if (first->source != FUNCTION_EH_FRAME) continue;
    draft->is_candidate = true;
    draft->is_entry = cfi_is_entry(cfi, cfi_find(cfi, draft->lo));
  }
  return true;
}

static void fill(Function *function, const Draft *draft) {
  *function = (Function){.name = draft->first->name,
                         .lo = draft->lo,
                         .hi = draft->hi,
                         .source = draft->first->source,
                         .nnames = draft->count};
  for (uint32_t i = 0; i < draft->count; i++) {
    const Label *label = &draft->first[i];
    if (label->source < function->source) function->source = label->source;
    if (label->is_resolver) function->kind = FUNCTION_RESOLVER;
  }
  if (function->source == FUNCTION_PLT) function->kind = FUNCTION_STUB;
  if (draft->is_orphan) function->kind = FUNCTION_FRAGMENT;
}

static int by_text(const void *p, const void *q) {
  const FunctionName *a = p, *b = q;
  const int order = strcmp(a->name, b->name);
  if (order) return order;
  if (a->is_default != b->is_default) return a->is_default ? -1 : 1;
  return (a->function > b->function) - (a->function < b->function);
}

static void add_names(Functions *functions, const Draft *draft, uint32_t function) {
  for (uint32_t i = 0; i < draft->count; i++) {
    const Label *label = &draft->first[i];
    functions->names[functions->nnames++] =
        (FunctionName){label->name, label->version, label->is_default, function};
  }
}

/* A part that there is no more room for is a fragment. */
static void join(Function *owner, const Draft *part, Drafts *drafts) {
  Draft *draft = &drafts->all[part - drafts->all];
  if (owner->nparts == PROBE_PARTS - 1) {
    draft->is_orphan = true;
    draft->owner = NO_OWNER;
  } else {
    owner->parts[owner->nparts++] = (CodeRange){part->lo, part->hi};
  }
}

/* index[draft] becomes the number of its function. */
static bool finish(Functions *functions, Drafts *drafts, size_t nlabels, uint32_t *index) {
  functions->all = calloc(drafts->count + 1, sizeof *functions->all);
  functions->names = calloc(nlabels + 1, sizeof *functions->names);
  Function *owners = calloc(drafts->count + 1, sizeof *owners); /* by draft: only their parts */
  Areas areas = {0};
  bool ok = functions->all && functions->names && owners;
  for (size_t i = 0; ok && i < drafts->count; i++) {
    const Draft *draft = &drafts->all[i];
    if (draft->owner != NO_OWNER) join(&owners[draft->owner], draft, drafts);
  }
  for (size_t i = 0; ok && i < drafts->count; i++) {
    const Draft *draft = &drafts->all[i];
    if (draft->owner != NO_OWNER) continue;
    index[i] = (uint32_t)functions->count;
    Function *function = &functions->all[functions->count++];
    fill(function, draft);
    function->nparts = owners[i].nparts;
    memcpy(function->parts, owners[i].parts, sizeof function->parts);
    add_names(functions, draft, index[i]);
  }
  for (size_t i = 0; ok && i < drafts->count; i++) {
    const Draft *draft = &drafts->all[i];
    ok = add_area(&areas, draft->lo, draft->hi, index[draft->owner == NO_OWNER ? i : draft->owner]);
  }
  if (areas.count) qsort(areas.all, areas.count, sizeof *areas.all, by_place);
  if (functions->nnames) {
    qsort(functions->names, functions->nnames, sizeof *functions->names, by_text);
  }
  ok = ok && areas_cut(areas.all, areas.count, &functions->areas, &functions->nareas);
  free(areas.all);
  free(owners);
  return ok;
}

bool functions_create(const ElfFile *elf, const ElfFile *debug, const Cfi *cfi, Functions **out,
                      Fault *fault) {
  Functions *functions = calloc(1, sizeof *functions);
  Labels labels = {0};
  Drafts drafts = {0};
  uint32_t *index = NULL;
  bool ok = functions || fault_oom(fault);
  ok = ok && labels_gather(elf, debug, cfi, &functions->arena, &labels, fault);
  ok = ok && (labels.count < UINT32_MAX ||
              fault_set(fault, FAULT_LIMIT, "\"%s\": too many symbols", elf->path));
  ok = ok && make_drafts(elf, cfi, &labels, &drafts, fault) && drafts_adopt(elf, &drafts, fault);
  if (ok) {
    index = calloc(drafts.count + 1, sizeof *index);
    ok = (index && finish(functions, &drafts, labels.count, index)) || fault_oom(fault);
  }
  free(labels.all);
  free(drafts.all);
  free(index);
  if (!ok) functions_free(functions);
  if (ok) *out = functions;
  return ok;
}

void functions_free(Functions *functions) {
  if (!functions) return;
  free(functions->all);
  free(functions->names);
  free(functions->areas);
  arena_finish(&functions->arena);
  free(functions);
}

/* ---- asking */

const Function *functions_at(const Functions *functions, uint64_t addr) {
  const FunctionArea *area = areas_find(functions->areas, functions->nareas, addr);
  return area ? &functions->all[area->function] : NULL;
}

/* The first name that is not below prefix[0..length). */
static size_t first_name(const Functions *functions, const char *prefix, size_t length) {
  size_t low = 0, high = functions->nnames;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (strncmp(functions->names[middle].name, prefix, length) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

size_t functions_named(const Functions *functions, const char *name, const FunctionName **out) {
  const size_t first = first_name(functions, name, strlen(name) + 1);
  size_t count = 0;
  *out = &functions->names[first];
  while (first + count < functions->nnames && strcmp((*out)[count].name, name) == 0) count++;
  return count;
}

const FunctionName *functions_glob(const Functions *functions, const char *pattern, size_t *at) {
  const size_t prefix = strcspn(pattern, "*?[");
  if (!*at) *at = first_name(functions, pattern, prefix);
  for (; *at < functions->nnames; ++*at) {
    const FunctionName *name = &functions->names[*at];
    if (strncmp(name->name, pattern, prefix) != 0) return NULL;
    if (!glob_matches(pattern, name->name)) continue;
    ++*at;
    return name;
  }
  return NULL;
}

bool functions_probe(const ElfFile *elf, const Function *function, uint32_t file,
                     ProbeFunction *out) {
  *out = (ProbeFunction){.file = file};
  if (function->kind == FUNCTION_FRAGMENT) return false;
  for (int i = 0; i <= function->nparts; i++) {
    const CodeRange range = i ? function->parts[i - 1] : (CodeRange){function->lo, function->hi};
    uint64_t lo;
    if (!elf_at(elf, range.lo, range.hi - range.lo) || !elf_offset(elf, range.lo, &lo)) {
      return false;
    }
    out->parts[out->nparts++] = (CodeRange){lo, lo + (range.hi - range.lo)};
  }
  return true;
}
