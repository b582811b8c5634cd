#include "remote/looks.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

static bool is_word(const FarWatch *watch) {
  return watch->length == 8 && far_offset(watch->at) % 8 == 0;
}

const char *far_watch_fault(const FarWatch *watch, unsigned region, uint64_t size) {
  const uint64_t offset = far_offset(watch->at);
  if (watch->kind >= FAR_NWATCH_KINDS) return "a watch of no kind";
  if (far_region(watch->at) != region || !watch->length || offset > size ||
      watch->length > size - offset)
    return "a watch outside of the memory";
  if (watch->length > (watch->kind == FAR_CHANGED_DATA ? FAR_WATCH_DATA : FAR_WATCH_MOST))
    return "a watch on too many bytes";
  if (watch->kind >= FAR_EQUAL && !is_word(watch)) return "a watch that waits for no word";
  return NULL;
}

uint64_t far_look_state(const FarWatch *watch, const void *bytes) {
  uint64_t word;
  if (!is_word(watch)) return hash_bytes(bytes, watch->length, 0);
  memcpy(&word, bytes, sizeof word);
  if (watch->kind == FAR_EQUAL) return word == watch->value;
  if (watch->kind == FAR_REACHED) return (int64_t)(word - watch->value) >= 0;
  return word;
}

uint64_t far_look(const FarMapped *memory, const FarWatch *watch, void *copy) {
  const uint64_t at = far_offset(watch->at);
  const void *bytes = memory->base + at;
  uint64_t word;
  if (is_word(watch)) {
    word = atomic_load(far_word(memory, at));
    bytes = &word;
  }
  if (copy) bytes = memcpy(copy, bytes, watch->length);
  return far_look_state(watch, bytes);
}

bool far_look_differs(FarLook *look, uint64_t state) {
  if (look->what.kind >= FAR_EQUAL && !state) look->known = 0; /* and may become so again */
  return state != look->known;
}

/* ---- the set --------------------------------------------------------------------------------- */

FarLook *far_looks_add(FarLooks *looks, const FarLook *look) {
  if (!array_grow(looks->list, looks->capacity, looks->count + 1)) return NULL;
  looks->list[looks->count] = *look;
  return &looks->list[looks->count++];
}

FarLook *far_looks_get(const FarLooks *looks, uint64_t id) {
  for (size_t i = 0; i < looks->count; i++)
    if (looks->list[i].id == id) return &looks->list[i];
  return NULL;
}

void far_looks_remove(FarLooks *looks, FarLook *look) {
  const size_t i = (size_t)(look - looks->list);
  free(look->data);
  memmove(look, look + 1, (--looks->count - i) * sizeof *look);
}

void far_looks_finish(FarLooks *looks) {
  for (size_t i = 0; i < looks->count; i++) free(looks->list[i].data);
  free(looks->list);
  *looks = (FarLooks){0};
}

/* ---- in mapped memory ------------------------------------------------------------------------ */

static uint64_t first_page(const FarLook *look) { return far_offset(look->what.at) / FAR_PAGE; }
static uint64_t last_page(const FarLook *look) {
  return (far_offset(look->what.at) + look->what.length - 1) / FAR_PAGE;
}

static uint64_t bit_of(unsigned slot) { return UINT64_C(1) << slot % 64; }

void far_looks_pin(FarLooks *looks, const FarMapped *memory, FarClient *client,
                   const FarLook *look) {
  for (uint64_t page = first_page(look); page <= last_page(look); page++) {
    const unsigned slot = far_board_slot(page * FAR_PAGE);
    looks->users[slot]++;
    looks->set[slot / 64] |= bit_of(slot);
    far_board_take(memory, client, slot);
    looks->seen[slot] = far_board_changes(memory, slot) - 1; /* to be looked at in any case */
  }
}

void far_looks_unpin(FarLooks *looks, const FarMapped *memory, FarClient *client,
                     const FarLook *look) {
  for (uint64_t page = first_page(look); page <= last_page(look); page++) {
    const unsigned slot = far_board_slot(page * FAR_PAGE);
    if (--looks->users[slot]) continue;
    looks->set[slot / 64] &= ~bit_of(slot);
    far_board_leave(memory, client, slot);
  }
}

/* The slots that have changed are noted before anything is looked at: what changes meanwhile is
** looked at the next time. */
static bool find_changed(FarLooks *looks, const FarMapped *memory, uint64_t out[FAR_BOARD / 64]) {
  bool any = false;
  for (unsigned i = 0; i < FAR_BOARD / 64; i++) {
    for (uint64_t left = looks->set[i]; left; left &= left - 1) {
      const unsigned slot = i * 64 + (unsigned)__builtin_ctzll(left);
      const uint32_t now = far_board_changes(memory, slot);
      if (now == looks->seen[slot]) continue;
      looks->seen[slot] = now;
      out[i] |= bit_of(slot);
      any = true;
    }
  }
  return any;
}

static bool touches(const FarLook *look, const uint64_t changed[FAR_BOARD / 64]) {
  for (uint64_t page = first_page(look); page <= last_page(look); page++) {
    const unsigned slot = far_board_slot(page * FAR_PAGE);
    if (changed[slot / 64] & bit_of(slot)) return true;
  }
  return false;
}

void far_looks_check(FarLooks *looks, const FarMapped *memory, bool everything, FarDiffer *differ,
                     void *ctx) {
  uint64_t changed[FAR_BOARD / 64] = {0};
  if (!find_changed(looks, memory, changed) && !everything) return;
  for (size_t i = 0; i < looks->count; i++) {
    FarLook *look = &looks->list[i];
    if ((everything || touches(look, changed)) &&
        far_look_differs(look, far_look(memory, &look->what, NULL)))
      differ(ctx, look);
  }
}
