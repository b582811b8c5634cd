/*
** Patches: which bytes are overwritten, and the code that takes their place.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/probe_inner.h"

Patch *patch_at(const Probes *probes, uint64_t at) {
  size_t low = 0, high = probes->npatches;
  while (low < high) { /* behind the last that starts at or before */
    size_t middle = low + (high - low) / 2;
    if (probes->patches[middle]->start <= at) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  /* Retired ones lie among them; a window has at most WINDOW_BYTES. */
  for (; low > 0 && probes->patches[low - 1]->start + WINDOW_BYTES >= at; low--) {
    Patch *patch = probes->patches[low - 1];
    if (!patch->retired && at >= patch->start && at < patch->end) return patch;
  }
  return NULL;
}

void patch_free(Patch *patch) {
  if (!patch) return;
  for (size_t i = 0; i < patch->nactions; i++) free(patch->actions[i].point);
  free(patch->insns);
  free(patch->actions);
  free(patch->steps);
  free(patch);
}

static bool patch_insert(Probes *probes, Patch *patch) {
  if (!array_grow(probes->patches, probes->patches_capacity, probes->npatches + 1)) return false;
  size_t i = probes->npatches++;
  for (; i > 0 && probes->patches[i - 1]->start > patch->start; i--) {
    probes->patches[i] = probes->patches[i - 1];
  }
  probes->patches[i] = patch;
  return true;
}

static bool add_action(Patch *patch, const Action *action, Fault *fault) {
  if (!array_grow(patch->actions, patch->actions_capacity, patch->nactions + 1)) {
    return fault_oom(fault);
  }
  patch->actions[patch->nactions++] = *action;
  patch->dirty = true;
  return true;
}

/* A thread may still be inside the code of a patch that was given up, but only one at a time runs.
** While it passes the instructions of a window, each of them may be a stop at which its patch is
** made anew: what is older than that at an address is not needed. */
static void drop_old(Probes *probes, uint64_t start) {
  size_t kept = 0, old = 0;
  for (size_t i = 0; i < probes->npatches; i++) {
    old += probes->patches[i]->start == start && probes->patches[i]->retired;
  }
  for (size_t i = 0; i < probes->npatches; i++) {
    Patch *patch = probes->patches[i];
    if (patch->start == start && patch->retired && old > WINDOW_BYTES) {
      patch_free(patch);
      old--;
    } else {
      probes->patches[kept++] = patch;
    }
  }
  probes->npatches = kept;
}

static Patch *patch_make(Probes *probes, const Body *body, const Window *window, bool native,
                         Fault *fault) {
  Patch *patch = calloc(1, sizeof *patch);
  const Insn *first = &body->insns[window->first];
  size_t count = window->last - window->first + 1;
  if (patch) patch->insns = malloc(count * sizeof *patch->insns);
  if (!patch || !patch->insns) {
    patch_free(patch);
    fault_oom(fault);
    return NULL;
  }
  memcpy(patch->insns, first, count * sizeof *patch->insns);
  patch->ninsns = count;
  drop_old(probes, first->at);
  patch->native = native;
  patch->start = first->at;
  patch->end = native ? window->end : first->at + 1;
  memcpy(patch->original, body->image->bytes + (patch->start - body->image->start),
         (size_t)(patch->end - patch->start));
  if (!patch_insert(probes, patch)) {
    patch_free(patch);
    fault_oom(fault);
    return NULL;
  }
  return patch;
}

/* The patches in start..end, which are no more than its bytes. */
static size_t touched(const Probes *probes, uint64_t start, uint64_t end, Patch **out) {
  size_t count = 0;
  for (uint64_t at = start; at < end; at++) {
    Patch *patch = patch_at(probes, at);
    if (patch && (!count || out[count - 1] != patch)) out[count++] = patch;
  }
  return count;
}

/* An island keeps what it has. */
static bool has_island(const Probes *probes, uint64_t start, uint64_t end) {
  for (size_t i = 0; i < probes->npatches; i++) {
    const Patch *patch = probes->patches[i];
    if (patch->island && !patch->retired && patch->island < end &&
        start < patch->island + WINDOW_JUMP) {
      return true;
    }
  }
  return false;
}

static bool is_taken(const void *ctx, uint64_t start, uint64_t end) {
  Patch *found[WINDOW_BYTES];
  return has_island(ctx, start, end) || touched(ctx, start, end, found) > 0;
}

/* Make the window so large that it holds the patches it touches whole. */
static bool widen(const Probes *probes, const Body *body, Window *window) {
  for (int round = 0; round < 8; round++) {
    const uint64_t start = body->insns[window->first].at;
    size_t first = window->first, last = window->last;
    for (uint64_t at = start; at < window->end; at++) {
      const Patch *patch = patch_at(probes, at);
      if (!patch) continue;
      if (patch->island) return false;
      ptrdiff_t begin = body_find(body, patch->start);
      if (begin < 0) return false;
      if ((size_t)begin < first) first = (size_t)begin;
      if ((size_t)begin + patch->ninsns - 1 > last) last = (size_t)begin + patch->ninsns - 1;
    }
    if (first == window->first && last == window->last) return true;
    if (last >= body->count || !body_window(body, first, last, window)) return false;
  }
  return false;
}

/* An old patch gives its actions to the new one, which overwrites all of it. */
static bool take_over(Patch *patch, Patch *old, Fault *fault) {
  for (size_t k = 0; k < old->nactions; k++) {
    if (!add_action(patch, &old->actions[k], fault)) return false;
  }
  old->nactions = 0;
  old->retired = true;
  return true;
}

bool plan_action(Probes *probes, const Body *body, size_t i, bool before, bool int3,
                 const Action *action, Patch **out, Fault *fault) {
  const uint64_t at = body->insns[i].at;
  Patch *patch = patch_at(probes, at);
  *out = patch;
  if (patch) {
    for (size_t k = 0; k < patch->ninsns; k++) {
      if (patch->insns[k].at == at) return add_action(patch, action, fault);
    }
    return false;
  }
  Window window;
  uint64_t island;
  if (!int3 && body_window_at(body, i, before, &window) && widen(probes, body, &window) &&
      !has_island(probes, body->insns[window.first].at, window.end)) {
    const uint64_t start = body->insns[window.first].at;
    Patch *old[WINDOW_BYTES];
    size_t count = touched(probes, start, window.end, old);
    patch = patch_make(probes, body, &window, true, fault);
    if (!patch) return false;
    for (size_t k = 0; k < count; k++) {
      if (!take_over(patch, old[k], fault)) return false;
    }
  } else if (!int3 && body_short_window(body, i, before, is_taken, probes, &window, &island)) {
    patch = patch_make(probes, body, &window, true, fault);
    if (!patch) return false;
    patch->island = island;
    memcpy(patch->island_original, body->image->bytes + (island - body->image->start), WINDOW_JUMP);
  } else {
    if (!insn_can_move(&body->insns[i])) return false;
    window = (Window){i, i, at + 1};
    patch = patch_make(probes, body, &window, false, fault);
    if (!patch) return false;
  }
  *out = patch;
  return add_action(patch, action, fault);
}

/* ---- emission */

static bool add_step(Patch *patch, const Step *step) {
  if (!array_grow(patch->steps, patch->steps_capacity, patch->nsteps + 1)) return false;
  patch->steps[patch->nsteps++] = *step;
  return true;
}

static bool emit_action(Probes *probes, Patch *patch, Asm *code, const Action *action) {
  StubPlaces places = {0};
  switch (action->kind) {
  case ACTION_COUNT:
    places = stub_count(code, probes->low, action);
    break;
  case ACTION_POINT:
    places = stub_point(code, probes->low, action);
    break;
  case ACTION_TALLY:
    stub_tally(code, probes->low, action);
    break;
  case ACTION_BREAK:
    asm_byte(code, 0xcc);
    places.stop = (uint32_t)code->size;
    break;
  default:
    stub_rows(code, probes->low, &probes->sets[action->set].rows, action);
    break;
  }
  if (!places.stop) return true;
  const Step step = {.kind = STEP_STOP,
                     .offset = places.stop,
                     .otherwise = places.otherwise,
                     .at = action->at,
                     .action = action->kind};
  const Step on = {.kind = STEP_STUB, .offset = (uint32_t)code->size, .at = action->at};
  return add_step(patch, &step) && add_step(patch, &on);
}

static bool emit_insn(Probes *probes, Patch *patch, Asm *code, const Insn *insn) {
  const Step stub = {.kind = STEP_STUB, .offset = (uint32_t)code->size, .at = insn->at};
  if (!add_step(patch, &stub)) return false;
  bool taken = false; /* something is done only when the branch is taken */
  /* Stops come before rows: who goes on from the address of a stop finds all as it was. */
  for (size_t i = 0; i < patch->nactions; i++) {
    const Action *action = &patch->actions[i];
    if (action->at != insn->at || action->kind < ACTION_COUNT) continue;
    if (!emit_action(probes, patch, code, action)) return false;
  }
  for (size_t i = 0; i < patch->nactions; i++) {
    const Action *action = &patch->actions[i];
    if (action->at != insn->at || action->kind >= ACTION_COUNT) continue;
    if (action->kind == ACTION_TAIL && insn->kind == INSN_BRANCH) {
      taken = true;
    } else if (!emit_action(probes, patch, code, action)) {
      return false;
    }
  }
  AsmLabel not_taken = {0};
  if (taken) asm_branch_label(code, (Cond)(insn->cond ^ 1), &not_taken);
  for (size_t i = 0; taken && i < patch->nactions; i++) {
    const Action *action = &patch->actions[i];
    if (action->at == insn->at && action->kind == ACTION_TAIL &&
        !emit_action(probes, patch, code, action)) {
      return false;
    }
  }
  MoveStep moved[MOVE_STEPS];
  int count = 1;
  moved[0] = (MoveStep){(uint32_t)code->size, 0};
  if (taken) {
    asm_jump(code, insn->target);
  } else {
    count = insn_move(insn, code, moved);
  }
  asm_land(code, &not_taken);
  for (int i = 0; i < count; i++) {
    const Step step = {
        .kind = STEP_INSN, .offset = moved[i].offset, .adjust = moved[i].adjust, .at = insn->at};
    if (!add_step(patch, &step)) return false;
  }
  return true;
}

static bool emit(Probes *probes, Patch *patch, Region *region, Fault *fault) {
  Asm code = {.bytes = region->bytes + region->used,
              .at = region->start + region->used,
              .capacity = CODE_LONGEST};
  patch->nsteps = 0;
  for (size_t i = 0; i < patch->ninsns; i++) {
    if (!emit_insn(probes, patch, &code, &patch->insns[i])) return fault_oom(fault);
  }
  const Insn *last = &patch->insns[patch->ninsns - 1];
  const Step back = {.offset = (uint32_t)code.size, .at = last->at + last->length};
  if (!insn_ends(last) && !insn_calls(last)) {
    if (!add_step(patch, &back)) return fault_oom(fault);
    asm_jump(&code, back.at);
  }
  if (code.overflow) {
    return fault_set(fault, FAULT_LIMIT, "probe: the code at 0x%llx cannot be moved near",
                     (unsigned long long)patch->start);
  }
  patch->code = code.at;
  patch->code_size = (uint32_t)code.size;
  region->used += (code.size + 15) & ~(size_t)15;
  return true;
}

/* The island first, which nobody runs; then what leads there. */
static bool plant(Probes *probes, Patch *patch, Fault *fault) {
  uint8_t bytes[WINDOW_BYTES], far[WINDOW_JUMP];
  const size_t size = (size_t)(patch->end - patch->start);
  memset(bytes, 0xcc, sizeof bytes);
  Asm code = {.bytes = patch->island ? far : bytes,
              .capacity = WINDOW_JUMP,
              .at = patch->island ? patch->island : patch->start};
  if (patch->native) asm_jump(&code, patch->code);
  if (code.overflow) return fault_set(fault, FAULT_INTERNAL, "probe: a stub out of reach");
  patch->planted = true;
  if (patch->island) {
    bytes[0] = 0xeb;
    bytes[1] = (uint8_t)(patch->island - (patch->start + WINDOW_SHORT));
    if (!space_write(probes->space, (RemoteAddr){patch->island}, far, sizeof far, fault)) {
      return false;
    }
  }
  return space_write(probes->space, (RemoteAddr){patch->start}, bytes, size, fault);
}

bool patch_unplant(Probes *probes, Patch *patch, Fault *fault) {
  if (!patch->planted || patch->retired) return true;
  patch->retired = true;
  if (!space_write(probes->space, (RemoteAddr){patch->start}, patch->original,
                   (size_t)(patch->end - patch->start), fault)) {
    return false;
  }
  return !patch->island || space_write(probes->space, (RemoteAddr){patch->island},
                                       patch->island_original, WINDOW_JUMP, fault);
}

/* The code that a patch has had is kept, for a thread that is inside. */
static bool keep_code(Probes *probes, const Patch *patch, Fault *fault) {
  if (!patch->code_size) return true;
  drop_old(probes, patch->start);
  Patch *old = calloc(1, sizeof *old);
  if (!old) return fault_oom(fault);
  *old = (Patch){.start = patch->start,
                 .end = patch->end,
                 .native = patch->native,
                 .retired = true,
                 .code = patch->code,
                 .code_size = patch->code_size};
  if (!array_grow(old->steps, old->steps_capacity, patch->nsteps) || !patch_insert(probes, old)) {
    patch_free(old);
    return fault_oom(fault);
  }
  if (patch->nsteps) memcpy(old->steps, patch->steps, patch->nsteps * sizeof *old->steps);
  old->nsteps = patch->nsteps;
  return true;
}

static bool emit_dirty(Probes *probes, Tracee *tracee, Patch **dirty, size_t count, Fault *fault) {
  for (size_t i = 0; i < count; i++) {
    Region *region;
    if (!keep_code(probes, dirty[i], fault) ||
        !memory_code(probes, tracee, dirty[i]->start, dirty[i]->end, &region, fault) ||
        !emit(probes, dirty[i], region, fault)) {
      return false;
    }
  }
  if (!memory_flush(probes, fault)) return false;
  for (size_t i = 0; i < count; i++) {
    if (!plant(probes, dirty[i], fault)) return false;
    dirty[i]->dirty = false;
  }
  return true;
}

bool plan_commit(Probes *probes, Tracee *tracee, Fault *fault) {
  size_t count = 0;
  Patch **dirty = malloc((probes->npatches + 1) * sizeof *dirty);
  if (!dirty) return fault_oom(fault);
  for (size_t i = 0; i < probes->npatches; i++) {
    Patch *patch = probes->patches[i];
    if (patch->dirty && !patch->retired) dirty[count++] = patch;
  }
  bool ok = emit_dirty(probes, tracee, dirty, count, fault);
  free(dirty);
  return ok;
}
