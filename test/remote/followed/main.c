/*
** What cells point to, brought by a card (chain.h): the block is read a trip later than its row,
** and may be another one's by then. Somebody changes the row and uses its block for something
** else, a little later each time: what comes belongs to the row that came, or does not come.
*/
#include <assert.h>
#include <string.h>

#include "remote/bucket.h"
#include "remote/chain.h"
#include "test/remote/check.h"
#include "test/remote/shared/fake_nic.h"

enum { SIZE = 1 << 14, BUCKET = 4096, BLOCK = 512, LONG = 104, REGION = 7, CELL = 16 };

static const FarShape shape = {.kind = FAR_KEY_INTEGER, .key = 8, .stride = 32, .slots = 4};
static _Alignas(64) unsigned char memory[SIZE];

static void prepare(void) {
  const int64_t key = 3;
  const FarBucket head = {.version = 2, .used = 1, .flags = FAR_LAST};
  const uint64_t cell[] = {LONG, far_pointer(REGION, 0, BLOCK)};
  unsigned char *bucket = memory + BUCKET, *element = bucket + far_slot_at(&shape, 0);
  memset(memory, 0, sizeof memory);
  memcpy(bucket, &head, sizeof head);
  bucket[far_tags_at()] = bucket_tag(&shape, &key);
  memcpy(element + FAR_STAMP, &key, sizeof key);
  memcpy(element + CELL, cell, sizeof cell);
  memset(memory + BLOCK, 'a', LONG);
}

/* After so many of the card's steps: the row points nowhere, and the block is somebody else's. */
static void change(void *ctx) {
  long *left = ctx;
  const uint64_t version = 4;
  if ((*left)--) return;
  memset(memory + BUCKET + far_slot_at(&shape, 0) + CELL, 0, 8);
  memcpy(memory + BUCKET, &version, sizeof version);
  memset(memory + BLOCK, 'z', LONG);
}

int main(void) {
  const FarMapped mapped = {.base = memory, .size = SIZE, .region = REGION};
  const FarSearch search = {
      .shape = shape, .wanted = shape.stride, .nfollow = 1, .follow = {{CELL, 8}}};
  const int64_t key = 3;
  long came = 0, changed = 0, refused = 0;
  for (long i = 0; i < 4000; i++) {
    FarCounts counts = {0};
    FakeNic *card = fake_nic_open(&mapped, 1 << 16, 64, (uint64_t)i);
    Chain *chain = chain_open(&card->nic, "verbs:fake", REGION, SIZE, &counts, &fault);
    unsigned char local[512];
    uint64_t version;
    bool lost;
    FarOp op = {.code = FAR_FIND,
                .at = far_pointer(REGION, 0, BUCKET),
                .search = &search,
                .key = &key,
                .local = local,
                .length = sizeof local};
    const FarSegment segment = {&op, 1};
    long left = i % 16;
    prepare();
    card->meanwhile = change;
    card->ctx = &left;
    must(chain_round(chain, &segment, 1, clock_now() + 1000000000, NULL, &lost, &fault));
    assert(op.status == FAR_DONE && op.old == 0);
    memcpy(&version, local, sizeof version);
    const unsigned char *brought = local + FAR_FOUND + shape.stride + 8;
    const bool with = op.index == FAR_FOUND + shape.stride + 8 + LONG;
    for (int j = 0; with && j < LONG; j++) assert(version == 2 && brought[j] == 'a');
    came += with;
    changed += version == 4;
    refused += version == 2 && !with;
    chain_close(chain);
    card->nic.kind->close(&card->nic, false);
  }
  printf("# %ld came, %ld of changed rows, %ld refused\n", came, changed, refused);
  assert(came > 10 && changed > 10 && refused > 10);
  ok("what comes along belongs to the row that came");
  printf("1..%d\n", tests_done);
  return 0;
}
