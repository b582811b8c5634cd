#define _GNU_SOURCE
#include "replay/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "replay/probe_inner.h"

enum { WORDS_OF_SITE = 2 }; /* the last event, the hits */

static bool words_create(Probes *probes, Fault *fault) {
  probes->words_fd = memfd_create("omni-words", MFD_CLOEXEC);
  if (probes->words_fd < 0 || ftruncate(probes->words_fd, LOW_PAGE)) {
    return fault_set(fault, FAULT_IO, "probe: %s", strerror(errno));
  }
  void *map = mmap(NULL, LOW_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, probes->words_fd, 0);
  if (map == MAP_FAILED) return fault_set(fault, FAULT_IO, "probe: %s", strerror(errno));
  probes->words = map;
  return true;
}

bool probes_create(Tracee *tracee, ProbePlace place, void *place_ctx, Probes **out, Fault *fault) {
  Probes *probes = calloc(1, sizeof *probes);
  *out = NULL;
  if (!probes) return fault_oom(fault);
  *probes =
      (Probes){.space = tracee->space, .place = place, .place_ctx = place_ctx, .words_fd = -1};
  if (!words_create(probes, fault) || !memory_setup(probes, tracee, fault)) {
    probes_free(probes);
    return false;
  }
  *out = probes;
  return true;
}

void probes_free(Probes *probes) {
  if (!probes) return;
  for (size_t i = 0; i < probes->npatches; i++) patch_free(probes->patches[i]);
  for (size_t i = 0; i < probes->nregions; i++) free(probes->regions[i].bytes);
  for (size_t i = 0; i < probes->nsets; i++) {
    ProbeSet *set = &probes->sets[i];
    if (!set->borrowed) {
      rowfile_finish(&set->file, ROWS_FAILED, NULL);
      free((void *)(uintptr_t)set->spec.functions);
    }
  }
  if (probes->words && !probes->words_borrowed) munmap(probes->words, LOW_PAGE);
  if (probes->words_fd >= 0 && !probes->words_borrowed) close(probes->words_fd);
  free(probes->patches);
  free(probes->regions);
  free(probes->sets);
  free(probes->watches);
  free(probes);
}

volatile ProbeWords *probes_words(Probes *probes) { return probes->words; }

const RowFile *probes_rows(const Probes *probes, int set) { return &probes->sets[set].file; }
ProbeCounts probes_counts(const Probes *probes, int set) { return probes->sets[set].counts; }

bool probes_finish(Probes *probes, int set, RowState state, Fault *fault) {
  return rowfile_finish(&probes->sets[set].file, state, fault);
}

/* ---- sets */

static bool check_spec(const ProbeSpec *spec, Fault *fault) {
  if (spec->ntests < 0 || spec->ntests > PROBE_TESTS || spec->nfunctions > INT32_MAX / 8) {
    return fault_set(fault, FAULT_LIMIT, "probe: %d tests, %zu functions", spec->ntests,
                     spec->nfunctions);
  }
  if (spec->taker && spec->limit) return fault_set(fault, FAULT_INVALID, "probe: a ring's limit");
  for (int i = 0; i < spec->ntests; i++) {
    const ProbeTest *test = &spec->tests[i];
    bool known = (test->column >= ROW_A0 && test->column <= ROW_CALLER) || test->column == ROW_TID;
    bool many = test->nvalues < 0 || test->nvalues > PROBE_VALUES ||
                (test->nvalues != 1 && test->op != PROBE_EQ);
    if (!known || many) {
      return fault_set(fault, FAULT_UNSUPPORTED, "probe: test of column %d with %d values",
                       (int)test->column, test->nvalues);
    }
  }
  return true;
}

/* The constants of tests that fit no instruction. */
static bool place_values(Probes *probes, Tracee *tracee, ProbeSet *set, Fault *fault) {
  for (int i = 0; i < set->spec.ntests; i++) {
    const ProbeTest *test = &set->spec.tests[i];
    for (int k = 0; k < test->nvalues; k++) {
      if (asm_fits(test->values[k])) continue;
      if (!memory_words(probes, tracee, 1, &set->rows.values[i][k], fault) ||
          !space_write(probes->space, (RemoteAddr){set->rows.values[i][k]}, &test->values[k],
                       sizeof test->values[k], fault)) {
        return false;
      }
    }
  }
  return true;
}

static bool open_rows(Probes *probes, Tracee *tracee, ProbeSet *set, int fd, const void *key,
                      size_t key_size, Fault *fault) {
  const size_t index = probes->nsets;
  const RowLayout layout = row_layout(set->spec.columns, set->spec.returns);
  uint64_t base;
  if (!probes->place(probes->place_ctx, (uint64_t)1 << 32, (uint64_t)1 << 46, WINDOW_SPAN, &base)) {
    return fault_set(fault, FAULT_UNSUPPORTED, "probe: no room for a window of rows");
  }
  if (!rowfile_create(fd, &layout, base, set->spec.limit, key, key_size, &set->file, fault)) {
    return false;
  }
  if (set->spec.taker && !rowfile_ring(&set->file, set->spec.taker, fault)) return false;
  if (set->spec.limit) {
    set->limit_at = base + set->file.first + set->spec.limit * layout.words * 8 - 8;
  }
  set->rows.layout = layout;
  set->rows.cursor = probes->low + (1 + index) * LOW_PAGE;
  return memory_map_fd(probes, tracee, fd, set->rows.cursor, LOW_PAGE, ROW_PAGE, fault);
}

bool probes_add(Probes *probes, Tracee *tracee, const ProbeSpec *spec, int fd, const void *key,
                size_t key_size, int *out_set, Fault *fault) {
  if (!check_spec(spec, fault)) return false;
  if (probes->nsets == PROBE_SETS) {
    return fault_set(fault, FAULT_LIMIT, "probe: more than %d sets", PROBE_SETS);
  }
  if (!array_grow(probes->sets, probes->sets_capacity, PROBE_SETS)) return fault_oom(fault);
  ProbeSet *set = &probes->sets[probes->nsets];
  *set = (ProbeSet){.spec = *spec};
  ProbeFunction *functions = calloc(spec->nfunctions + 1, sizeof *functions);
  if (!functions) return fault_oom(fault);
  if (spec->nfunctions) memcpy(functions, spec->functions, spec->nfunctions * sizeof *functions);
  set->spec.functions = functions;
  set->rows.spec = &set->spec;
  if (!open_rows(probes, tracee, set, fd, key, key_size, fault) ||
      !place_values(probes, tracee, set, fault)) {
    rowfile_finish(&set->file, ROWS_FAILED, NULL);
    free(functions);
    return false;
  }
  *out_set = (int)probes->nsets++;
  return true;
}

/* ---- functions that are there */

typedef struct Mapper {
  Probes *probes;
  Tracee *tracee;
  const ProbeMapping *mapping;
  CodeImage image;
  uint8_t *bytes;
} Mapper;

static size_t read_data(void *ctx, uint64_t addr, void *out, size_t size) {
  size_t got;
  space_peek(ctx, (RemoteAddr){addr}, out, size, &got);
  return got;
}

static bool read_image(Mapper *mapper, uint64_t start, uint64_t end, Fault *fault) {
  size_t size = (size_t)(end - start), got;
  mapper->bytes = malloc(size + 1);
  if (!mapper->bytes) return fault_oom(fault);
  space_peek(mapper->probes->space, (RemoteAddr){start}, mapper->bytes, size, &got);
  probes_original(mapper->probes, start, mapper->bytes, got);
  return image_create(&mapper->image, start, mapper->bytes, got) || fault_oom(fault);
}

/* Where a part stands in this mapping. */
static bool part_here(const ProbeMapping *mapping, const ProbeFunction *function, int part,
                      CodeRange *out) {
  const CodeRange *range = &function->parts[part];
  const uint64_t size = mapping->end - mapping->start;
  if (function->file == PROBE_NO_FILE) {
    *out = *range;
    return range->lo >= mapping->start && range->hi <= mapping->end && range->lo < range->hi;
  }
  if (function->file != mapping->file || range->lo < mapping->offset ||
      range->hi - mapping->offset > size || range->lo >= range->hi) {
    return false;
  }
  out->lo = mapping->start + (range->lo - mapping->offset);
  out->hi = mapping->start + (range->hi - mapping->offset);
  return true;
}

/* How an instruction leaves the function, if it does. A register's value is looked at when the
** program comes by, since it may be the jump of a switch. */
static bool leaves(const Insn *insn, const CodeRange *parts, int nparts, Action *action) {
  if (insn->kind == INSN_RETURN) {
    action->kind = ACTION_RETURN;
    return true;
  }
  action->kind = ACTION_TAIL;
  if (insn->kind == INSN_JUMP || insn->kind == INSN_BRANCH) {
    for (int i = 0; i < nparts; i++) {
      if (insn->target >= parts[i].lo && insn->target < parts[i].hi) return false;
    }
    return true;
  }
  if (insn->kind != INSN_JUMP_AT) return false;
  const uint8_t modrm = insn->bytes[insn->modrm];
  if (modrm >> 6 == 3) {
    bool high = insn->modrm >= 2 && (insn->bytes[insn->modrm - 2] & 0xf1) == 0x41;
    action->reg = (uint8_t)((modrm & 7) | (high ? 8 : 0));
    action->nparts = nparts;
  }
  return modrm != 0x24; /* jmp [reg * 8 + table] */
}

static bool site_words(Mapper *mapper, const ProbeSet *set, const CodeRange *parts, int nparts,
                       Action *action, Fault *fault) {
  if (action->nparts > 0 && !action->parts) {
    if (!memory_words(mapper->probes, mapper->tracee, (size_t)nparts * 2, &action->parts, fault) ||
        !space_write(mapper->probes->space, (RemoteAddr){action->parts}, parts,
                     (size_t)nparts * sizeof *parts, fault)) {
      return false;
    }
  }
  return !set->rows.layout.word[ROW_HIT] ||
         memory_words(mapper->probes, mapper->tracee, WORDS_OF_SITE, &action->low, fault);
}

/* One action at instruction i. */
static bool plan_one(Mapper *mapper, ProbeSet *set, const Body *body, size_t i, Action *action,
                     Fault *fault) {
  Patch *patch;
  Fault here = {0};
  action->at = body->insns[i].at;
  action->keep_flags = !body_flags_dead(body, i);
  if (!plan_action(mapper->probes, body, i, action->kind != ACTION_ENTRY, set->spec.always_int3,
                   action, &patch, &here)) {
    if (here.code) {
      fault_set(fault, here.code, "%s", here.text);
      return false;
    }
    set->counts.refused++;
    return fault_set(fault, FAULT_UNSUPPORTED, "probe: the instruction at 0x%llx cannot be moved",
                     (unsigned long long)action->at);
  }
  set->counts.native += patch->native;
  set->counts.int3 += !patch->native;
  return true;
}

/* The row of an entry, at the place that the function asks for. */
static bool plan_entry(Mapper *mapper, ProbeSet *set, uint32_t site, const Body *body,
                       const CodeRange *parts, Fault *fault) {
  const ProbeFunction *function = &set->spec.functions[site];
  Action entry = {.kind = ACTION_ENTRY, .set = (int)(set - mapper->probes->sets), .site = site};
  const uint64_t at = parts[0].lo + (function->place ? function->place - function->parts[0].lo : 0);
  const ptrdiff_t i = body_find(body, at);
  if (i < 0) {
    return fault_set(fault, FAULT_INVALID, "probe: no code at 0x%llx", (unsigned long long)at);
  }
  return site_words(mapper, set, parts, 0, &entry, fault) &&
         plan_one(mapper, set, body, (size_t)i, &entry, fault);
}

static bool plan_part(Mapper *mapper, ProbeSet *set, uint32_t site, const CodeRange *parts,
                      int nparts, int part, Fault *fault) {
  Body body;
  if (!body_create(&body, &mapper->image, parts[part].lo, parts[part].hi, read_data,
                   mapper->probes->space)) {
    return fault_oom(fault);
  }
  const int index = (int)(set - mapper->probes->sets);
  bool ok = part > 0 || plan_entry(mapper, set, site, &body, parts, fault);
  if (ok && set->spec.returns && !body.whole) {
    ok = fault_set(fault, FAULT_UNSUPPORTED, "probe: the function at 0x%llx cannot be decoded",
                   (unsigned long long)parts[0].lo);
  }
  for (size_t i = 0; ok && set->spec.returns && i < body.count; i++) {
    Action action = {.set = index, .site = site};
    if (!leaves(&body.insns[i], parts, nparts, &action)) continue;
    ok = site_words(mapper, set, parts, nparts, &action, fault) &&
         plan_one(mapper, set, &body, i, &action, fault);
  }
  body_finish(&body);
  return ok;
}

static bool plan_function(Mapper *mapper, ProbeSet *set, uint32_t site, Fault *fault) {
  const ProbeFunction *function = &set->spec.functions[site];
  CodeRange parts[PROBE_PARTS];
  const int nparts = function->nparts > PROBE_PARTS ? PROBE_PARTS : function->nparts;
  for (int part = 0; part < nparts; part++) {
    if (!part_here(mapper->mapping, function, part, &parts[part])) return true;
  }
  if (!mapper->bytes && !read_image(mapper, mapper->mapping->start, mapper->mapping->end, fault)) {
    return false;
  }
  for (int part = 0; part < nparts; part++) {
    if (!plan_part(mapper, set, site, parts, nparts, part, fault)) return false;
  }
  return true;
}

bool probes_map(Probes *probes, Tracee *tracee, const ProbeMapping *mapping, Fault *fault) {
  Mapper mapper = {.probes = probes, .tracee = tracee, .mapping = mapping};
  bool ok = true;
  for (size_t i = 0; ok && i < probes->nsets; i++) {
    for (size_t k = 0; ok && k < probes->sets[i].spec.nfunctions; k++) {
      ok = plan_function(&mapper, &probes->sets[i], (uint32_t)k, fault);
    }
  }
  ok = ok && plan_commit(probes, tracee, fault);
  image_finish(&mapper.image);
  free(mapper.bytes);
  return ok;
}

void probes_unmap(Probes *probes, uint64_t start, uint64_t end) {
  size_t kept = 0;
  for (size_t i = 0; i < probes->npatches; i++) {
    Patch *patch = probes->patches[i];
    if (patch->start >= start && patch->start < end) {
      patch_free(patch);
    } else {
      probes->patches[kept++] = patch;
    }
  }
  probes->npatches = kept;
  for (size_t i = 0; i < probes->nwatches; i++) {
    Watch *watch = &probes->watches[i];
    if (watch->start < end && start < watch->end) watch->live = false;
  }
}

/* ---- moments and points */

/* The code around addr: what `range` says, or just the instruction. */
static bool plan_single(Probes *probes, Tracee *tracee, uint64_t addr, CodeRange range,
                        const Action *action, Fault *fault) {
  const bool known = range.lo <= addr && addr < range.hi;
  Mapper mapper = {.probes = probes, .tracee = tracee};
  Body body = {0};
  Patch *patch;
  const uint64_t start = known ? range.lo : addr, end = known ? range.hi : addr + INSN_LONGEST;
  bool ok =
      read_image(&mapper, start, end, fault) &&
      (body_create(&body, &mapper.image, start, end, read_data, probes->space) || fault_oom(fault));
  if (ok) {
    ptrdiff_t i = body_find(&body, addr);
    body.whole = body.whole && known;
    ok = i >= 0 && plan_action(probes, &body, (size_t)i, true, false, action, &patch, fault);
    if (!ok) {
      fault_set(fault, FAULT_UNSUPPORTED, "probe: the instruction at 0x%llx cannot be moved",
                (unsigned long long)addr);
    }
  }
  ok = ok && plan_commit(probes, tracee, fault);
  body_finish(&body);
  image_finish(&mapper.image);
  free(mapper.bytes);
  return ok;
}

bool probes_count(Probes *probes, Tracee *tracee, uint64_t addr, int32_t tid, uint64_t hits,
                  CodeRange body, Fault *fault) {
  Action action = {.kind = ACTION_COUNT, .at = addr, .tid = tid, .keep_flags = true};
  return memory_words(probes, tracee, 1, &action.low, fault) &&
         space_write(probes->space, (RemoteAddr){action.low}, &hits, sizeof hits, fault) &&
         plan_single(probes, tracee, addr, body, &action, fault);
}

/* As stub_point() wants them: registers by number, tid, flags as in ax, memory. */
static void point_words(const ProbePoint *point, uint64_t *out) {
  const struct user_regs_struct *regs = &point->regs;
  const uint64_t order[16] = {regs->rax, regs->rcx, regs->rdx, regs->rbx, regs->rsp, regs->rbp,
                              regs->rsi, regs->rdi, regs->r8,  regs->r9,  regs->r10, regs->r11,
                              regs->r12, regs->r13, regs->r14, regs->r15};
  memcpy(out, order, sizeof order);
  out[16] = (uint64_t)(int64_t)point->tid;
  out[17] = ((regs->eflags & 0xd5) | 2) << 8 | (regs->eflags >> 11 & 1);
  memcpy(out + 18, point->word, sizeof point->word);
}

bool probes_point(Probes *probes, Tracee *tracee, const ProbePoint *point, CodeRange body,
                  Fault *fault) {
  uint64_t words[18 + POINT_WORDS];
  Action action = {
      .kind = ACTION_POINT, .at = point->regs.rip, .tid = point->tid, .keep_flags = true};
  if (point->nwords < 0 || point->nwords > POINT_WORDS) {
    return fault_set(fault, FAULT_LIMIT, "probe: a point with %d words", point->nwords);
  }
  point_words(point, words);
  action.point = malloc(sizeof *point);
  if (!action.point) return fault_oom(fault);
  *action.point = *point;
  bool ok = memory_words(probes, tracee, countof(words), &action.low, fault) &&
            space_write(probes->space, (RemoteAddr){action.low}, words, sizeof words, fault) &&
            plan_single(probes, tracee, point->regs.rip, body, &action, fault);
  const Patch *patch = patch_at(probes, point->regs.rip);
  bool kept = false; /* by a patch, which frees it */
  for (size_t i = 0; patch && i < patch->nactions; i++)
    kept |= patch->actions[i].point == action.point;
  if (!kept) free(action.point);
  return ok;
}

static bool clear(Probes *probes, Tracee *tracee, uint64_t addr, ActionKind low, ActionKind high,
                  Fault *fault) {
  Patch *patch = patch_at(probes, addr);
  size_t kept = 0;
  if (!patch) return true;
  for (size_t i = 0; i < patch->nactions; i++) {
    Action *action = &patch->actions[i];
    if (action->at == addr && action->kind >= low && action->kind <= high) {
      free(action->point);
    } else {
      patch->actions[kept++] = *action;
    }
  }
  patch->nactions = kept;
  patch->dirty = true;
  return kept > 0 ? plan_commit(probes, tracee, fault) : patch_unplant(probes, patch, fault);
}

bool probes_clear(Probes *probes, Tracee *tracee, uint64_t addr, Fault *fault) {
  return clear(probes, tracee, addr, ACTION_COUNT, ACTION_POINT, fault);
}

/* ---- breaks and tallies */

bool probes_break(Probes *probes, Tracee *tracee, uint64_t addr, CodeRange body, Fault *fault) {
  const Action action = {.kind = ACTION_BREAK, .at = addr, .keep_flags = true};
  const Patch *patch = patch_at(probes, addr);
  for (size_t i = 0; patch && i < patch->nactions; i++) {
    if (patch->actions[i].kind == ACTION_BREAK && patch->actions[i].at == addr) return true;
  }
  return plan_single(probes, tracee, addr, body, &action, fault);
}

bool probes_unbreak(Probes *probes, Tracee *tracee, uint64_t addr, Fault *fault) {
  return clear(probes, tracee, addr, ACTION_BREAK, ACTION_BREAK, fault);
}

bool probes_tally(Probes *probes, Tracee *tracee, uint64_t addr, int32_t tid, CodeRange body,
                  Fault *fault) {
  Action action = {.kind = ACTION_TALLY, .at = addr, .tid = tid, .keep_flags = true};
  const uint64_t none = 0;
  return memory_words(probes, tracee, 1, &action.low, fault) &&
         space_write(probes->space, (RemoteAddr){action.low}, &none, sizeof none, fault) &&
         plan_single(probes, tracee, addr, body, &action, fault);
}

bool probes_tallied(const Probes *probes, uint64_t addr, uint64_t *out, Fault *fault) {
  const Patch *patch = patch_at(probes, addr);
  *out = 0;
  for (size_t i = 0; patch && i < patch->nactions; i++) {
    const Action *action = &patch->actions[i];
    if (action->kind != ACTION_TALLY || action->at != addr) continue;
    return space_read(probes->space, (RemoteAddr){action->low}, out, sizeof *out, fault);
  }
  return true;
}

bool probes_untally(Probes *probes, Tracee *tracee, uint64_t addr, Fault *fault) {
  return clear(probes, tracee, addr, ACTION_TALLY, ACTION_TALLY, fault);
}
