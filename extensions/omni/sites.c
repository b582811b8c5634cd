/*
** Functions that are asked for: see sites.h.
*/
#include "extensions/omni/sites.h"

#include <stdlib.h>

#include "base/array.h"
#include "extensions/omni/unknown.h"

static bool add_site(Sites *sites, const CodeFile *module, const FunctionName *name,
                     bool by_pattern, Fault *fault) {
  const Function *function = &module->functions->all[name->function];
  ProbeFunction probe;
  if (function->kind == FUNCTION_RESOLVER && !by_pattern) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "%s of %s is not called: it chooses one of several when the program starts "
                     "(an ifunc); ask for these, as with func GLOB '*%s*'",
                     name->name, module->path, name->name);
  }
  if (function->kind != FUNCTION_PLAIN ||
      !functions_probe(module->module->elf, function, module->file, &probe)) {
    return true;
  }
  for (size_t i = 0; i < sites->count; i++) { /* another of its names */
    if (sites->list[i].module == module && sites->list[i].offset == probe.parts[0].lo) return true;
  }
  if (sites->count >= ASK_SITES) {
    return fault_set(fault, FAULT_LIMIT, "more than %d functions are asked for", ASK_SITES);
  }
  if (!array_grow(sites->list, sites->capacity, sites->count + 1) ||
      !array_grow(sites->functions, sites->functions_capacity, sites->count + 1)) {
    return fault_oom(fault);
  }
  sites->functions[sites->count] = probe;
  sites->list[sites->count++] =
      (Site){.name = name->name, .module = module, .offset = probe.parts[0].lo};
  return true;
}

static bool add_named(Sites *sites, const CodeFile *module, const AskName *asked, Fault *fault) {
  const FunctionName *name;
  size_t at = 0;
  if (!asked->is_pattern) {
    size_t count = functions_named(module->functions, asked->text, &name);
    for (size_t i = 0; i < count; i++) {
      if (!add_site(sites, module, &name[i], false, fault)) return false;
    }
    return true;
  }
  while ((name = functions_glob(module->functions, asked->text, &at))) {
    if (!add_site(sites, module, name, true, fault)) return false;
  }
  return true;
}

bool sites_find(const Ask *ask, CodeFiles *files, Sites *out, Fault *fault) {
  for (size_t m = 0; m < files->count; m++) {
    CodeFile *module = &files->list[m];
    if (!module->has_code || (*ask->module && !glob_matches(ask->module, module->path))) continue;
    if (!code_open(files, module, fault)) return false;
    for (int i = 0; module->functions && i < ask->nnames; i++) {
      if (!add_named(out, module, &ask->names[i], fault)) return false;
    }
  }
  const bool one = ask->nnames == 1 && !ask->names[0].is_pattern;
  return out->count || !one || unknown_check(files, ask->names[0].text, fault);
}

void sites_finish(Sites *sites) {
  free(sites->list);
  free(sites->functions);
  *sites = (Sites){0};
}
