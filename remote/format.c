/*
** The plan of a memory: where its parts stand, and whether a header can be believed.
*/
#include <string.h>

#include "remote/client.h"

_Static_assert(sizeof(FarHeader) <= FAR_BOARD_AT, "the header is in front of the board");

static uint64_t page_up(uint64_t n) { return (n + FAR_PAGE - 1) / FAR_PAGE * FAR_PAGE; }

bool far_plan(FarHeader *out, uint64_t size) {
  const uint64_t clients = FAR_BOARD_AT + page_up(sizeof(FarBoard));
  const uint64_t fixed = page_up(clients + FAR_CLIENTS * sizeof(FarClient)) +
                         page_up(FAR_NAMES * sizeof(FarName)) + 4 * FAR_PAGE;
  const uint64_t each = FAR_EXTENT + sizeof(FarExtent) + FAR_BITMAP;
  if (size > UINT64_C(1) << FAR_OFFSET_BITS || size < fixed + FAR_EXTENT + each) return false;
  const uint64_t n = (size - fixed - FAR_EXTENT) / each; /* one for what alignment takes */
  out->size = size;
  out->nextents = n;
  out->clients = clients;
  out->names = page_up(out->clients + FAR_CLIENTS * sizeof(FarClient));
  out->extents = page_up(out->names + FAR_NAMES * sizeof(FarName));
  out->bitmaps = page_up(out->extents + n * sizeof(FarExtent));
  out->data = (page_up(out->bitmaps + n * FAR_BITMAP) + FAR_EXTENT - 1) / FAR_EXTENT * FAR_EXTENT;
  out->next_extent = 0;
  return true;
}

const char *far_header_fault(const FarHeader *header, uint64_t size) {
  FarHeader right;
  if (memcmp(header->magic, FAR_MAGIC, sizeof header->magic)) return "it is no far memory";
  if (header->layout != FAR_LAYOUT) return "it was made by another version of tenfold";
  if (header->size != size || !far_plan(&right, size)) return "it has another size than it says";
  if (header->clients != right.clients || header->names != right.names ||
      header->extents != right.extents || header->bitmaps != right.bitmaps ||
      header->data != right.data || header->nextents != right.nextents || !header->region ||
      header->region >> FAR_REGION_BITS) {
    return "its header is damaged";
  }
  return NULL;
}

void far_format(const FarMapped *memory, const FarHeader *header) {
  FarHeader *out = (FarHeader *)(void *)memory->base;
  *out = *header;
  memset(out->magic, 0, sizeof out->magic); /* last: until then it is no memory */
  out->layout = FAR_LAYOUT;
  atomic_thread_fence(memory_order_release);
  memcpy(out->magic, FAR_MAGIC, sizeof out->magic);
}
