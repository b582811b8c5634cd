/*
** Stacks with names: see stack.h.
*/
#include "replay/stack.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <elf.h>

#include "base/array.h"

typedef struct CodeRangeOf {
  uint64_t start, end, bias, offset;
  uint32_t file;
  char *name;
  Module *module; /* NULL: no file that could be read */
  bool no_functions;
} CodeRangeOf;

struct Stacks {
  Modules *modules;
  Unwinder *unwinder;
  CodeRangeOf *ranges;
  size_t count, capacity;
};

bool stack_live_file(void *ctx, const MapRange *range, char *out, size_t size) {
  (void)ctx;
  const int length = snprintf(out, size, "%s", range->name);
  return out[0] == '/' && length >= 0 && (size_t)length < size;
}

bool stack_recorded_file(void *ctx, const MapRange *range, char *out, size_t size) {
  const int length =
      range->file ? snprintf(out, size, "%s/files/%" PRIu32, (const char *)ctx, range->file - 1)
                  : -1;
  return length >= 0 && (size_t)length < size;
}

bool stacks_create(Modules *modules, Stacks **out, Fault *fault) {
  Stacks *stacks = calloc(1, sizeof *stacks);
  if (!stacks || !unwinder_create(&stacks->unwinder, fault)) {
    free(stacks);
    return fault_oom(fault);
  }
  stacks->modules = modules;
  *out = stacks;
  return true;
}

static void forget(Stacks *stacks) {
  for (size_t i = 0; i < stacks->count; i++) free(stacks->ranges[i].name);
  stacks->count = 0;
}

void stacks_free(Stacks *stacks) {
  if (!stacks) return;
  forget(stacks);
  free(stacks->ranges);
  unwinder_free(stacks->unwinder);
  free(stacks);
}

Unwinder *stacks_unwinder(Stacks *stacks) { return stacks->unwinder; }

/* ---- what is mapped */

static bool same(const Stacks *stacks, const MapList *maps) {
  size_t k = 0;
  for (size_t i = 0; i < maps->count; i++) {
    const MapRange *range = &maps->ranges[i];
    if (!(range->prot & PROT_EXEC)) continue;
    if (k == stacks->count) return false;
    const CodeRangeOf *mine = &stacks->ranges[k++];
    if (mine->start != range->start || mine->end != range->end || mine->file != range->file ||
        mine->offset != range->offset || strcmp(mine->name, range->name) != 0) {
      return false;
    }
  }
  return k == stacks->count;
}

/* Segments are mapped by whole pages: what stands before one on its first page is not its own. */
static bool code_addr(const ElfFile *elf, uint64_t offset, uint64_t *out) {
  for (size_t i = 0; i < elf->nsegments; i++) {
    const ElfSegment *segment = &elf->segments[i];
    if (segment->type != PT_LOAD || !(segment->flags & PF_X) ||
        offset < segment->offset - segment->offset % PAGE ||
        offset >= segment->offset + segment->size) {
      continue;
    }
    *out = segment->addr + (offset - segment->offset);
    return true;
  }
  return false;
}

static bool add_range(Stacks *stacks, const MapRange *range, StackFile file, void *ctx,
                      Fault *fault) {
  char path[4096];
  Fault ignored = {0};
  Module *module = NULL;
  uint64_t addr;
  if (file(ctx, range, path, sizeof path) &&
      !modules_get(stacks->modules, path, &module, &ignored)) {
    if (ignored.code == FAULT_NOMEM) return fault_oom(fault);
    module = NULL;
  }
  if (module && !code_addr(module->elf, range->offset, &addr)) module = NULL;
  const uint64_t bias = module ? range->start - addr : 0;
  char *name = strdup(range->name);
  if (!name || !array_grow(stacks->ranges, stacks->capacity, stacks->count + 1)) {
    free(name);
    return fault_oom(fault);
  }
  stacks->ranges[stacks->count++] = (CodeRangeOf){.start = range->start,
                                                  .end = range->end,
                                                  .bias = bias,
                                                  .offset = range->offset,
                                                  .file = range->file,
                                                  .name = name,
                                                  .module = module};
  return unwinder_map(stacks->unwinder, range->start, range->end, bias, module ? module->cfi : NULL,
                      fault);
}

bool stacks_maps(Stacks *stacks, const MapList *maps, StackFile file, void *ctx, Fault *fault) {
  if (same(stacks, maps)) return true;
  forget(stacks);
  if (!unwinder_unmap(stacks->unwinder, 0, UINT64_MAX, fault)) return false;
  for (size_t i = 0; i < maps->count; i++) {
    if ((maps->ranges[i].prot & PROT_EXEC) &&
        !add_range(stacks, &maps->ranges[i], file, ctx, fault)) {
      forget(stacks);
      return false;
    }
  }
  return true;
}

/* ---- names */

void stacks_place(Stacks *stacks, uint64_t at, StackPlace *out) {
  size_t low = 0, high = stacks->count;
  *out = (StackPlace){.module = "", .addr = at};
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (stacks->ranges[middle].end <= at) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == stacks->count || stacks->ranges[low].start > at) return;
  CodeRangeOf *range = &stacks->ranges[low];
  const Functions *functions;
  Fault ignored = {0};
  out->module = range->name;
  out->file = range->module;
  out->addr = at - range->bias;
  if (!range->module || range->no_functions) return;
  range->no_functions = !module_functions(range->module, &functions, &ignored);
  if (range->no_functions) return;
  out->function = functions_at(functions, out->addr);
  if (out->function) out->offset = (int64_t)(out->addr - out->function->lo);
}

static void fold_name(Text *out, const char *name) {
  for (; *name; name++) text_addc(out, *name == ';' || *name == '\n' ? '_' : *name);
}

void stacks_fold(Stacks *stacks, const uint64_t *at, size_t count, Text *out) {
  for (size_t i = count; i > 0; i--) {
    StackPlace place;
    stacks_place(stacks, at[i - 1], &place);
    if (place.function) {
      fold_name(out, place.function->name);
    } else {
      const char *slash = strrchr(place.module, '/');
      text_addc(out, '[');
      fold_name(out, slash ? slash + 1 : *place.module ? place.module : "unknown");
      text_addc(out, ']');
    }
    if (i > 1) text_addc(out, ';');
  }
}

/* ---- memory */

static bool read_space(void *ctx, uint64_t addr, void *out, size_t size) {
  const StackMemory *memory = ctx;
  size_t done;
  space_peek(memory->space, (RemoteAddr){addr}, out, size, &done);
  return done == size;
}

bool stack_copy(StackMemory *memory, const Space *space, uint64_t rsp, Fault *fault) {
  if (!memory->copy) memory->copy = malloc(STACK_COPY);
  if (!memory->copy) return fault_oom(fault);
  memory->space = space;
  memory->memory =
      (UnwindMemory){.at = rsp, .bytes = memory->copy, .read = read_space, .ctx = memory};
  space_peek(space, (RemoteAddr){rsp}, memory->copy, STACK_COPY, &memory->memory.size);
  return true;
}

void stack_memory_finish(StackMemory *memory) {
  free(memory->copy);
  *memory = (StackMemory){0};
}
