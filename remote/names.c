#include "remote/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/client.h"
#include "remote/memory.h"

enum { WINDOW = 16 }; /* names that are read at once */

static FarPointer name_at(const FarMemory *memory, uint64_t i) {
  return far_here(memory, memory->head.names + i % FAR_NAMES * sizeof(FarName));
}

static bool name_fits(const FarMemory *memory, const char *name, Fault *fault) {
  if (strlen(name) && strlen(name) < FAR_NAME) return true;
  return fault_set(fault, FAULT_INVALID, "%s: a name has 1 to %d bytes, not \"%s\"", memory->at,
                   FAR_NAME - 1, name);
}

/* Where the name is, or could be. *out->kind tells: NONE or REMOVED, there is none. */
static bool look(FarMemory *memory, const char *name, FarName *out, uint64_t *out_place, Stop *stop,
                 Fault *fault) {
  const uint64_t first = hash_bytes(name, strlen(name), 0) % FAR_NAMES;
  uint64_t gap = FAR_NONE;
  FarName names[WINDOW];
  *out = (FarName){0};
  for (uint64_t i = 0; i < FAR_NAMES; i += WINDOW) {
    FarOp ops[WINDOW];
    for (int j = 0; j < WINDOW; j++) {
      ops[j] = (FarOp){.code = FAR_READ,
                       .at = name_at(memory, first + i + (uint64_t)j),
                       .local = &names[j],
                       .length = sizeof *names};
    }
    if (!far_round(memory, ops, WINDOW, stop, fault)) return false;
    for (int j = 0; j < WINDOW; j++) {
      const uint64_t here = (first + i + (uint64_t)j) % FAR_NAMES;
      if (names[j].kind > FAR_KIND_REMOVED && !strncmp(names[j].name, name, FAR_NAME)) {
        *out = names[j];
        *out_place = here;
        return true;
      }
      if (names[j].kind <= FAR_KIND_REMOVED && gap == FAR_NONE) gap = here;
      if (names[j].kind != FAR_KIND_NONE) continue;
      *out_place = gap;
      return true;
    }
  }
  *out_place = gap;
  return true;
}

bool far_name_find(FarMemory *memory, const char *name, FarName *out, bool *out_found, Stop *stop,
                   Fault *fault) {
  uint64_t place;
  if (!name_fits(memory, name, fault) || !look(memory, name, out, &place, stop, fault))
    return false;
  *out_found = out->kind > FAR_KIND_REMOVED;
  return true;
}

static bool unlock(FarMemory *memory, FarOp *ops, size_t n, Fault *fault) {
  ops[n++] = far_unlock_op(far_here(memory, offsetof(FarHeader, names_lock)));
  return far_round(memory, ops, n, NULL, fault);
}

bool far_name_add(FarMemory *memory, FarName *name, bool *out_added, Stop *stop, Fault *fault) {
  const FarPointer lock = far_here(memory, offsetof(FarHeader, names_lock));
  FarOp ops[3];
  FarName found;
  uint64_t place;
  *out_added = false;
  if (!name_fits(memory, name->name, fault) || !far_lock_round(memory, lock, ops, 1, stop, fault))
    return false;
  Fault first = {0};
  bool ok = look(memory, name->name, &found, &place, NULL, &first);
  if (ok && found.kind <= FAR_KIND_REMOVED && place == FAR_NONE)
    ok = fault_set(&first, FAULT_LIMIT, "%s: it holds %d names already", memory->at, FAR_NAMES);
  size_t n = 0;
  if (ok && found.kind <= FAR_KIND_REMOVED) { /* the kind last: then it is there */
    const FarPointer at = name_at(memory, place);
    ops[n++] = (FarOp){.code = FAR_WRITE,
                       .at = at + sizeof name->kind,
                       .local = &name->root,
                       .length = sizeof *name - sizeof name->kind};
    ops[n++] =
        (FarOp){.code = FAR_WRITE, .at = at, .local = &name->kind, .length = sizeof name->kind};
    *out_added = true;
  } else if (ok) {
    *name = found;
  }
  if (!unlock(memory, ops, n, ok ? fault : NULL)) return false;
  return ok || fault_set(fault, first.code, "%s", first.text);
}

bool far_name_remove(FarMemory *memory, const char *name, FarPointer root, Stop *stop,
                     Fault *fault) {
  const FarPointer lock = far_here(memory, offsetof(FarHeader, names_lock));
  static const uint64_t removed = FAR_KIND_REMOVED;
  FarOp ops[2];
  FarName found;
  uint64_t place;
  if (!far_lock_round(memory, lock, ops, 1, stop, fault)) return false;
  Fault first = {0};
  bool ok = look(memory, name, &found, &place, NULL, &first);
  if (ok && (found.kind <= FAR_KIND_REMOVED || found.root != root))
    ok = fault_set(&first, FAULT_NOTFOUND, "%s: there is no \"%s\"", memory->at, name);
  if (ok) {
    ops[0] = (FarOp){.code = FAR_WRITE,
                     .at = name_at(memory, place),
                     .local = (void *)&removed,
                     .length = sizeof removed};
  }
  if (!unlock(memory, ops, ok, ok ? fault : NULL)) return false;
  return ok || fault_set(fault, first.code, "%s", first.text);
}

bool far_name_list(FarMemory *memory, FarName **out, size_t *out_n, Stop *stop, Fault *fault) {
  FarName *names = malloc(FAR_NAMES * sizeof *names);
  if (!names) return fault_oom(fault);
  FarOp op = {.code = FAR_READ,
              .at = name_at(memory, 0),
              .local = names,
              .length = FAR_NAMES * sizeof *names};
  if (!far_round(memory, &op, 1, stop, fault)) {
    free(names);
    return false;
  }
  size_t n = 0;
  for (size_t i = 0; i < FAR_NAMES; i++) {
    if (names[i].kind <= FAR_KIND_REMOVED) continue;
    names[n] = names[i];
    names[n++].name[FAR_NAME - 1] = '\0';
  }
  *out = names;
  *out_n = n;
  return true;
}
