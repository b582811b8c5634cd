/*
** Places in the code as probes: see places.h.
*/
#include "extensions/omni/places.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/probe_body.h"

/* As of the function that holds it: the part where the place is comes first. */
static bool probe_of(const CodeFile *file, const Function *function, uint64_t offset,
                     ProbeFunction *out) {
  if (!function || function->kind == FUNCTION_FRAGMENT ||
      !functions_probe(file->module->elf, function, file->file, out)) {
    return false;
  }
  for (int i = 0; i < out->nparts; i++) {
    const CodeRange part = out->parts[i];
    if (offset < part.lo || offset >= part.hi) continue;
    out->parts[i] = out->parts[0];
    out->parts[0] = part;
    out->place = offset;
    return true;
  }
  return false;
}

bool places_add(Places *places, const CodeFile *file, uint64_t addr, const char *path,
                uint32_t line, Fault *fault) {
  const Function *function = functions_at(file->functions, addr);
  Place place = {.file = file, .function = function, .path = path, .line = line};
  ProbeFunction probe;
  if (!elf_offset(file->module->elf, addr, &place.offset) ||
      !probe_of(file, function, place.offset, &probe)) {
    return fault_set(fault, FAULT_UNSUPPORTED,
                     "no probe can be put at 0x%" PRIx64 " of %s: it is in no function", addr,
                     file->path);
  }
  if (places->count >= PLACES_MOST) {
    return fault_set(fault, FAULT_LIMIT, "more than %d places in the code are asked for",
                     PLACES_MOST);
  }
  if (!array_grow(places->list, places->capacity, places->count + 1) ||
      !array_grow(places->functions, places->functions_capacity, places->count + 1)) {
    return fault_oom(fault);
  }
  places->functions[places->count] = probe;
  places->list[places->count++] = place;
  return true;
}

/* The decoder looks at jump tables, which are read-only data. */
static size_t read_data(void *ctx, uint64_t addr, void *out, size_t size) {
  const uint8_t *bytes = elf_at(ctx, addr, size);
  if (!bytes) return 0;
  memcpy(out, bytes, size);
  return size;
}

bool places_add_code(Places *places, const CodeFile *file, uint64_t lo, uint64_t hi, Fault *fault) {
  const Function *function = functions_at(file->functions, lo);
  ElfFile *elf = file->module->elf;
  if (!function) return true;
  for (int i = -1; i < function->nparts; i++) {
    const CodeRange part = i < 0 ? (CodeRange){function->lo, function->hi} : function->parts[i];
    const uint8_t *bytes = part.hi > part.lo ? elf_at(elf, part.lo, part.hi - part.lo) : NULL;
    CodeImage image;
    Body body = {0};
    if (!bytes || part.hi <= lo || part.lo >= hi) continue;
    if (!image_create(&image, part.lo, bytes, (size_t)(part.hi - part.lo))) {
      return fault_oom(fault);
    }
    bool ok = body_create(&body, &image, part.lo, part.hi, read_data, elf) || fault_oom(fault);
    for (size_t k = 0; ok && k < body.count; k++) {
      const uint64_t at = body.insns[k].at;
      if (at >= lo && at < hi) ok = places_add(places, file, at, NULL, 0, fault);
    }
    body_finish(&body);
    image_finish(&image);
    if (!ok) return false;
  }
  return true;
}

void places_finish(Places *places) {
  free(places->list);
  free(places->functions);
  *places = (Places){0};
}
