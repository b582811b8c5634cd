/*
** Functions for the host: of all files of the recording with code.
*/
#include <string.h>

#include "extensions/omni/functions_table.h"
#include "extensions/omni/serve.h"

static const char *source_name(FunctionSource source) {
  switch (source) {
  case FUNCTION_SYMTAB:
    return "symtab";
  case FUNCTION_DEBUG:
    return "debug file";
  case FUNCTION_DYNSYM:
    return "dynsym";
  case FUNCTION_EH_FRAME:
    return "eh_frame";
  case FUNCTION_PLT:
    return "plt";
  }
  return NULL;
}

static const char *kind_name(FunctionKind kind) {
  switch (kind) {
  case FUNCTION_PLAIN:
    return "function";
  case FUNCTION_RESOLVER:
    return "ifunc";
  case FUNCTION_STUB:
    return "stub";
  case FUNCTION_FRAGMENT:
    return "fragment";
  }
  return NULL;
}

/* Where its source is, when the debug information says so. */
static void put_source(CellWriter *out, const CodeFile *file, const Function *function) {
  DwarfFunction found;
  size_t i;
  Fault ignored = {0};
  bool known = file->dwarf && dwarf_function_at(file->dwarf, function->lo, &i, &ignored) &&
               dwarf_function_get(file->dwarf, i, &found, &ignored) && *found.file;
  if (known) {
    cell_text(out, found.file);
    cell_integer(out, found.line);
  } else {
    cell_null(out);
    cell_null(out);
  }
}

static bool put_function(CellWriter *out, const CodeFile *file, const FunctionName *name) {
  const Function *function = &file->functions->all[name->function];
  uint64_t offset;
  cell_text(out, name->name);
  cell_text(out, file->path);
  bool placed = !file->is_varied && elf_offset(file->module->elf, function->lo, &offset);
  if (placed) {
    cell_integer(out, (int64_t)(file->base + offset));
    cell_integer(out, (int64_t)(file->base + offset + (function->hi - function->lo)));
  } else {
    cell_null(out);
    cell_null(out);
  }
  cell_integer(out, (int64_t)function->lo);
  cell_text(out, kind_name(function->kind));
  cell_text(out, source_name(function->source));
  put_source(out, file, function);
  return cells_row(out);
}

/* Several versions of a symbol may share its name and its function: that is one row. */
static bool is_repeated(const Functions *functions, const FunctionName *name) {
  return name > functions->names && name[-1].function == name->function &&
         strcmp(name[-1].name, name->name) == 0;
}

static bool is_wanted(const Functions *functions, const FunctionName *name,
                      const ServeTerms *terms) {
  return serve_fits(terms, FUNCTION_NAME, name->name) && !is_repeated(functions, name);
}

/* A name that is asked for is found without looking at all of them. */
static bool put_file(CellWriter *out, const CodeFile *file, const ServeTerms *terms, Stop *stop,
                     Fault *fault) {
  const char *pattern = "*";
  const FunctionName *name;
  size_t at = 0, turn = 0;
  for (int i = 0; i < terms->count; i++) {
    if (terms->list[i].col != FUNCTION_NAME) continue;
    if (!terms->list[i].is_pattern) {
      const size_t count = functions_named(file->functions, terms->list[i].text, &name);
      for (size_t k = 0; k < count; k++) {
        if (!is_wanted(file->functions, &name[k], terms)) continue;
        if (!put_function(out, file, &name[k])) return true;
      }
      return true;
    }
    pattern = terms->list[i].text;
  }
  while ((name = functions_glob(file->functions, pattern, &at))) {
    if (is_wanted(file->functions, name, terms) && !put_function(out, file, name)) return true;
    if (++turn % 4096 == 0 && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "stopped");
  }
  return true;
}

bool serve_functions(Service *service, CellWriter *out, Fault *fault) {
  Played *played = &service->played;
  ServeTerms terms;
  const char *dir = wire_get_text(&service->wire);
  const bool lines = wire_get_u32(&service->wire) != 0;
  serve_get_terms(&service->wire, &terms);
  if (!wire_end(&service->wire, fault) || !played_open(played, dir, fault) ||
      !played_code(played, fault)) {
    return false;
  }
  for (size_t i = 0; i < played->code.count; i++) {
    CodeFile *file = &played->code.list[i];
    if (!file->has_code || !serve_fits(&terms, FUNCTION_MODULE, file->path)) continue;
    if (!(lines ? code_dwarf : code_open)(&played->code, file, fault)) return false;
    if (file->functions && !put_file(out, file, &terms, &service->stop, fault)) return false;
  }
  return true;
}
