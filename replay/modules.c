/*
** Opened files: see modules.h.
*/
#include "replay/modules.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

typedef struct Opened {
  Module module;
  Fault fault; /* code FAULT_NONE: it is good */
  char path[];
} Opened;

struct Modules {
  char *debug_root;
  Opened **all;
  size_t count, capacity;
  Map by_path;
};

bool modules_create(const char *debug_root, Modules **out, Fault *fault) {
  Modules *modules = calloc(1, sizeof *modules);
  if (modules && debug_root) modules->debug_root = strdup(debug_root);
  if (!modules || (debug_root && !modules->debug_root)) {
    free(modules);
    return fault_oom(fault);
  }
  *out = modules;
  return true;
}

static void close_module(Module *module) {
  functions_free(module->functions);
  cfi_free(module->cfi);
  elf_close(module->debug);
  elf_close(module->elf);
}

void modules_free(Modules *modules) {
  if (!modules) return;
  for (size_t i = 0; i < modules->count; i++) {
    close_module(&modules->all[i]->module);
    free(modules->all[i]);
  }
  free(modules->all);
  free(modules->debug_root);
  map_finish(&modules->by_path);
  free(modules);
}

/* A debug file that cannot be read is one that is not there. */
static bool open_module(const char *debug_root, Module *module, Fault *fault) {
  Fault ignored = {0};
  if (!elf_open(module->path, &module->elf, fault)) return false;
  if (!elf_open_debug(module->elf, debug_root, &module->debug, &ignored)) module->debug = NULL;
  return cfi_create(module->elf, &module->cfi, fault);
}

static Opened *remember(Modules *modules, const char *path) {
  const size_t length = strlen(path);
  Opened *opened = calloc(1, sizeof *opened + length + 1);
  if (!opened || !array_grow(modules->all, modules->capacity, modules->count + 1) ||
      !map_put(&modules->by_path, path, length, (int64_t)modules->count, NULL)) {
    free(opened);
    return NULL;
  }
  memcpy(opened->path, path, length + 1);
  opened->module.path = opened->path;
  modules->all[modules->count++] = opened;
  return opened;
}

bool modules_get(Modules *modules, const char *path, Module **out, Fault *fault) {
  const int64_t *known = map_get(&modules->by_path, path, strlen(path));
  Opened *opened = known ? modules->all[*known] : remember(modules, path);
  if (!opened) return fault_oom(fault);
  if (!known && !open_module(modules->debug_root, &opened->module, &opened->fault)) {
    close_module(&opened->module);
    opened->module = (Module){.path = opened->path};
  }
  if (opened->fault.code != FAULT_NONE) {
    return fault_set(fault, opened->fault.code, "%s", opened->fault.text);
  }
  *out = &opened->module;
  return true;
}

bool module_functions(Module *module, const Functions **out, Fault *fault) {
  if (!module->functions &&
      !functions_create(module->elf, module->debug, module->cfi, &module->functions, fault)) {
    return false;
  }
  *out = module->functions;
  return true;
}
