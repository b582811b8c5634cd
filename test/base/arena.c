/*
** Arenas: alignment, zeroing, large and refused requests, reset and finish.
*/
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "test/base/check.h"
#include "test/runner/failing.h"

enum { BLOCK = 64 * 1024, ALIGN = _Alignof(max_align_t) };

static bool all_zero(const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (bytes[i]) return false;
  }
  return true;
}

/* Sizes around every boundary; each piece is zeroed, aligned, and apart from all the others. */
static void test_pieces(void) {
  static const size_t sizes[] = {0,         1,     ALIGN - 1, ALIGN,     ALIGN + 1, 1000,
                                 BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 0,         7};
  enum { COUNT = sizeof sizes / sizeof *sizes };
  unsigned char *pieces[COUNT];
  Arena arena = {0};
  bool zero = true, aligned = true, apart = true;
  for (size_t i = 0; i < COUNT; i++) {
    pieces[i] = arena_alloc(&arena, sizes[i]);
    zero = zero && pieces[i] && all_zero(pieces[i], sizes[i]);
    aligned = aligned && (uintptr_t)pieces[i] % ALIGN == 0;
    for (size_t j = 0; j < i; j++) apart = apart && pieces[i] != pieces[j];
    memset(pieces[i], (int)i + 1, sizes[i]);
  }
  for (size_t i = 0; i < COUNT; i++) {
    for (size_t k = 0; k < sizes[i]; k++) apart = apart && pieces[i][k] == i + 1;
  }
  check(zero, "memory is zeroed");
  check(aligned, "memory is aligned for any type");
  check(apart, "pieces do not overlap, also those of no bytes");
  check(arena.total >= 5 * BLOCK, "total counts what is held");
  arena_finish(&arena);
  check(arena.total == 0 && !arena.blocks && !arena.next, "finish leaves an empty arena");
  check(arena_alloc(&arena, 10) != NULL, "which can be used again");
  arena_finish(&arena);
}

static void test_reset(void) {
  Arena arena = {0};
  arena_reset(&arena);
  check(arena.total == 0, "an empty arena can be reset");
  for (int i = 0; i < 100; i++) memset(arena_alloc(&arena, BLOCK / 2), 0xff, BLOCK / 2);
  arena_reset(&arena);
  check(arena.total > 0 && arena.total < 2 * BLOCK, "reset keeps one block");
  size_t held = arena.total;
  unsigned char *again = arena_alloc(&arena, BLOCK / 2);
  check(all_zero(again, BLOCK / 2), "memory used again is zeroed again");
  check(arena.total == held, "and needs nothing from the system");
  arena_finish(&arena);
  arena_finish(&arena);
  check(true, "finish twice is harmless");
}

static void test_impossible(void) {
  Arena arena = {0};
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - ALIGN, SIZE_MAX - 64,
                                 SIZE_MAX / 2 + 1};
  bool refused = true;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    refused = refused && !arena_alloc(&arena, sizes[i]);
  }
  check(refused, "impossible sizes give NULL");
  check(!arena_array(&arena, SIZE_MAX / 8 + 1, 8), "a product that overflows gives NULL");
  check(!arena_array(&arena, SIZE_MAX / 2, SIZE_MAX / 2), "however large");
  check(arena_array(&arena, 0, 8) && arena_array(&arena, 8, 0), "an array of nothing is valid");
  check(arena_alloc(&arena, 8) != NULL, "the arena still works");
  arena_finish(&arena);
}

static void test_strings(void) {
  Arena arena = {0};
  char text[] = "caf\xc3\xa9";
  char *copy = arena_strdup(&arena, text);
  memset(text, 'x', 3);
  check_text(copy, "caf\xc3\xa9", "strdup copies");
  check(!arena_strdup(&arena, NULL) && !arena_strndup(&arena, NULL, 3), "NULL in, NULL out");
  check_text(arena_strndup(&arena, "abcdef", 3), "abc", "strndup cuts and terminates");
  check_text(arena_strndup(&arena, "abc", 0), "", "at nothing too");
  char *bytes = arena_strndup(&arena, "a\0b", 3);
  check(bytes && memcmp(bytes, "a\0b", 4) == 0, "strndup keeps bytes after a NUL");
  check(!arena_strndup(&arena, "x", SIZE_MAX), "a length without room for the NUL gives NULL");
  check_text(arena_printf(&arena, "%d-%s", 42, "x"), "42-x", "printf formats");
  check_text(arena_printf(&arena, "%s", ""), "", "also to nothing");
  char *wide = arena_printf(&arena, "%*d", 100000, 7);
  check(wide && strlen(wide) == 100000 && wide[99999] == '7', "and to more than a block");
  arena_finish(&arena);
}

/* Every request is refused once: NULL comes back, and the arena stays usable. */
static void test_refused(void) {
  bool ok = true;
  failing_enable(true);
  for (long victim = 1; victim <= 3; victim++) {
    Arena arena = {0};
    int missing = 0;
    failing_start(victim);
    failing_resume();
    for (int i = 0; i < 3; i++) missing += !arena_alloc(&arena, BLOCK);
    failing_pause();
    ok = ok && missing == 1 && failing_refused() && arena.total == 2 * BLOCK;
    arena_finish(&arena);
  }
  failing_enable(false);
  check(ok, "a refused block gives NULL, once, and later requests work");
}

int main(void) {
  test_pieces();
  test_reset();
  test_impossible();
  test_strings();
  test_refused();
  return checks_end();
}
