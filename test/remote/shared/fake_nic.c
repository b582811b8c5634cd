#include "test/remote/shared/fake_nic.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static unsigned pick(FakeNic *it, unsigned n) {
  it->chance += UINT64_C(0x9e3779b97f4a7c15);
  uint64_t z = it->chance;
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (unsigned)((z ^ z >> 31) % n);
}

static void others(FakeNic *it) {
  if (it->meanwhile && pick(it, 2)) it->meanwhile(it->ctx);
}

/* Words at once, and what is no whole word by bytes. Upwards, downwards, or from the middle. */
static void transfer(FakeNic *it, unsigned char *to, const unsigned char *from, const void *far,
                     uint32_t length) {
  const unsigned pace = 4u << pick(it, 6); /* of the others */
  const uint32_t cut = length > 64 && far && it->meanwhile ? pick(it, length / 8) * 8 : 0;
  for (int half = 0; half < 2; half++) {
    const uint32_t first = half ? 0 : cut, end = half ? cut : length;
    for (uint32_t at = first; at < end;) {
      const bool whole = (uintptr_t)((const char *)far + at) % 8 == 0 && end - at >= 8;
      const uint32_t n = whole ? 8 : 1;
      memcpy(to + at, from + at, n);
      at += n;
      if (length > 8 && pick(it, pace) == 0) others(it);
    }
  }
}

static void do_work(FakeNic *it, const NicWork *work) {
  unsigned char *far = it->memory.base + work->at, *here = it->nic.room + work->local;
  others(it);
  if (work->code == NIC_READ) {
    transfer(it, here, far, far, work->length);
  } else if (work->code == NIC_WRITE) {
    transfer(it, far, here, far, work->length);
  } else {
    uint64_t old;
    memcpy(&old, far, 8);
    memcpy(here, &old, 8);
    if (work->code == NIC_ADD) old += work->value;
    if (work->code == NIC_CAS && old == work->expected) old = work->value;
    memcpy(far, &old, 8);
  }
}

/* Reads and changes that were put off, in their order. */
static void do_late(FakeNic *it, const NicWork **late, size_t *n) {
  for (size_t i = 0; i < *n; i++) do_work(it, late[i]);
  *n = 0;
}

/* What the network's order does not forbid: see nic.h. */
static bool fake_post(Nic *nic, const NicWork *works, size_t n, Fault *fault) {
  FakeNic *it = (FakeNic *)nic;
  const NicWork *late[NIC_DEPTH];
  size_t nlate = 0;
  (void)fault;
  assert(n > 0 && n <= nic->depth && !it->failed);
  it->chains++;
  it->polls = 0;
  for (size_t i = 0; i < n; i++) {
    const NicWork *work = &works[i];
    it->works++;
    assert(work->local + (uint64_t)work->length <= nic->nroom);
    assert(work->code <= NIC_WRITE || (work->length == 8 && work->at % 8 == 0));
    if (it->fails && --it->fails == 0) it->failed = it->why;
    if (work->at > it->memory.size || work->length > it->memory.size - work->at)
      it->failed = "remote access error";
    if (it->failed) break;
    assert(!work->fence || nic->fences);
    if (work->fence) do_late(it, late, &nlate);
    const bool overtakes = work->code != NIC_READ && pick(it, 2);
    if (overtakes || (work->code == NIC_WRITE && !nlate)) {
      do_work(it, work);
    } else if (work->code == NIC_WRITE) { /* a read behind it may not come before it */
      do_late(it, late, &nlate);
      do_work(it, work);
    } else {
      late[nlate++] = work;
    }
  }
  do_late(it, late, &nlate);
  return true;
}

static NicState fake_poll(Nic *nic, const char **out_why) {
  FakeNic *it = (FakeNic *)nic;
  others(it);
  if (it->silent || it->polls++ < it->late) return NIC_BUSY;
  *out_why = it->failed;
  return it->failed ? NIC_FAILED : NIC_DONE;
}

static void fake_nudge(Nic *nic) { ((FakeNic *)nic)->nudges++; }

static void fake_close(Nic *nic, bool inherited) {
  (void)inherited;
  free(nic->room);
  free(nic);
}

static const NicKind fake = {fake_post, fake_poll, fake_nudge, fake_close};

FakeNic *fake_nic_open(const FarMapped *memory, size_t room, size_t depth, uint64_t seed) {
  FakeNic *it = calloc(1, sizeof *it);
  assert(it && depth <= NIC_DEPTH);
  it->nic = (Nic){.kind = &fake, .nroom = room, .depth = depth, .fences = true};
  it->nic.room = calloc(1, room);
  assert(it->nic.room);
  it->memory = *memory;
  it->chance = seed;
  return it;
}
