/*
** Lines: every line table's program run once, its sequences put in the order of addresses.
*/
#include <stdlib.h>

#include "replay/dwarf_lines.h"

typedef struct Row {
  uint64_t addr;
  uint32_t file, line;
  uint16_t column;
  bool is_stmt, prologue_end;
} Row;

/* Rows of ascending addresses; the last only says where the code ends. */
typedef struct Sequence {
  const LineTable *table;
  uint64_t lo, hi;
  size_t first, count; /* rows, without the last */
  size_t before;       /* rows of the sequences before */
} Sequence;

typedef struct DwarfLines {
  Row *rows;
  size_t nrows, rows_capacity;
  Sequence *sequences;
  size_t nsequences, sequences_capacity;
  size_t total;
} DwarfLines;

typedef struct Machine {
  DwarfLines *lines;
  const LineTable *table;
  Bytes in;
  Row row;
  size_t first; /* row of the sequence */
  bool sorted, oom;
} Machine;

static void begin(Machine *machine) {
  machine->row = (Row){.file = 1, .line = 1, .is_stmt = machine->table->is_stmt};
  machine->first = machine->lines->nrows;
  machine->sorted = true;
}

static void emit(Machine *machine) {
  DwarfLines *lines = machine->lines;
  if (!array_extend(lines->rows, lines->rows_capacity, lines->nrows + 1)) {
    machine->oom = true;
    return;
  }
  if (lines->nrows > machine->first && lines->rows[lines->nrows - 1].addr > machine->row.addr)
    machine->sorted = false;
  lines->rows[lines->nrows++] = machine->row;
  machine->row.prologue_end = false;
}

/* What the linker threw away begins at 0. */
static void end_sequence(Machine *machine) {
  DwarfLines *lines = machine->lines;
  emit(machine);
  if (machine->oom) return;
  size_t count = lines->nrows - machine->first - 1;
  uint64_t lo = lines->rows[machine->first].addr, hi = machine->row.addr;
  if (!machine->sorted || !lo || lo >= hi) {
    lines->nrows = machine->first;
  } else if (array_grow(lines->sequences, lines->sequences_capacity, lines->nsequences + 1)) {
    lines->sequences[lines->nsequences++] =
        (Sequence){machine->table, lo, hi, machine->first, count, 0};
  } else {
    machine->oom = true;
  }
  begin(machine);
}

static void run_extended(Machine *machine) {
  Bytes *in = &machine->in;
  uint64_t length = bytes_uleb(in);
  if (in->bad || !length || length > bytes_left(in)) {
    in->bad = true;
    return;
  }
  const uint8_t *next = in->at + length;
  switch (bytes_u8(in)) {
  case DW_LNE_end_sequence:
    end_sequence(machine);
    break;
  case DW_LNE_set_address:
    machine->row.addr = bytes_number(in, machine->table->address_size);
    break;
  default:
    break;
  }
  in->at = next;
}

static void advance(Machine *machine, uint64_t count) {
  machine->row.addr += count * machine->table->least;
}

static void run_standard(Machine *machine, uint8_t opcode) {
  Bytes *in = &machine->in;
  const LineTable *table = machine->table;
  switch (opcode) {
  case DW_LNS_copy:
    emit(machine);
    break;
  case DW_LNS_advance_pc:
    advance(machine, bytes_uleb(in));
    break;
  case DW_LNS_advance_line:
    machine->row.line += (uint32_t)bytes_sleb(in);
    break;
  case DW_LNS_set_file:
    machine->row.file = (uint32_t)bytes_uleb(in);
    break;
  case DW_LNS_set_column:
    machine->row.column = (uint16_t)bytes_uleb(in);
    break;
  case DW_LNS_negate_stmt:
    machine->row.is_stmt = !machine->row.is_stmt;
    break;
  case DW_LNS_set_basic_block:
    break;
  case DW_LNS_const_add_pc:
    advance(machine, (255u - table->opcode_base) / table->line_range);
    break;
  case DW_LNS_fixed_advance_pc:
    machine->row.addr += bytes_u16(in);
    break;
  case DW_LNS_set_prologue_end:
    machine->row.prologue_end = true;
    break;
  case DW_LNS_set_epilogue_begin:
    break;
  case DW_LNS_set_isa:
    bytes_uleb(in);
    break;
  default:
    for (uint8_t i = 0; i < table->lengths[opcode - 1]; i++) bytes_uleb(in);
  }
}

static void run_special(Machine *machine, uint8_t opcode) {
  unsigned steps = (unsigned)opcode - machine->table->opcode_base;
  advance(machine, steps / machine->table->line_range);
  machine->row.line +=
      (uint32_t)(machine->table->line_base + (int)(steps % machine->table->line_range));
  emit(machine);
}

static bool run(DwarfLines *lines, const LineTable *table) {
  Machine machine = {.lines = lines, .table = table, .in = bytes_from(table->program, 0)};
  begin(&machine);
  while (!machine.in.bad && machine.in.at < machine.in.end && !machine.oom) {
    uint8_t opcode = bytes_u8(&machine.in);
    if (opcode >= table->opcode_base)
      run_special(&machine, opcode);
    else if (opcode)
      run_standard(&machine, opcode);
    else
      run_extended(&machine);
  }
  if (!machine.oom) lines->nrows = machine.first; /* a sequence without an end */
  return !machine.oom;
}

static int by_address(const void *a, const void *b) {
  const Sequence *x = a, *y = b;
  if (x->lo != y->lo) return x->lo < y->lo ? -1 : 1;
  return (x->first > y->first) - (x->first < y->first);
}

static bool make(Dwarf *dwarf, DwarfLines *lines) {
  for (size_t i = 0; i < dwarf->nunits; i++) dwarf_line_table(&dwarf->units[i]);
  size_t work =
      2 * (dwarf->own.sections[SECTION_LINE].size + dwarf->common.sections[SECTION_LINE].size);
  for (const LineTable *table = dwarf->tables; table; table = table->next) {
    /* Programs that overlap, which no compiler makes, are run no more than twice. */
    if (table->program.size > work) continue;
    work -= table->program.size;
    if (!run(lines, table)) return false;
  }
  if (lines->nsequences)
    qsort(lines->sequences, lines->nsequences, sizeof *lines->sequences, by_address);
  for (size_t i = 0; i < lines->nsequences; i++) {
    lines->sequences[i].before = lines->total;
    lines->total += lines->sequences[i].count;
  }
  return true;
}

static DwarfLines *get_lines(Dwarf *dwarf, Fault *fault) {
  if (dwarf->lines) return dwarf->lines;
  DwarfLines *lines = calloc(1, sizeof *lines);
  dwarf->lines = lines;
  if (lines && make(dwarf, lines)) return lines;
  dwarf_lines_free(dwarf);
  fault_oom(fault);
  return NULL;
}

void dwarf_lines_free(Dwarf *dwarf) {
  if (!dwarf->lines) return;
  free(dwarf->lines->rows);
  free(dwarf->lines->sequences);
  free(dwarf->lines);
  dwarf->lines = NULL;
}

bool dwarf_line_count(Dwarf *dwarf, size_t *out, Fault *fault) {
  const DwarfLines *lines = get_lines(dwarf, fault);
  if (!lines) return false;
  *out = lines->total;
  return true;
}

bool dwarf_line_get(Dwarf *dwarf, size_t i, DwarfLine *out, Fault *fault) {
  const DwarfLines *lines = get_lines(dwarf, fault);
  if (!lines) return false;
  if (i >= lines->total)
    return fault_set(fault, FAULT_INVALID, "line row %zu: there are %zu", i, lines->total);
  size_t lo = 0, hi = lines->nsequences;
  while (hi - lo > 1) {
    size_t middle = lo + (hi - lo) / 2;
    if (lines->sequences[middle].before <= i)
      lo = middle;
    else
      hi = middle;
  }
  const Sequence *sequence = &lines->sequences[lo];
  const Row *row = &lines->rows[sequence->first + (i - sequence->before)];
  *out = (DwarfLine){
      .addr = row->addr,
      .end = row[1].addr,
      .file = row->file < sequence->table->nfiles ? sequence->table->files[row->file] : "",
      .line = row->line,
      .column = row->column,
      .is_stmt = row->is_stmt,
      .prologue_end = row->prologue_end,
  };
  return true;
}

/* The last row that does not begin behind the address: of several at one address, it is the one
** that has the code. */
static size_t row_of(const DwarfLines *lines, const Sequence *sequence, uint64_t addr) {
  size_t lo = 0, hi = sequence->count;
  while (hi - lo > 1) {
    size_t middle = lo + (hi - lo) / 2;
    if (lines->rows[sequence->first + middle].addr <= addr)
      lo = middle;
    else
      hi = middle;
  }
  return sequence->before + lo;
}

bool dwarf_line_at(Dwarf *dwarf, uint64_t addr, size_t *out, Fault *fault) {
  const DwarfLines *lines = get_lines(dwarf, fault);
  if (!lines) return false;
  size_t lo = 0, hi = lines->nsequences;
  while (lo < hi) {
    size_t middle = lo + (hi - lo) / 2;
    if (lines->sequences[middle].lo <= addr)
      lo = middle + 1;
    else
      hi = middle;
  }
  if (!lo || addr >= lines->sequences[lo - 1].hi)
    return fault_set(fault, FAULT_NOTFOUND, "0x%llx: no line is known for this address",
                     (unsigned long long)addr);
  *out = row_of(lines, &lines->sequences[lo - 1], addr);
  return true;
}
