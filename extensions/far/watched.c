/*
** What a connection watches, and what has come of it. Each watch has one event at most: what
** changes again before a statement has read it is the same event.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/far/far.h"
#include "remote/names.h"

/* A map that something is watched in; its own, since tables come and go. */
typedef struct FarWatchedMap {
  struct FarWatchedMap *next;
  FarMap *map;
  bool gone; /* it was dropped: another one may have its name */
} FarWatchedMap;

/* ---- finding things -------------------------------------------------------------------------- */

typedef struct Thing {
  FarLink *link;
  const char *name;
  FarPointer word;
  FarWatchedMap *map;
  bool has_key;
  unsigned char key[FAR_MOST_KEY];
} Thing;

static bool find_link(FarState *state, const char *name, const char *at, Thing *out, Stop *stop,
                      Fault *fault) {
  *out = (Thing){.name = name};
  for (FarTab *tab = at ? NULL : state->tabs; tab && !out->link; tab = tab->next_known) {
    if (sqlite3_stricmp(tab->table, name)) continue;
    out->link = tab->link;
    out->name = tab->far_name;
  }
  if (!out->link) out->link = far_link(state, at ? at : "shm:default", NULL, fault);
  return out->link && far_link_ready(out->link, stop, fault);
}

static bool open_map(Thing *it, const FarName *name, Stop *stop, Fault *fault) {
  FarMapRoot root;
  FarShape shape;
  FarMemory *memory = it->link->memory;
  FarOp op = {.code = FAR_READ, .at = name->root, .local = &root, .length = sizeof root};
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  for (it->map = it->link->maps; it->map; it->map = it->map->next) {
    const FarMap *map = it->map->map;
    if (!it->map->gone && map->root == name->root && map->serial == root.serial) return true;
  }
  FarWatchedMap *added = calloc(1, sizeof *added);
  if (!added) return fault_oom(fault);
  far_shape_of_word(root.shape, &shape);
  if (!far_map_open(memory, it->name, &shape, root.schema, false, &added->map, stop, fault)) {
    free(added);
    return false;
  }
  added->next = it->link->maps;
  it->link->maps = it->map = added;
  return true;
}

static bool find_key(Thing *it, sqlite3_value *value, Fault *fault) {
  if (!value || sqlite3_value_type(value) == SQLITE_NULL) return true;
  if (!it->map)
    return fault_set(fault, FAULT_INVALID, "\"%s\" is a word, and has no keys", it->name);
  const FarShape *shape = far_map_shape(it->map->map);
  FarColumn column = {.type = shape->kind == FAR_KEY_INTEGER ? FAR_INTEGER : FAR_TEXT,
                      .room = shape->key - 2};
  const FarRecord record = {.columns = &column, .ncolumns = 1, .shape = *shape};
  bool none;
  far_key_of_value(&record, value, it->key, &none);
  it->has_key = true;
  return !none || fault_set(fault, FAULT_INVALID, "\"%s\" has no keys like '%.60s'", it->name,
                            (const char *)sqlite3_value_text(value));
}

static bool find(FarState *state, const char *name, sqlite3_value *key, const char *at, Thing *out,
                 Stop *stop, Fault *fault) {
  FarName it;
  bool found;
  if (!find_link(state, name, at, out, stop, fault) ||
      !far_name_find(out->link->memory, out->name, &it, &found, stop, fault))
    return false;
  if (!found)
    return fault_set(fault, FAULT_NOTFOUND, "%s: there is no \"%s\"", far_at(out->link->memory),
                     out->name);
  if (it.kind == FAR_KIND_WORD) {
    out->word = it.root;
  } else if (it.kind != FAR_KIND_MAP) {
    return fault_set(fault, FAULT_UNSUPPORTED, "\"%s\" is neither a map nor a word", out->name);
  } else if (!open_map(out, &it, stop, fault)) {
    return false;
  }
  return find_key(out, key, fault);
}

static FarWatched **place_of(FarState *state, const Thing *it) {
  FarWatched **at = &state->watched;
  for (; *at; at = &(*at)->next) {
    const FarWatched *is = *at;
    if (is->ended || is->link != it->link || strcmp(is->name, it->name)) continue;
    if (is->word != it->word || is->map != it->map || is->watch.has_key != it->has_key) continue;
    if (!it->has_key || !far_key_compare(far_map_shape(it->map->map), is->watch.key, it->key))
      return at;
  }
  return at;
}

/* ---- beginning and ending -------------------------------------------------------------------- */

static void end(FarWatched *it) {
  if (it->map) {
    far_map_unwatch(&it->watch);
  } else if (it->id) {
    far_unwatch(it->link->memory, it->id);
  }
  it->ended = true;
}

static void delete (FarWatched **at) {
  FarWatched *it = *at;
  if (!it->ended) end(it);
  *at = it->next;
  free(it->name);
  free(it);
}

static bool begin(FarWatched *it, const Thing *thing, Stop *stop, Fault *fault) {
  const FarWatch watch = {.kind = FAR_CHANGED, .at = thing->word, .length = 8};
  if (!(it->name = strdup(thing->name))) return fault_oom(fault);
  it->link = thing->link;
  it->word = thing->word;
  it->map = thing->map;
  if (!it->map) return far_watch(it->link->memory, &watch, &it->id, stop, fault);
  if (!far_map_watch(it->map->map, thing->has_key ? thing->key : NULL, &it->watch, stop, fault))
    return false;
  it->told = it->watch.stamp;
  return true;
}

bool far_watched_begin(FarState *state, const char *name, sqlite3_value *key, const char *at,
                       bool *out_new, Stop *stop, Fault *fault) {
  Thing thing;
  if (!find(state, name, key, at, &thing, stop, fault)) return false;
  FarWatched **place = place_of(state, &thing);
  *out_new = !*place;
  if (*place) return true;
  FarWatched *it = calloc(1, sizeof *it);
  if (!it) return fault_oom(fault);
  if (!begin(it, &thing, stop, fault)) {
    free(it->name);
    free(it);
    return false;
  }
  it->number = ++state->last_watched;
  *place = it;
  return true;
}

bool far_watched_end(FarState *state, const char *name, sqlite3_value *key, const char *at,
                     bool *out_was, Stop *stop, Fault *fault) {
  Thing thing;
  if (!find(state, name, key, at, &thing, stop, fault)) return false;
  FarWatched **place = place_of(state, &thing);
  *out_was = *place != NULL;
  if (*place) delete (place);
  return true;
}

void far_watched_close(FarState *state) {
  while (state->watched) delete (&state->watched);
  for (FarLink *link = state->links; link; link = link->next) {
    for (FarWatchedMap *map = link->maps, *next; map; map = next) {
      next = map->next;
      far_map_close(map->map);
      free(map);
    }
    link->maps = NULL;
  }
}

/* ---- events ---------------------------------------------------------------------------------- */

/* What the event is, compared with the last one that was read; false: nothing. */
static bool kind_of(const FarWatched *it, FarMapEvent event, FarMapEvent *out) {
  *out = event;
  if (it->watch.has_key && event != FAR_MAP_DROPPED) {
    const uint64_t stamp = it->watch.stamp;
    *out = stamp == it->told ? FAR_MAP_SAME
           : !it->told       ? FAR_MAP_INSERTED
           : stamp           ? FAR_MAP_UPDATED
                             : FAR_MAP_DELETED;
  }
  return *out != FAR_MAP_SAME;
}

static void forget(FarWatched *it) {
  it->told = it->stamp;
  it->has_event = it->read = it->gap = false;
}

static void add_event(FarState *state, FarWatched *it, FarMapEvent event, bool gap) {
  if (event == FAR_MAP_SAME && !gap) return;
  if (it->has_event && it->read) forget(it); /* this is another one */
  it->gap = it->gap || gap;
  it->stamp = it->watch.stamp;
  it->has_event = kind_of(it, event, &it->kind) || it->gap;
  it->event = ++state->last_event;
}

/* A notice has come; what it means may take a round. */
static bool look(FarState *state, FarWatched *it, const FarNotice *notice, Stop *stop,
                 Fault *fault) {
  FarMapEvent event = FAR_MAP_CHANGED;
  if (it->map) {
    if (!far_map_noticed(&it->watch, notice, &event, stop, fault)) return false;
    if (event == FAR_MAP_DROPPED) it->map->gone = it->ended = true;
    far_kept_clear_map(state, it->link, it->name);
  } else {
    FarOp op = {.code = FAR_READ, .at = it->word, .local = &it->value, .length = 8};
    if (!notice->gap) {
      it->value = notice->word;
    } else if (!far_round(it->link->memory, &op, 1, stop, fault)) {
      return false;
    }
  }
  add_event(state, it, event, it->gap_noticed);
  it->noticed = it->gap_noticed = false;
  return true;
}

static bool take(FarState *state, FarLink *link, const FarNotice *notice, Stop *stop,
                 Fault *fault) {
  for (FarWatched *it = state->watched; it; it = it->next) {
    if (it->ended || it->link != link || (it->map ? it->watch.watch : it->id) != notice->watch)
      continue;
    it->noticed = true;
    it->gap_noticed = it->gap_noticed || notice->gap;
    return look(state, it, notice, stop, fault);
  }
  return true; /* of something that ended */
}

static bool hear(FarState *state, FarLink *link, int64_t wait_ns, Stop *stop, Fault *fault) {
  FarNotice notice;
  size_t n = 1;
  if (!far_link_ready(link, stop, fault)) return false;
  while (n) {
    if (!far_notices(link->memory, wait_ns, &notice, 1, &n, stop, fault)) return false;
    if (n && !take(state, link, &notice, stop, fault)) return false;
    wait_ns = 0;
  }
  /* What could not be looked at before. */
  notice = (FarNotice){.gap = true};
  for (FarWatched *it = state->watched; it; it = it->next) {
    if (it->noticed && it->link == link && !look(state, it, &notice, stop, fault)) return false;
  }
  return true;
}

bool far_watched_hear(FarState *state, int64_t wait_ns, Stop *stop, Fault *fault) {
  const int64_t until = clock_now() + wait_ns;
  int64_t each = 0;
  do {
    int links = 0;
    for (FarLink *link = state->links; link; link = link->next)
      links += far_watch_count(link->memory) > 0;
    for (FarLink *link = state->links; link; link = link->next) {
      if (far_watch_count(link->memory) && !hear(state, link, each, stop, fault)) return false;
    }
    if (!links) return true;
    each = until - clock_now();
    if (links > 1 && each > 10000000) each = 10000000; /* one after the other */
  } while (!far_watched_unread(state) && each > 0);
  return true;
}

int far_watched_unread(const FarState *state) {
  int n = 0;
  for (const FarWatched *it = state->watched; it; it = it->next) n += it->has_event && !it->read;
  return n;
}

void far_watched_read(FarState *state, int64_t number, int64_t event) {
  for (FarWatched *it = state->watched; it; it = it->next) {
    if (it->number == number && it->event == event && it->has_event) it->read = true;
  }
}

int far_watched_forget(FarState *state) {
  int n = 0;
  for (FarWatched **at = &state->watched; *at;) {
    FarWatched *it = *at;
    if (it->has_event && it->read) {
      forget(it);
      n++;
    }
    if (it->ended && !it->has_event) {
      delete (at);
    } else {
      at = &it->next;
    }
  }
  return n;
}

void far_watched_keep(FarState *state) {
  for (FarWatched *it = state->watched; it; it = it->next) it->read = false;
}
