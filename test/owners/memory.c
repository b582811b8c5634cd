/*
** Tables that may take so much memory (memory=): what goes, and what has to stay.
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/owners/node.h"

enum {
  KEYS = 20000,
  SLICES = 5,
  MOST = 500000,
  PINNED = 10,
  DIRTY = 20,
  HOT = 20,
  LARGE = 1000000
};

static OwnTable *table;

static OwnObject *make(int64_t key) {
  static char bytes[20000];
  OwnRow row = {0};
  own_set_integer(&table->type, row.words, 0, key);
  own_set_bytes(&table->type, row.words, 1, bytes,
                key < LARGE ? (uint64_t)key % 400 : sizeof bytes);
  return own_object_make(&table->type, row.words);
}

/* As from a database. True: it was in memory. */
static bool find(int64_t key, OwnObject **out) {
  const OwnKey k = own_key_number(key);
  uint64_t ticket;
  const OwnAnswer answer = own_table_find(table, &k, out, &ticket);
  if (answer == OWN_FOUND) return true;
  assert(answer == OWN_MISS);
  *out = make(key);
  assert(own_table_add(table, out, ticket) == OWN_FOUND);
  return false;
}

static void touch(int64_t key) {
  OwnObject *object;
  find(key, &object);
  own_object_drop(object);
}

/* What is said to be there is there, and no more than may be. */
static uint64_t count_bytes(void) {
  uint64_t bytes = 0;
  for (int i = 0; i < SLICES; i++) {
    OwnObject **rows;
    size_t n;
    uint64_t sum = 0;
    assert(own_slice_rows(table, i, false, &rows, &n) == OWN_FOUND);
    for (size_t j = 0; j < n; j++) sum += rows[j]->size;
    own_rows_drop(rows, n);
    assert(sum == table->slices[i].bytes);
    bytes += sum;
  }
  return bytes;
}

static void change(int64_t key) {
  OwnChange change = {.object = make(key), .expect = OWN_ANY};
  size_t failed;
  assert(own_table_prepare(table, &change, 1, &change, &failed) == OWN_FOUND);
  own_table_commit(table, &change);
  own_object_drop(change.object);
}

static OwnObject *make_second(void) {
  OwnObject *first = make(7), *second = make(7), *there;
  const OwnKey key = own_key_number(7);
  uint64_t ticket;
  assert(own_table_find(table, &key, &there, &ticket) == OWN_MISS);
  assert(own_table_add(table, &first, ticket) == OWN_FOUND);
  assert(own_table_add(table, &second, ticket) == OWN_FOUND && second == first);
  own_object_drop(first);
  return second;
}

int main(void) {
  const OwnNodeOptions options = {.coordinator = "", .address = "", .secret = ""};
  Fault fault = {0};
  bool made;
  OwnTable like = {
      .name = (char *)"rows",
      .nslices = SLICES,
      .write = OWN_WRITE_BACK,
      .loads = true,
      .strict = true,
      .most = MOST,
      .type = {.ncolumns = 2,
               .columns = {{.name = "id", .kind = OWN_INTEGER}, {.name = "b", .kind = OWN_BLOB}}}};
  own_type_place(&like.type);
  OwnNode *node = own_node_open(&options, &fault);
  assert(node && (table = own_node_table(node, &like, &made, &fault)));
  OwnObject *pinned[PINNED], *again;
  int hot_missed = 0;
  for (int i = 0; i < PINNED; i++) assert(!find(i, &pinned[i]));
  for (int i = 0; i < DIRTY; i++) change(100 + i);
  for (int i = 0; i < HOT; i++) touch(200 + i);
  for (int i = 1000; i < KEYS; i++) {
    touch(i);
    if (i % 500 == 0) assert(count_bytes() < MOST + MOST / 10);
    if (i % 5) continue;
    hot_missed += !find(200 + i / 5 % HOT, &again);
    own_object_drop(again);
  }
  assert(count_bytes() > MOST / 2); /* it is used, too */
  assert(hot_missed == 0);
  for (int i = 0; i < PINNED; i++) {
    assert(find(i, &again) && again == pinned[i]);
    own_object_drop(again);
    own_object_drop(pinned[i]);
  }
  for (int i = 0; i < DIRTY; i++) {
    assert(find(100 + i, &again));
    own_object_drop(again);
  }
  uint64_t evicted = 0;
  for (int i = 0; i < SLICES; i++) evicted += table->slices[i].evicted;
  assert(evicted > KEYS / 2);
  /* All of it changed, and so all has to stay; once it is in the database, it goes. */
  for (int i = 1000; i < 6000; i++) change(i);
  assert(count_bytes() > MOST * 2);
  for (int i = 0; i < SLICES; i++) {
    OwnObject **rows;
    size_t n;
    assert(own_slice_rows(table, i, true, &rows, &n) == OWN_FOUND);
    own_slice_clean(table, i, rows, n);
    own_rows_drop(rows, n);
  }
  for (int i = 10000; i < 12000; i++) touch(i);
  assert(count_bytes() < MOST + MOST / 10);
  /* Few large rows in a hash table that was made for many small ones. */
  for (int i = 0; i < 2000; i++) touch(400 * (1000 + i));
  for (int i = 0; i < 700; i++) touch(LARGE + i);
  assert(count_bytes() < MOST * 3 / 2);
  /* Who comes second with what he has loaded gets the row that is there. */
  own_object_drop(make_second());
  own_node_table_close(table);
  own_node_close(node);
  puts("1..1\nok 1 - what may go goes, and nothing else");
  return 0;
}
