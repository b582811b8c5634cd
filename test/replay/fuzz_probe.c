/*
** Any bytes as code: moved instructions have the length they should, and nothing is read outside.
*/
#include <stdlib.h>
#include <string.h>

#include "replay/probe_body.h"

enum { ROOM = 64 };

static size_t no_data(void *ctx, uint64_t addr, void *out, size_t size) {
  (void)ctx;
  if (addr % 3 == 0) return 0;
  memset(out, (int)addr, size);
  return size;
}

/* The copy decodes again, to the same thing or to what imitates it. */
static void check_moved(const Insn *insn) {
  uint8_t bytes[ROOM];
  MoveStep steps[MOVE_STEPS];
  Asm code = {.bytes = bytes, .capacity = sizeof bytes, .at = insn->at + 0x1234567};
  if (!insn_can_move(insn)) return;
  int count = insn_move(insn, &code, steps);
  if (code.overflow) return;
  if (count < 1 || count > MOVE_STEPS || code.size > MOVE_LONGEST) abort();
  Insn again;
  for (size_t at = 0; at < code.size; at += again.length) {
    if (!insn_decode(bytes + at, code.size - at, code.at + at, &again)) abort();
  }
  if (insn->kind != INSN_PLAIN && insn->kind != INSN_JUMP && insn->kind != INSN_BRANCH) return;
  if (!insn_decode(bytes, code.size, code.at, &again) || again.kind != insn->kind ||
      again.target != insn->target || (insn->kind == INSN_PLAIN && again.length != insn->length)) {
    abort();
  }
}

static bool some_taken(const void *ctx, uint64_t start, uint64_t end) {
  (void)ctx;
  return (start ^ end) % 5 == 0;
}

/* An island is padding within reach, and apart from the window. */
static void check_short(const Body *body, size_t i) {
  Window window;
  uint64_t island;
  if (!body_short_window(body, i, i % 2, some_taken, NULL, &window, &island)) return;
  const uint64_t start = body->insns[window.first].at,
                 image_end = body->image->start + body->image->size;
  const int64_t distance = (int64_t)(island - (start + WINDOW_SHORT));
  if (window.last != i || window.end - start < WINDOW_SHORT || distance < -128 || distance > 127 ||
      island < body->lo || island + WINDOW_JUMP > image_end ||
      (island < window.end && start < island + WINDOW_JUMP)) {
    abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  CodeImage image;
  Body body;
  uint8_t *exact = malloc(size + 1); /* so that the sanitizer sees the end */
  if (!exact) return 0;
  memcpy(exact, data, size);
  exact = realloc(exact, size ? size : 1);
  if (!exact || !image_create(&image, 0x400000, exact, size)) abort();
  const uint64_t lo = 0x400000 + size / 4;
  if (!body_create(&body, &image, lo, lo + size / 2, no_data, NULL)) abort();
  uint64_t at = body.lo;
  for (size_t i = 0; i < body.count; i++) {
    const Insn *insn = &body.insns[i];
    if (insn->at != at || insn->length < 1 || insn->length > INSN_LONGEST) abort();
    at += insn->length;
    check_moved(insn);
    Window window;
    if (body_window_at(&body, i, i % 2, &window)) {
      const Insn *first = &body.insns[window.first];
      if (window.end - first->at < WINDOW_JUMP || window.end - first->at > WINDOW_BYTES ||
          window.end > image.start + image.size || window.first > i || window.last < i) {
        abort();
      }
      for (size_t k = window.first + 1; k <= window.last; k++) {
        if (body_is_target(&body, body.insns[k].at)) abort();
      }
    }
    check_short(&body, i);
    body_flags_dead(&body, i);
  }
  if (at > body.hi) abort();
  body_finish(&body);
  image_finish(&image);
  free(exact);
  return 0;
}
