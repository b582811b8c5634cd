/*
** DWARF's expressions, as far as they tell where a caller's registers are: see cfi.h.
*/
#include "replay/cfi_read.h"

enum { STACK = 32, STEPS = 1000 };

typedef struct Machine {
  const CfiContext *context;
  Bytes bytes;
  const uint8_t *start;
  uint64_t stack[STACK];
  int depth;
  bool bad;
} Machine;

static void push(Machine *machine, uint64_t value) {
  if (machine->depth == STACK) {
    machine->bad = true;
  } else {
    machine->stack[machine->depth++] = value;
  }
}

static uint64_t pop(Machine *machine) {
  if (machine->depth) return machine->stack[--machine->depth];
  machine->bad = true;
  return 0;
}

static void pick(Machine *machine, uint64_t below) {
  if (below >= (uint64_t)machine->depth) {
    machine->bad = true;
  } else {
    push(machine, machine->stack[machine->depth - 1 - (int)below]);
  }
}

static void push_register(Machine *machine, uint64_t number, int64_t offset) {
  const CfiContext *context = machine->context;
  if (number >= CFI_REGISTERS || !(context->known >> number & 1)) {
    machine->bad = true;
  } else {
    push(machine, context->registers[number] + (uint64_t)offset);
  }
}

static void load(Machine *machine, uint64_t size) {
  uint64_t value = 0;
  const uint64_t addr = pop(machine);
  if (machine->bad || !size || size > sizeof value ||
      !machine->context->read(machine->context->ctx, addr, &value, size)) {
    machine->bad = true;
  } else {
    push(machine, value);
  }
}

static void jump(Machine *machine, int64_t distance) {
  const int64_t at = machine->bytes.at - machine->start + distance;
  if (at < 0 || at > machine->bytes.end - machine->start) {
    machine->bad = true;
  } else {
    machine->bytes.at = machine->start + at;
  }
}

/* Two numbers to one. False: it is another instruction. */
static bool combine(Machine *machine, unsigned op) {
  if (op < 0x1a || op > 0x2e || op == 0x1f || op == 0x20 || op == 0x23 || op == 0x28) return false;
  const uint64_t b = pop(machine), a = pop(machine);
  const int64_t x = (int64_t)a, y = (int64_t)b;
  uint64_t value;
  switch (op) {
  case 0x1a:
    value = a & b;
    break;
  case 0x1b:
    machine->bad |= !y;
    value = y == -1 ? 0 - a : y ? (uint64_t)(x / y) : 0;
    break;
  case 0x1c:
    value = a - b;
    break;
  case 0x1d:
    machine->bad |= !b;
    value = b ? a % b : 0;
    break;
  case 0x1e:
    value = a * b;
    break;
  case 0x21:
    value = a | b;
    break;
  case 0x22:
    value = a + b;
    break;
  case 0x24:
    value = b < 64 ? a << b : 0;
    break;
  case 0x25:
    value = b < 64 ? a >> b : 0;
    break;
  case 0x26:
    value = (uint64_t)(x >> (b < 64 ? b : 63));
    break;
  case 0x27:
    value = a ^ b;
    break;
  case 0x29:
    value = a == b;
    break;
  case 0x2a:
    value = x >= y;
    break;
  case 0x2b:
    value = x > y;
    break;
  case 0x2c:
    value = x <= y;
    break;
  case 0x2d:
    value = x < y;
    break;
  default:
    value = a != b;
    break;
  }
  push(machine, value);
  return true;
}

static void swap_or_rotate(Machine *machine, unsigned op) {
  const uint64_t top = pop(machine), second = pop(machine);
  if (op == 0x16) {
    push(machine, top);
    push(machine, second);
  } else {
    const uint64_t third = pop(machine);
    push(machine, top);
    push(machine, third);
    push(machine, second);
  }
}

/* Constants. */
static bool constant(Machine *machine, unsigned op) {
  Bytes *bytes = &machine->bytes;
  if (op >= 0x30 && op <= 0x4f) {
    push(machine, op - 0x30);
  } else if (op == 0x03) {
    push(machine, bytes_number(bytes, 8));
  } else if (op >= 0x08 && op <= 0x0f) {
    const unsigned size = 1u << (op - 0x08) / 2;
    const uint64_t value = bytes_number(bytes, size);
    push(machine, op & 1 ? (uint64_t)bytes_signed(value, 8 * size) : value);
  } else if (op == 0x10) {
    push(machine, bytes_uleb(bytes));
  } else if (op == 0x11) {
    push(machine, (uint64_t)bytes_sleb(bytes));
  } else {
    return false;
  }
  return true;
}

static void step(Machine *machine) {
  Bytes *bytes = &machine->bytes;
  const unsigned op = (unsigned)bytes_number(bytes, 1);
  uint64_t value;
  int64_t distance;
  if (constant(machine, op) || combine(machine, op)) return;
  if (op >= 0x70 && op <= 0x8f) {
    push_register(machine, op - 0x70, bytes_sleb(bytes));
    return;
  }
  switch (op) {
  case 0x06:
    load(machine, 8);
    break;
  case 0x12:
    pick(machine, 0);
    break;
  case 0x13:
    pop(machine);
    break;
  case 0x14:
    pick(machine, 1);
    break;
  case 0x15:
    pick(machine, bytes_number(bytes, 1));
    break;
  case 0x16:
  case 0x17:
    swap_or_rotate(machine, op);
    break;
  case 0x19:
    value = pop(machine);
    push(machine, (int64_t)value < 0 ? 0 - value : value);
    break;
  case 0x1f:
    push(machine, 0 - pop(machine));
    break;
  case 0x20:
    push(machine, ~pop(machine));
    break;
  case 0x23:
    value = bytes_uleb(bytes);
    push(machine, pop(machine) + value);
    break;
  case 0x28:
    distance = bytes_signed(bytes_number(bytes, 2), 16);
    if (pop(machine)) jump(machine, distance);
    break;
  case 0x2f:
    jump(machine, bytes_signed(bytes_number(bytes, 2), 16));
    break;
  case 0x92:
    value = bytes_uleb(bytes);
    push_register(machine, value, bytes_sleb(bytes));
    break;
  case 0x94:
    load(machine, bytes_number(bytes, 1));
    break;
  case 0x96:
    break; /* nop */
  default:
    machine->bad = true;
    break;
  }
}

bool cfi_evaluate(const CfiRule *rule, const CfiContext *context, const uint64_t *first,
                  uint64_t *out) {
  if (!rule->expression) return false;
  Machine machine = {.context = context,
                     .bytes = {rule->expression, rule->expression + rule->size, false},
                     .start = rule->expression};
  if (first) push(&machine, *first);
  for (int steps = 0; machine.bytes.at < machine.bytes.end; steps++) {
    if (steps == STEPS) return false;
    step(&machine);
    if (machine.bad || machine.bytes.bad) return false;
  }
  if (!machine.depth) return false;
  *out = pop(&machine);
  return true;
}
