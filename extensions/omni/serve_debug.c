/*
** Debug information for the host: globals, types, parameters, lines of all modules of the
** recording.
*/
#include <string.h>

#include "extensions/omni/debug_table.h"
#include "extensions/omni/serve.h"
#include "replay/value.h"

typedef struct Debug {
  Service *service;
  CellWriter *out;
  ServeTerms terms;
  const CodeFile *file;
  bool placed; /* it is at one place in all processes: addresses of the run are `bias` higher */
  uint64_t bias;
  uint64_t turn;
  Arena arena;
} Debug;

/* `id` tells it from all others of its module. False: enough, for nobody reads on, or the host
** wants an end. */
static bool end_row(Debug *debug, uint64_t id, Fault *fault) {
  cell_integer(debug->out, (int64_t)((uint64_t)debug->file->file << 40 | id));
  if (!cells_row(debug->out)) return false;
  if (++debug->turn % 1024) return true;
  arena_reset(&debug->arena);
  return !stop_now(&debug->service->stop) || fault_set(fault, FAULT_INTERRUPT, "stopped");
}

static void put_size(CellWriter *out, const DwarfType *type) {
  uint64_t size;
  if (dwarf_type_size(type, &size, NULL))
    cell_integer(out, (int64_t)size);
  else
    cell_null(out);
}

static bool put_type_name(CellWriter *out, const DwarfType *type, Fault *fault) {
  Text text = {0};
  bool ok = dwarf_type_name(type, &text, fault);
  cell_text(out, ok ? text_get(&text) : NULL);
  text_finish(&text);
  return ok || (fault->code != FAULT_NOMEM && (fault_clear(fault), true));
}

static void put_addr(Debug *debug, bool known, uint64_t addr) {
  if (known && debug->placed)
    cell_integer(debug->out, (int64_t)(addr + debug->bias));
  else
    cell_null(debug->out);
}

static void put_declared(CellWriter *out, const char *file, uint32_t line) {
  cell_text(out, file && *file ? file : NULL);
  if (line)
    cell_integer(out, line);
  else
    cell_null(out);
}

/* ---- every module ---------------------------------------------------------------------------- */

static void place(Debug *debug) {
  const CodeFile *file = debug->file;
  debug->placed = false;
  for (size_t i = 0; i < file->module->elf->nsegments && !file->is_varied; i++) {
    const ElfSegment *segment = &file->module->elf->segments[i];
    if (segment->type != 1 || !(segment->flags & 1)) continue; /* loaded, executable */
    debug->bias = file->base + segment->offset - segment->addr;
    debug->placed = true;
    return;
  }
}

typedef bool (*PutModule)(Debug *debug, Dwarf *dwarf, Fault *fault);

static bool serve_modules(Service *service, CellWriter *out, int module_column, PutModule put,
                          Fault *fault) {
  Played *played = &service->played;
  Debug debug = {.service = service, .out = out};
  const char *dir = wire_get_text(&service->wire);
  serve_get_terms(&service->wire, &debug.terms);
  if (!wire_end(&service->wire, fault) || !played_open(played, dir, fault) ||
      !played_code(played, fault)) {
    return false;
  }
  bool ok = true;
  for (size_t i = 0; ok && i < played->code.count; i++) {
    CodeFile *file = &played->code.list[i];
    if (!file->has_code || !serve_fits(&debug.terms, module_column, file->path)) continue;
    ok = code_dwarf(&played->code, file, fault);
    if (!ok || !file->dwarf) continue;
    debug.file = file;
    place(&debug);
    ok = put(&debug, file->dwarf, fault) || (!fault->code && !out->failed);
  }
  arena_finish(&debug.arena);
  return ok;
}

/* ---- globals --------------------------------------------------------------------------------- */

static bool nothing(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx, (void)addr, (void)out, (void)size;
  return false;
}

static bool put_global(Debug *debug, Dwarf *dwarf, size_t i, Fault *fault) {
  DwarfGlobal global;
  const ValueSource source = {.dwarf = dwarf, .read = nothing};
  Value value;
  uint64_t addr = 0;
  if (!dwarf_global_get(dwarf, i, &global, fault)) return false;
  if (!serve_fits(&debug->terms, GLOBAL_NAME, global.name) ||
      !serve_fits(&debug->terms, GLOBAL_FILE, global.file ? global.file : "")) {
    return true;
  }
  const DwarfType *type = dwarf_variable_type(dwarf, global.die, fault);
  if (!type || !value_variable(&source, global.die, &debug->arena, &value, fault)) return false;
  cell_text(debug->out, global.name);
  cell_text(debug->out, debug->file->path);
  if (!put_type_name(debug->out, type, fault)) return false;
  put_size(debug->out, type);
  const bool placed = value_address(&value, &addr);
  put_addr(debug, placed, addr);
  cell_text(debug->out, global.is_local ? "function" : global.external ? "program" : "file");
  put_declared(debug->out, global.file, global.line);
  return end_row(debug, global.die, fault);
}

static bool put_globals(Debug *debug, Dwarf *dwarf, Fault *fault) {
  size_t count;
  if (!dwarf_global_count(dwarf, &count, fault)) return false;
  for (size_t i = 0; i < count; i++) {
    if (!put_global(debug, dwarf, i, fault)) return false;
  }
  return true;
}

bool serve_globals(Service *service, CellWriter *out, Fault *fault) {
  return serve_modules(service, out, GLOBAL_MODULE, put_globals, fault);
}

/* ---- types ----------------------------------------------------------------------------------- */

static const char *kind_name(const DwarfType *type) {
  switch (type->kind) {
  case TYPE_STRUCT:
    return "struct";
  case TYPE_UNION:
    return "union";
  case TYPE_ENUM:
    return "enum";
  case TYPE_TYPEDEF:
    return "typedef";
  default:
    return "base";
  }
}

static bool add_name(const DwarfType *type, Text *json, Fault *fault) {
  Text name = {0};
  bool ok = dwarf_type_name(type, &name, fault);
  if (ok) text_add_json(json, text_get(&name), name.length);
  text_finish(&name);
  return ok;
}

/* [{"name":, "type":, "offset":, "bits":}], offsets in bits for bit fields' sake */
static bool add_members(const DwarfType *type, Text *json, Fault *fault) {
  const DwarfMember *members;
  size_t count;
  if (!dwarf_type_members(type, &members, &count, fault)) return false;
  text_addc(json, '[');
  for (size_t i = 0; i < count; i++) {
    const DwarfMember *member = &members[i];
    text_add(json, i ? ",{\"name\":" : "{\"name\":");
    if (member->name)
      text_add_json(json, member->name, strlen(member->name));
    else
      text_add(json, "null");
    text_add(json, ",\"type\":");
    if (!add_name(member->type, json, fault)) return false;
    text_addf(json, ",\"offset\":%llu", (unsigned long long)(member->bit_offset / 8));
    if (member->bit_size) {
      text_addf(json, ",\"bit\":%u,\"bits\":%u", (unsigned)(member->bit_offset % 8),
                member->bit_size);
    }
    text_addc(json, '}');
  }
  text_addc(json, ']');
  return true;
}

static bool add_enumerators(const DwarfType *type, Text *json, Fault *fault) {
  const DwarfEnumerator *list;
  size_t count;
  bool flags;
  if (!dwarf_type_enumerators(type, &list, &count, &flags, fault)) return false;
  text_addc(json, '{');
  for (size_t i = 0; i < count; i++) {
    if (i) text_addc(json, ',');
    text_add_json(json, list[i].name, strlen(list[i].name));
    text_addf(json, ":%lld", (long long)list[i].value);
  }
  text_addc(json, '}');
  return true;
}

static bool add_parts(const DwarfType *type, Text *json, Fault *fault) {
  if (dwarf_type_is_record(type)) return add_members(type, json, fault);
  if (type->kind == TYPE_ENUM) return add_enumerators(type, json, fault);
  if (type->kind != TYPE_TYPEDEF) return true;
  const DwarfType *target = dwarf_type_target(type, fault);
  return target && add_name(target, json, fault);
}

static bool put_type(Debug *debug, Dwarf *dwarf, size_t i, Fault *fault) {
  DwarfNamed named;
  Text parts = {0};
  if (!dwarf_type_get(dwarf, i, &named, fault)) return false;
  if (!serve_fits(&debug->terms, TYPE_COL_NAME, named.name) ||
      !serve_fits(&debug->terms, TYPE_COL_FILE, named.file ? named.file : "")) {
    return true;
  }
  const DwarfType *type = dwarf_type_at(dwarf, named.die, fault);
  bool ok = type && add_parts(type, &parts, fault);
  if (!ok && type && fault->code != FAULT_NOMEM) { /* broken: what is known of it is its name */
    fault_clear(fault);
    text_clear(&parts);
    ok = true;
  }
  if (ok) {
    cell_text(debug->out, named.name);
    cell_text(debug->out, debug->file->path);
    cell_text(debug->out, kind_name(type));
    put_size(debug->out, type);
    cell_text(debug->out, parts.length ? text_get(&parts) : NULL);
    put_declared(debug->out, named.file, named.line);
    ok = end_row(debug, named.die, fault);
  }
  text_finish(&parts);
  return ok;
}

static bool put_types(Debug *debug, Dwarf *dwarf, Fault *fault) {
  size_t count;
  if (!dwarf_type_count(dwarf, &count, fault)) return false;
  for (size_t i = 0; i < count; i++) {
    if (!put_type(debug, dwarf, i, fault)) return false;
  }
  return true;
}

bool serve_types(Service *service, CellWriter *out, Fault *fault) {
  return serve_modules(service, out, TYPE_COL_MODULE, put_types, fault);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static bool put_parameters_of(Debug *debug, Dwarf *dwarf, size_t i, Fault *fault) {
  DwarfFunction function;
  const DwarfScope *scope;
  int64_t n = 0;
  if (!dwarf_function_get(dwarf, i, &function, fault)) return false;
  if (!function.nranges || !serve_fits(&debug->terms, PARAM_FUNC, function.name)) return true;
  if (!dwarf_scope_of(dwarf, i, &scope, fault)) return fault->code != FAULT_NOMEM;
  for (size_t k = 0; k < scope->nvariables; k++) {
    const DwarfVariable *variable = &scope->variables[k];
    if (!variable->is_parameter) continue;
    const DwarfType *type = dwarf_variable_type(dwarf, variable->die, fault);
    if (!type) return false;
    cell_text(debug->out, function.name);
    cell_text(debug->out, debug->file->path);
    cell_integer(debug->out, n++);
    cell_text(debug->out, variable->name);
    if (!put_type_name(debug->out, type, fault)) return false;
    put_addr(debug, true, function.entry);
    if (!end_row(debug, variable->die, fault)) return false;
  }
  return true;
}

/* A function that is asked for by its name is found without looking at all of them. */
static bool put_parameters(Debug *debug, Dwarf *dwarf, Fault *fault) {
  size_t count, at;
  for (int i = 0; i < debug->terms.count; i++) {
    if (debug->terms.list[i].col != PARAM_FUNC || debug->terms.list[i].is_pattern) continue;
    const char *name = debug->terms.list[i].text;
    for (size_t k = 0; dwarf_function_named(dwarf, name, k, &at, fault); k++) {
      if (!put_parameters_of(debug, dwarf, at, fault)) return false;
    }
    return !fault->code;
  }
  if (!dwarf_function_count(dwarf, &count, fault)) return false;
  for (size_t i = 0; i < count; i++) {
    if (!put_parameters_of(debug, dwarf, i, fault)) return false;
  }
  return true;
}

bool serve_parameters(Service *service, CellWriter *out, Fault *fault) {
  return serve_modules(service, out, PARAM_MODULE, put_parameters, fault);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool put_lines(Debug *debug, Dwarf *dwarf, Fault *fault) {
  size_t count;
  if (!dwarf_line_count(dwarf, &count, fault)) return false;
  for (size_t i = 0; i < count; i++) {
    DwarfLine line;
    if (!dwarf_line_get(dwarf, i, &line, fault)) return false;
    if (line.addr == line.end || !line.line || !serve_fits(&debug->terms, LINE_FILE, line.file)) {
      continue;
    }
    cell_text(debug->out, line.file);
    cell_text(debug->out, debug->file->path);
    cell_integer(debug->out, line.line);
    cell_integer(debug->out, line.column);
    put_addr(debug, true, line.addr);
    cell_integer(debug->out, (int64_t)(line.end - line.addr));
    cell_integer(debug->out, line.is_stmt);
    if (!end_row(debug, i, fault)) return false;
  }
  return true;
}

bool serve_lines(Service *service, CellWriter *out, Fault *fault) {
  return serve_modules(service, out, LINE_MODULE, put_lines, fault);
}
