/*
** Reading packed rows: see packed.h.
*/
#define _GNU_SOURCE
#include "replay/packed.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "base/array.h"
#include "replay/packed_format.h"

static bool contradicts(Fault *fault) {
  return fault_set(fault, FAULT_CORRUPT, "packed rows: the file contradicts itself");
}

static bool map_file(int fd, Packed *out, Fault *fault) {
  struct stat stat;
  if (fstat(fd, &stat)) {
    return fault_set(fault, FAULT_IO, "packed rows: %s", strerror(errno));
  }
  if (stat.st_size < (off_t)sizeof(PackedHead)) {
    return fault_set(fault, FAULT_CORRUPT, "packed rows: cut off");
  }
  void *map = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
  if (map == MAP_FAILED) return fault_set(fault, FAULT_IO, "packed rows: %s", strerror(errno));
  out->map = map;
  out->mapped = (size_t)stat.st_size;
  return true;
}

static bool take_head(Packed *out, Fault *fault) {
  PackedHead head;
  memcpy(&head, out->map, sizeof head);
  if (memcmp(head.magic, packed_magic, sizeof head.magic) != 0 || head.hash != packed_hash(&head)) {
    return fault_set(fault, FAULT_CORRUPT, "packed rows: not such a file, or damaged");
  }
  if (head.version != PACKED_VERSION) {
    return fault_set(fault, FAULT_UNSUPPORTED, "packed rows: version %u", head.version);
  }
  if (head.size != out->mapped || head.columns >> ROW_COLUMNS || head.state > ROWS_FAILED) {
    return contradicts(fault);
  }
  out->layout = row_layout(head.columns, head.returns != 0);
  out->rows = head.rows;
  out->state = (RowState)head.state;
  return true;
}

/* Where the blocks stand. What is in them is looked at when they are read. */
static bool list_blocks(Packed *out, Fault *fault) {
  size_t capacity = 0;
  uint64_t at = sizeof(PackedHead), row = 0;
  for (;;) {
    if (!array_extend(out->blocks, capacity, out->nblocks + 1)) return fault_oom(fault);
    out->blocks[out->nblocks] = (PackedPlace){row, at};
    if (at == out->mapped) break;
    BlockHead head;
    if (out->mapped - at < sizeof head) return contradicts(fault);
    memcpy(&head, out->map + at, sizeof head);
    if (!head.rows || head.rows > PACKED_ROWS || head.size > out->mapped - at ||
        head.size < block_least(&out->layout) || head.size % sizeof(uint64_t)) {
      return contradicts(fault);
    }
    row += head.rows;
    at += head.size;
    out->nblocks++;
  }
  return row == out->rows || contradicts(fault);
}

bool packed_open(int fd, Packed *out, Fault *fault) {
  *out = (Packed){0};
  if (map_file(fd, out, fault) && take_head(out, fault) && list_blocks(out, fault)) return true;
  packed_close(out);
  return false;
}

void packed_close(Packed *packed) {
  if (packed->map) munmap((void *)(uintptr_t)packed->map, packed->mapped);
  free(packed->blocks);
  *packed = (Packed){0};
}

/* The last block that begins at the row or before it. */
static size_t find_block(const Packed *packed, uint64_t row, size_t near) {
  size_t low = 0, high = packed->nblocks;
  if (near < packed->nblocks && packed->blocks[near].row <= row) {
    if (row < packed->blocks[near + 1].row) return near;
    low = near + 1;
    if (low < packed->nblocks && row < packed->blocks[low + 1].row) return low;
  }
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    if (packed->blocks[middle].row <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

bool packed_seek(const Packed *packed, uint64_t row, PackedBlock *block, Fault *fault) {
  if (row >= packed->rows) return contradicts(fault);
  const size_t number = find_block(packed, row, block->end ? block->number : 0);
  const PackedPlace *place = &packed->blocks[number];
  const uint8_t *at = packed->map + place->at, *end = packed->map + place[1].at - BLOCK_TAIL;
  const uint64_t rows = place[1].row - place->row;
  const uint8_t *heads = at + sizeof(BlockHead);
  const uint8_t *rest = heads + packed->layout.words * sizeof(WordHead);
  block->first = block->end = 0; /* unless all is well */
  for (uint32_t i = 0; i < packed->layout.words; i++) {
    WordHead head;
    memcpy(&head, heads + i * sizeof head, sizeof head);
    if (!width_known(head.width) || rest_size(head.width, rows) > (size_t)(end - rest)) {
      return contradicts(fault);
    }
    const uint64_t mask = head.width ? UINT64_MAX >> (64 - 8 * head.width) : 0;
    block->words[i] = (PackedWord){head.base, head.step, rest, head.width, mask};
    rest += rest_size(head.width, rows);
  }
  block->first = place->row;
  block->end = place[1].row;
  block->number = number;
  return true;
}

uint64_t packed_digest(const Packed *packed) { return XXH3_64bits(packed->map, packed->mapped); }
