/*
** A piece of code seen whole: its instructions, where jumps lead inside it, and which instructions
** can be overwritten by a jump of 5 bytes.
*/
#ifndef TENFOLD_REPLAY_PROBE_BODY_H
#define TENFOLD_REPLAY_PROBE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "replay/probe_code.h"

/* The executable bytes around, and every place of them that some call or jump of 32 bits in them
** may lead to: found at every byte, so that none is missed (and a few are made up). */
typedef struct CodeImage {
  uint64_t start;
  size_t size;
  const uint8_t *bytes; /* borrowed */
  uint8_t *targets;     /* a bit a byte */
} CodeImage;

bool image_create(CodeImage *image, uint64_t start, const uint8_t *bytes, size_t size);
void image_finish(CodeImage *image);

/* Reads data of the program (jump tables): how many bytes were there. */
typedef size_t (*DataReader)(void *ctx, uint64_t addr, void *out, size_t size);

typedef struct Body {
  const CodeImage *image;
  uint64_t lo, hi;
  Insn *insns;
  size_t count, capacity;
  uint8_t *targets; /* a bit a byte of lo..hi */
  bool whole;       /* all of it could be decoded */
} Body;

/* False: no memory. lo..hi is cut to the image. */
bool body_create(Body *body, const CodeImage *image, uint64_t lo, uint64_t hi, DataReader read,
                 void *ctx);
void body_finish(Body *body);
/* The instruction that begins at `at`, or -1. */
ptrdiff_t body_find(const Body *body, uint64_t at);
bool body_is_target(const Body *body, uint64_t at);
/* From instruction i on, are the flags overwritten before anything could look at them? */
bool body_flags_dead(const Body *body, size_t i);

enum { WINDOW_JUMP = 5, WINDOW_BYTES = 40, WINDOW_INSNS = 16 };

/* Instructions first..last, which may be overwritten and run elsewhere; `end` is behind them and
** behind the padding used. */
typedef struct Window {
  size_t first, last;
  uint64_t end;
} Window;

/* Can first..last be replaced as a whole? Nothing jumps into it, all of it moves, and it is long
** enough. */
bool body_window(const Body *body, size_t first, size_t last, Window *out);
/* The window around instruction i, starting with it or, if `before`, in front of it where it has to
** be. False: it takes an int3. */
bool body_window_at(const Body *body, size_t i, bool before, Window *out);

/* Where not even 5 bytes can be had: 2 bytes or more around instruction i for a short jump, and 5
** bytes of padding in its reach, `*out_island`, that nobody runs. `taken` says what is in use. */
enum { WINDOW_SHORT = 2 };
typedef bool (*BytesTaken)(const void *ctx, uint64_t start, uint64_t end);
bool body_short_window(const Body *body, size_t i, bool before, BytesTaken taken, const void *ctx,
                       Window *out, uint64_t *out_island);

#endif
