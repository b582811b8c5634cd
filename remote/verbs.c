/*
** verbs:HOST:PORT: a far memory whose machine's network card does the reading and writing. Beside
** the queues (verbs.h) there is a connection as tcp: has it: who the client is, memory to be
** reserved, dead clients to be buried. Both end together.
*/
#include "remote/verbs.h"

#include "remote/chain.h"
#include "remote/rdma.h"
#include "remote/stream.h"

static void close_queues(FarMemory *memory) {
  chain_close(memory->chain);
  if (memory->nic) memory->nic->kind->close(memory->nic, memory->inherited);
  memory->chain = NULL;
  memory->nic = NULL;
}

/* What was under way may still be done: the server sees the connection end, and sees to it. */
static void lose(FarMemory *memory) {
  close_queues(memory);
  far_stream_lost(memory, "", NULL);
}

static bool connect_queues(FarMemory *memory, Stop *stop, Fault *fault) {
  const int64_t deadline = clock_now() + memory->options.deadline_ns;
  uint64_t token;
  if (far_stream_word(memory, WIRE_QUEUES, &token, fault) &&
      (memory->nic = verbs_connect(memory->at, token, deadline, stop, NULL, NULL, fault)) &&
      (memory->chain = chain_open(memory->nic, memory->at, (unsigned)memory->head.region,
                                  memory->head.size, &memory->counts, fault))) {
    chain_has_board(memory->chain);
    return true;
  }
  lose(memory);
  return false;
}

static bool verbs_open(FarMemory *memory, const char *name, Fault *fault) {
  if (!rdma_load(fault)) return fault_prefix(fault, "%s: ", memory->at);
  return far_tcp.open(memory, name, fault) && connect_queues(memory, NULL, fault);
}

static bool verbs_revive(FarMemory *memory, Stop *stop, Fault *fault) {
  close_queues(memory);
  return far_tcp.revive(memory, stop, fault) && connect_queues(memory, stop, fault);
}

static void verbs_close(FarMemory *memory) {
  close_queues(memory);
  far_tcp.close(memory);
}

static bool verbs_round(FarMemory *memory, const FarSegment *segments, int n, Stop *stop,
                        Fault *fault) {
  bool is_lost = false;
  if (memory->fd < 0) return fault_set(fault, FAULT_IO, "%s: the connection was lost", memory->at);
  const bool ok = chain_round(memory->chain, segments, n, clock_now() + memory->options.deadline_ns,
                              stop, &is_lost, fault);
  const uint64_t *wrote = chain_wrote(memory->chain);
  if (is_lost) {
    lose(memory); /* the server tells everybody when it buries us */
  } else if (wrote) {
    far_stream_wrote(memory, wrote);
  }
  return ok;
}

static bool verbs_reserve(FarMemory *memory, uint64_t at, uint64_t length, Fault *fault) {
  return far_tcp.reserve(memory, at, length, fault);
}

static bool verbs_bury(FarMemory *memory, uint64_t client, bool *out_alive, Fault *fault) {
  return far_tcp.bury(memory, client, out_alive, fault);
}

static bool verbs_settle(FarMemory *memory, FarDecide *decide, void *ctx, int *out_settled,
                         Fault *fault) {
  return far_tcp.settle(memory, decide, ctx, out_settled, fault);
}

/* The server looks for us. */
static bool verbs_watch(FarMemory *memory, const FarLook *look, Fault *fault) {
  return far_tcp.watch(memory, look, fault);
}

static void verbs_unwatch(FarMemory *memory, const FarLook *look) { far_tcp.unwatch(memory, look); }

static bool verbs_hear(FarMemory *memory, int64_t ns, Fault *fault) {
  return far_tcp.hear(memory, ns, fault);
}

const FarTransport far_verbs = {.scheme = "verbs:",
                                .open = verbs_open,
                                .close = verbs_close,
                                .revive = verbs_revive,
                                .round = verbs_round,
                                .counts = true,
                                .reserve = verbs_reserve,
                                .bury = verbs_bury,
                                .settle = verbs_settle,
                                .watch = verbs_watch,
                                .unwatch = verbs_unwatch,
                                .hear = verbs_hear};
