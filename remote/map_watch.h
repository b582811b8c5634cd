/*
** Watching a map, or one of its elements: what a notice says of it.
**
** A map counts its changes beside its serial number, in the round of each commit. An element is
** watched by the version of the bucket that it is in, or would be; when that has changed, the
** element is looked for, and its stamp tells whether it is another one.
*/
#ifndef TENFOLD_REMOTE_MAP_WATCH_H
#define TENFOLD_REMOTE_MAP_WATCH_H

#include "remote/map.h"
#include "remote/watch.h"

typedef enum FarMapEvent {
  FAR_MAP_SAME,     /* nothing that concerns it */
  FAR_MAP_CHANGED,  /* something in the map */
  FAR_MAP_INSERTED, /* the element */
  FAR_MAP_UPDATED,
  FAR_MAP_DELETED,
  FAR_MAP_DROPPED /* the map: the watch has ended */
} FarMapEvent;

typedef struct FarMapWatch {
  FarMap *map;    /* borrowed */
  uint64_t watch; /* 0: it has ended */
  bool has_key;   /* of an element */
  FarPointer bucket;
  uint64_t stamp; /* of the element when it was last looked at, 0: there is none */
  unsigned char key[FAR_MOST_KEY];
} FarMapWatch;

/* `key`: shape.key bytes, or NULL for the whole map. A round. */
bool far_map_watch(FarMap *map, const void *key, FarMapWatch *out, Stop *stop, Fault *fault);
void far_map_unwatch(FarMapWatch *watch);

/* A notice of watch->watch has come. No round for a map, one for an element. */
bool far_map_noticed(FarMapWatch *watch, const FarNotice *notice, FarMapEvent *out, Stop *stop,
                     Fault *fault);

#endif
