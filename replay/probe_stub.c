#include "replay/probe_stub.h"

#include <stddef.h>

enum {
  AT_EV = offsetof(ProbeWords, ev),
  AT_TID = offsetof(ProbeWords, tid),
  AT_R11 = offsetof(ProbeWords, saved),
  AT_RCX = AT_R11 + 8,
  AT_RAX = AT_R11 + 16,
  AT_FLAGS = AT_R11 + 24
};

static const uint8_t column_reg[ROW_COLUMNS] = {
    [ROW_A0] = GP_RDI,  [ROW_A1] = GP_RSI,  [ROW_A2] = GP_RDX,  [ROW_A3] = GP_RCX,
    [ROW_A4] = GP_R8,   [ROW_A5] = GP_R9,   [ROW_RAX] = GP_RAX, [ROW_RBX] = GP_RBX,
    [ROW_RBP] = GP_RBP, [ROW_R10] = GP_R10, [ROW_R12] = GP_R12, [ROW_R13] = GP_R13,
    [ROW_R14] = GP_R14, [ROW_R15] = GP_R15, [ROW_RSP] = GP_RSP};

static void save_flags(Asm *code, uint64_t words) {
  asm_store_low(code, GP_RAX, words + AT_RAX);
  asm_flags_to_ax(code);
  asm_store_low(code, GP_RAX, words + AT_FLAGS);
  asm_load_low(code, GP_RAX, words + AT_RAX);
}

static void restore_flags(Asm *code, uint64_t words) {
  asm_load_low(code, GP_RAX, words + AT_FLAGS);
  asm_flags_from_ax(code);
  asm_load_low(code, GP_RAX, words + AT_RAX);
}

/* ++hits, from 1 when an event came between. Without flags: rcx = ev - last. */
static void count_hit(Asm *code, uint64_t words, uint64_t low) {
  asm_store_low(code, GP_RCX, words + AT_RCX);
  asm_load_low(code, GP_R11, words + AT_EV);
  asm_load_low(code, GP_RCX, low);
  asm_not(code, GP_RCX);
  asm_lea_sum(code, GP_RCX, GP_R11, GP_RCX, 1);
  size_t same = asm_near_rcx_zero(code);
  asm_store_low(code, GP_R11, low);
  asm_constant(code, GP_RCX, 0);
  size_t fresh = asm_near_jump(code);
  asm_near_land(code, same);
  asm_load_low(code, GP_RCX, low + 8);
  asm_near_land(code, fresh);
  asm_lea(code, GP_RCX, GP_RCX, 1);
  asm_store_low(code, GP_RCX, low + 8);
  asm_load_low(code, GP_RCX, words + AT_RCX);
}

static Cond condition(ProbeOp op, bool is_unsigned) {
  static const uint8_t plain[] = {COND_E, COND_NE, COND_L, COND_LE, COND_G, COND_GE};
  static const uint8_t high[] = {COND_E, COND_NE, COND_B, COND_BE, COND_A, COND_AE};
  return (Cond)(is_unsigned ? high[op] : plain[op]);
}

/* Goes to `fails` unless the test holds. r11 is free. */
static void test_column(Asm *code, uint64_t words, const ProbeTest *test, const uint64_t *values,
                        AsmLabel *fails) {
  Reg reg = (Reg)column_reg[test->column];
  if (test->column == ROW_CALLER) {
    reg = GP_R11;
    asm_load(code, GP_R11, GP_RSP, 0);
  } else if (test->column == ROW_TID) {
    reg = GP_R11;
    asm_load_low(code, GP_R11, words + AT_TID);
  }
  const Cond cond = condition(test->op, test->is_unsigned);
  AsmLabel holds = {0};
  for (int i = 0; i < test->nvalues; i++) {
    if (asm_fits(test->values[i])) {
      asm_compare_imm(code, reg, (int32_t)test->values[i]);
    } else {
      asm_compare(code, reg, values[i]);
    }
    if (i < test->nvalues - 1) asm_branch_label(code, cond, &holds);
  }
  if (test->nvalues > 0) {
    asm_branch_label(code, (Cond)(cond ^ 1), fails);
  } else {
    asm_jump_label(code, fails);
  }
  asm_land(code, &holds);
}

static int32_t place_of(const RowLayout *layout, int column) { return layout->word[column] * 8; }

/* The words that come from memory go through rcx. */
static void write_loaded(Asm *code, uint64_t words, const RowLayout *layout, const Action *action) {
  const bool entry = action->kind == ACTION_ENTRY;
  if (layout->word[ROW_EV]) {
    asm_load_low(code, GP_RCX, words + AT_EV);
    asm_store(code, GP_RCX, GP_R11, place_of(layout, ROW_EV));
  }
  if (layout->word[ROW_TID]) {
    asm_load_low(code, GP_RCX, words + AT_TID);
    asm_store(code, GP_RCX, GP_R11, place_of(layout, ROW_TID));
  }
  if (layout->word[ROW_HIT]) {
    asm_load_low(code, GP_RCX, action->low + 8);
    asm_store(code, GP_RCX, GP_R11, place_of(layout, ROW_HIT));
  }
  if (entry && layout->word[ROW_CALLER]) {
    asm_load(code, GP_RCX, GP_RSP, 0);
    asm_store(code, GP_RCX, GP_R11, place_of(layout, ROW_CALLER));
  }
  if (entry && layout->word[ROW_R11]) {
    asm_load_low(code, GP_RCX, words + AT_R11);
    asm_store(code, GP_RCX, GP_R11, place_of(layout, ROW_R11));
  }
}

/* Stores fault at the end of the mapping, and are made again there; so the last thing is to move
** the cursor. The very last word of a row is stored last, which a limit relies on. */
static void write_row(Asm *code, uint64_t words, const StubRows *rows, const Action *action) {
  const RowLayout *layout = &rows->layout;
  const RowKind kind = action->kind == ACTION_ENTRY    ? ROW_ENTRY
                       : action->kind == ACTION_RETURN ? ROW_RETURN
                                                       : ROW_TAIL;
  const int last = kind == ROW_ENTRY ? ROW_COLUMNS : ROW_COMMON;
  asm_load_low(code, GP_R11, rows->cursor);
  asm_store_imm(code, (int32_t)(action->site << 2 | kind), GP_R11, 0);
  for (int column = 0; column < last; column++) {
    if (layout->word[column] && (column_reg[column] || column == ROW_RAX)) {
      asm_store(code, (Reg)column_reg[column], GP_R11, place_of(layout, column));
    }
  }
  if (kind == ROW_RETURN) asm_store(code, GP_RAX, GP_R11, place_of(layout, ROW_RET));
  const uint64_t loaded =
      1u << ROW_EV | 1u << ROW_TID | 1u << ROW_HIT | 1u << ROW_CALLER | 1u << ROW_R11;
  if (layout->columns & loaded) {
    asm_store_low(code, GP_RCX, words + AT_RCX);
    write_loaded(code, words, layout, action);
    asm_load_low(code, GP_RCX, words + AT_RCX);
  }
  asm_lea(code, GP_R11, GP_R11, (int32_t)layout->words * 8);
  asm_store_low(code, GP_R11, rows->cursor);
}

/* Goes to `within` when the register leads into a part of the function. */
static void test_parts(Asm *code, const Action *action, AsmLabel *within) {
  for (int i = 0; i < action->nparts; i++) {
    AsmLabel below = {0};
    asm_compare(code, (Reg)action->reg, action->parts + 16u * (unsigned)i);
    asm_branch_label(code, COND_B, &below);
    asm_compare(code, (Reg)action->reg, action->parts + 16u * (unsigned)i + 8);
    asm_branch_label(code, COND_B, within);
    asm_land(code, &below);
  }
}

void stub_rows(Asm *code, uint64_t words, const StubRows *rows, const Action *action) {
  const ProbeSpec *spec = rows->spec;
  const int ntests = action->kind == ACTION_ENTRY ? spec->ntests : 0;
  const bool keep = (ntests > 0 && action->keep_flags) || action->nparts > 0;
  AsmLabel fails = {0};
  asm_store_low(code, GP_R11, words + AT_R11);
  if (rows->layout.word[ROW_HIT]) count_hit(code, words, action->low);
  if (rows->layout.word[ROW_HIT] && action->nparts > 0) asm_load_low(code, GP_R11, words + AT_R11);
  if (keep) save_flags(code, words);
  test_parts(code, action, &fails);
  for (int i = 0; i < ntests; i++) {
    test_column(code, words, &spec->tests[i], rows->values[i], &fails);
  }
  write_row(code, words, rows, action);
  asm_land(code, &fails);
  if (keep) restore_flags(code, words);
  asm_load_low(code, GP_R11, words + AT_R11);
}

StubPlaces stub_count(Asm *code, uint64_t words, const Action *action) {
  StubPlaces places = {0};
  asm_store_low(code, GP_RCX, words + AT_RCX);
  asm_load_low(code, GP_RCX, words + AT_TID);
  asm_lea(code, GP_RCX, GP_RCX, -action->tid);
  size_t mine = asm_near_rcx_zero(code);
  size_t other = asm_near_jump(code);
  asm_near_land(code, mine);
  asm_load_low(code, GP_RCX, action->low);
  asm_lea(code, GP_RCX, GP_RCX, -1);
  asm_store_low(code, GP_RCX, action->low);
  size_t reached = asm_near_rcx_zero(code);
  asm_near_land(code, other);
  asm_load_low(code, GP_RCX, words + AT_RCX);
  size_t out = asm_near_jump(code);
  asm_near_land(code, reached);
  asm_load_low(code, GP_RCX, words + AT_RCX);
  asm_byte(code, 0xcc);
  places.stop = (uint32_t)code->size;
  asm_near_land(code, out);
  return places;
}

void stub_tally(Asm *code, uint64_t words, const Action *action) {
  asm_store_low(code, GP_RCX, words + AT_RCX);
  asm_load_low(code, GP_RCX, words + AT_TID);
  asm_lea(code, GP_RCX, GP_RCX, -action->tid);
  size_t mine = asm_near_rcx_zero(code);
  size_t other = asm_near_jump(code);
  asm_near_land(code, mine);
  asm_load_low(code, GP_RCX, action->low);
  asm_lea(code, GP_RCX, GP_RCX, 1);
  asm_store_low(code, GP_RCX, action->low);
  asm_near_land(code, other);
  asm_load_low(code, GP_RCX, words + AT_RCX);
}

/* rax holds the flags from the second instruction to the last but one; its own value is in memory.
** What tells most comes first. */
StubPlaces stub_point(Asm *code, uint64_t words, const Action *action) {
  static const uint8_t order[] = {GP_RCX, GP_RDX, GP_RSI, GP_RDI, GP_RBX, GP_R8,  GP_R9, GP_R10,
                                  GP_R11, GP_R12, GP_R13, GP_R14, GP_R15, GP_RBP, GP_RSP};
  const ProbePoint *point = action->point;
  StubPlaces places = {0};
  AsmLabel differs = {0};
  asm_store_low(code, GP_RAX, words + AT_RAX);
  asm_flags_to_ax(code);
  asm_store_low(code, GP_RAX, words + AT_FLAGS);
  asm_load_low(code, GP_RAX, words + AT_RAX);
  asm_compare(code, GP_RAX, action->low + 8 * GP_RAX);
  asm_branch_label(code, COND_NE, &differs);
  for (size_t i = 0; i < sizeof order; i++) {
    asm_compare(code, (Reg)order[i], action->low + 8u * order[i]);
    asm_branch_label(code, COND_NE, &differs);
  }
  asm_load_low(code, GP_RAX, words + AT_TID);
  asm_compare(code, GP_RAX, action->low + 8 * 16);
  asm_branch_label(code, COND_NE, &differs);
  for (int i = 0; i < point->nwords; i++) {
    asm_constant(code, GP_RAX, point->addr[i]);
    asm_load(code, GP_RAX, GP_RAX, 0);
    asm_compare(code, GP_RAX, action->low + 8u * (18u + (unsigned)i));
    asm_branch_label(code, COND_NE, &differs);
  }
  /* The flags: ah without bit 1, which is always set, and al 0 or 1. */
  asm_load_low(code, GP_RAX, words + AT_FLAGS);
  asm_bytes(code, "\x66\x3b\x04\x25", 4); /* cmp ax, [address] */
  asm_u32(code, (uint32_t)(action->low + 8 * 17));
  asm_branch_label(code, COND_NE, &differs);
  restore_flags(code, words);
  asm_byte(code, 0xcc);
  places.stop = (uint32_t)code->size;
  size_t over = asm_near_jump(code);
  asm_land(code, &differs);
  places.otherwise = (uint32_t)code->size;
  restore_flags(code, words);
  asm_near_land(code, over);
  return places;
}
