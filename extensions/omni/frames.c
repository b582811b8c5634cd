/*
** Frames as sources of values: see frames.h.
*/
#define _GNU_SOURCE
#include "extensions/omni/frames.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "base/array.h"

/* ---- what a frame knows ---------------------------------------------------------------------- */

static bool read_memory(void *ctx, uint64_t addr, void *out, size_t size) {
  const FrameSource *frame = ctx;
  Fault ignored = {0};
  return player_read(frame->all->played->player, &frame->all->view, addr, out, size, &ignored);
}

/* Vectors and segments are those of the thread: a frame that has called another one has lost its
** vectors. */
static bool read_register(void *ctx, unsigned number, void *out, size_t size) {
  enum { XMM0 = 17, FS = 58, GS = 59 };
  const FrameSource *frame = ctx;
  const FrameSources *all = frame->all;
  const void *from = NULL;
  size_t room = 8;
  if (number < CFI_REGISTERS && frame->frame->known >> number & 1) {
    from = &frame->frame->registers[number];
  } else if (number >= XMM0 && number < XMM0 + 16 && frame->depth == 0 && all->has_vectors) {
    from = &all->vectors.xmm_space[(size_t)(number - XMM0) * 4];
    room = 16;
  } else if (number == FS) {
    from = &all->view.regs.fs_base;
  } else if (number == GS) {
    from = &all->view.regs.gs_base;
  }
  if (!from || size > room) return false;
  memcpy(out, from, size);
  return true;
}

static bool read_cfa(void *ctx, uint64_t *out) {
  const FrameSource *frame = ctx;
  *out = frame->frame->cfa;
  return *out != 0;
}

static const ValueSource *caller_of(void *ctx) {
  const FrameSource *frame = ctx;
  return frame->depth + 1 < frame->all->count ? &frame[1].source : NULL;
}

static const char *symbol_at(void *ctx, uint64_t addr, uint64_t *out_offset) {
  const FrameSource *frame = ctx;
  StackPlace place;
  stacks_place(frame->all->played->stacks, addr, &place);
  if (!place.function || place.offset < 0) return NULL;
  *out_offset = (uint64_t)place.offset;
  return place.function->name;
}

static bool is_named(void *ctx, uint64_t addr, const char *name) {
  const FrameSource *frame = ctx;
  const FunctionName *found;
  StackPlace place;
  stacks_place(frame->all->played->stacks, addr, &place);
  if (!place.file || !place.file->functions || !place.function || place.offset) return false;
  const Functions *functions = place.file->functions;
  size_t count = functions_named(functions, name, &found);
  for (size_t i = 0; i < count; i++) {
    if (&functions->all[found[i].function] == place.function) return true;
  }
  return false;
}

/* The storage of the program itself ends where fs points; that of libraries is not looked for. */
static bool thread_storage(void *ctx, uint64_t offset, uint64_t *out) {
  const FrameSource *frame = ctx;
  StackPlace place;
  stacks_place(frame->all->played->stacks, frame->source.pc, &place);
  if (!place.file) return false;
  const ElfFile *elf = place.file->elf;
  const ElfSegment *storage = NULL;
  bool is_program = false;
  for (size_t i = 0; i < elf->nsegments; i++) {
    if (elf->segments[i].type == PT_TLS) storage = &elf->segments[i];
    if (elf->segments[i].type == PT_INTERP) is_program = true;
  }
  if (!storage || !is_program) return false;
  const uint64_t align = storage->align > 1 ? storage->align : 1;
  if (align & (align - 1)) return false;
  *out =
      frame->all->view.regs.fs_base - ((storage->memory_size + align - 1) & ~(align - 1)) + offset;
  return true;
}

/* ---- making them ----------------------------------------------------------------------------- */

/* Is it about to run the first instruction of its function? */
static bool is_entered(const ValueSource *source) {
  size_t i;
  DwarfFunction function;
  const uint64_t addr = source->pc - source->bias;
  return source->dwarf && dwarf_function_at(source->dwarf, addr, &i, NULL) &&
         dwarf_function_get(source->dwarf, i, &function, NULL) && function.entry == addr;
}

static bool make_source(FrameSources *all, size_t depth, Fault *fault) {
  FrameSource *made = &all->list[depth];
  const Frame *frame = &all->frames.list[depth];
  StackPlace place;
  *made = (FrameSource){.all = all, .frame = frame, .depth = depth};
  made->source = (ValueSource){.pc = frame->pc,
                               .returned = frame->at != frame->pc,
                               .ctx = made,
                               .read = read_memory,
                               .reg = read_register,
                               .cfa = read_cfa,
                               .tls = thread_storage,
                               .caller = caller_of,
                               .symbol = symbol_at,
                               .is_named = is_named};
  stacks_place(all->played->stacks, frame->at, &place);
  CodeFile *code = code_of_module(&all->played->code, place.file);
  if (!code) return true;
  if (!code_dwarf(&all->played->code, code, fault)) return false;
  made->source.dwarf = code->dwarf;
  made->source.bias = frame->at - place.addr;
  made->source.module = code->path;
  made->source.entered = depth == 0 && is_entered(&made->source);
  return true;
}

bool frames_open(Played *played, const PlayView *view, size_t most, FrameSources *out,
                 Fault *fault) {
  *out = (FrameSources){.played = played, .view = *view};
  if (!played_frames(played, view, most, &out->frames, fault)) return false;
  out->has_vectors = ptrace(PTRACE_GETFPREGS, view->tracee->tid, 0, &out->vectors) == 0;
  out->list = calloc(out->frames.count, sizeof *out->list);
  if (!out->list) return fault_oom(fault);
  out->count = out->frames.count;
  for (size_t i = 0; i < out->count; i++) {
    if (!make_source(out, i, fault)) return false;
  }
  return true;
}

void frames_finish(FrameSources *sources) {
  free(sources->frames.list);
  free(sources->list);
  free(sources->others);
}

/* ---- all modules ----------------------------------------------------------------------------- */

static bool add_other(FrameSources *sources, size_t *capacity, CodeFile *code, uint64_t bias,
                      Fault *fault) {
  if (!code_dwarf(&sources->played->code, code, fault)) return false;
  if (!code->dwarf) return true;
  for (size_t i = 0; i < sources->nothers; i++) {
    if (sources->others[i].dwarf == code->dwarf) return true;
  }
  if (!array_grow(sources->others, *capacity, sources->nothers + 1)) return fault_oom(fault);
  ValueSource *other = &sources->others[sources->nothers++];
  *other = sources->list[0].source;
  other->dwarf = code->dwarf;
  other->bias = bias;
  other->module = code->path;
  other->pc = bias; /* in no function */
  other->entered = other->returned = false;
  return true;
}

bool frames_scope(FrameSources *sources, size_t depth, ExprScope *out, Fault *fault) {
  const MapList *maps = sources->view.maps;
  size_t capacity = 0;
  for (size_t i = 0; i < maps->count && !sources->has_others; i++) {
    StackPlace place;
    if (!maps->ranges[i].file) continue;
    stacks_place(sources->played->stacks, maps->ranges[i].start, &place);
    CodeFile *code = code_of_module(&sources->played->code, place.file);
    if (code && !add_other(sources, &capacity, code, maps->ranges[i].start - place.addr, fault)) {
      return false;
    }
  }
  sources->has_others = true;
  *out = (ExprScope){&sources->list[depth].source, sources->others, sources->nothers};
  return true;
}
