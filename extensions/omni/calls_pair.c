/*
** Which return belongs to which entry: by the stack pointer, which is the same at both. Calls that
** were left by longjmp() or an exception have none; a call that ended in a jump to another function
** returns what that one does.
*/
#include <stdlib.h>

#include "base/array.h"
#include "extensions/omni/answer.h"

typedef struct Open { /* a call that has not returned */
  uint64_t rsp;
  uint32_t row;
  bool is_tail; /* it has jumped to another function */
} Open;

typedef struct Stack { /* of a thread */
  uint64_t tid;
  Open *list;
  size_t count, capacity;
} Stack;

typedef struct Stacks {
  Stack *list;
  size_t count, capacity, last;
} Stacks;

static Stack *stack_of(Stacks *stacks, uint64_t tid) {
  if (stacks->last < stacks->count && stacks->list[stacks->last].tid == tid) {
    return &stacks->list[stacks->last];
  }
  for (size_t i = 0; i < stacks->count; i++) {
    if (stacks->list[i].tid != tid) continue;
    stacks->last = i;
    return &stacks->list[i];
  }
  if (!array_grow(stacks->list, stacks->capacity, stacks->count + 1)) return NULL;
  stacks->last = stacks->count;
  stacks->list[stacks->count] = (Stack){.tid = tid};
  return &stacks->list[stacks->count++];
}

/* The stack has been unwound to rsp: what is below has ended without a return. */
static void drop_below(Stack *stack, uint64_t rsp) {
  while (stack->count && stack->list[stack->count - 1].rsp < rsp) stack->count--;
}

static bool enter(Stack *stack, uint64_t rsp, uint32_t row) {
  drop_below(stack, rsp);
  while (stack->count && stack->list[stack->count - 1].rsp == rsp &&
         !stack->list[stack->count - 1].is_tail) {
    stack->count--;
  }
  if (!array_grow(stack->list, stack->capacity, stack->count + 1)) return false;
  stack->list[stack->count++] = (Open){.rsp = rsp, .row = row};
  return true;
}

static void leave(Stack *stack, uint64_t rsp, uint32_t row, uint32_t *returned) {
  drop_below(stack, rsp);
  while (stack->count && stack->list[stack->count - 1].rsp == rsp) {
    returned[stack->list[--stack->count].row] = row;
  }
}

static void jump(Stack *stack, uint64_t rsp) {
  drop_below(stack, rsp);
  if (stack->count && stack->list[stack->count - 1].rsp == rsp) {
    stack->list[stack->count - 1].is_tail = true;
  }
}

/* The i-th row of a block. */
static bool pair_row(CallsAnswer *answer, Stacks *stacks, const PackedBlock *block, uint64_t i,
                     Fault *fault) {
  const uint8_t *word = answer->rows.layout.word;
  const uint64_t rsp = packed_get(&block->words[word[ROW_RSP]], i);
  const uint32_t row = (uint32_t)(block->first + i);
  Stack *stack = stack_of(stacks, packed_get(&block->words[word[ROW_TID]], i));
  answer->returned[row] = NO_ROW;
  if (!stack) return fault_oom(fault);
  switch (row_kind(packed_get(&block->words[0], i))) {
  case ROW_ENTRY:
    return enter(stack, rsp, row) || fault_oom(fault);
  case ROW_RETURN:
    leave(stack, rsp, row, answer->returned);
    return true;
  case ROW_TAIL:
    jump(stack, rsp);
    return true;
  default:
    return fault_set(fault, FAULT_CORRUPT, "a row of an unknown kind");
  }
}

static bool pair(CallsAnswer *answer, Stacks *stacks, VtPoll *poll, Fault *fault) {
  PackedBlock block = {0};
  for (uint64_t at = 0; at < answer->rows.rows; at = block.end) {
    if (!packed_seek(&answer->rows, at, &block, fault)) return false;
    if (vt_poll(poll) != SQLITE_OK) return fault_set(fault, FAULT_INTERRUPT, "interrupted");
    for (uint64_t i = 0; i < block.end - block.first; i++) {
      if (!pair_row(answer, stacks, &block, i, fault)) return false;
    }
  }
  return true;
}

bool answer_pair(CallsAnswer *answer, VtPoll *poll, Fault *fault) {
  if (answer->rows.rows >= NO_ROW) {
    return fault_set(fault, FAULT_LIMIT, "%llu rows are too many to find their returns; narrow ev",
                     (unsigned long long)answer->rows.rows);
  }
  Stacks stacks = {0};
  answer->returned = malloc((answer->rows.rows + 1) * sizeof *answer->returned);
  bool ok = answer->returned ? pair(answer, &stacks, poll, fault) : fault_oom(fault);
  for (size_t i = 0; i < stacks.count; i++) free(stacks.list[i].list);
  free(stacks.list);
  return ok;
}
