/*
** Files with code: see code.h.
*/
#include "extensions/omni/code.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/array.h"
#include "base/text.h"

CodeFile *code_find(const CodeFiles *files, uint32_t file) {
  for (size_t i = 0; i < files->count; i++) {
    if (files->list[i].file == file) return &files->list[i];
  }
  return NULL;
}

static bool add_file(CodeFiles *files, const Event *event, Fault *fault) {
  const Chunk *path = NULL;
  for (int i = 0; i < event->nchunks && !path; i++) {
    if (event->chunks[i].kind == CHUNK_PATH) path = &event->chunks[i];
  }
  if (!array_grow(files->list, files->capacity, files->count + 1)) return fault_oom(fault);
  CodeFile *module = &files->list[files->count];
  *module = (CodeFile){.file = (uint32_t)event->aux};
  module->path = path ? strndup((const char *)path->bytes, path->size) : strdup("");
  if (!module->path) return fault_oom(fault);
  files->count++;
  return true;
}

static void add_mapping(CodeFiles *files, uint32_t file, uint64_t start, uint64_t offset) {
  CodeFile *module = code_find(files, file);
  if (!module) return;
  const uint64_t base = start - offset;
  if (module->has_code && module->base != base) module->is_varied = true;
  module->has_code = true;
  module->base = base;
}

static void add_image(CodeFiles *files, const Event *event) {
  for (int i = 0; i < event->nchunks; i++) {
    const Chunk *chunk = &event->chunks[i];
    TraceMap map;
    if (chunk->kind != CHUNK_MAP || chunk->size < sizeof map) continue;
    memcpy(&map, chunk->bytes, sizeof map);
    if (map.file && (map.prot & PROT_EXEC)) {
      add_mapping(files, map.file - 1, map.start, map.offset);
    }
  }
}

static bool is_code_mapping(const Event *event) {
  return event->nr == SYS_mmap && event->aux && event->ret > 0 && (event->args[2] & PROT_EXEC);
}

bool code_read(Recording *recording, CodeFiles *out, Fault *fault) {
  *out = (CodeFiles){.recording = recording};
  TraceCursor *cursor;
  const Event *event;
  if (!modules_create(NULL, &out->modules, fault) || !trace_open(recording, &cursor, fault)) {
    return false;
  }
  bool ok;
  while ((ok = trace_next(cursor, &event, fault)) && event) {
    if (event->kind == EVENT_FILE && !(ok = add_file(out, event, fault))) break;
    if (event->kind == EVENT_IMAGE) add_image(out, event);
    if (event->kind == EVENT_SYSCALL && is_code_mapping(event)) {
      add_mapping(out, (uint32_t)event->aux - 1, (uint64_t)event->ret, event->args[5]);
    }
  }
  trace_close(cursor);
  return ok;
}

void code_finish(CodeFiles *files) {
  for (size_t i = 0; i < files->count; i++) {
    dwarf_close(files->list[i].dwarf);
    free(files->list[i].path);
  }
  free(files->list);
  modules_free(files->modules);
  *files = (CodeFiles){0};
}

/* Code without an ELF file around it has no functions that we know of. */
static bool matters(const Fault *why, Fault *fault) {
  if (why->code == FAULT_UNSUPPORTED || why->code == FAULT_CORRUPT || why->code == FAULT_NOTFOUND) {
    return false;
  }
  fault_set(fault, why->code ? why->code : FAULT_NOMEM, "%s", why->text);
  return true;
}

bool code_open(const CodeFiles *files, CodeFile *file, Fault *fault) {
  Fault why = {0};
  Text path = {0};
  if (file->looked) return true;
  text_addf(&path, "%s/files/%u", recording_dir(files->recording), file->file);
  bool ok = !path.oom && modules_get(files->modules, text_get(&path), &file->module, &why) &&
            module_functions(file->module, &file->functions, &why);
  if (path.oom) fault_oom(&why);
  text_finish(&path);
  if (!ok) file->module = NULL;
  if (!ok && why.code == FAULT_NOTFOUND) {
    return fault_set(fault, FAULT_IO, "recorded file %u (\"%.100s\"): it is gone", file->file,
                     file->path);
  }
  if (!ok && matters(&why, fault)) return false;
  file->looked = true;
  return true;
}

bool code_dwarf(const CodeFiles *files, CodeFile *file, Fault *fault) {
  Fault why = {0};
  if (!code_open(files, file, fault)) return false;
  if (file->looked_for_dwarf || !file->module) return true;
  const Module *module = file->module;
  bool ok = dwarf_open(module->elf->path, &file->dwarf, &why);
  if (!ok && why.code != FAULT_NOMEM && module->debug) {
    why = (Fault){0};
    ok = dwarf_open(module->debug->path, &file->dwarf, &why);
  }
  if (!ok) file->dwarf = NULL;
  if (!ok && matters(&why, fault)) return false;
  file->looked_for_dwarf = true;
  return true;
}

/* Modules are opened by the path of the copy, DIR/files/N. */
CodeFile *code_of_module(const CodeFiles *files, const Module *module) {
  const char *slash = module ? strrchr(module->path, '/') : NULL;
  return slash ? code_find(files, (uint32_t)strtoul(slash + 1, NULL, 10)) : NULL;
}
