/*
** What a system call carried: see payload.h.
*/
#include "extensions/omni/payload.h"

#include <string.h>
#include <sys/syscall.h>

Direction payload_direction(int nr) {
  switch (nr) {
  case SYS_read:
  case SYS_pread64:
  case SYS_readv:
  case SYS_preadv:
  case SYS_preadv2:
  case SYS_recvfrom:
  case SYS_recvmsg:
    return DIRECTION_READ;
  case SYS_write:
  case SYS_pwrite64:
  case SYS_writev:
  case SYS_pwritev:
  case SYS_pwritev2:
  case SYS_sendto:
  case SYS_sendmsg:
    return DIRECTION_WRITE;
  default:
    return DIRECTION_NONE;
  }
}

static size_t total(const Event *event, ChunkKind kind, int *out_count) {
  size_t size = 0;
  *out_count = 0;
  for (int i = 0; i < event->nchunks; i++) {
    if (event->chunks[i].kind != kind) continue;
    size += event->chunks[i].size; /* of one block: no overflow */
    ++*out_count;
  }
  return size;
}

/* `size` bytes of the pieces of a kind, joined, from `skip` on. */
static bool join(const Event *event, ChunkKind kind, size_t skip, size_t size, Arena *arena,
                 Payload *out) {
  int count;
  uint8_t *joined = NULL;
  *out = (Payload){.there = true, .size = size};
  if (total(event, kind, &count), count > 1 && !(joined = arena_alloc(arena, size))) return false;
  size_t done = 0;
  for (int i = 0; i < event->nchunks && done < size; i++) {
    const Chunk *chunk = &event->chunks[i];
    if (chunk->kind != kind) continue;
    size_t left = chunk->size > skip ? chunk->size - skip : 0;
    const uint8_t *from = chunk->bytes + (chunk->size - left);
    skip -= chunk->size - left;
    if (left > size - done) left = size - done;
    if (joined && left) memcpy(joined + done, from, left);
    if (!joined) out->bytes = from;
    done += left;
  }
  if (joined) out->bytes = joined;
  return true;
}

bool payload_of(const Event *event, Arena *arena, Payload *out) {
  Direction direction = payload_direction(event->nr);
  int given, answered;
  size_t in = total(event, CHUNK_IN, &given), answer = total(event, CHUNK_OUT, &answered);
  *out = (Payload){0};
  if (direction == DIRECTION_NONE) {
    ChunkKind kind = given ? CHUNK_IN : CHUNK_OUT;
    if (!given && !answered) return true;
    return join(event, kind, 0, given ? in : answer, arena, out);
  }
  if (event->ret < 0) return true;
  size_t size = (size_t)event->ret, have = direction == DIRECTION_READ ? answer : in;
  if (have < size) return true; /* longer than what is recorded of one call */
  /* Name and control data of a message stand before what was sent, behind what was received. */
  size_t skip = event->nr == SYS_sendmsg ? have - size : 0;
  return join(event, direction == DIRECTION_READ ? CHUNK_OUT : CHUNK_IN, skip, size, arena, out);
}
