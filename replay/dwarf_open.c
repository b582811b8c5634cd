/*
** Opening and closing: the module's own file, and the common file that it may refer to.
*/
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_inner.h"

/* dwz names the common file by a path relative to the file. */
static bool open_common(Dwarf *dwarf, const char *path, Fault *fault) {
  const char *name = dwarf_file_common(&dwarf->own);
  if (!name) return true;
  const char *slash = strrchr(path, '/');
  const char *whole = *name == '/' || !slash
                          ? name
                          : arena_printf(&dwarf->arena, "%.*s/%s", (int)(slash - path), path, name);
  if (!whole) return fault_oom(fault);
  if (!dwarf_file_open(whole, &dwarf->common, fault)) return fault_prefix(fault, "%s needs ", path);
  dwarf->common.base = dwarf->own.sections[SECTION_INFO].size;
  return dwarf_units_read(dwarf, &dwarf->common, fault);
}

static bool finish_open(Dwarf *dwarf, const char *path, Dwarf **out, Fault *fault) {
  if (!dwarf->own.sections[SECTION_INFO].size) {
    fault_set(fault, FAULT_NOTFOUND, "%s: it has no debug information", path ? path : "this file");
  } else if (dwarf_units_read(dwarf, &dwarf->own, fault) &&
             (!path || open_common(dwarf, path, fault))) {
    *out = dwarf;
    return true;
  }
  dwarf_close(dwarf);
  return false;
}

static Dwarf *make(Fault *fault) {
  Dwarf *dwarf = calloc(1, sizeof *dwarf);
  if (!dwarf) {
    fault_oom(fault);
    return NULL;
  }
  dwarf->own.fd = dwarf->common.fd = -1;
  return dwarf;
}

bool dwarf_open(const char *path, Dwarf **out, Fault *fault) {
  Dwarf *dwarf = make(fault);
  if (!dwarf) return false;
  if (dwarf_file_open(path, &dwarf->own, fault)) return finish_open(dwarf, path, out, fault);
  dwarf_close(dwarf);
  return false;
}

bool dwarf_open_memory(void *bytes, size_t size, Dwarf **out, Fault *fault) {
  Dwarf *dwarf = make(fault);
  if (!dwarf) return false;
  if (dwarf_file_open_memory(bytes, size, &dwarf->own, fault))
    return finish_open(dwarf, NULL, out, fault);
  dwarf_close(dwarf);
  return false;
}

void dwarf_close(Dwarf *dwarf) {
  if (!dwarf) return;
  dwarf_index_free(dwarf);
  dwarf_lines_free(dwarf);
  for (LineTable *table = dwarf->tables; table; table = dwarf_line_table_free(table)) continue;
  dwarf_abbrevs_free(dwarf->abbrevs);
  map_finish(&dwarf->abbrev_of);
  map_finish(&dwarf->signatures);
  map_finish(&dwarf->types);
  map_finish(&dwarf->scopes);
  map_finish(&dwarf->line_tables);
  arena_finish(&dwarf->arena);
  free(dwarf->units);
  dwarf_file_close(&dwarf->common);
  dwarf_file_close(&dwarf->own);
  free(dwarf);
}

size_t dwarf_unit_count(const Dwarf *dwarf, size_t *out_bad) {
  if (out_bad) *out_bad = dwarf->bad_units;
  return dwarf->nunits + dwarf->bad_units;
}
