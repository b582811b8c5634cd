/*
** Watches, one by one: what is told and what is not, by clients that map the memory and by clients
** of a server, with notices that are lost, late or doubled, and a server that goes and comes.
*/
#define _GNU_SOURCE
#include "remote/alloc.h"
#include "remote/map_watch.h"
#include "remote/memory.h"
#include "remote/stream.h"
#include "remote/txn.h"
#include "remote/word.h"
#include "test/remote/serving.h"

enum { LONG = 20000, SHORT = 250 }; /* ms: in which something has to come, has had time to */

static const FarShape shape = {.kind = FAR_KEY_INTEGER, .key = 8, .stride = 24, .slots = 4};

static FarPointer block(FarMemory *memory, size_t size) {
  FarPointer at_block;
  unsigned char zeroes[8192] = {0};
  must(far_alloc(memory, size, FAR_USE_BYTES, &at_block, NULL, &fault));
  FarOp op = far_write_op(at_block, zeroes, size);
  must(far_round(memory, &op, 1, NULL, &fault));
  return at_block;
}

static void write_word(FarMemory *memory, FarPointer word, uint64_t value) {
  FarOp op = far_write_op(word, &value, 8);
  must(far_round(memory, &op, 1, NULL, &fault));
}

static uint64_t watch(FarMemory *memory, FarWatch what) {
  uint64_t id;
  must(far_watch(memory, &what, &id, NULL, &fault));
  return id;
}

static FarNotice await(FarMemory *memory) {
  FarNotice notice;
  size_t n;
  must(far_notices(memory, LONG * INT64_C(1000000), &notice, 1, &n, NULL, &fault));
  assert(n == 1);
  return notice;
}

static void expect(FarMemory *memory, uint64_t id, uint64_t word) {
  const FarNotice notice = await(memory);
  assert(notice.watch == id && notice.word == word && !notice.gap);
}

static void expect_none(FarMemory *memory) {
  FarNotice notice;
  size_t n;
  must(far_notices(memory, SHORT * INT64_C(1000000), &notice, 1, &n, NULL, &fault));
  assert(n == 0);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void words(FarMemory *watcher, FarMemory *writer) {
  const FarPointer word = block(writer, 64);
  const FarWatch changed = {.kind = FAR_CHANGED, .at = word, .length = 8};
  const uint64_t id = watch(watcher, changed);
  expect_none(watcher);
  write_word(writer, word, 5);
  expect(watcher, id, 5);
  write_word(writer, word, 5); /* it is what it was */
  write_word(writer, word + 8, 6);
  expect_none(watcher);
  for (uint64_t i = 6; i < 50; i++) write_word(writer, word, i);
  FarNotice notice = await(watcher);
  while (notice.word != 49) { /* some of them may be told, in their order; the last one is */
    const uint64_t before = notice.word;
    notice = await(watcher);
    assert(notice.word > before && notice.watch == id);
  }
  expect_none(watcher);
  assert(far_unwatch(watcher, id) && !far_unwatch(watcher, id));
  write_word(writer, word, 1);
  expect_none(watcher);
  ok("a word changes");
}

/* Each operation that writes, and none that does not. */
static void operations(FarMemory *watcher, FarMemory *writer) {
  const FarPointer base = block(writer, 8192), target = block(writer, 64); /* other pages */
  const FarWatch changed = {.kind = FAR_CHANGED, .at = target, .length = 8};
  static const struct {
    FarCode code;
    bool by_base; /* through the pointer at `base` */
  } all[] = {{FAR_WRITE, false}, {FAR_CAS, false},   {FAR_ADD, false}, {FAR_STORE0, true},
             {FAR_STORE1, true}, {FAR_STORE2, true}, {FAR_ADD0, true}, {FAR_ADD1, true},
             {FAR_ADD2, true},   {FAR_FAAI, false},  {FAR_SAAI, true}};
  uint64_t now = 0, local;
  const uint64_t id = watch(watcher, changed);
  watcher->looked = clock_now() + INT64_C(3600000000000); /* mapped: the board alone tells */
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    const bool indexed = all[i].code == FAR_STORE1 || all[i].code == FAR_ADD1;
    write_word(writer, base, indexed ? target - 16 : target);
    const uint64_t step = all[i].code == FAR_FAAI ? 8 : 1;
    if (all[i].code == FAR_FAAI) { /* it reads at what the word says */
      write_word(writer, target, base);
      now = base;
      expect(watcher, id, now);
    }
    local = ++now;
    FarOp op = {.code = all[i].code,
                .at = all[i].by_base ? base : target,
                .index = indexed ? 16 : 0,
                .value = all[i].code == FAR_CAS ? now : step,
                .expected = now - 1,
                .local = &local,
                .length = 8};
    if (all[i].code == FAR_FAAI) now += 7;
    must(far_round(writer, &op, 1, NULL, &fault));
    assert(op.status == FAR_DONE);
    expect(watcher, id, now);
  }
  FarOp nothing[] = {{.code = FAR_CAS, .at = target, .expected = now + 1, .value = 1},
                     {.code = FAR_EXPECT, .at = target, .expected = now},
                     far_read_op(target, &local, 8),
                     {.code = FAR_ADD, .at = target}};
  must(far_round(writer, nothing, 4, NULL, &fault));
  expect_none(watcher);
  watcher->looked = 0;
  far_unwatch(watcher, id);
  ok("each operation that writes is told, and none that does not");
}

static void ranges(FarMemory *watcher, FarMemory *writer) {
  enum { LENGTH = 8000 };
  static unsigned char bytes[LENGTH];
  const FarPointer range = block(writer, LENGTH);
  const uint64_t all = watch(watcher, (FarWatch){FAR_CHANGED, false, range, LENGTH, 0});
  const uint64_t some = watch(watcher, (FarWatch){FAR_CHANGED_DATA, false, range + 4001, 99, 0});
  for (int i = 0; i < LENGTH; i += 777) {
    bytes[i]++;
    FarOp op = far_write_op(range + (uint64_t)i, bytes + i, 1);
    must(far_round(writer, &op, 1, NULL, &fault));
    assert(await(watcher).watch == all);
  }
  memset(bytes + 4000, 7, 101);
  FarOp op = far_write_op(range + 4000, bytes + 4000, 101);
  must(far_round(writer, &op, 1, NULL, &fault));
  for (int i = 0; i < 2; i++) {
    const FarNotice notice = await(watcher);
    assert(notice.watch == some || notice.watch == all);
    if (notice.watch == all) continue;
    assert(notice.length == 99 && !memcmp(notice.data, bytes + 4001, 99));
  }
  expect_none(watcher);
  far_unwatch(watcher, all);
  far_unwatch(watcher, some);
  ok("a range changes, on any of its pages");
}

static void waiting(FarMemory *watcher, FarMemory *writer) {
  const FarPointer word = block(writer, 64);
  const uint64_t seven = watch(watcher, (FarWatch){FAR_EQUAL, false, word, 8, 7});
  const uint64_t once = watch(watcher, (FarWatch){FAR_EQUAL, true, word + 8, 8, 0});
  expect(watcher, once, 0); /* it is so already */
  assert(!far_unwatch(watcher, once));
  write_word(writer, word, 6);
  expect_none(watcher);
  for (int i = 0; i < 3; i++) {
    write_word(writer, word, 7);
    expect(watcher, seven, 7);
    expect_none(watcher);
    write_word(writer, word, 8);
    expect_none(watcher);
  }
  far_unwatch(watcher, seven);
  const uint64_t reached = watch(watcher, (FarWatch){FAR_REACHED, true, word, 8, 20});
  write_word(writer, word, 19);
  expect_none(watcher);
  write_word(writer, word, 23);
  expect(watcher, reached, 23);
  assert(far_watch_count(watcher) == 0);
  ok("a word becomes equal, or as large");
}

static void refused(FarMemory *memory) {
  const FarPointer word = block(memory, 64);
  const FarWatch wrong[] = {
      {FAR_CHANGED, false, word, 0, 0},
      {FAR_CHANGED, false, word, FAR_WATCH_MOST + 1, 0},
      {FAR_CHANGED_DATA, false, word, FAR_WATCH_DATA + 1, 0},
      {FAR_EQUAL, false, word, 4, 0},
      {FAR_EQUAL, false, word + 4, 8, 0},
      {FAR_NWATCH_KINDS, false, word, 8, 0},
      {FAR_CHANGED, false, far_here(memory, 16 << 20), 1, 0},
      {FAR_CHANGED, false, far_here(memory, (16 << 20) - 4), 8, 0},
      {FAR_CHANGED, false, far_pointer(far_region_of(memory) ^ 1, 0, 4096), 8, 0},
  };
  uint64_t id, ids[FAR_WATCHES];
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    Fault told = {0};
    assert(!far_watch(memory, &wrong[i], &id, NULL, &told) && told.code == FAULT_LIMIT);
  }
  for (int i = 0; i < FAR_WATCHES; i++)
    ids[i] = watch(memory, (FarWatch){FAR_EQUAL, false, word, 8, 1 + (uint64_t)i % 4});
  Fault told = {0};
  const FarWatch more = {FAR_EQUAL, false, word, 8, 1};
  assert(!far_watch(memory, &more, &id, NULL, &told) && told.code == FAULT_LIMIT);
  write_word(memory, word, 3);
  for (int i = 0; i < FAR_WATCHES / 4; i++) assert(await(memory).word == 3);
  expect_none(memory);
  for (int i = 0; i < FAR_WATCHES; i++) assert(far_unwatch(memory, ids[i]));
  ok("watches on what is nowhere are refused, and too many");
}

/* ---- on the way ------------------------------------------------------------------------------ */

static void injected(FarMemory *watcher, FarMemory *writer) {
  const FarPointer word = block(writer, 64);
  FarInjection *injection = far_injection(watcher);
  const uint64_t id = watch(watcher, (FarWatch){FAR_CHANGED, false, word, 8, 0});
  injection->lost = 2;
  for (uint64_t i = 1; i < 20; i++) {
    write_word(writer, word, i);
    expect(watcher, id, i); /* after FAR_RECHECK ms, every other one */
  }
  injection->lost = 0;
  injection->twice = 1;
  for (uint64_t i = 100; i < 105; i++) {
    write_word(writer, word, i);
    expect(watcher, id, i);
    expect(watcher, id, i);
  }
  expect_none(watcher);
  injection->twice = 0;
  injection->late_ns = 2 * SHORT * INT64_C(1000000);
  write_word(writer, word, 200);
  expect_none(watcher);
  expect(watcher, id, 200);
  injection->late_ns = 0;
  far_unwatch(watcher, id);
  ok("notices are lost, doubled and late");
}

/* The server dies, others go on meanwhile, and it comes back. */
static void gap(pid_t *server) {
  FarMemory *near = open_it(file), *far = open_it(at);
  const FarPointer word = block(near, 64);
  const uint64_t first = watch(far, (FarWatch){FAR_CHANGED, false, word, 8, 0});
  const uint64_t second = watch(far, (FarWatch){FAR_CHANGED, false, word + 8, 8, 0});
  stop(*server);
  write_word(near, word, 1);
  FarNotice notice;
  size_t n;
  Fault told = {0};
  assert(!far_notices(far, LONG * INT64_C(1000000), &notice, 1, &n, NULL, &told));
  assert(told.code == FAULT_IO);
  *server = start(NULL);
  must(far_revive(far, NULL, &fault));
  bool gaps[2] = {false, false}, changed = false;
  while (!gaps[0] || !gaps[1] || !changed) {
    notice = await(far);
    assert(notice.watch == first || notice.watch == second);
    if (notice.gap) gaps[notice.watch == second] = true;
    if (notice.watch == first && notice.word == 1) changed = true;
    assert(notice.watch == first || notice.gap);
  }
  expect_none(far);
  write_word(near, word + 8, 2);
  expect(far, second, 2);
  far_close(near);
  far_close(far);
  ok("a server goes and comes: what changed is told, and that there was a gap");
}

/* Who dies takes his places on the board with him. */
static void death(FarMemory *memory) {
  const FarPointer word = block(memory, 64);
  const FarBoard *board = far_board(&memory->mapped);
  const char *const where[] = {file, at};
  while (board->all.watchers) pause_ms(1); /* the server hears of ends without an answer */
  for (int i = 0; i < 2; i++) {
    const pid_t child = fork();
    if (child == 0) {
      watch(open_it(where[i]), (FarWatch){FAR_CHANGED, false, word, 8, 0});
      while (!board->all.watchers) pause_ms(1); /* by the server: soon */
      raise(SIGKILL);
    }
    int status;
    assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    /* Another client takes its place; or the server notices. */
    for (int tries = 0; board->all.watchers && tries < LONG; tries += SHORT) {
      FarMemory *next[16];
      for (int j = 0; j < 16; j++) next[j] = open_it(file);
      for (int j = 0; j < 16; j++) far_close(next[j]);
      pause_ms(SHORT);
    }
    assert(!board->all.watchers);
  }
  ok("who dies watches nothing any more");
}

/* ---- maps ------------------------------------------------------------------------------------ */

static FarMap *map_of(FarMemory *memory) {
  FarMap *map;
  must(far_map_open(memory, "m", &shape, 1, true, &map, NULL, &fault));
  return map;
}

static void put(FarMap *map, int64_t key, int64_t value) {
  const FarSeen any = {.stamp = FAR_ANY};
  FarTxn *txn = far_txn_begin(far_map_memory(map), &fault);
  must(far_txn_put(txn, map, &key, value ? &value : NULL, &any, &fault));
  must(far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
}

/* What a notice says of it; notices of others are told to them, and must be nothing. */
static FarMapEvent event_of(FarMemory *memory, FarMapWatch *wanted, FarMapWatch *other) {
  FarMapEvent event = FAR_MAP_SAME, of_other;
  while (event == FAR_MAP_SAME) {
    const FarNotice notice = await(memory);
    if (notice.watch == wanted->watch) {
      must(far_map_noticed(wanted, &notice, &event, NULL, &fault));
    } else if (notice.watch == other->watch) {
      must(far_map_noticed(other, &notice, &of_other, NULL, &fault));
      assert(of_other == FAR_MAP_SAME || !other->has_key || of_other == FAR_MAP_DROPPED);
    }
  }
  return event;
}

static void maps(FarMemory *watcher, FarMemory *writer) {
  FarMap *theirs = map_of(writer), *ours = map_of(watcher);
  FarMapWatch whole, one, other;
  const int64_t key = 50, beside = 51;
  for (int64_t i = 0; i < 100; i += 10) put(theirs, i, 1);
  put(theirs, key, 0);
  must(far_map_watch(ours, &key, &one, NULL, &fault));
  must(far_map_watch(ours, &beside, &other, NULL, &fault));
  put(theirs, key, 7);
  assert(event_of(watcher, &one, &other) == FAR_MAP_INSERTED);
  for (int64_t i = 0; i < 40; i++) put(theirs, i % 2 ? 60 + i : 49 - i, 3); /* buckets split */
  put(theirs, key, 8);
  assert(event_of(watcher, &one, &other) == FAR_MAP_UPDATED);
  put(theirs, key, 0);
  assert(event_of(watcher, &one, &other) == FAR_MAP_DELETED);
  put(theirs, beside, 1);
  assert(event_of(watcher, &other, &one) == FAR_MAP_INSERTED);
  must(far_map_watch(ours, NULL, &whole, NULL, &fault));
  far_map_unwatch(&other);
  for (int i = 0; i < 5; i++) {
    put(theirs, 1000 + i, 1);
    assert(event_of(watcher, &whole, &one) == FAR_MAP_CHANGED);
  }
  must(far_map_drop(theirs, NULL, &fault));
  FarMapEvent event;
  do {
    event = event_of(watcher, &whole, &one);
  } while (event == FAR_MAP_CHANGED);
  assert(event == FAR_MAP_DROPPED && !whole.watch);
  assert(!one.watch || event_of(watcher, &one, &whole) == FAR_MAP_DROPPED);
  assert(far_watch_count(watcher) == 0);
  far_map_close(theirs);
  far_map_close(ours);
  ok("maps and elements change, move, and are dropped");
}

/* What a card writes nobody sees, until it is found by and by, or told by who had it written. */
static void past_the_board(FarMemory *mapped, FarMemory *watcher, FarMemory *writer) {
  const FarPointer word = block(writer, 64);
  const uint64_t id = watch(watcher, (FarWatch){.kind = FAR_CHANGED, .at = word, .length = 8});
  const unsigned slot = far_board_slot(far_offset(word));
  uint64_t set[FAR_BOARD / 64] = {0};
  expect_none(watcher); /* it is watched by now */
  const uint32_t before = far_board_changes(&mapped->mapped, slot);
  atomic_store(far_word(&mapped->mapped, far_offset(word)), 5);
  expect(watcher, id, 5);
  assert(far_board_changes(&mapped->mapped, slot) == before);
  atomic_store(far_word(&mapped->mapped, far_offset(word)), 6);
  far_board_mark(set, far_offset(word), 8);
  far_stream_wrote(writer, set);
  expect(watcher, id, 6);
  while (far_board_changes(&mapped->mapped, slot) == before) pause_ms(1);
  assert(far_unwatch(watcher, id));
  ok("what was written past the board");
}

static void all(FarMemory *watcher, FarMemory *writer, const char *how) {
  printf("# %s\n", how);
  words(watcher, writer);
  operations(watcher, writer);
  ranges(watcher, writer);
  waiting(watcher, writer);
  injected(watcher, writer);
  maps(watcher, writer);
}

int main(void) {
  begin_tests();
  pid_t server = start(NULL);
  FarMemory *near = open_it(file), *nearer = open_it(file), *far = open_it(at),
            *other = open_it(at);
  all(near, nearer, "both map the memory");
  all(near, far, "the watcher maps the memory, the writer has a server");
  all(far, near, "the watcher has a server, the writer maps the memory");
  all(far, other, "both have a server");
  past_the_board(near, far, other);
  refused(near);
  refused(far);
  death(near);
  far_close(far);
  far_close(other);
  gap(&server);
  far_close(nearer);
  far_close(near);
  stop(server);
  return end_tests();
}
