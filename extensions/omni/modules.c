/*
** Files with code: see modules.h.
*/
#include "extensions/omni/modules.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "base/text.h"

static Module *find(Modules *modules, uint32_t file) {
  for (size_t i = 0; i < modules->count; i++) {
    if (modules->list[i].file == file) return &modules->list[i];
  }
  return NULL;
}

static bool add_file(Modules *modules, const Event *event, Fault *fault) {
  const Chunk *path = NULL;
  for (int i = 0; i < event->nchunks && !path; i++) {
    if (event->chunks[i].kind == CHUNK_PATH) path = &event->chunks[i];
  }
  if (!array_grow(modules->list, modules->capacity, modules->count + 1)) return fault_oom(fault);
  Module *module = &modules->list[modules->count];
  *module = (Module){.file = (uint32_t)event->aux};
  module->path = path ? strndup((const char *)path->bytes, path->size) : strdup("");
  if (!module->path) return fault_oom(fault);
  modules->count++;
  return true;
}

static void add_mapping(Modules *modules, uint32_t file, uint64_t start, uint64_t offset) {
  Module *module = find(modules, file);
  if (!module) return;
  const uint64_t base = start - offset;
  if (module->has_code && module->base != base) module->is_varied = true;
  module->has_code = true;
  module->base = base;
}

static void add_image(Modules *modules, const Event *event) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    TraceMap map;
    if (chunk->kind != CHUNK_MAP || chunk->size < sizeof map) continue;
    memcpy(&map, chunk->bytes, sizeof map);
    if (map.file && (map.prot & PROT_EXEC)) {
      add_mapping(modules, map.file - 1, map.start, map.offset);
    }
  }
}

static bool is_code_mapping(const Event *event) {
  return event->nr == SYS_mmap && event->aux && event->ret > 0 && (event->args[2] & PROT_EXEC);
}

bool modules_read(Recording *recording, Modules *out, Fault *fault) {
  *out = (Modules){.recording = recording};
  TraceCursor *cursor;
  const Event *event;
  if (!trace_open(recording, &cursor, fault)) return false;
  bool ok;
  while ((ok = trace_next(cursor, &event, fault)) && event) {
    if (event->kind == EVENT_FILE && !(ok = add_file(out, event, fault))) break;
    if (event->kind == EVENT_IMAGE) add_image(out, event);
    if (event->kind == EVENT_SYSCALL && is_code_mapping(event)) {
      add_mapping(out, (uint32_t)event->aux - 1, (uint64_t)event->ret, event->args[5]);
    }
  }
  trace_close(cursor);
  if (!ok) modules_finish(out);
  return ok;
}

void modules_finish(Modules *modules) {
  for (size_t i = 0; i < modules->count; i++) {
    Module *module = &modules->list[i];
    functions_free(module->functions);
    cfi_free(module->cfi);
    elf_close(module->debug);
    elf_close(module->elf);
    free(module->path);
  }
  free(modules->list);
  *modules = (Modules){0};
}

bool module_open(const Modules *modules, Module *module, Fault *fault) {
  Text path = {0};
  Fault why = {0};
  text_addf(&path, "%s/files/%u", recording_dir(modules->recording), module->file);
  bool ok = !path.oom && elf_open(text_get(&path), &module->elf, &why);
  text_finish(&path);
  if (!ok) { /* code without an ELF file around it has no functions that we know of */
    return why.code == FAULT_UNSUPPORTED || why.code == FAULT_CORRUPT ||
           fault_set(fault, why.code ? why.code : FAULT_NOMEM, "%s", why.text);
  }
  if (!elf_open_debug(module->elf, NULL, &module->debug, &why)) fault_clear(&why);
  return cfi_create(module->elf, &module->cfi, fault) &&
         functions_create(module->elf, module->debug, module->cfi, &module->functions, fault);
}
