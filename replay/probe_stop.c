/*
** What happens when the program stops because of us, and how addresses of our copies and of the
** program are told apart.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "base/array.h"
#include "replay/probe_inner.h"

/* The patch whose code holds `at`: by search, since stops are rare. */
static const Patch *patch_of_code(const Probes *probes, uint64_t at) {
  for (size_t i = 0; i < probes->nregions; i++) {
    const Region *region = &probes->regions[i];
    if (!region->is_code || at < region->start || at >= region->start + region->used) continue;
    for (size_t k = 0; k < probes->npatches; k++) {
      const Patch *patch = probes->patches[k];
      if (at >= patch->code && at < patch->code + patch->code_size) return patch;
    }
  }
  return NULL;
}

static const Step *step_at(const Patch *patch, uint64_t rip) {
  const Step *found = NULL;
  for (size_t i = 0; i < patch->nsteps; i++) {
    if (patch->code + patch->steps[i].offset <= rip) found = &patch->steps[i];
  }
  return found;
}

static void set_rip(Tracee *tracee, uint64_t rip) {
  tracee->regs.rip = rip;
  tracee->regs_changed = true;
}

bool probes_leave(const Probes *probes, Tracee *tracee, Fault *fault) {
  if (!tracee_regs(tracee, fault)) return false;
  const Patch *patch = patch_of_code(probes, tracee->regs.rip);
  const Step *step = patch ? step_at(patch, tracee->regs.rip) : NULL;
  if (!step) return true;
  tracee->regs.rsp += (uint64_t)(int64_t)step->adjust;
  set_rip(tracee, step->at);
  return true;
}

bool probes_enter(const Probes *probes, Tracee *tracee, Fault *fault) {
  if (!tracee_regs(tracee, fault)) return false;
  const Patch *patch = patch_at(probes, tracee->regs.rip);
  if (!patch || patch->start == tracee->regs.rip) return true;
  for (size_t i = 0; i < patch->nsteps; i++) {
    const Step *step = &patch->steps[i];
    if (step->kind != STEP_STOP && step->at == tracee->regs.rip) {
      set_rip(tracee, patch->code + step->offset);
      return true;
    }
  }
  return true; /* inside an instruction: let it fault */
}

/* ---- rows */

/* Map the segment that holds `addr`; what is behind it stays out of reach. */
static bool grow(Probes *probes, Tracee *tracee, ProbeSet *set, uint64_t addr, Fault *fault) {
  RowFile *file = &set->file;
  const uint64_t from = (addr - file->base) & ~(uint64_t)(LOW_PAGE - 1);
  uint64_t step = from < SEGMENT_FIRST ? SEGMENT_FIRST : SEGMENT_BYTES;
  uint64_t to = (from / step + 1) * step;
  const uint64_t limit = set->limit_at - file->base;
  if (set->limit_at && from < limit && to > limit) to = limit; /* begins a page */
  if (!file->live) return fault_set(fault, FAULT_INTERNAL, "probe: rows for a finished file");
  if (to > WINDOW_SPAN) return fault_set(fault, FAULT_LIMIT, "probe: more than 256 GiB of rows");
  return rowfile_reserve(file, to, fault) &&
         memory_map_fd(probes, tracee, file->fd, file->base + from, to - from, from, fault);
}

/* A part of the ring that is full ends with a row, so the store that faults behind it is the first
** of the next one, through r11. Other faults are at parts that are not mapped here yet. */
static bool turn(Probes *probes, Tracee *tracee, ProbeSet *set, uint64_t addr, Fault *fault) {
  RowFile *file = &set->file;
  if (!file->live) return fault_set(fault, FAULT_INTERNAL, "probe: rows for a finished file");
  const uint64_t at = addr - file->base;
  const int part = (int)(at / ROW_PART_STRIDE) - 1;
  if (part < 0 || part >= ROW_PARTS || at > rowfile_part_end(part)) {
    return fault_set(fault, FAULT_CORRUPT, "probe: rows outside of their ring");
  }
  if (at < rowfile_part_end(part)) {
    const uint64_t start = rowfile_part(part);
    return memory_map_fd(probes, tracee, file->fd, file->base + start,
                         rowfile_part_end(part) - start, start, fault);
  }
  if (atomic_load(&file->live->cursor) != addr || tracee->regs.r11 != addr) {
    return fault_set(fault, FAULT_CORRUPT, "probe: a row over the end of its part");
  }
  if (!rowfile_turn(file, fault)) return false;
  tracee->regs.r11 = atomic_load(&file->live->cursor);
  return tracee->regs_changed = true;
}

/* Let the stub end: the limit is reached with the row it is writing. */
static bool step_out(Probes *probes, Tracee *tracee, Fault *fault) {
  for (int i = 0; i < 1000; i++) {
    const Patch *patch = patch_of_code(probes, tracee->regs.rip);
    const Step *step = patch ? step_at(patch, tracee->regs.rip) : NULL;
    if (!step || step->kind != STEP_STUB) return true;
    if (!tracee_resume(tracee, PTRACE_SINGLESTEP, 0, fault) || !tracee_wait(tracee, fault)) {
      return false;
    }
    if (!WIFSTOPPED(tracee->status) || WSTOPSIG(tracee->status) != SIGTRAP) {
      return fault_set(fault, FAULT_INTERNAL, "probe: a stub was interrupted, status 0x%x",
                       (unsigned)tracee->status);
    }
    if (!tracee_regs(tracee, fault)) return false;
  }
  return fault_set(fault, FAULT_INTERNAL, "probe: a stub does not end");
}

static bool on_rows(Probes *probes, Tracee *tracee, uint64_t addr, ProbeStop *out, int *out_set,
                    Fault *fault) {
  for (size_t i = 0; i < probes->nsets; i++) {
    ProbeSet *set = &probes->sets[i];
    if (addr < set->file.base || addr >= set->file.base + WINDOW_SPAN) continue;
    if (!(set->file.taker ? turn : grow)(probes, tracee, set, addr, fault)) return false;
    *out = PROBE_HANDLED;
    if (set->limit_at && addr >= set->limit_at && !set->limited) {
      set->limited = true;
      *out = PROBE_LIMIT;
      *out_set = (int)i;
      return step_out(probes, tracee, fault);
    }
    return true;
  }
  return true;
}

/* A word of a point that is not mapped is not equal. */
static bool on_point(const Probes *probes, Tracee *tracee) {
  const Patch *patch = patch_of_code(probes, tracee->regs.rip);
  const uint64_t offset = patch ? tracee->regs.rip - patch->code : 0;
  for (size_t i = 0; patch && i < patch->nsteps; i++) {
    const Step *step = &patch->steps[i];
    if (step->kind != STEP_STOP || step->action != ACTION_POINT || step->offset <= offset) continue;
    const Step *around = step_at(patch, tracee->regs.rip);
    if (!around || (around->kind == STEP_INSN)) return false;
    set_rip(tracee, patch->code + step->otherwise);
    return true;
  }
  return false;
}

static bool on_fault(Probes *probes, Tracee *tracee, ProbeStop *out, int *out_set, Fault *fault) {
  siginfo_t info;
  if (ptrace(PTRACE_GETSIGINFO, tracee->tid, NULL, &info)) {
    return fault_set(fault, FAULT_IO, "probe: the signal of thread %d: %s", (int)tracee->tid,
                     strerror(errno));
  }
  const Patch *patch = patch_of_code(probes, tracee->regs.rip);
  const Step *step = patch ? step_at(patch, tracee->regs.rip) : NULL;
  if (step && step->kind != STEP_INSN) {
    if (info.si_code > 0 &&
        !on_rows(probes, tracee, (uint64_t)(uintptr_t)info.si_addr, out, out_set, fault)) {
      return false;
    }
    if (*out == PROBE_FOREIGN && on_point(probes, tracee)) *out = PROBE_HANDLED;
  }
  if (*out == PROBE_FOREIGN && info.si_signo == SIGSEGV && info.si_code == SEGV_ACCERR &&
      !watch_fault(probes, tracee, (uint64_t)(uintptr_t)info.si_addr, out, fault)) {
    return false;
  }
  return *out != PROBE_FOREIGN || probes_leave(probes, tracee, fault);
}

static bool on_trap(Probes *probes, Tracee *tracee, ProbeStop *out, Fault *fault) {
  const uint64_t rip = tracee->regs.rip;
  const Patch *hit = patch_at(probes, rip - 1);
  if (hit && !hit->native && hit->start == rip - 1) {
    set_rip(tracee, hit->code);
    *out = PROBE_HANDLED;
    return true;
  }
  const Patch *patch = patch_of_code(probes, rip);
  for (size_t i = 0; patch && i < patch->nsteps; i++) {
    const Step *step = &patch->steps[i];
    if (step->kind != STEP_STOP || patch->code + step->offset != rip) continue;
    *out = step->action == ACTION_COUNT   ? PROBE_REACHED
           : step->action == ACTION_POINT ? PROBE_POINT
                                          : PROBE_BREAK;
    return true;
  }
  return probes_leave(probes, tracee, fault);
}

bool probes_stop(Probes *probes, Tracee *tracee, ProbeStop *out_stop, int *out_set, Fault *fault) {
  *out_stop = PROBE_FOREIGN;
  *out_set = -1;
  if (!WIFSTOPPED(tracee->status) || !tracee_regs(tracee, fault)) {
    return WIFSTOPPED(tracee->status) ? false : true;
  }
  switch (WSTOPSIG(tracee->status)) {
  case SIGSEGV:
  case SIGBUS:
    return on_fault(probes, tracee, out_stop, out_set, fault);
  case SIGTRAP:
    return on_trap(probes, tracee, out_stop, fault);
  default:
    return probes_leave(probes, tracee, fault);
  }
}

/* ---- what others must know */

static void restore(uint64_t start, const uint8_t *original, size_t count, uint64_t addr,
                    uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < count; i++) {
    if (start + i >= addr && start + i - addr < size) bytes[start + i - addr] = original[i];
  }
}

void probes_original(const Probes *probes, uint64_t addr, void *bytes, size_t size) {
  for (size_t i = 0; i < probes->npatches; i++) {
    const Patch *patch = probes->patches[i];
    if (!patch->planted || patch->retired) continue;
    restore(patch->start, patch->original, (size_t)(patch->end - patch->start), addr, bytes, size);
    if (patch->island) {
      restore(patch->island, patch->island_original, WINDOW_JUMP, addr, bytes, size);
    }
  }
}

bool probes_range(const Probes *probes, size_t i, CodeRange *out) {
  if (i < probes->nregions) {
    const Region *region = &probes->regions[i];
    *out = (CodeRange){region->start, region->start + region->size};
    return true;
  }
  i -= probes->nregions;
  if (i >= probes->nsets) return false;
  const uint64_t base = probes->sets[i].file.base;
  *out = (CodeRange){base, base + WINDOW_SPAN};
  return true;
}

bool probes_detach(Probes *probes, Tracee *const *threads, size_t nthreads, Fault *fault) {
  for (size_t i = 0; i < nthreads; i++) {
    if (!probes_leave(probes, threads[i], fault)) return false;
  }
  for (size_t i = 0; i < probes->npatches; i++) {
    if (!patch_unplant(probes, probes->patches[i], fault)) return false;
  }
  return nthreads == 0 || memory_unmap(probes, threads[0], fault);
}

/* ---- fork */

static Patch *patch_copy(const Patch *from) {
  Patch *patch = calloc(1, sizeof *patch);
  if (!patch) return NULL;
  *patch = *from;
  patch->actions_capacity = patch->nactions;
  patch->steps_capacity = patch->nsteps;
  patch->insns = malloc((from->ninsns + 1) * sizeof *from->insns);
  patch->actions = malloc((from->nactions + 1) * sizeof *from->actions);
  patch->steps = malloc((from->nsteps + 1) * sizeof *from->steps);
  if (!patch->insns || !patch->actions || !patch->steps) {
    patch->nactions = 0;
    patch_free(patch);
    return NULL;
  }
  if (from->ninsns) memcpy(patch->insns, from->insns, from->ninsns * sizeof *from->insns);
  if (from->nsteps) memcpy(patch->steps, from->steps, from->nsteps * sizeof *from->steps);
  for (size_t i = 0; i < from->nactions; i++) {
    Action *action = &patch->actions[i];
    *action = from->actions[i];
    if (!action->point) continue;
    action->point = malloc(sizeof *action->point);
    patch->nactions = i + 1;
    if (!action->point) {
      patch_free(patch);
      return NULL;
    }
    *action->point = *from->actions[i].point;
  }
  patch->nactions = from->nactions;
  return patch;
}

static bool copy_all(const Probes *from, Probes *to) {
  if (!array_grow(to->patches, to->patches_capacity, from->npatches + 1) ||
      !array_grow(to->regions, to->regions_capacity, from->nregions + 1) ||
      !array_grow(to->sets, to->sets_capacity, PROBE_SETS) ||
      !array_grow(to->watches, to->watches_capacity, from->nwatches + 1)) {
    return false;
  }
  for (size_t i = 0; i < from->npatches; i++) {
    if (!(to->patches[i] = patch_copy(from->patches[i]))) return false;
    to->npatches++;
  }
  for (size_t i = 0; i < from->nregions; i++) {
    to->regions[i] = from->regions[i];
    to->regions[i].bytes = NULL;
    to->nregions++;
    if (!from->regions[i].is_code) continue;
    to->regions[i].bytes = malloc(REGION_BYTES);
    if (!to->regions[i].bytes) return false;
    memcpy(to->regions[i].bytes, from->regions[i].bytes, REGION_BYTES);
  }
  for (size_t i = 0; i < from->nwatches; i++) to->watches[to->nwatches++] = from->watches[i];
  for (size_t i = 0; i < from->nsets; i++) {
    to->sets[i] = from->sets[i];
    to->sets[i].borrowed = true;
    to->sets[i].rows.spec = &to->sets[i].spec;
    to->nsets++;
  }
  return true;
}

bool probes_fork(const Probes *parent, Space *space, Probes **out, Fault *fault) {
  Probes *probes = calloc(1, sizeof *probes);
  *out = NULL;
  if (!probes) return fault_oom(fault);
  *probes = (Probes){.space = space,
                     .place = parent->place,
                     .place_ctx = parent->place_ctx,
                     .words_fd = parent->words_fd,
                     .words = parent->words,
                     .words_borrowed = true,
                     .low = parent->low};
  if (!copy_all(parent, probes)) {
    probes_free(probes);
    return fault_oom(fault);
  }
  *out = probes;
  return true;
}
