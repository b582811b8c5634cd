/*
** Copies of other processes' rows, read again for as long as `stale=` allows: what is hot is then
** asked for once in that time. Nobody has to be told of a change, so nothing depends on a message
** that may get lost: a copy is never older than that, counted from before it was asked for.
*/
#include <stdlib.h>

#include "extensions/link/tab.h"

enum { MOST = 10000 };

struct LinkNear {
  OwnObject *object;
  uint64_t mask; /* of the columns that it has */
  int64_t asked; /* clock_now() */
};

static int64_t *place(const LinkKept *kept, const OwnKey *key) {
  size_t length;
  const void *bytes = link_key_bytes(&kept->table->type, key, &length);
  return map_get(&kept->near, bytes ? bytes : "", length);
}

void link_near_clear(LinkKept *kept) {
  for (size_t i = 0; i < kept->nnears; i++) own_object_drop(kept->nears[i].object);
  free(kept->nears);
  map_finish(&kept->near);
  kept->nears = NULL;
  kept->nnears = kept->nears_capacity = 0;
}

/* A transaction that writes reads what is there. */
static bool usable(const LinkTab *tab) { return tab->stale_ns && !tab->base.began; }

OwnObject *link_near_get(LinkTab *tab, const OwnKey *key, uint64_t mask) {
  const int64_t *at = usable(tab) ? place(tab->kept, key) : NULL;
  const struct LinkNear *near = at ? &tab->kept->nears[*at] : NULL;
  if (!near || !near->object || (mask & ~near->mask) || clock_now() - near->asked >= tab->stale_ns)
    return NULL;
  tab->kept->counts.near++;
  return own_object_keep(near->object);
}

/* Without memory for a copy there is none. */
void link_near_put(LinkTab *tab, const OwnKey *key, OwnObject *object, uint64_t mask,
                   int64_t asked) {
  LinkKept *kept = tab->kept;
  size_t length;
  if (!usable(tab)) return;
  if (kept->nnears == MOST) link_near_clear(kept);
  int64_t *at = place(kept, key);
  if (!at) {
    const void *bytes = link_key_bytes(&kept->table->type, key, &length);
    if (!array_grow(kept->nears, kept->nears_capacity, kept->nnears + 1) ||
        !(at = map_put(&kept->near, bytes ? bytes : "", length, (int64_t)kept->nnears, NULL)))
      return;
    kept->nears[kept->nnears++] = (struct LinkNear){0};
  }
  struct LinkNear *near = &kept->nears[*at];
  own_object_drop(near->object);
  *near = (struct LinkNear){own_object_keep(object), mask, asked};
}

void link_near_forget(LinkTab *tab, const OwnKey *key) {
  const int64_t *at = place(tab->kept, key);
  if (!at) return;
  own_object_drop(tab->kept->nears[*at].object);
  tab->kept->nears[*at].object = NULL;
}
