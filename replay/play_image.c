/*
** A program as it was when it began.
*/
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>

#include "replay/play_inner.h"

enum { NAME_LONGEST = 4096 };

static bool add_range(Player *player, PlayThread *thread, const Event *event, const Chunk *chunk,
                      bool stack, Fault *fault) {
  TraceMap map;
  char name[NAME_LONGEST + 1];
  if (chunk->size < sizeof map || chunk->size - sizeof map > NAME_LONGEST) {
    return play_diverged(player, event, fault, "a mapping of %zu bytes", chunk->size);
  }
  memcpy(&map, chunk->bytes, sizeof map);
  memcpy(name, chunk->bytes + sizeof map, chunk->size - sizeof map);
  name[chunk->size - sizeof map] = '\0';
  if (stack != ((map.flags & MAP_GROWSDOWN) != 0)) return true;
  MapRange range = {.start = map.start,
                    .end = map.end,
                    .offset = map.file ? map.offset : 0,
                    .prot = map.prot & (PROT_READ | PROT_WRITE | PROT_EXEC),
                    .flags = map.flags & (MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN),
                    .file = map.file,
                    .name = name};
  if (stack) { /* all that it may become, down to what is below */
    const MapList *maps = &thread->space->maps;
    uint64_t low = range.end > PLAY_STACK ? range.end - PLAY_STACK : 0;
    for (size_t i = 0; i < maps->count; i++) {
      if (maps->ranges[i].end <= range.start && maps->ranges[i].end > low) {
        low = maps->ranges[i].end;
      }
    }
    if (low < range.start) range.start = low;
  }
  return play_map(player, thread, &range, false, fault) &&
         maps_add(&thread->space->maps, &range, fault);
}

bool play_image(Player *player, PlayThread *thread, const Event *event, Fault *fault) {
  if (!play_unmap_all(thread, fault) || !reply_leave(thread, true, fault)) return false;
  inside_finish(&thread->space->inside);
  thread->space->no_inside = false;
  patch_forget(thread->space);
  for (int stack = 0; stack < 2; stack++) {
    for (int i = 0; i < event->nchunks; i++) {
      if (event->chunks[i].kind != CHUNK_MAP) continue;
      if (!add_range(player, thread, event, &event->chunks[i], stack, fault)) return false;
    }
  }
  if (!play_write(thread->space, event, fault) || !play_registers(thread, &event->regs, fault) ||
      !play_units_reset(thread, fault)) {
    return false;
  }
  thread->stand = STAND_READY;
  thread->fresh = true;
  return true;
}
