/*
** An arena: many allocations, one release.
**
** Everything that lives as long as one query, one parse or one model comes from an arena, so that
** most functions have nothing to free. Not thread-safe; one thread owns an arena at a time.
*/
#ifndef TENFOLD_BASE_ARENA_H
#define TENFOLD_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ArenaBlock ArenaBlock;

/* All zero is a valid, empty arena. */
typedef struct Arena {
  ArenaBlock *blocks; /* newest first */
  char *next, *end;   /* free part of the newest block */
  size_t total;       /* bytes held from the system */
} Arena;

/* Zeroed memory aligned for any type, or NULL when the system refuses. Zero bytes give a valid,
** unique pointer. Cost: a few instructions, a malloc every 64 KiB. */
void *arena_alloc(Arena *arena, size_t size);

/* count * size bytes; NULL also when the product overflows. */
void *arena_array(Arena *arena, size_t count, size_t size);

/* Copies; NULL in gives NULL out. The result of arena_strndup is NUL-terminated. */
char *arena_strdup(Arena *arena, const char *text);
char *arena_strndup(Arena *arena, const char *text, size_t length);
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forget everything, keep one block for reuse / give everything back to the system. */
void arena_reset(Arena *arena);
void arena_finish(Arena *arena);

#endif
