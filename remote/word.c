#include "remote/word.h"

#include <string.h>

#include "remote/alloc.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/names.h"

bool far_word_open(FarMemory *memory, const char *name, FarPointer *out, Stop *stop, Fault *fault) {
  static const uint64_t zero;
  FarName it;
  bool found, added;
  if (!far_name_find(memory, name, &it, &found, stop, fault)) return false;
  if (!found) {
    it = (FarName){.kind = FAR_KIND_WORD};
    memcpy(it.name, name, strlen(name));
    if (!far_alloc(memory, sizeof zero, FAR_USE_BYTES, &it.root, stop, fault)) return false;
    const FarPointer word = it.root;
    FarOp op = {.code = FAR_WRITE, .at = word, .local = (void *)&zero, .length = sizeof zero};
    if (!far_round(memory, &op, 1, stop, fault) ||
        !far_name_add(memory, &it, &added, stop, fault) ||
        (!added && !far_free(memory, word, sizeof zero, FAR_USE_BYTES, stop, fault)))
      return false;
  }
  if (it.kind != FAR_KIND_WORD)
    return fault_set(fault, FAULT_INVALID, "%s: \"%s\" is no counter or mutex", memory->at, name);
  *out = it.root;
  return true;
}

bool far_word_add(FarMemory *memory, FarPointer word, int64_t n, int64_t *out, Stop *stop,
                  Fault *fault) {
  FarOp op = {.code = FAR_ADD, .at = word, .value = (uint64_t)n};
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  *out = (int64_t)(op.old + op.value);
  return true;
}

bool far_mutex_lock(FarMemory *memory, FarPointer word, int64_t wait_ns, FarLocked *out, Stop *stop,
                    Fault *fault) {
  FarOp op = {.code = FAR_CAS, .at = word, .value = memory->client};
  FarWait wait = {.until = clock_now() + wait_ns};
  for (;;) {
    if (!far_round(memory, &op, 1, stop, fault)) return false;
    if (op.status == FAR_DONE) {
      *out = op.expected ? FAR_LOCKED_RECOVERED : FAR_LOCKED;
      return true;
    }
    if (op.old == memory->client)
      return fault_set(fault, FAULT_BUSY, "%s: this connection holds the mutex already",
                       memory->at);
    Fault waited = {0};
    if (!far_wait(memory, &wait, op.old, &op.expected, stop, &waited)) {
      *out = FAR_NOT_LOCKED;
      if (waited.code == FAULT_BUSY && clock_now() > wait.until) return true;
      return fault_set(fault, waited.code, "%s", waited.text);
    }
  }
}

bool far_mutex_unlock(FarMemory *memory, FarPointer word, Stop *stop, Fault *fault) {
  FarOp op = {.code = FAR_CAS, .at = word, .expected = memory->client};
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  return op.status == FAR_DONE ||
         fault_set(fault, FAULT_DENIED, "%s: this connection does not hold the mutex", memory->at);
}
