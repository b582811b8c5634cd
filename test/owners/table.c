/*
** A table of objects against an array: random look-ups, loads, changes in two steps, turns of
** ownership; then threads that raise counters by compare-and-set.
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/owners/node.h"

enum { KEYS = 300, STEPS = 200000, THREADS = 4, RAISES = 20000 };

static OwnNode *node;

static OwnTable *open_table(const char *name, OwnWrite write, bool loads) {
  Fault fault = {0};
  bool made;
  OwnTable like = {
      .name = (char *)name, .nslices = 7, .strict = true, .write = write, .loads = loads};
  like.type = (OwnType){.ncolumns = 3,
                        .key = 1,
                        .columns = {{.name = "n", .kind = OWN_INTEGER},
                                    {.name = "id", .kind = OWN_TEXT},
                                    {.name = "b", .kind = OWN_BLOB}}};
  own_type_place(&like.type);
  OwnTable *table = own_node_table(node, &like, &made, &fault);
  assert(table && made);
  return table;
}

static OwnObject *make(const OwnTable *table, int key, int64_t n) {
  char id[32];
  OwnRow row = {0};
  const int length = snprintf(id, sizeof id, "key %d", key);
  own_set_integer(&table->type, row.words, 0, n);
  own_set_bytes(&table->type, row.words, 1, id, (uint64_t)length);
  own_set_bytes(&table->type, row.words, 2, &n, (uint64_t)n % 8);
  return own_object_make(&table->type, row.words);
}

static OwnKey key_of(char id[32], int key) {
  return own_key_text(id, (uint64_t)snprintf(id, 32, "key %d", key));
}

/* ---- against an array ------------------------------------------------------------------------ */

typedef struct Model {
  OwnTable *table;
  bool there[KEYS], loaded[KEYS], here[7];
  int64_t n[KEYS];
  uint64_t version[KEYS];
} Model;

static int slice_of(const Model *it, int key) {
  char id[32];
  return own_slice_of(it->table, key_of(id, key).hash);
}

static void check_find(Model *it, int key) {
  char id[32];
  const OwnKey k = key_of(id, key);
  OwnObject *object;
  uint64_t ticket = 0;
  const OwnAnswer answer = own_table_find(it->table, &k, &object, &ticket);
  if (!it->here[slice_of(it, key)]) {
    assert(answer == OWN_NOT_HERE && !object);
  } else if (it->there[key] && it->loaded[key]) {
    assert(answer == OWN_FOUND && own_integer(&it->table->type, object->row, 0) == it->n[key]);
    assert(object->version == it->version[key]);
    const OwnBytes text = own_bytes(&it->table->type, object->row, 1);
    assert(text.length == k.text.length && !strcmp(text.bytes, id));
    assert(own_object_of_bytes(text.bytes) == object);
    own_object_drop(object);
  } else {
    assert(answer == OWN_MISS && !object);
    if (!it->there[key]) return;
    object = make(it->table, key, it->n[key]);
    assert(own_table_add(it->table, &object, ticket + 1) == OWN_WAIT);
    assert(own_table_add(it->table, &object, ticket) == OWN_FOUND);
    it->loaded[key] = true;
    it->version[key] = object->version;
    own_object_drop(object);
  }
}

static void check_change(Model *it) {
  OwnChange changes[5];
  int keys[5];
  size_t n = 1 + (size_t)rand() % 5, failed = 99, wrong = n;
  OwnAnswer expected = OWN_FOUND;
  for (size_t i = 0; i < n; i++) {
    keys[i] = rand() % (KEYS / 5) * 5 + (int)i; /* each once */
    const int key = keys[i];
    char id[32];
    const OwnKey k = key_of(id, key);
    changes[i] = (OwnChange){.expect = (OwnExpect)(rand() % 3), .version = it->version[key]};
    if (rand() % 10 == 0) changes[i].version++;
    changes[i].object =
        rand() % 3 ? make(it->table, key, rand()) : own_object_make_gone(&it->table->type, &k);
    const bool seen = it->there[key] && it->loaded[key];
    const bool fits =
        changes[i].expect == OWN_ANY || (changes[i].expect == OWN_NONE && !seen) ||
        (changes[i].expect == OWN_VERSION && seen && changes[i].version == it->version[key]);
    if (wrong < n) continue;
    if (!it->here[slice_of(it, key)]) {
      wrong = i;
      expected = OWN_NOT_HERE;
    } else if (!fits) {
      wrong = i;
      expected = OWN_CONFLICT;
    }
  }
  const OwnAnswer answer = own_table_prepare(it->table, changes, n, it, &failed);
  assert(answer == expected && (answer == OWN_FOUND || failed == wrong));
  if (answer == OWN_FOUND) {
    size_t other;
    OwnChange again = changes[0];
    assert(own_table_prepared(it->table, it) && !own_table_prepared(it->table, changes));
    again.expect = OWN_ANY;
    assert(own_table_prepare(it->table, &again, 1, changes, &other) == OWN_LOCKED);
    const int end = rand() % 3;
    if (end == 0) own_table_abort(it->table, it);
    if (end == 1) own_table_commit(it->table, it);
    if (end == 2) own_table_forget_prepared(it->table, it);
    for (size_t i = 0; end && i < n; i++) {
      it->loaded[keys[i]] = end == 1;
      if (end == 1) it->there[keys[i]] = !changes[i].object->gone;
      it->n[keys[i]] =
          end == 1 ? own_integer(&it->table->type, changes[i].object->row, 0) : it->n[keys[i]];
      it->version[keys[i]] = changes[i].object->version;
    }
  }
  assert(!own_table_prepared(it->table, it));
  for (size_t i = 0; i < n; i++) own_object_drop(changes[i].object);
}

static void check_slice(Model *it, int slice) {
  OwnObject **rows;
  size_t n, expected = 0;
  const OwnAnswer answer = own_slice_rows(it->table, slice, false, &rows, &n);
  for (int key = 0; key < KEYS; key++)
    expected += it->there[key] && it->loaded[key] && slice_of(it, key) == slice;
  assert(it->here[slice] ? answer == OWN_FOUND && n == expected : answer == OWN_NOT_HERE);
  own_rows_drop(rows, n);
}

static void turn(Model *it, int slice, uint64_t epoch) {
  if (it->here[slice]) {
    own_slice_end(it->table, slice, OWN_ELSEWHERE);
    for (int key = 0; key < KEYS; key++)
      if (slice_of(it, key) == slice) it->loaded[key] = false;
  } else {
    own_slice_begin(it->table, slice, epoch);
  }
  it->here[slice] = !it->here[slice];
}

static void check_model(void) {
  static Model it;
  it.table = open_table("model", OWN_WRITE_THROUGH, true);
  for (int i = 0; i < 7; i++) it.here[i] = true;
  for (int i = 0; i < KEYS; i++) {
    it.there[i] = i % 2;
    it.n[i] = i;
  }
  for (int step = 0; step < STEPS; step++) {
    const int key = rand() % KEYS, what = rand() % 1000;
    char id[32];
    const OwnKey k = key_of(id, key);
    if (what < 600) {
      check_find(&it, key);
    } else if (what < 900) {
      check_change(&it);
    } else if (what < 980) {
      const bool forgot = own_table_forget(it.table, &k);
      assert(forgot == it.here[slice_of(&it, key)]);
      if (forgot) it.loaded[key] = false;
    } else if (what < 995) {
      check_slice(&it, rand() % 7);
    } else {
      turn(&it, rand() % 7, (uint64_t)step + 2);
    }
  }
  own_node_table_close(it.table);
}

/* ---- threads --------------------------------------------------------------------------------- */

static OwnTable *counters;

static void *raise_some(void *ctx) {
  unsigned seed = (unsigned)(uintptr_t)ctx;
  char me;
  for (int done = 0; done < RAISES;) {
    char id[32];
    uint64_t ticket;
    size_t failed;
    OwnObject *object;
    seed = seed * 1103515245 + 12345;
    const int key = (int)(seed >> 16) % 10;
    const OwnKey k = key_of(id, key);
    assert(own_table_find(counters, &k, &object, &ticket) == OWN_FOUND);
    OwnChange change = {.expect = OWN_VERSION, .version = object->version};
    change.object = make(counters, key, own_integer(&counters->type, object->row, 0) + 1);
    if (own_table_prepare(counters, &change, 1, &me, &failed) == OWN_FOUND) {
      own_table_commit(counters, &me);
      done++;
    }
    own_object_drop(change.object);
    own_object_drop(object);
  }
  return NULL;
}

static void check_threads(void) {
  pthread_t threads[THREADS];
  int64_t sum = 0;
  counters = open_table("counters", OWN_WRITE_NONE, false);
  for (int key = 0; key < 10; key++) {
    size_t failed;
    OwnChange change = {.expect = OWN_NONE, .object = make(counters, key, 0)};
    assert(own_table_prepare(counters, &change, 1, counters, &failed) == OWN_FOUND);
    own_table_commit(counters, counters);
    own_object_drop(change.object);
  }
  for (int i = 0; i < THREADS; i++)
    assert(!pthread_create(&threads[i], NULL, raise_some, (void *)(uintptr_t)(i + 1)));
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (int slice = 0; slice < counters->nslices; slice++) {
    OwnObject **rows;
    size_t n;
    assert(own_slice_rows(counters, slice, false, &rows, &n) == OWN_FOUND);
    for (size_t i = 0; i < n; i++) sum += own_integer(&counters->type, rows[i]->row, 0);
    own_rows_drop(rows, n);
  }
  assert(sum == THREADS * RAISES);
  own_node_table_close(counters);
}

int main(void) {
  const OwnNodeOptions options = {.coordinator = "", .address = "", .secret = ""};
  Fault fault = {0};
  assert((node = own_node_open(&options, &fault)));
  srand(1);
  check_model();
  check_threads();
  own_node_close(node);
  puts("1..1\nok 1 - objects, changes and turns");
  return 0;
}
