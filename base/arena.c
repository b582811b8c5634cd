/*
** Arenas: see arena.h.
*/
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/huge.h"

/* An arena that holds a megabyte is on its way to many: its blocks are then large. */
enum {
  BLOCK_SIZE = 64 * 1024,
  MANY = 1024 * 1024,
  LARGE_SIZE = 8 * HUGE_PAGE,
  ALIGN = _Alignof(max_align_t)
};

struct ArenaBlock {
  ArenaBlock *older;
  size_t size;
  max_align_t data[];
};

static bool add_block(Arena *arena, size_t need) {
  size_t size = arena->total < MANY ? BLOCK_SIZE : LARGE_SIZE - sizeof(ArenaBlock);
  if (size < need) size = need;
  ArenaBlock *block = malloc(sizeof *block + size);
  if (!block) return false;
  huge_hint(block, sizeof *block + size);
  block->older = arena->blocks;
  block->size = size;
  arena->blocks = block;
  arena->next = (char *)block->data;
  arena->end = arena->next + size;
  arena->total += size;
  return true;
}

void *arena_alloc(Arena *arena, size_t size) {
  if (size > SIZE_MAX - sizeof(ArenaBlock) - 2 * ALIGN) return NULL;
  size = (size + !size + ALIGN - 1) / ALIGN * ALIGN;
  if ((size_t)(arena->end - arena->next) < size && !add_block(arena, size)) return NULL;
  void *memory = arena->next;
  arena->next += size;
  return memset(memory, 0, size);
}

void *arena_array(Arena *arena, size_t count, size_t size) {
  if (size && count > SIZE_MAX / size) return NULL;
  return arena_alloc(arena, count * size);
}

char *arena_strndup(Arena *arena, const char *text, size_t length) {
  if (!text || length == SIZE_MAX) return NULL;
  char *copy = arena_alloc(arena, length + 1);
  if (copy && length) memcpy(copy, text, length);
  return copy;
}

char *arena_strdup(Arena *arena, const char *text) {
  return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_printf(Arena *arena, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (length < 0) return NULL;
  char *text = arena_alloc(arena, (size_t)length + 1);
  if (!text) return NULL;
  va_start(args, format);
  vsnprintf(text, (size_t)length + 1, format, args);
  va_end(args);
  return text;
}

static void free_blocks(Arena *arena, ArenaBlock *end) {
  while (arena->blocks != end) {
    ArenaBlock *block = arena->blocks;
    arena->blocks = block->older;
    arena->total -= block->size;
    free(block);
  }
}

/* The oldest block is kept, which is a small one. */
void arena_reset(Arena *arena) {
  ArenaBlock *keep = arena->blocks;
  if (!keep) return;
  while (keep->older) keep = keep->older;
  free_blocks(arena, keep);
  arena->next = (char *)keep->data;
  arena->end = arena->next + keep->size;
}

void arena_finish(Arena *arena) {
  free_blocks(arena, NULL);
  *arena = (Arena){0};
}
