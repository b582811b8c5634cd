#include "test/remote/shared/by_chains.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "remote/chain.h"

typedef struct MappedNic {
  Nic nic;
  FarMemory *memory;
  uint64_t chance;
  unsigned seldom, late_us;
  void (*before_write)(void);
} MappedNic;

static unsigned pick(MappedNic *it, unsigned n) {
  it->chance = it->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return (unsigned)((it->chance >> 33) % n);
}

static void be_late(MappedNic *it) {
  if (pick(it, it->seldom)) return;
  const struct timespec pause = {0, (long)pick(it, it->late_us) * 1000};
  nanosleep(&pause, NULL);
}

/* In their order, each by itself: words at once, as a card does. */
static bool post(Nic *nic, const NicWork *works, size_t n, Fault *fault) {
  static const FarCode codes[] = {
      [NIC_READ] = FAR_READ, [NIC_WRITE] = FAR_WRITE, [NIC_CAS] = FAR_CAS, [NIC_ADD] = FAR_ADD};
  MappedNic *it = (MappedNic *)nic;
  for (size_t i = 0; i < n; i++) {
    const NicWork *work = &works[i];
    FarOp op = {.code = codes[work->code],
                .at = far_here(it->memory, work->at),
                .local = nic->room + work->local,
                .length = work->length,
                .value = work->value,
                .expected = work->expected};
    bool skip = false;
    be_late(it);
    if (work->code == NIC_WRITE && it->before_write) {
      void (*then)(void) = it->before_write;
      it->before_write = NULL;
      then();
    }
    if (it->memory->injection.dies && --it->memory->injection.dies == 0) raise(SIGKILL);
    if (!far_execute(&it->memory->mapped, &op, 1, &skip, fault)) return false;
    if (work->code > NIC_WRITE) *(uint64_t *)(void *)op.local = op.old;
  }
  be_late(it);
  return true;
}

static NicState poll(Nic *nic, const char **out_why) {
  (void)nic;
  (void)out_why;
  return NIC_DONE;
}

static void nudge(Nic *nic) { (void)nic; }

static void close_nic(Nic *nic, bool inherited) {
  (void)inherited;
  free(nic->room);
  free(nic);
}

static const NicKind mapped = {post, poll, nudge, close_nic};

static bool round_by_chains(FarMemory *memory, const FarSegment *segments, int n, Stop *stop,
                            Fault *fault) {
  bool lost = false;
  return chain_round(memory->chain, segments, n, clock_now() + memory->options.deadline_ns, stop,
                     &lost, fault);
}

static void close_both(FarMemory *memory) {
  chain_close(memory->chain);
  memory->nic->kind->close(memory->nic, false);
  far_shm.close(memory);
}

void by_chains(FarMemory *memory, uint64_t seed, unsigned seldom, unsigned late_us) {
  static FarTransport transport;
  MappedNic *it = calloc(1, sizeof *it);
  assert(it && memory->mapped.base);
  it->nic = (Nic){.kind = &mapped, .nroom = NIC_ROOM, .depth = NIC_DEPTH};
  it->nic.room = aligned_alloc(FAR_PAGE, NIC_ROOM);
  assert(it->nic.room);
  it->memory = memory;
  it->chance = seed;
  it->seldom = seldom;
  it->late_us = late_us;
  transport = far_shm;
  transport.round = round_by_chains;
  transport.close = close_both;
  transport.counts = true;
  memory->transport = &transport;
  memory->nic = &it->nic;
  memory->chain = chain_open(memory->nic, memory->at, memory->mapped.region, memory->mapped.size,
                             &memory->counts, NULL);
  assert(memory->chain);
}

void by_chains_before_write(FarMemory *memory, void (*then)(void)) {
  ((MappedNic *)memory->nic)->before_write = then;
}
