#include "remote/root.h"

#include <stdlib.h>
#include <string.h>

#include "remote/alloc.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/names.h"

const char *far_kind_name(uint64_t kind) {
  static const char *const names[] = {[FAR_KIND_MAP] = "map",
                                      [FAR_KIND_WORD] = "counter or mutex",
                                      [FAR_KIND_VECTOR] = "vector",
                                      [FAR_KIND_QUEUE] = "queue",
                                      [FAR_KIND_HISTOGRAM] = "histogram"};
  return kind < sizeof names / sizeof *names && names[kind] ? names[kind] : "thing that is known";
}

bool far_root_find(FarMemory *memory, FarKind kind, const char *name, uint64_t schema, void *root,
                   size_t size, FarPointer *out_at, Stop *stop, Fault *fault) {
  FarName it;
  bool found;
  *out_at = 0;
  if (!far_name_find(memory, name, &it, &found, stop, fault)) return false;
  if (!found) return true;
  if (it.kind != kind)
    return fault_set(fault, FAULT_INVALID, "%s: \"%s\" is no %s but a %s", memory->at, name,
                     far_kind_name(kind), far_kind_name(it.kind));
  if (it.schema != schema) {
    return fault_set(fault, FAULT_INVALID,
                     "%s: \"%s\" was made otherwise (schema %016llx, not %016llx)", memory->at,
                     name, (unsigned long long)it.schema, (unsigned long long)schema);
  }
  FarOp op = far_read_op(it.root, root, size);
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  *out_at = it.root;
  return ((FarBucket *)root)->owner || far_root_gone(memory, kind, name, fault);
}

bool far_root_serial(FarMemory *memory, uint64_t *out, Stop *stop, Fault *fault) {
  FarOp op = {.code = FAR_ADD, .at = far_here(memory, offsetof(FarHeader, serial)), .value = 1};
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  *out = op.old + 1;
  return true;
}

bool far_root_add(FarMemory *memory, FarKind kind, const char *name, uint64_t schema,
                  uint64_t serial, void *root, size_t size, FarPointer *out_at, Stop *stop,
                  Fault *fault) {
  FarBucket *head = root;
  FarName it = {.kind = kind, .schema = schema};
  bool added = false;
  *out_at = 0;
  head->owner = serial;
  head->version = serial << 32; /* versions of a place never come again */
  if (strlen(name) < sizeof it.name) memcpy(it.name, name, strlen(name));
  if (!far_alloc(memory, size, FAR_USE_BUCKET, &it.root, stop, fault)) return false;
  const FarPointer place = it.root;
  FarOp op = far_write_op(place, root, size);
  const bool ok =
      far_round(memory, &op, 1, stop, fault) && far_name_add(memory, &it, &added, stop, fault);
  if (!added) far_free(memory, place, size, FAR_USE_BUCKET, NULL, NULL);
  if (added) *out_at = place;
  return ok;
}

FarOp far_root_there_op(FarPointer at, uint64_t serial) {
  return (FarOp){
      .code = FAR_EXPECT, .guard = true, .at = at + offsetof(FarBucket, owner), .expected = serial};
}

bool far_root_gone(const FarMemory *memory, FarKind kind, const char *name, Fault *fault) {
  return fault_set(fault, FAULT_NOTFOUND, "%s: the %s \"%s\" was dropped", memory->at,
                   far_kind_name(kind), name);
}

bool far_root_drop(FarMemory *memory, FarPointer at, size_t size, Stop *stop, Fault *fault) {
  static const uint64_t nobody;
  FarOp ops[] = {far_write_op(at + offsetof(FarBucket, owner), &nobody, 8),
                 {.code = FAR_ADD, .at = at + offsetof(FarBucket, version), .value = 2},
                 far_unlock_op(at + offsetof(FarBucket, lock))};
  return far_round(memory, ops, 3, stop, fault) &&
         far_free(memory, at, size, FAR_USE_BUCKET, stop, fault);
}

bool far_fill(FarMemory *memory, FarPointer at, const void *bytes, size_t n, uint64_t count,
              Stop *stop, Fault *fault) {
  enum { MOST = 1 << 20 };
  const uint64_t each = n < MOST ? MOST / n : 1, some = each < count ? each : count;
  unsigned char *copies = malloc(some * n + 1);
  bool ok = copies || fault_oom(fault);
  for (uint64_t i = 0; ok && i < some; i++) memcpy(copies + i * n, bytes, n);
  for (uint64_t done = 0; ok && done < count;) {
    const uint64_t now = count - done < some ? count - done : some;
    FarOp op = far_write_op(at + done * n, copies, now * n);
    ok = far_round(memory, &op, 1, stop, fault);
    done += now;
  }
  free(copies);
  return ok;
}
