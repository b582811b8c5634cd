/*
** Running the instructions of .eh_frame up to an address: see cfi.h.
*/
#include <inttypes.h>

#include "replay/cfi_read.h"

enum { REMEMBERED = 16 };

typedef struct Machine {
  const Cfi *cfi;
  const CfiRange *range;
  CfiCommon common;
  CfiRow row, initial; /* initial: as the CIE leaves it */
  CfiRow remembered[REMEMBERED];
  int depth;
  uint64_t at, target; /* where the row begins; where it must not go beyond */
  bool done;
} Machine;

static bool refuse(const Machine *machine, Fault *fault, FaultCode code, const char *what,
                   unsigned op) {
  return fault_set(fault, code, "\"%s\": %s (%#x) in the entry at byte %" PRIu32 " of .eh_frame",
                   machine->cfi->elf->path, what, op, machine->range->entry);
}

/* Registers that nobody asks for have a rule that is thrown away. */
static CfiRule *rule_of(Machine *machine, uint64_t number, CfiRule *ignored) {
  return number < CFI_REGISTERS ? &machine->row.registers[number] : ignored;
}

static void advance(Machine *machine, uint64_t distance) {
  const uint64_t next = machine->at + distance * machine->common.code_align;
  if (next > machine->target || next < machine->at) {
    machine->row.hi = next < machine->range->hi && next > machine->at ? next : machine->range->hi;
    machine->done = true;
  } else {
    machine->at = machine->row.lo = next;
  }
}

static CfiRule read_expression(CfiHow how, Bytes *bytes) {
  const uint64_t size = bytes_uleb(bytes);
  const uint8_t *expression = bytes_take(bytes, size);
  return (CfiRule){.how = how, .expression = expression, .size = expression ? size : 0};
}

/* Multiplied without overflow: a hostile factor gives some number. */
static int64_t factored(const Machine *machine, uint64_t value) {
  return (int64_t)(value * (uint64_t)machine->common.data_align);
}

static bool remember(Machine *machine, Fault *fault) {
  if (machine->depth == REMEMBERED) {
    return refuse(machine, fault, FAULT_CORRUPT, "too much remembered", 0x0a);
  }
  machine->remembered[machine->depth++] = machine->row;
  return true;
}

static bool restore(Machine *machine, Fault *fault) {
  if (!machine->depth) return refuse(machine, fault, FAULT_CORRUPT, "nothing remembered", 0x0b);
  const uint64_t lo = machine->row.lo;
  machine->row = machine->remembered[--machine->depth];
  machine->row.lo = lo;
  return true;
}

static void set_cfa(Machine *machine, uint64_t number, int64_t offset) {
  machine->row.cfa = (CfiRule){.how = CFI_REGISTER, .value = (int64_t)number};
  machine->row.cfa_offset = offset;
}

/* Instructions about the CFA. False: it is another one. */
static bool about_cfa(Machine *machine, unsigned op, Bytes *bytes) {
  uint64_t number;
  switch (op) {
  case 0x0c: /* def_cfa */
    number = bytes_uleb(bytes);
    set_cfa(machine, number, (int64_t)bytes_uleb(bytes));
    return true;
  case 0x0d:
    machine->row.cfa.value = (int64_t)bytes_uleb(bytes);
    return true;
  case 0x0e:
    machine->row.cfa_offset = (int64_t)bytes_uleb(bytes);
    return true;
  case 0x0f:
    machine->row.cfa = read_expression(CFI_IS_EXPRESSION, bytes);
    return true;
  case 0x12: /* def_cfa_sf */
    number = bytes_uleb(bytes);
    set_cfa(machine, number, factored(machine, (uint64_t)bytes_sleb(bytes)));
    return true;
  case 0x13:
    machine->row.cfa_offset = factored(machine, (uint64_t)bytes_sleb(bytes));
    return true;
  default:
    return false;
  }
}

/* Instructions about one register. */
static bool about_register(Machine *machine, unsigned op, Bytes *bytes) {
  CfiRule ignored, *rule;
  if (op < 0x05 || op > 0x2f) return false;
  if (op == 0x0a || op == 0x0b || (op > 0x10 && op != 0x11 && op < 0x14)) return false;
  if (op > 0x16 && op != 0x2f) return false;
  const uint64_t number = bytes_uleb(bytes);
  rule = rule_of(machine, number, &ignored);
  switch (op) {
  case 0x05:
    *rule = (CfiRule){CFI_AT, factored(machine, bytes_uleb(bytes)), NULL, 0};
    break;
  case 0x06:
    *rule = number < CFI_REGISTERS ? machine->initial.registers[number] : ignored;
    break;
  case 0x07:
    *rule = (CfiRule){.how = CFI_UNDEFINED};
    break;
  case 0x08:
    *rule = (CfiRule){.how = CFI_SAME};
    break;
  case 0x09:
    *rule = (CfiRule){CFI_REGISTER, (int64_t)bytes_uleb(bytes), NULL, 0};
    break;
  case 0x10:
    *rule = read_expression(CFI_AT_EXPRESSION, bytes);
    break;
  case 0x11:
    *rule = (CfiRule){CFI_AT, factored(machine, (uint64_t)bytes_sleb(bytes)), NULL, 0};
    break;
  case 0x14:
    *rule = (CfiRule){CFI_IS, factored(machine, bytes_uleb(bytes)), NULL, 0};
    break;
  case 0x15:
    *rule = (CfiRule){CFI_IS, factored(machine, (uint64_t)bytes_sleb(bytes)), NULL, 0};
    break;
  case 0x16:
    *rule = read_expression(CFI_IS_EXPRESSION, bytes);
    break;
  case 0x2f:
    *rule = (CfiRule){CFI_AT, -factored(machine, bytes_uleb(bytes)), NULL, 0};
    break;
  default:
    return false;
  }
  return true;
}

static bool step(Machine *machine, Bytes *bytes, Fault *fault) {
  const unsigned op = (unsigned)bytes_number(bytes, 1), low = op & 0x3f;
  CfiRule ignored;
  switch (op & 0xc0) {
  case 0x40:
    advance(machine, low);
    return true;
  case 0x80:
    *rule_of(machine, low, &ignored) =
        (CfiRule){CFI_AT, factored(machine, bytes_uleb(bytes)), NULL, 0};
    return true;
  case 0xc0:
    if (low < CFI_REGISTERS) machine->row.registers[low] = machine->initial.registers[low];
    return true;
  default:
    break;
  }
  switch (op) {
  case 0x00:
    return true;
  case 0x02:
    advance(machine, bytes_number(bytes, 1));
    return true;
  case 0x03:
    advance(machine, bytes_number(bytes, 2));
    return true;
  case 0x04:
    advance(machine, bytes_number(bytes, 4));
    return true;
  case 0x0a:
    return remember(machine, fault);
  case 0x0b:
    return restore(machine, fault);
  case 0x2e:
    bytes_uleb(bytes);
    return true; /* bytes of arguments pushed: for exceptions */
  default:
    break;
  }
  return about_cfa(machine, op, bytes) || about_register(machine, op, bytes) ||
         refuse(machine, fault, FAULT_UNSUPPORTED, "an unknown instruction", op);
}

static bool run(Machine *machine, Bytes bytes, Fault *fault) {
  while (bytes.at < bytes.end && !machine->done) {
    if (!step(machine, &bytes, fault)) return false;
    if (bytes.bad) return refuse(machine, fault, FAULT_CORRUPT, "an instruction that is cut", 0);
  }
  return true;
}

static bool row_of(const Cfi *cfi, const CfiRange *range, uint64_t addr, CfiRow *out,
                   Fault *fault) {
  Machine machine;
  Bytes bytes;
  memset(&machine.row, 0, sizeof machine.row);
  machine.cfi = cfi;
  machine.range = range;
  machine.depth = 0;
  machine.done = false;
  machine.at = range->lo;
  machine.target = addr;
  if (!cfi_parse(cfi, range, &machine.common, &bytes, fault)) return false;
  machine.row.lo = range->lo;
  machine.row.hi = range->hi;
  machine.row.is_signal = range->is_signal;
  machine.initial = machine.row;
  if (!run(&machine, machine.common.instructions, fault)) return false;
  machine.initial = machine.row;
  if (!machine.done && !run(&machine, bytes, fault)) return false;
  *out = machine.row;
  return true;
}

bool cfi_row(const Cfi *cfi, uint64_t addr, CfiRow *out, Fault *fault) {
  const CfiRange *range = cfi_find(cfi, addr);
  if (!range) {
    return fault_set(fault, FAULT_NOTFOUND, "\"%s\": how to leave 0x%" PRIx64 " is not said",
                     cfi->elf->path, addr);
  }
  return row_of(cfi, range, addr, out, fault);
}

bool cfi_is_entry(const Cfi *cfi, const CfiRange *range) {
  CfiRow row;
  if (range->is_signal || !row_of(cfi, range, range->lo, &row, NULL)) return false;
  for (int i = 0; i < CFI_RIP; i++) {
    const CfiHow how = row.registers[i].how;
    if (how != CFI_UNSAID && how != CFI_SAME && how != CFI_UNDEFINED) return false;
  }
  const CfiRule *rip = &row.registers[CFI_RIP];
  return row.cfa.how == CFI_REGISTER && row.cfa.value == CFI_RSP && row.cfa_offset == 8 &&
         (rip->how == CFI_UNDEFINED || (rip->how == CFI_AT && rip->value == -8));
}
