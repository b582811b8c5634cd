#include "remote/map_watch.h"

#include <string.h>

#include "remote/memory.h"

static bool watch_map(FarMapWatch *it, Stop *stop, Fault *fault) {
  const FarWatch watch = {
      .kind = FAR_CHANGED_DATA, .at = it->map->root + offsetof(FarMapRoot, serial), .length = 16};
  return far_watch(it->map->memory, &watch, &it->watch, stop, fault);
}

/* Watches the bucket that the element was found in, or would have been. */
static bool watch_bucket(FarMapWatch *it, const FarFound *found, Fault *fault) {
  const FarWatch watch = {
      .kind = FAR_CHANGED, .at = found->bucket + offsetof(FarBucket, version), .length = 8};
  it->bucket = found->bucket;
  it->stamp = found->stamp;
  return far_watch_word(it->map->memory, &watch, found->version, &it->watch, fault);
}

bool far_map_watch(FarMap *map, const void *key, FarMapWatch *out, Stop *stop, Fault *fault) {
  FarFound found;
  *out = (FarMapWatch){.map = map, .has_key = key != NULL};
  if (!key) return watch_map(out, stop, fault);
  memcpy(out->key, key, map->shape.key);
  return far_map_find(map, key, 1, &found, stop, fault) && watch_bucket(out, &found, fault);
}

void far_map_unwatch(FarMapWatch *watch) {
  if (watch->watch) far_unwatch(watch->map->memory, watch->watch);
  watch->watch = 0;
}

/* The element may have moved to another bucket, and its watch has to follow. */
static bool look(FarMapWatch *it, FarMapEvent *out, Stop *stop, Fault *fault) {
  const uint64_t before = it->stamp;
  FarFound found;
  Fault told = {0};
  if (!far_map_find(it->map, it->key, 1, &found, stop, &told)) {
    if (told.code != FAULT_NOTFOUND) return fault_set(fault, told.code, "%s", told.text);
    far_map_unwatch(it);
    *out = FAR_MAP_DROPPED;
    return true;
  }
  *out = found.stamp == before ? FAR_MAP_SAME
         : !before             ? FAR_MAP_INSERTED
         : found.stamp         ? FAR_MAP_UPDATED
                               : FAR_MAP_DELETED;
  it->stamp = found.stamp;
  if (found.bucket == it->bucket) return true;
  far_map_unwatch(it);
  return watch_bucket(it, &found, fault);
}

bool far_map_noticed(FarMapWatch *watch, const FarNotice *notice, FarMapEvent *out, Stop *stop,
                     Fault *fault) {
  uint64_t words[2] = {0}; /* serial, changes */
  if (watch->has_key) return look(watch, out, stop, fault);
  *out = FAR_MAP_CHANGED;
  if (notice->length == sizeof words) memcpy(words, notice->data, sizeof words);
  /* Nothing but a gap: nothing has been told yet. */
  if (words[0] == watch->map->serial || (!words[0] && !words[1])) return true;
  far_map_unwatch(watch);
  *out = FAR_MAP_DROPPED;
  return true;
}
