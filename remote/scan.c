#include "remote/scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/changes.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/vector.h"

enum { MOST = 16 }; /* buckets in a round */

typedef struct Place { /* of an element in what was read */
  const unsigned char *element;
  uint32_t part; /* which bucket it is; of a vector, which group */
  int slot;
} Place;

/* A change of the transaction's. A copy: the next change may move those, and the transaction may
** end before the scan. */
typedef struct Own {
  FarSeen seen;
  const unsigned char *key, *value; /* value NULL: removed */
} Own;

struct FarScan {
  FarMap *map;
  const FarTxn *txn;
  bool reverse, has_low, has_high;
  bool last; /* there are no more buckets to read */
  unsigned char low[FAR_MOST_KEY], high[FAR_MOST_KEY];
  unsigned char edge[FAR_MOST_KEY]; /* forward: what comes is >= edge; reverse: < edge */
  bool at_end;                      /* reverse: there is no edge yet, */
  bool inclusive;                   /* or what comes is <= edge */
  size_t next_batch;
  unsigned char *room; /* for MOST answers; of a vector: elements */
  FarBucket *heads;    /* of a vector's groups */
  FarSearch search;
  FarOp ops[MOST];
  uint64_t first_group; /* of a vector: the first one that was read */
  size_t nplaces, place;
  /* What the transaction changed, in order. */
  const Own **own;
  size_t nown, own_at, own_capacity;
  Arena kept; /* of those */
  unsigned char *own_element;
  FarWait wait;
  Place places[MOST * FAR_SLOTS]; /* large: last, and not zeroed */
};

/* Of a vector, in a round. Groups there are no more than elements. */
static uint64_t most_elements(const FarScan *scan) { return MOST * scan->map->shape.slots; }

FarScan *far_scan_begin(FarMap *map, Fault *fault) {
  FarScan *scan = malloc(sizeof *scan);
  if (scan) {
    memset(scan, 0, offsetof(FarScan, places));
    scan->map = map;
    scan->search = (FarSearch){.shape = map->shape, .wanted = map->shape.stride};
    scan->room = malloc((size_t)MOST * far_range_room(&scan->search));
    scan->own_element = calloc(1, map->shape.stride);
    if (map->vector) scan->heads = malloc(most_elements(scan) * sizeof *scan->heads);
  }
  if (scan && scan->room && scan->own_element && (scan->heads || !map->vector)) return scan;
  far_scan_end(scan);
  fault_oom(fault);
  return NULL;
}

void far_scan_end(FarScan *scan) {
  if (!scan) return;
  free(scan->room);
  free(scan->heads);
  free(scan->own_element);
  free(scan->own);
  arena_finish(&scan->kept);
  free(scan);
}

static int order(const FarScan *scan, const void *a, const void *b) {
  return far_key_compare(&scan->map->shape, a, b);
}

static bool within(const FarScan *scan, const void *key) {
  return (!scan->has_low || order(scan, key, scan->low) >= 0) &&
         (!scan->has_high || order(scan, key, scan->high) <= 0);
}

/* ---- reading buckets ------------------------------------------------------------------------- */

static const FarBucket *bucket_at(const FarScan *scan, size_t i) { return scan->ops[i].local; }

static const unsigned char *low_of(const FarScan *scan, size_t i) {
  return (const unsigned char *)(bucket_at(scan, i) + 1);
}
static const unsigned char *high_of(const FarScan *scan, size_t i) {
  return low_of(scan, i) + scan->map->shape.key;
}

/* Where the tree says that the next buckets are. */
static size_t choose(FarScan *scan) {
  const FarTree *tree = &scan->map->tree;
  FarTreePlace place;
  bool there = scan->reverse && scan->at_end ? far_tree_last(tree, &place)
                                             : far_tree_find(tree, scan->edge, &place);
  if (there && scan->reverse && !scan->at_end && !scan->inclusive &&
      order(scan, far_tree_low(tree, place), scan->edge) == 0)
    there = far_tree_previous(tree, &place);
  size_t n = 0;
  while (there && n < scan->next_batch) {
    const void *low = far_tree_low(tree, place);
    if (n && !scan->reverse && scan->has_high && order(scan, low, scan->high) > 0) break;
    scan->ops[n++].at = far_tree_bucket(tree, place);
    if (scan->reverse && scan->has_low && order(scan, low, scan->low) <= 0) break;
    there = scan->reverse ? far_tree_previous(tree, &place) : far_tree_next(tree, &place);
  }
  return n;
}

static bool read_buckets(FarScan *scan, size_t n, Stop *stop, Fault *fault) {
  FarSearch *search = &scan->search;
  search->from = scan->has_low ? scan->low : NULL;
  search->to = scan->has_high ? scan->high : NULL;
  const uint32_t each = far_range_room(search);
  for (size_t i = 0; i < n; i++)
    scan->ops[i] = (FarOp){.code = FAR_RANGE,
                           .at = scan->ops[i].at,
                           .search = search,
                           .local = scan->room + i * each,
                           .length = each};
  return far_round(scan->map->memory, scan->ops, n, stop, fault);
}

static bool comes_after(const FarScan *scan, const Place *a, const Place *b) {
  const int sign = order(scan, a->element + FAR_STAMP, b->element + FAR_STAMP);
  return scan->reverse ? sign < 0 : sign > 0;
}

/* The elements of a bucket, sorted behind the others: there are few of them. */
static void take(FarScan *scan, size_t i) {
  const FarShape *shape = &scan->map->shape;
  const unsigned char *element = (const unsigned char *)bucket_at(scan, i) + far_range_head(shape);
  Place *places = scan->places + scan->nplaces;
  int64_t keys[FAR_SLOTS], key = 0; /* integers, in the order that is wanted */
  const bool integers = shape->kind == FAR_KEY_INTEGER;
  size_t n = 0;
  for (uint64_t slots = scan->ops[i].old; slots; slots &= slots - 1) {
    const Place place = {element, (uint32_t)i, __builtin_ctzll(slots)};
    if (integers) memcpy(&key, element + FAR_STAMP, sizeof key);
    if (scan->reverse) key = ~key;
    size_t at = n++;
    for (; at > 0 && (integers ? keys[at - 1] > key : comes_after(scan, &places[at - 1], &place));
         at--) {
      places[at] = places[at - 1];
      keys[at] = keys[at - 1];
    }
    places[at] = place;
    keys[at] = key;
    element += scan->search.wanted;
  }
  scan->nplaces += n;
}

/* Is this the bucket that comes next? What it says of its neighbour the tree learns. */
static bool follows(FarScan *scan, size_t i, bool *yes, Fault *fault) {
  FarMap *map = scan->map;
  const FarBucket *bucket = bucket_at(scan, i);
  const unsigned char *low = low_of(scan, i), *high = high_of(scan, i);
  const bool last = bucket->flags & FAR_LAST;
  *yes = false;
  if (!far_map_owns(map, bucket, fault)) return false;
  FarTreePlace place; /* buckets end behind where they begin, or we would go in circles */
  if (!last && far_tree_find(&map->tree, high, &place) &&
      far_tree_bucket(&map->tree, place) == scan->ops[i].at &&
      order(scan, high, far_tree_low(&map->tree, place)) <= 0)
    return far_map_damaged(map, fault);
  if (!last && !far_tree_add(&map->tree, high, bucket->right, fault)) return false;
  if (scan->reverse) {
    const int sign = last ? 1 : scan->at_end ? -1 : order(scan, high, scan->edge);
    const int first = scan->at_end ? -1 : order(scan, low, scan->edge);
    *yes = (sign > 0 || (sign == 0 && !scan->inclusive)) &&
           (first < 0 || (first == 0 && scan->inclusive));
  } else {
    *yes = order(scan, low, scan->edge) <= 0 && (last || order(scan, high, scan->edge) > 0);
  }
  return true;
}

/* The edge moves over a bucket that was taken. */
static void advance(FarScan *scan, size_t i) {
  const FarShape *shape = &scan->map->shape;
  const FarBucket *bucket = bucket_at(scan, i);
  if (scan->reverse) {
    memcpy(scan->edge, low_of(scan, i), shape->key);
    scan->at_end = scan->inclusive = false;
    scan->last =
        order(scan, scan->edge, far_tree_low(&scan->map->tree, (FarTreePlace){0, 0})) <= 0 ||
        (scan->has_low && order(scan, scan->edge, scan->low) <= 0);
  } else {
    memcpy(scan->edge, high_of(scan, i), shape->key);
    scan->last =
        bucket->flags & FAR_LAST || (scan->has_high && order(scan, scan->edge, scan->high) > 0);
  }
}

static bool fill(FarScan *scan, Stop *stop, Fault *fault) {
  FarPointer misfit = 0; /* the bucket that was to come next, and was another one */
  scan->nplaces = scan->place = 0;
  while (!scan->nplaces && !scan->last) {
    if (stop && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "interrupted");
    const size_t n = choose(scan);
    if (!n)
      return fault_set(fault, FAULT_CORRUPT, "%s: \"%s\" has no first bucket",
                       scan->map->memory->at, scan->map->name);
    if (!read_buckets(scan, n, stop, fault)) return false;
    bool good = true;
    for (size_t i = 0; i < n && good && !scan->last; i++) {
      if (scan->ops[i].status == FAR_CHANGING) {
        if (!i && !far_map_wait(scan->map, &scan->wait, scan->ops[i].at, stop, fault)) return false;
        break;
      }
      if (!follows(scan, i, &good, fault)) return false;
      if (!good) {
        if (!i && scan->ops[0].at == misfit) return far_map_damaged(scan->map, fault);
        if (!i) misfit = scan->ops[0].at; /* the tree has learned why */
        break;
      }
      take(scan, i);
      advance(scan, i);
      scan->wait = (FarWait){0};
    }
    scan->next_batch = scan->next_batch * 2 < MOST ? scan->next_batch * 2 : MOST;
  }
  return true;
}

/* ---- elements of a vector -------------------------------------------------------------------- */

/* What is read next: [*from, *to]. The edge is the next index, or the one that it comes before. */
static bool choose_elements(const FarScan *scan, uint64_t *from, uint64_t *to) {
  const uint64_t length = far_vector_length(scan->map);
  const int64_t edge = (int64_t)far_vector_index(scan->edge);
  const int64_t low = scan->has_low ? (int64_t)far_vector_index(scan->low) : 0;
  const int64_t high = scan->has_high ? (int64_t)far_vector_index(scan->high) : INT64_MAX;
  int64_t first = low > 0 ? low : 0, last = high < (int64_t)length ? high : (int64_t)length - 1;
  if (scan->reverse && !scan->at_end && edge - !scan->inclusive < last)
    last = edge - !scan->inclusive;
  if (!scan->reverse && edge > first) first = edge;
  if (first > last) return false;
  *from = (uint64_t)first;
  *to = (uint64_t)last;
  if (*to - *from < scan->next_batch) return true;
  if (scan->reverse) {
    *from = *to + 1 - scan->next_batch;
  } else {
    *to = *from + scan->next_batch - 1;
  }
  return true;
}

static void take_elements(FarScan *scan, const FarSpan *span) {
  FarMap *map = scan->map;
  const uint32_t group = far_vector_group(map);
  for (uint64_t i = 0; i < span->n; i++) {
    const uint64_t at = scan->reverse ? span->n - 1 - i : i, index = span->first + at;
    scan->places[scan->nplaces++] =
        (Place){span->elements + at * map->shape.stride,
                (uint32_t)(index / group - span->first / group), (int)(index % group)};
  }
  scan->first_group = span->first / group;
}

static bool fill_elements(FarScan *scan, Stop *stop, Fault *fault) {
  FarSpan span = {.elements = scan->room, .heads = scan->heads};
  uint64_t last;
  scan->nplaces = scan->place = 0;
  scan->last = !choose_elements(scan, &span.first, &last);
  if (scan->last) return true;
  if (stop && stop_now(stop)) return fault_set(fault, FAULT_INTERRUPT, "interrupted");
  span.n = last - span.first + 1;
  if (!far_vector_read(scan->map, &span, 1, stop, fault)) return false;
  take_elements(scan, &span);
  const uint64_t edge = scan->reverse ? span.first : last + 1;
  memcpy(scan->edge, &edge, sizeof edge);
  scan->at_end = scan->inclusive = false;
  scan->next_batch = most_elements(scan);
  uint64_t ignored;
  scan->last = !choose_elements(scan, &span.first, &ignored);
  return true;
}

/* A vector may have grown since it was last looked at: then it begins again. */
static bool seek_elements(FarScan *scan, uint64_t expected, Stop *stop, Fault *fault) {
  const uint64_t most = most_elements(scan);
  for (bool grown = true; grown;) {
    memset(scan->edge, 0, sizeof(uint64_t));
    scan->at_end = scan->reverse && !scan->has_high;
    scan->inclusive = scan->reverse && scan->has_high;
    if (scan->inclusive) memcpy(scan->edge, scan->high, sizeof(uint64_t));
    scan->next_batch = expected < most ? expected + (expected == 0) : most;
    if (!fill_elements(scan, stop, fault) ||
        (!scan->nplaces && !far_vector_read(scan->map, NULL, 0, stop, fault)) ||
        !far_vector_follow(scan->map, &grown, stop, fault))
      return false;
  }
  return true;
}

static bool more(FarScan *scan, Stop *stop, Fault *fault) {
  return scan->map->vector ? fill_elements(scan, stop, fault) : fill(scan, stop, fault);
}

/* ---- what the transaction changed ------------------------------------------------------------ */

static int own_order(const FarScan *scan, const Own *a, const Own *b) {
  const int sign = order(scan, a->key, b->key);
  return scan->reverse ? -sign : sign;
}

/* Heap sort would be shorter than what follows only in name: merges halves, from the bottom. */
static bool sort_own(FarScan *scan, Fault *fault) {
  const size_t n = scan->nown;
  const Own **from = scan->own, **to = malloc(n * sizeof *to + 1), **spare = to;
  if (!to) return fault_oom(fault);
  for (size_t width = 1; width < n; width *= 2) {
    for (size_t at = 0; at < n; at += 2 * width) {
      size_t left = at, right = at + width < n ? at + width : n;
      const size_t middle = right, end = at + 2 * width < n ? at + 2 * width : n;
      for (size_t out = at; out < end; out++) {
        const bool take_left =
            left < middle && (right >= end || own_order(scan, from[left], from[right]) <= 0);
        to[out] = take_left ? from[left++] : from[right++];
      }
    }
    const Own **swap = from;
    from = to;
    to = swap;
  }
  if (from != scan->own) memcpy(scan->own, from, n * sizeof *from);
  free(spare);
  return true;
}

/* NULL: no memory. */
static const Own *keep_own(FarScan *scan, const FarChange *change) {
  const FarShape *shape = &scan->map->shape;
  const size_t key = shape->key, value = shape->stride - FAR_STAMP - key;
  Own *own = arena_alloc(&scan->kept, sizeof *own + key + value);
  if (!own) return NULL;
  unsigned char *bytes = (unsigned char *)(own + 1);
  memcpy(bytes, change->key, key);
  if (change->value) memcpy(bytes + key, change->value, value);
  *own = (Own){change->seen, bytes, change->value ? bytes + key : NULL};
  return own;
}

static bool gather_own(FarScan *scan, Fault *fault) {
  scan->nown = scan->own_at = 0;
  arena_reset(&scan->kept);
  if (!scan->txn) return true;
  for (size_t i = 0; i < scan->txn->count; i++) {
    const FarChange *change = &scan->txn->changes[i];
    if (!far_change_of(change, scan->map) || !within(scan, change->key) ||
        far_txn_latest(scan->txn, scan->map, change->key) != change)
      continue;
    if (!array_grow(scan->own, scan->own_capacity, scan->nown + 1) ||
        !(scan->own[scan->nown++] = keep_own(scan, change)))
      return fault_oom(fault);
  }
  return sort_own(scan, fault);
}

/* ---- the scan -------------------------------------------------------------------------------- */

void far_scan_bring(FarScan *scan, uint32_t wanted) {
  scan->search.wanted = wanted ? wanted : scan->map->shape.stride;
}

bool far_scan_seek(FarScan *scan, const FarTxn *txn, const void *low, const void *high,
                   bool reverse, uint64_t expected, Stop *stop, Fault *fault) {
  const uint32_t key = scan->map->shape.key;
  scan->txn = txn;
  scan->reverse = reverse;
  scan->has_low = low != NULL;
  scan->has_high = high != NULL;
  scan->wait = (FarWait){0};
  scan->last = false;
  if (low) memcpy(scan->low, low, key);
  if (high) memcpy(scan->high, high, key);
  scan->at_end = reverse && !high;
  scan->inclusive = reverse && high;
  if (reverse && high) {
    memcpy(scan->edge, high, key);
  } else if (!reverse && !scan->map->vector) {
    memcpy(scan->edge, low ? low : far_tree_low(&scan->map->tree, (FarTreePlace){0, 0}), key);
  }
  if (!gather_own(scan, fault)) return false;
  if (scan->map->vector) return seek_elements(scan, expected, stop, fault);
  const uint64_t half = (scan->map->shape.slots + 1) / 2;
  scan->next_batch = low && high ? MOST : expected / half < MOST ? expected / half + 1 : MOST;
  return fill(scan, stop, fault);
}

static bool theirs(FarScan *scan, const unsigned char **out, FarSeen *out_seen) {
  const Place *place = &scan->places[scan->place++];
  const FarMap *map = scan->map;
  *out = place->element;
  if (!out_seen) return true;
  const FarBucket *head = map->vector ? &scan->heads[place->part] : bucket_at(scan, place->part);
  out_seen->bucket =
      map->vector ? far_vector_head(map, (scan->first_group + place->part) * far_vector_group(map))
                  : scan->ops[place->part].at;
  out_seen->version = head->version;
  out_seen->used = head->used;
  out_seen->slot = place->slot;
  memcpy(&out_seen->stamp, place->element, FAR_STAMP);
  return true;
}

bool far_scan_next(FarScan *scan, const unsigned char **out, FarSeen *out_seen, Stop *stop,
                   Fault *fault) {
  const FarShape *shape = &scan->map->shape;
  for (;;) {
    if (scan->place == scan->nplaces && !scan->last && !more(scan, stop, fault)) return false;
    const bool more = scan->place < scan->nplaces;
    const Own *own = scan->own_at < scan->nown ? scan->own[scan->own_at] : NULL;
    *out = NULL;
    if (!own && !more) return true;
    if (!own) return theirs(scan, out, out_seen);
    int sign = more ? order(scan, own->key, scan->places[scan->place].element + FAR_STAMP) : -1;
    if (more && scan->reverse) sign = -sign;
    if (sign > 0) return theirs(scan, out, out_seen);
    scan->place += sign == 0;
    scan->own_at++;
    if (!own->value) continue;
    memcpy(scan->own_element + FAR_STAMP, own->key, shape->key);
    memcpy(scan->own_element + FAR_STAMP + shape->key, own->value,
           shape->stride - FAR_STAMP - shape->key);
    *out = scan->own_element;
    if (out_seen) *out_seen = own->seen;
    return true;
  }
}
