/*
** See trace_block.h.
*/
#define _GNU_SOURCE
#include "replay/trace_block.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/array.h"

enum {
  PAGE_BYTES = 4096,
  UNPACK_RATIO = 50000 /* more than zstd can: 128 KiB in 4 bytes */
};

bool blocks_corrupt(const BlockList *list, Fault *fault, const char *what, size_t at) {
  return fault_set(fault, FAULT_CORRUPT, "recording \"%s\": %s at byte %zu", list->dir, what, at);
}

bool blocks_read(const BlockList *list, size_t at, void *out, size_t size) {
  if (list->fd < 0) {
    bool inside = at <= list->size && size <= list->size - at;
    if (inside && size) memcpy(out, list->bytes + at, size);
    return inside;
  }
  uint8_t *to = out;
  while (size > 0) {
    ssize_t n = pread(list->fd, to, size, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n;
    at += (size_t)n;
    size -= (size_t)n;
  }
  return true;
}

/* ---- the list */

static bool all_zero(const BlockList *list, size_t at) {
  uint8_t bytes[PAGE_BYTES];
  while (at < list->size) {
    size_t size = list->size - at < sizeof bytes ? list->size - at : sizeof bytes;
    if (!blocks_read(list, at, bytes, size)) return false;
    for (size_t i = 0; i < size; i++) {
      if (bytes[i]) return false;
    }
    at += size;
  }
  return true;
}

bool blocks_list(BlockList *list, Fault *fault) {
  size_t at = sizeof(FileHead);
  uint64_t previous = 0;
  while (list->size - at >= sizeof(BlockHead)) {
    BlockHead head;
    if (!blocks_read(list, at, &head, sizeof head)) return true;
    if (head.magic != BLOCK_MAGIC) {
      if (all_zero(list, at)) return true; /* never written */
      return blocks_corrupt(list, fault, "no block", at);
    }
    if (head.codec > CODEC_END) return blocks_corrupt(list, fault, "a block of unknown codec", at);
    if (head.stored > list->size - at - sizeof head) return true;
    if (head.codec == CODEC_END) {
      list->whole = !head.stored && block_hash(&head, NULL) == head.hash;
      return true;
    }
    if (head.first_ev <= previous) return blocks_corrupt(list, fault, "ordinals that shrink", at);
    previous = head.first_ev;
    if (!array_grow(list->places, list->capacity, list->count + 1)) return fault_oom(fault);
    list->places[list->count++] = (BlockPlace){at, head.raw, head.first_ev};
    at += sizeof head + head.stored;
  }
  return true;
}

void blocks_finish(BlockList *list) {
  if (list->fd >= 0) close(list->fd);
  free(list->places);
}

/* ---- one block */

static bool read_stored(const BlockList *list, size_t at, LoadedBlock *block, BlockHead *head,
                        Fault *fault) {
  if (!blocks_read(list, at, head, sizeof *head)) {
    return blocks_corrupt(list, fault, "it was cut while it was read,", at);
  }
  if (head->stored > list->size - at - sizeof *head) {
    return blocks_corrupt(list, fault, "it was changed while it was read,", at);
  }
  if (!array_extend(block->stored, block->stored_capacity, head->stored)) return fault_oom(fault);
  return blocks_read(list, at + sizeof *head, block->stored, head->stored) ||
         blocks_corrupt(list, fault, "it was cut while it was read,", at);
}

static bool unpack(const BlockList *list, size_t at, const BlockHead *head, LoadedBlock *block,
                   Fault *fault) {
  if (head->codec == CODEC_ZSTD &&
      ZSTD_getFrameContentSize(block->stored, head->stored) != (unsigned long long)head->raw) {
    return blocks_corrupt(list, fault, "a block that is not what it says", at);
  }
  if (!array_extend(block->raw, block->raw_capacity, head->raw)) return fault_oom(fault);
  if (head->codec == CODEC_RAW) {
    if (head->raw) memcpy(block->raw, block->stored, head->raw); /* none: maybe no room either */
    return true;
  }
  if (!block->zstd && !(block->zstd = ZSTD_createDCtx())) return fault_oom(fault);
  size_t n = ZSTD_decompressDCtx(block->zstd, block->raw, head->raw, block->stored, head->stored);
  return (!ZSTD_isError(n) && n == head->raw) ||
         blocks_corrupt(list, fault, "a block that cannot be unpacked", at);
}

/* A checksum that fails is corruption, except in the last block of a cut recording, whose pages may
** not all have reached the disk. */
bool block_load(const BlockList *list, size_t number, LoadedBlock *out, Fault *fault) {
  const size_t at = list->places[number].at;
  BlockHead head;
  out->length = 0;
  if (!read_stored(list, at, out, &head, fault)) return false;
  if (block_hash(&head, out->stored) != head.hash) {
    if (!list->whole && number + 1 == list->count) return true;
    return blocks_corrupt(list, fault, "a block with a wrong checksum", at);
  }
  if (head.raw > BLOCK_LIMIT || head.raw / UNPACK_RATIO > head.stored ||
      (head.codec == CODEC_RAW && head.raw != head.stored)) {
    return blocks_corrupt(list, fault, "a block of a wrong size", at);
  }
  if (!unpack(list, at, &head, out, fault)) return false;
  out->length = head.raw;
  return true;
}

void block_finish(LoadedBlock *block) {
  ZSTD_freeDCtx(block->zstd);
  free(block->stored);
  free(block->raw);
  *block = (LoadedBlock){0};
}
