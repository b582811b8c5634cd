/*
** Opening a far memory, and rounds: what every transport has in common.
*/
#include "remote/memory.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/alloc.h"

static const FarTransport *const transports[] = {&far_shm, &far_file, &far_unix, &far_tcp,
                                                 &far_verbs};

enum { SECOND = 1000000000 };

static void finish(FarMemory *memory) {
  memory->transport->close(memory);
  far_watch_finish(memory);
  free(memory->secret);
  free(memory->at);
  free(memory);
}

FarMemory *far_open(const char *at, const FarOptions *options, Fault *fault) {
  const FarTransport *transport = NULL;
  for (size_t i = 0; i < sizeof transports / sizeof *transports; i++) {
    if (!strncmp(at, transports[i]->scheme, strlen(transports[i]->scheme)))
      transport = transports[i];
  }
  if (!transport) {
    fault_set(
        fault, FAULT_INVALID,
        "\"%s\" is no far memory: it has to begin with shm:, file:, unix:, tcp: or verbs:", at);
    return NULL;
  }
  FarMemory *memory = calloc(1, sizeof *memory);
  if (!memory || !(memory->at = strdup(at))) {
    free(memory);
    fault_oom(fault);
    return NULL;
  }
  memory->transport = transport;
  memory->fd = -1;
  if (options) memory->options = *options;
  if (!memory->options.deadline_ns) memory->options.deadline_ns = SECOND;
  bool ok = true;
  if (memory->options.secret) {
    memory->secret = strdup(memory->options.secret);
    ok = memory->secret || fault_oom(fault);
  }
  if (ok && transport->open(memory, at + strlen(transport->scheme), fault)) return memory;
  finish(memory);
  return NULL;
}

void far_close(FarMemory *memory) {
  if (!memory) return;
  if (!memory->inherited && memory->fd >= 0) far_alloc_leave(memory);
  finish(memory);
}

bool far_revive(FarMemory *memory, Stop *stop, Fault *fault) {
  if (memory->fd >= 0 || memory->inherited) return true;
  return memory->transport->revive(memory, stop, fault) && far_watch_again(memory, fault);
}

const char *far_at(const FarMemory *memory) { return memory->at; }
unsigned far_region_of(const FarMemory *memory) { return (unsigned)memory->head.region; }
uint64_t far_client(const FarMemory *memory) { return memory->client; }
uint64_t far_incarnation(const FarMemory *memory) { return memory->head.incarnation; }
FarInjection *far_injection(FarMemory *memory) { return &memory->injection; }
FarCounts *far_counts(FarMemory *memory) { return &memory->counts; }

FarPointer far_client_field(const FarMemory *memory, size_t field) {
  const uint64_t slot = far_client_slot(memory->client);
  return far_here(memory, memory->head.clients + slot * sizeof(FarClient) + field);
}

bool far_settle(FarMemory *memory, FarDecide *decide, void *ctx, int *out_settled, Fault *fault) {
  *out_settled = 0;
  return memory->transport->settle(memory, decide, ctx, out_settled, fault);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void count(FarMemory *memory, const FarSegment *segment) {
  memory->counts.messages += segment->n;
  for (size_t i = 0; i < segment->n; i++) {
    const FarOp *op = &segment->ops[i];
    switch (op->code) {
    case FAR_WRITE:
    case FAR_STORE0:
    case FAR_STORE1:
    case FAR_STORE2:
    case FAR_SAAI:
      memory->counts.bytes_out += op->length;
      break;
    case FAR_READ:
    case FAR_LOAD0:
    case FAR_LOAD1:
    case FAR_LOAD2:
    case FAR_FAAI:
      memory->counts.bytes_in += op->length;
      break;
    case FAR_FIND:
    case FAR_RANGE:
      memory->counts.bytes_out += op->search->shape.key;
      memory->counts.bytes_in += op->index;
      break;
    default:
      memory->counts.bytes_out += 16;
      memory->counts.bytes_in += 8;
    }
  }
}

/* What a slower network would take: as long as that, and as busy as this one is. To look at the
** clock takes time itself, before the first and after the last one: a step of it is left out. */
static void inject(int64_t ns) {
  int64_t now = clock_now(), step = 0;
  for (const int64_t until = now + ns; now + step < until;) {
    const int64_t before = now;
    now = clock_now();
    step = now - before;
  }
}

bool far_round(FarMemory *memory, FarOp *ops, size_t n, Stop *stop, Fault *fault) {
  FarOp before[FAR_CLASSES + FAR_MOST_FREED];
  if (memory->inherited) {
    return fault_set(fault, FAULT_DENIED,
                     "%s was opened before fork(), and belongs to the parent: open it again",
                     memory->at);
  }
  const FarSegment segments[] = {{before, far_alloc_pending(memory, before)}, {ops, n}};
  const int first = segments[0].n ? 0 : 1;
  if (!memory->transport->round(memory, segments + first, 2 - first, stop, fault)) return false;
  if (memory->injection.ns) inject(memory->injection.ns);
  if (!memory->transport->counts) {
    memory->counts.rounds++;
    for (int i = first; i < 2; i++) count(memory, &segments[i]);
  }
  if (!first) far_alloc_told(memory);
  return true;
}
