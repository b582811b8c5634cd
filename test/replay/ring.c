/*
** Rows that are taken away while probes make them: what is packed out of a ring is what happened.
*/
#define _GNU_SOURCE
#include "replay/row_packer.h"

#include "test/base/check.h"
#include "test/replay/probed.h"

__asm__(".text\n.balign 16\nring_add:\n lea (%rdi,%rsi), %rax\n ret\nring_add_end:\n.balign 16\n");
long ring_add(long a, long b);
extern const char ring_add_end[];

#define COLUMN(name) ((uint64_t)1 << ROW_##name)
enum { CALLS = 200000 };

static ProbeFunction ring_function;

static int adds(void *arg) {
  for (long i = 0; i < CALLS; i++) {
    if (ring_add(i * 1000003, -i) != i * 1000003 - i) return 1;
  }
  (void)arg;
  return 0;
}

static int memfd(void) {
  int fd = memfd_create("rows", MFD_CLOEXEC);
  assert(fd >= 0);
  return fd;
}

static void add(Probed *probed, const ProbeSpec *spec, int fd) {
  Fault fault = {0};
  int set;
  if (!probes_add(probed->probes, &probed->tracee, spec, fd, NULL, 0, &set, &fault)) {
    probed_die(&fault);
  }
  probed_map(probed, (uint64_t)(uintptr_t)ring_add);
}

/* A ring that is filled several times. */
static void test_ring(void) {
  Probed probed;
  Fault fault = {0};
  uint64_t stops = 0;
  int status, fd = memfd();
  ProbeSpec spec = {.columns = COLUMN(A0) | COLUMN(A1) | COLUMN(CALLER) | COLUMN(EV) | COLUMN(TID) |
                               COLUMN(HIT) | COLUMN(RSP) | COLUMN(R12),
                    .functions = &ring_function,
                    .nfunctions = 1};
  const RowLayout layout = row_layout(spec.columns, false);
  RowPacker *packer;
  Packed packed;
  PackedBlock block = {0};
  if (!row_packer_create(fd, &layout, NULL, &packer, &fault)) probed_die(&fault);
  spec.taker = row_packer_taker(packer);
  probed_start(&probed, adds, NULL);
  add(&probed, &spec, row_packer_ring(packer));
  probed_run(&probed, &stops, &status);
  check(status == 0 && rowfile_count(probes_rows(probed.probes, 0)) == CALLS, "a ring: all rows");
  if (!probes_finish(probed.probes, 0, ROWS_COMPLETE, &fault) ||
      !row_packer_end(packer, NULL, 0, ROWS_COMPLETE, &fault) ||
      !packed_open(fd, &packed, &fault)) {
    probed_die(&fault);
  }
  bool same = packed.rows == CALLS;
  for (uint64_t i = 0; same && i < packed.rows; i++) {
    uint64_t a0 = 0, a1 = 0, hit = 0;
    same = packed_at(&packed, i, layout.word[ROW_A0], &block, &a0, &fault) &&
           packed_at(&packed, i, layout.word[ROW_A1], &block, &a1, &fault) &&
           packed_at(&packed, i, layout.word[ROW_HIT], &block, &hit, &fault) && a0 == i * 1000003 &&
           a1 == -i && hit == i + 1;
  }
  printf("# %llu stops\n", (unsigned long long)stops);
  check(same && stops > 5 && stops < 20, "a ring: in their order, with few stops");
  packed_close(&packed);
  row_packer_free(packer);
  probed_end(&probed);
  close(fd);
}

/* A full disk, or whatever is wrong with those who take the rows. */
static bool take_none(void *ctx, int part, uint64_t from, uint64_t size, Fault *fault) {
  (void)ctx, (void)part, (void)from, (void)size;
  return fault_set(fault, FAULT_IO, "no more");
}
static bool clear_all(void *ctx, int part, Fault *fault) {
  (void)ctx, (void)part, (void)fault;
  return true;
}

static void test_taker(void) {
  Probed probed;
  Fault fault = {0};
  int set, fd = memfd();
  ProbeStop stop;
  const RowTaker taker = {NULL, take_none, clear_all};
  const ProbeSpec spec = {
      .columns = COLUMN(A0), .taker = &taker, .functions = &ring_function, .nfunctions = 1};
  probed_start(&probed, adds, NULL);
  add(&probed, &spec, fd);
  bool ok = true;
  while (ok) {
    ok = tracee_resume(&probed.tracee, PTRACE_CONT, 0, &fault) &&
         tracee_wait(&probed.tracee, &fault) && WIFSTOPPED(probed.tracee.status) &&
         probes_stop(probed.probes, &probed.tracee, &stop, &set, &fault);
  }
  check(fault.code == FAULT_IO && strcmp(fault.text, "no more") == 0, "rows that nobody takes");
  probed_end(&probed);
  close(fd);
}

int main(void) {
  const uint64_t lo = (uint64_t)(uintptr_t)ring_add, hi = (uint64_t)(uintptr_t)ring_add_end;
  ring_function = (ProbeFunction){.file = PROBE_NO_FILE, .nparts = 1, .parts = {{lo, hi}}};
  test_ring();
  test_taker();
  return checks_end();
}
