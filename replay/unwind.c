/*
** Unwinding: see unwind.h.
*/
#define _GNU_SOURCE
#include "replay/unwind.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

typedef struct CodeMap {
  uint64_t start, end, bias;
  const Cfi *cfi;
} CodeMap;

enum { KEPT = 4096 };

struct Unwinder {
  CodeMap *maps; /* sorted, without overlaps */
  size_t count, capacity;
  bool may_guess, has_rows;
  UnwindRow rows[KEPT]; /* by a hash of the address */
};

enum {
  ROW_NONE,    /* not worked out */
  ROW_SIMPLE,  /* register + offset, and registers saved at distances */
  ROW_COMPLEX, /* to be worked out each time */
  ROW_OUTERMOST,
  ROW_NOWHERE, /* no code there */
  ROW_UNKNOWN, /* code without rules */
  ROW_BROKEN
};

#define NOT_SAVED INT32_MIN

/* Those that a callee keeps, in the order of UnwindRow.saved; the return address is the last. */
static const uint8_t kept[7] = {CFI_RBX, CFI_RBP, CFI_R12, CFI_R13, CFI_R14, CFI_R15, CFI_RIP};
static const uint32_t kept_mask =
    1u << CFI_RBX | 1u << CFI_RBP | 1u << CFI_R12 | 1u << CFI_R13 | 1u << CFI_R14 | 1u << CFI_R15;
static const uint32_t always = 1u << CFI_RSP | 1u << CFI_RIP;

/* ---- maps */

bool unwinder_create(Unwinder **out, Fault *fault) {
  Unwinder *unwinder = calloc(1, sizeof *unwinder);
  if (!unwinder) return fault_oom(fault);
  *out = unwinder;
  return true;
}

void unwinder_free(Unwinder *unwinder) {
  if (!unwinder) return;
  free(unwinder->maps);
  free(unwinder);
}

void unwinder_guess(Unwinder *unwinder, bool may_guess) { unwinder->may_guess = may_guess; }

/* Index of the first one that ends behind addr. */
static size_t first_behind(const Unwinder *unwinder, uint64_t addr) {
  size_t low = 0, high = unwinder->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (unwinder->maps[middle].end <= addr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

static const CodeMap *find_map(const Unwinder *unwinder, uint64_t addr) {
  const size_t i = first_behind(unwinder, addr);
  return i < unwinder->count && unwinder->maps[i].start <= addr ? &unwinder->maps[i] : NULL;
}

static bool insert(Unwinder *unwinder, size_t at, CodeMap map, Fault *fault) {
  if (!array_grow(unwinder->maps, unwinder->capacity, unwinder->count + 1)) {
    return fault_oom(fault);
  }
  memmove(unwinder->maps + at + 1, unwinder->maps + at,
          (unwinder->count - at) * sizeof *unwinder->maps);
  unwinder->maps[at] = map;
  unwinder->count++;
  return true;
}

bool unwinder_unmap(Unwinder *unwinder, uint64_t start, uint64_t end, Fault *fault) {
  if (unwinder->has_rows) memset(unwinder->rows, 0, sizeof unwinder->rows);
  unwinder->has_rows = false;
  size_t i = first_behind(unwinder, start);
  if (i < unwinder->count && unwinder->maps[i].start < start) { /* its first part stays */
    const CodeMap rest = unwinder->maps[i];
    if (rest.end > end) {
      CodeMap behind = rest;
      behind.start = end;
      if (!insert(unwinder, i + 1, behind, fault)) return false;
    }
    unwinder->maps[i++].end = start;
  }
  size_t gone = i;
  while (gone < unwinder->count && unwinder->maps[gone].end <= end) gone++;
  if (gone < unwinder->count && unwinder->maps[gone].start < end) unwinder->maps[gone].start = end;
  if (gone > i) {
    memmove(unwinder->maps + i, unwinder->maps + gone,
            (unwinder->count - gone) * sizeof *unwinder->maps);
    unwinder->count -= gone - i;
  }
  return true;
}

bool unwinder_map(Unwinder *unwinder, uint64_t start, uint64_t end, uint64_t bias, const Cfi *cfi,
                  Fault *fault) {
  if (start >= end) return true;
  if (!unwinder_unmap(unwinder, start, end, fault)) return false;
  return insert(unwinder, first_behind(unwinder, start), (CodeMap){start, end, bias, cfi}, fault);
}

/* ---- memory */

static inline bool fetch(const UnwindMemory *memory, uint64_t addr, uint64_t *out) {
  const uint64_t offset = addr - memory->at;
  if (offset < memory->size && memory->size - offset >= sizeof *out) {
    memcpy(out, memory->bytes + offset, sizeof *out);
    return true;
  }
  return memory->read && memory->read(memory->ctx, addr, out, sizeof *out);
}

/* For expressions, which load other sizes as well. */
static bool fetch_any(void *ctx, uint64_t addr, void *out, size_t size) {
  const UnwindMemory *memory = ctx;
  const uint64_t offset = addr - memory->at;
  if (offset < memory->size && memory->size - offset >= size) {
    memcpy(out, memory->bytes + offset, size);
    return true;
  }
  return memory->read && memory->read(memory->ctx, addr, out, size);
}

/* ---- rows */

static bool fits(int64_t value) { return value > INT32_MIN && value <= INT32_MAX; }

/* Only what is usual: registers that a callee keeps are at the CFA or as they were. */
static bool simplify(const CfiRow *from, UnwindRow *out) {
  uint32_t usual = 0;
  if (from->cfa.how != CFI_REGISTER || from->cfa.value >= CFI_RIP || !fits(from->cfa_offset)) {
    return false;
  }
  out->cfa_register = (uint8_t)from->cfa.value;
  out->cfa_offset = (int32_t)from->cfa_offset;
  for (int i = 0; i < 7; i++) {
    const CfiRule *rule = &from->registers[kept[i]];
    const bool is_same = rule->how == CFI_UNSAID || rule->how == CFI_SAME;
    if (rule->how != CFI_AT && !(is_same && kept[i] != CFI_RIP)) return false;
    if (rule->how == CFI_AT && !fits(rule->value)) return false;
    out->saved[i] = is_same ? NOT_SAVED : (int32_t)rule->value;
    usual |= 1u << kept[i];
  }
  for (int i = 0; i < CFI_REGISTERS; i++) {
    if (!(usual >> i & 1) && from->registers[i].how != CFI_UNSAID) return false;
  }
  return true;
}

static bool complex_row(const Unwinder *unwinder, uint64_t at, CfiRow *out, Fault *fault) {
  const CodeMap *map = find_map(unwinder, at);
  if (map && map->cfi) return cfi_row(map->cfi, at - map->bias, out, fault);
  return fault_set(fault, FAULT_NOTFOUND, "no rules");
}

static void work_out(const Unwinder *unwinder, uint64_t at, UnwindRow *out) {
  CfiRow row;
  Fault fault = {0};
  *out = (UnwindRow){.at = at};
  if (!find_map(unwinder, at)) {
    out->kind = ROW_NOWHERE;
  } else if (!complex_row(unwinder, at, &row, &fault)) {
    out->kind = fault.code == FAULT_NOTFOUND ? ROW_UNKNOWN : ROW_BROKEN;
  } else {
    out->is_signal = row.is_signal;
    out->kind = row.registers[CFI_RIP].how == CFI_UNDEFINED ? ROW_OUTERMOST
                : simplify(&row, out)                       ? ROW_SIMPLE
                                                            : ROW_COMPLEX;
  }
}

static const UnwindRow *row_of(Unwinder *unwinder, uint64_t at) {
  UnwindRow *row = &unwinder->rows[(at * 0x9e3779b97f4a7c15u) >> 52];
  if (row->at != at || row->kind == ROW_NONE) work_out(unwinder, at, row);
  unwinder->has_rows = true;
  return row;
}

/* ---- guesses, as rows */

/* A chain of frame pointers: rbp points at the caller's rbp, which lies higher, below a return
** address that is in code. */
static bool guess_chain(const Unwinder *unwinder, const UnwindMemory *memory, const Frame *frame,
                        UnwindRow *out) {
  const uint64_t rbp = frame->registers[CFI_RBP], rsp = frame->registers[CFI_RSP];
  uint64_t next, back;
  if (!(frame->known >> CFI_RBP & 1) || rbp < rsp || rbp % 8 || !fetch(memory, rbp, &next) ||
      !fetch(memory, rbp + 8, &back) || (next && next <= rbp) || !find_map(unwinder, back - 1)) {
    return false;
  }
  *out =
      (UnwindRow){.at = frame->at, .kind = ROW_SIMPLE, .cfa_register = CFI_RBP, .cfa_offset = 16};
  for (int i = 0; i < 7; i++) out->saved[i] = NOT_SAVED;
  out->saved[1] = -16;
  out->saved[6] = -8;
  return true;
}

/* A call to where no code is: only the return address was pushed. */
static bool guess_entry(const Unwinder *unwinder, const UnwindMemory *memory, const Frame *frame,
                        UnwindRow *out) {
  uint64_t back;
  if (frame->at != frame->pc || !fetch(memory, frame->registers[CFI_RSP], &back) ||
      !find_map(unwinder, back - 1)) {
    return false;
  }
  *out = (UnwindRow){.at = frame->at, .kind = ROW_SIMPLE, .cfa_register = CFI_RSP, .cfa_offset = 8};
  for (int i = 0; i < 7; i++) out->saved[i] = NOT_SAVED;
  out->saved[6] = -8;
  return true;
}

/* ---- frames */

static bool complex_cfa(const Unwinder *unwinder, const UnwindMemory *memory, const Frame *frame,
                        CfiRow *row, uint64_t *out) {
  const CfiContext context = {frame->registers, frame->known, fetch_any, (void *)(uintptr_t)memory};
  if (!complex_row(unwinder, frame->at, row, NULL)) return false;
  if (row->cfa.how != CFI_REGISTER) return cfi_evaluate(&row->cfa, &context, NULL, out);
  if (row->cfa.value < 0 || row->cfa.value >= CFI_RIP || !(frame->known >> row->cfa.value & 1)) {
    return false;
  }
  *out = frame->registers[row->cfa.value] + (uint64_t)row->cfa_offset;
  return true;
}

/* Finds the row and the CFA of a frame whose registers are known. */
static void enter(Unwinder *unwinder, const UnwindMemory *memory, Frame *frame) {
  CfiRow row;
  frame->row = *row_of(unwinder, frame->at);
  frame->cfa = 0;
  frame->guessed = false;
  frame->is_trampoline = frame->row.is_signal;
  frame->end = UNWIND_NOT;
  if (unwinder->may_guess) {
    if (frame->row.kind == ROW_NOWHERE) {
      frame->guessed = guess_entry(unwinder, memory, frame, &frame->row);
    } else if (frame->row.kind == ROW_UNKNOWN) {
      frame->guessed = guess_chain(unwinder, memory, frame, &frame->row);
    }
  }
  switch (frame->row.kind) {
  case ROW_SIMPLE:
    if (frame->known >> frame->row.cfa_register & 1) {
      frame->cfa =
          frame->registers[frame->row.cfa_register] + (uint64_t)(int64_t)frame->row.cfa_offset;
    } else {
      frame->end = UNWIND_NO_MEMORY; /* it was saved where nothing is known */
    }
    break;
  case ROW_COMPLEX:
    if (!complex_cfa(unwinder, memory, frame, &row, &frame->cfa)) frame->end = UNWIND_NO_MEMORY;
    break;
  case ROW_OUTERMOST:
    frame->end = UNWIND_OUTERMOST;
    break;
  case ROW_BROKEN:
    frame->end = UNWIND_BROKEN;
    break;
  default:
    frame->end = UNWIND_NO_RULES;
    break;
  }
}

void unwind_begin(Unwinder *unwinder, const UnwindMemory *memory,
                  const uint64_t registers[CFI_REGISTERS], uint32_t known, Frame *out) {
  memcpy(out->registers, registers, sizeof out->registers);
  out->known = known | always;
  out->pc = out->at = registers[CFI_RIP];
  enter(unwinder, memory, out);
}

/* The caller's registers, where they are said to be. The CFA is taken for rsp. */
static bool leave_complex(const Unwinder *unwinder, const UnwindMemory *memory, Frame *frame) {
  CfiRow row;
  uint64_t cfa, next[CFI_REGISTERS];
  uint32_t known = 0;
  const CfiContext context = {frame->registers, frame->known, fetch_any, (void *)(uintptr_t)memory};
  if (!complex_cfa(unwinder, memory, frame, &row, &cfa)) return false;
  for (unsigned i = 0; i < CFI_REGISTERS; i++) {
    const CfiRule *rule = &row.registers[i];
    uint64_t place = cfa + (uint64_t)rule->value;
    bool ok = false;
    switch (rule->how) {
    case CFI_UNSAID:
      next[i] = i == CFI_RSP ? cfa : frame->registers[i];
      ok = i == CFI_RSP || ((frame->known & kept_mask) >> i & 1);
      break;
    case CFI_SAME:
      next[i] = frame->registers[i];
      ok = frame->known >> i & 1;
      break;
    case CFI_AT:
      ok = fetch(memory, place, &next[i]);
      break;
    case CFI_IS:
      next[i] = place;
      ok = true;
      break;
    case CFI_REGISTER:
      ok = rule->value >= 0 && rule->value < CFI_REGISTERS && (frame->known >> rule->value & 1);
      if (ok) next[i] = frame->registers[rule->value];
      break;
    case CFI_AT_EXPRESSION:
      ok = cfi_evaluate(rule, &context, &cfa, &place) && fetch(memory, place, &next[i]);
      break;
    case CFI_IS_EXPRESSION:
      ok = cfi_evaluate(rule, &context, &cfa, &next[i]);
      break;
    default:
      break;
    }
    if (ok) known |= 1u << i;
    if (!ok) next[i] = 0;
  }
  memcpy(frame->registers, next, sizeof next);
  frame->known = known;
  return (known & always) == always;
}

static bool leave_simple(const UnwindMemory *memory, Frame *frame) {
  const UnwindRow *row = &frame->row;
  uint64_t *registers = frame->registers;
  uint32_t known = (frame->known & kept_mask) | always;
  if (!fetch(memory, frame->cfa + (uint64_t)(int64_t)row->saved[6], &registers[CFI_RIP])) {
    return false;
  }
  for (int i = 0; i < 6; i++) {
    if (row->saved[i] == NOT_SAVED) continue;
    const uint64_t place = frame->cfa + (uint64_t)(int64_t)row->saved[i];
    if (fetch(memory, place, &registers[kept[i]])) {
      known |= 1u << kept[i];
    } else {
      known &= ~(1u << kept[i]);
    }
  }
  registers[CFI_RSP] = frame->cfa;
  frame->known = known;
  return true;
}

bool unwind_step(Unwinder *unwinder, const UnwindMemory *memory, Frame *frame) {
  if (frame->end != UNWIND_NOT) return false;
  const uint64_t rsp = frame->registers[CFI_RSP];
  const bool was_interrupted = frame->is_trampoline;
  const Frame saved = *frame;
  const bool ok = frame->row.kind == ROW_SIMPLE ? leave_simple(memory, frame)
                                                : leave_complex(unwinder, memory, frame);
  /* Stacks grow down; only the handler of a signal may stand on another one. */
  const bool is_stuck = ok && !was_interrupted && frame->registers[CFI_RSP] <= rsp;
  if (!ok || is_stuck || !frame->registers[CFI_RIP]) {
    *frame = saved;
    frame->end = !ok ? UNWIND_NO_MEMORY : is_stuck ? UNWIND_BROKEN : UNWIND_OUTERMOST;
    return false;
  }
  frame->pc = frame->registers[CFI_RIP];
  frame->at = was_interrupted ? frame->pc : frame->pc - 1;
  enter(unwinder, memory, frame);
  return true;
}

size_t unwind_pcs(Unwinder *unwinder, const UnwindMemory *memory,
                  const uint64_t registers[CFI_REGISTERS], uint32_t known, uint64_t *pcs,
                  size_t most, UnwindEnd *out_end) {
  Frame frame;
  size_t count = 0;
  *out_end = UNWIND_NOT;
  if (!most) return 0;
  unwind_begin(unwinder, memory, registers, known, &frame);
  do {
    pcs[count++] = frame.at;
  } while (count < most && unwind_step(unwinder, memory, &frame));
  *out_end = frame.end;
  return count;
}

void unwind_registers(const struct user_regs_struct *regs, uint64_t out[CFI_REGISTERS]) {
  const uint64_t values[CFI_REGISTERS] = {regs->rax, regs->rdx, regs->rcx, regs->rbx, regs->rsi,
                                          regs->rdi, regs->rbp, regs->rsp, regs->r8,  regs->r9,
                                          regs->r10, regs->r11, regs->r12, regs->r13, regs->r14,
                                          regs->r15, regs->rip};
  memcpy(out, values, sizeof values);
}

const char *unwind_end_text(UnwindEnd end) {
  static const char *const texts[] = {"more frames follow", "complete",
                                      "no rules for the code there", "memory that is not known",
                                      "rules that make no sense"};
  return texts[end];
}
