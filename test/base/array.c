/*
** Growing arrays and maps: against arrays and linear search, at the edges, and out of memory.
*/
#include "base/array.h"

#include <stdlib.h>

#include "test/base/check.h"
#include "test/runner/failing.h"

static void test_grow(void) {
  struct { /* an odd size, and guards around the pointer */
    size_t before;
    struct triple {
      char bytes[3];
    } * items;
    size_t after;
  } box = {.before = 111, .after = 222};
  size_t capacity = 0;
  bool ok = true, zero = true;
  size_t none = 0;
  check(array_grow(box.items, capacity, none) && !box.items, "nothing needed, nothing allocated");
  for (size_t i = 0; i < 5000; i++) {
    ok = ok && array_grow(box.items, capacity, i + 1) && capacity > i;
    zero = zero && !box.items[i].bytes[0] && !box.items[i].bytes[1] && !box.items[i].bytes[2];
    memset(&box.items[i], (int)(i % 251) + 1, 3);
  }
  for (size_t i = 0; i < 5000; i++) ok = ok && box.items[i].bytes[2] == (char)(i % 251 + 1);
  check(ok, "grows one by one and keeps what is there");
  check(zero, "new elements are zeroed");
  check(box.before == 111 && box.after == 222, "only the pointer is written");
  size_t old = capacity;
  struct triple *same = box.items;
  check(array_grow(box.items, capacity, old) && box.items == same, "enough is enough");
  check(array_grow(box.items, capacity, old + 1) && capacity >= 2 * old, "at least doubles");
  old = capacity;
  check(array_extend(box.items, capacity, old + 1) && capacity >= 2 * old, "extending doubles too");
  check(box.items[4999].bytes[1] == (char)(4999 % 251 + 1), "and keeps what is there");
  check(array_grow(box.items, capacity, capacity + 1) && !box.items[capacity - 1].bytes[0],
        "growing again zeroes what is new");
  free(box.items);
}

static void test_grow_impossible(void) {
  int64_t *items = NULL;
  size_t capacity = 0;
  check(!array_grow(items, capacity, SIZE_MAX) && !items && !capacity, "SIZE_MAX elements");
  check(!array_grow(items, capacity, SIZE_MAX / 8 + 1) && !capacity, "a size that overflows");
  check(!array_grow(items, capacity, SIZE_MAX / 8) && !capacity, "more than there is");
  check(array_grow(items, capacity, 10), "10 elements");
  size_t before = capacity;
  items[9] = 99;
  failing_enable(true);
  failing_start(1);
  failing_resume();
  bool grown = array_grow(items, capacity, before + 1);
  failing_pause();
  failing_enable(false);
  check(!grown && capacity == before && items[9] == 99, "refused: nothing changed");
  free(items);
}

/* Random keys of 0 to 3 bytes, NUL included, against a table indexed by the key. */
static void test_map(unsigned seed) {
  enum { KEYS = 4 * 256 };
  static int64_t model[KEYS];
  static bool known[KEYS];
  Map map = {0};
  bool ok = !map_get(&map, "", 0);
  size_t count = 0;
  for (int step = 0; step < 20000; step++) {
    seed = seed * 1103515245u + 12345u;
    size_t length = seed >> 16 & 3, byte = length ? seed >> 20 & 255 : 0;
    char key[3] = {(char)byte, 0, (char)length};
    size_t at = length * 256 + byte;
    bool added, expect = !known[at];
    int64_t *value = map_put(&map, key, length, step, &added);
    if (expect) model[at] = step, known[at] = true, count++;
    ok = ok && value && added == expect && *value == model[at];
    if (value && step % 7 == 0) *value = model[at] = -step;
    int64_t *got = map_get(&map, key, length);
    ok = ok && got && *got == model[at];
  }
  check(ok && map.count == count, "puts and gets as a table does");
  bool there = true;
  for (size_t at = 0; at < KEYS; at++) {
    char key[3] = {(char)(at % 256), 0, (char)(at / 256)};
    int64_t *got = map_get(&map, key, at / 256);
    if (at / 256 == 0 && at % 256) continue;
    there = there && (known[at] ? got && *got == model[at] : !got);
  }
  check(there, "everything put is there, nothing else");
  map_finish(&map);
  check(!map.slots && !map.count && !map_get(&map, "a", 1), "finish leaves an empty map");
  map_finish(&map);
}

static void test_map_keys(void) {
  Map map = {0};
  char key[] = "key";
  check(map_put(&map, key, 3, 1, NULL) != NULL, "added may be NULL");
  key[0] = 'x';
  check(map_get(&map, "key", 3) && !map_get(&map, "xey", 3), "keys are copied");
  check(!map_get(&map, "ke", 2) && !map_get(&map, "key", 4), "lengths count");
  check(map_put(&map, NULL, 0, 5, NULL) && *map_get(&map, "", 0) == 5, "the empty key is a key");
  char *large = calloc(1, 1 << 20);
  bool added = false;
  check(large && map_put(&map, large, 1 << 20, 7, &added) && added, "a key of 1 MiB");
  free(large);
  map_finish(&map);
}

/* Every allocation of filling a map is refused once: NULL comes, no key is lost, retrying works. */
static void test_map_refused(void) {
  bool ok = true;
  long total = 1;
  failing_enable(true);
  for (long victim = 1; victim <= total; victim++) {
    Map map = {0};
    failing_start(victim);
    failing_resume();
    for (int64_t i = 0; i < 100; i++) {
      bool added = true;
      if (!map_put(&map, &i, sizeof i, i, &added)) {
        ok = ok && !added && !map_get(&map, &i, sizeof i);
        ok = ok && map_put(&map, &i, sizeof i, i, &added) && added;
      }
    }
    failing_pause();
    total = failing_count();
    for (int64_t i = 0; i < 100; i++) {
      int64_t *value = map_get(&map, &i, sizeof i);
      ok = ok && value && *value == i;
    }
    ok = ok && map.count == 100;
    map_finish(&map);
  }
  failing_enable(false);
  check(ok && total > 100, "refused memory loses no key");
}

static void test_hash(void) {
  bool differ = true;
  uint64_t seen[256];
  for (int i = 0; i < 256; i++) {
    unsigned char byte = (unsigned char)i;
    seen[i] = hash_bytes(&byte, 1, 0);
    for (int j = 0; j < i; j++) differ = differ && seen[i] != seen[j];
  }
  check(differ, "single bytes have different hashes");
  check(hash_bytes("abc", 3, 0) == hash_bytes("abcd", 3, 0), "bytes past the end do not matter");
  check(hash_bytes("ab\0", 3, 0) != hash_bytes("ab", 2, 0), "trailing zero bytes do");
  check(hash_bytes("abc", 3, 1) != hash_bytes("abc", 3, 2), "seeds do");
  check(hash_bytes("", 0, 1) != hash_bytes("", 0, 2), "of nothing too");
  /* Open addressing needs the low bits to be good: 4096 numbers into 4096 slots. */
  enum { SLOTS = 4096 };
  static int slots[SLOTS];
  int used = 0;
  for (uint64_t i = 0; i < SLOTS; i++) used += !slots[hash_bytes(&i, sizeof i, 0) % SLOTS]++;
  check(used > SLOTS * 6 / 10 && used < SLOTS * 7 / 10, "consecutive numbers spread as if random");
}

int main(int argc, char **argv) {
  test_grow();
  test_grow_impossible();
  test_map(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
  test_map_keys();
  test_map_refused();
  test_hash();
  return checks_end();
}
