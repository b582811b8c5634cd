/*
** Answers of recorded events: what the kernel wrote, and its result.
*/
#include "replay/inside/blob.h"
#include "replay/trace_format.h"

/* The player has checked that these bytes are events. */
bool answer_call(long nr, const uint64_t args[6], int64_t *out_ret) {
  const uint64_t taken = inside_words.taken;
  if (taken >= inside_words.head) return false;
  const EventHead *head = (const EventHead *)(inside_log + taken);
  const uint8_t *at = (const uint8_t *)(head + 1);
  if (head->nr != nr) return false;
  for (int i = 0; i < head->kind; i++) { /* the player has put the number of arguments there */
    if (args[i] != (i < head->nargs ? ((const uint64_t *)at)[i] : 0)) return false;
  }
  at += head->nargs * 8;
  if (head->flags & FLAG_HASH) at += 8;
  for (int i = 0; i < head->nchunks; i++) {
    const ChunkHead *chunk = (const ChunkHead *)at;
    at += sizeof *chunk;
    if (chunk->kind == CHUNK_OUT) copy((void *)(uintptr_t)chunk->addr, at, chunk->size);
    at += (chunk->size + 7) / 8 * 8;
  }
  *out_ret = head->ret;
  inside_words.taken = taken + head->size;
  if (inside_words.taken == inside_words.leave_at) inside_words.exit = INSIDE_BASE + INSIDE_LEFT;
  return true;
}
