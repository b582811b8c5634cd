/*
** Passes of places in the code, for the host: of source lines, and of every instruction.
*/
#include <inttypes.h>
#include <string.h>

#include "extensions/omni/places.h"
#include "extensions/omni/probing.h"
#include "extensions/omni/unknown.h"

typedef struct Asked { /* ranges are closed */
  ServeTerms terms;
  uint64_t low, high; /* of lines, or addresses in the run */
  uint64_t last;      /* event */
} Asked;

static bool read_question(Service *service, Asked *out, Fault *fault) {
  const char *dir = wire_get_text(&service->wire);
  serve_get_terms(&service->wire, &out->terms);
  out->low = wire_get_u64(&service->wire);
  out->high = wire_get_u64(&service->wire);
  out->last = wire_get_u64(&service->wire);
  return wire_end(&service->wire, fault) && played_open(&service->played, dir, fault) &&
         played_code(&service->played, fault);
}

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool wants_line(const Asked *asked, const CodeFile *file, const DwarfLine *line) {
  if (!line->is_stmt || line->line < asked->low || line->line > asked->high) return false;
  if (!serve_fits(&asked->terms, PASS_FILE, base_name(line->file)) ||
      !serve_fits(&asked->terms, PASS_PATH, line->file)) {
    return false;
  }
  const Function *function = functions_at(file->functions, line->addr);
  return function && serve_fits(&asked->terms, PASS_FUNC, function->name);
}

/* Rows that go on with the line before them are not its beginning. */
static bool find_lines(const Asked *asked, CodeFile *file, Places *places, Fault *fault) {
  size_t count;
  DwarfLine before = {0};
  if (!file->dwarf || !dwarf_line_count(file->dwarf, &count, fault)) return !file->dwarf;
  for (size_t i = 0; i < count; i++) {
    DwarfLine line;
    if (!dwarf_line_get(file->dwarf, i, &line, fault)) return false;
    const bool goes_on =
        before.file && before.end == line.addr && before.line == line.line &&
        strcmp(before.file, line.file) == 0 &&
        functions_at(file->functions, before.addr) == functions_at(file->functions, line.addr);
    const bool is_begun = goes_on && before.is_stmt;
    before = line;
    if (goes_on) before.is_stmt = is_begun || line.is_stmt;
    if (is_begun || line.addr == line.end || !wants_line(asked, file, &line)) continue;
    if (!places_add(places, file, line.addr, line.file, line.line, fault)) return false;
  }
  return true;
}

static bool put_lines(const Places *places, const Probing *probing, Stop *stop, CellWriter *out,
                      Fault *fault) {
  for (uint64_t i = 0; i < probing->count; i++) {
    const uint64_t *row = rows_at(&probing->rows, i);
    const Place *place = &places->list[row_site(row[0])];
    const uint64_t ev = probing_word(probing, row, ROW_EV),
                   tid = probing_word(probing, row, ROW_TID);
    if (i % 4096 == 0 && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "stopped");
    cell_integer(out, (int64_t)i + 1);
    cell_text(out, base_name(place->path));
    cell_integer(out, place->line);
    cell_text(out, place->path);
    cell_text(out, place->function->name);
    cell_text(out, place->file->path);
    cell_integer(out, (int64_t)ev);
    cell_integer(out, (int64_t)tid);
    probing_moment(out, place->file, place->offset, ev, tid, probing_word(probing, row, ROW_HIT));
    if (!cells_row(out)) break;
  }
  return true;
}

/* Rows for places of one kind. */
typedef struct Kind {
  int module, func; /* the columns that name a file and a function */
  bool (*open)(const CodeFiles *code, CodeFile *file, Fault *fault);
  bool (*find)(const Asked *asked, CodeFile *file, Places *places, Fault *fault);
  bool (*put)(const Places *places, const Probing *probing, Stop *stop, CellWriter *out,
              Fault *fault);
} Kind;

static bool play_places(Service *service, const Places *places, uint64_t columns, uint64_t last,
                        Probing *out, Fault *fault) {
  ProbeSpec spec = {.columns = columns | 1u << ROW_EV | 1u << ROW_TID | 1u << ROW_HIT,
                    .functions = places->functions,
                    .nfunctions = places->count};
  return probing_run(service, &spec, last, out, fault);
}

/* A name that no function has is a mistake. */
static bool check_names(const Asked *asked, int col, const CodeFiles *code, Fault *fault) {
  for (int i = 0; i < asked->terms.count; i++) {
    if (asked->terms.list[i].col != col || asked->terms.list[i].is_pattern) continue;
    if (!unknown_check(code, asked->terms.list[i].text, fault)) return false;
  }
  return true;
}

static bool serve_kind(Service *service, const Kind *kind, uint64_t columns, CellWriter *out,
                       Fault *fault) {
  Asked asked;
  Places places = {0};
  Probing probing = {0};
  if (!read_question(service, &asked, fault)) return false;
  CodeFiles *code = &service->played.code;
  bool ok = true;
  for (size_t i = 0; ok && i < code->count; i++) {
    CodeFile *file = &code->list[i];
    if (!file->has_code || !serve_fits(&asked.terms, kind->module, file->path)) continue;
    ok = kind->open(code, file, fault) &&
         (!file->functions || kind->find(&asked, file, &places, fault));
  }
  if (ok && !places.count) ok = check_names(&asked, kind->func, code, fault);
  if (ok && places.count) {
    ok = play_places(service, &places, columns, asked.last, &probing, fault) &&
         kind->put(&places, &probing, &service->stop, out, fault);
  }
  probing_finish(&probing);
  places_finish(&places);
  return ok;
}

bool serve_passes(Service *service, CellWriter *out, Fault *fault) {
  static const Kind lines = {PASS_MODULE, PASS_FUNC, code_dwarf, find_lines, put_lines};
  return serve_kind(service, &lines, 0, out, fault);
}

/* ---- instructions ---------------------------------------------------------------------------- */

/* In the order of the columns; rsp and the arguments' registers have names of their own. */
static const RowColumn registers[OMNI_REGISTERS] = {
    ROW_RAX, ROW_RBX, ROW_A3,  ROW_A2,  ROW_A1,  ROW_A0,  ROW_RBP, ROW_RSP,
    ROW_A4,  ROW_A5,  ROW_R10, ROW_R11, ROW_R12, ROW_R13, ROW_R14, ROW_R15};

static bool put_instructions(const Places *places, const Probing *probing, Stop *stop,
                             CellWriter *out, Fault *fault) {
  for (uint64_t i = 0; i < probing->count; i++) {
    const uint64_t *row = rows_at(&probing->rows, i);
    const Place *place = &places->list[row_site(row[0])];
    const uint64_t ev = probing_word(probing, row, ROW_EV),
                   tid = probing_word(probing, row, ROW_TID);
    if (i % 4096 == 0 && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "stopped");
    cell_integer(out, (int64_t)i + 1);
    cell_integer(out, (int64_t)ev);
    cell_integer(out, (int64_t)tid);
    cell_integer(out, (int64_t)(place->file->base + place->offset));
    for (int r = 0; r < OMNI_REGISTERS; r++) {
      cell_integer(out, (int64_t)probing_word(probing, row, registers[r]));
    }
    cell_text(out, place->function->name);
    cell_text(out, place->file->path);
    probing_moment(out, place->file, place->offset, ev, tid, probing_word(probing, row, ROW_HIT));
    if (!cells_row(out)) break;
  }
  return true;
}

/* Of a function or of what of it lies in the range. */
static bool add_function(const Asked *asked, const CodeFile *file, const Function *function,
                         Places *places, Fault *fault) {
  uint64_t low = 0, high = UINT64_MAX, bias;
  if (function->kind == FUNCTION_FRAGMENT || !elf_offset(file->module->elf, function->lo, &bias) ||
      !serve_fits(&asked->terms, OMNI_FUNC, function->name)) {
    return true;
  }
  bias += file->base - function->lo;
  if (asked->low > 0 || asked->high < UINT64_MAX) {
    if (file->is_varied) {
      return fault_set(fault, FAULT_UNSUPPORTED,
                       "%s is at different addresses in several processes: ask by func and module",
                       file->path);
    }
    if (asked->high < bias) return true;
    low = asked->low > bias ? asked->low - bias : 0;
    high = asked->high - bias == UINT64_MAX ? UINT64_MAX : asked->high - bias + 1;
  }
  for (int i = -1; i < function->nparts; i++) {
    const CodeRange part = i < 0 ? (CodeRange){function->lo, function->hi} : function->parts[i];
    const uint64_t from = part.lo > low ? part.lo : low, to = part.hi < high ? part.hi : high;
    if (from < to && !places_add_code(places, file, from, to, fault)) return false;
  }
  return true;
}

static bool find_instructions(const Asked *asked, CodeFile *file, Places *places, Fault *fault) {
  for (size_t i = 0; i < file->functions->count; i++) {
    if (!add_function(asked, file, &file->functions->all[i], places, fault)) return false;
  }
  return true;
}

bool serve_instructions(Service *service, CellWriter *out, Fault *fault) {
  static const Kind instructions = {OMNI_MODULE, OMNI_FUNC, code_open, find_instructions,
                                    put_instructions};
  uint64_t columns = 0;
  for (int r = 0; r < OMNI_REGISTERS; r++) columns |= UINT64_C(1) << registers[r];
  return serve_kind(service, &instructions, columns, out, fault);
}
