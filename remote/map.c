#include "remote/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/alloc.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/vector.h"

FarMemory *far_map_memory(const FarMap *map) { return map->memory; }
const FarShape *far_map_shape(const FarMap *map) { return &map->shape; }
const char *far_map_name(const FarMap *map) { return map->name; }
FarTree *far_map_tree(FarMap *map) { return &map->tree; }
uint64_t far_map_rows(const FarMap *map) { return map->rows; }

/* ---- the tree -------------------------------------------------------------------------------- */

/* In which chunk entry i is; *out_first: the chunk's first entry. Each is twice the one before. */
static unsigned chunk_of(uint64_t i, uint64_t *out_first) {
  const unsigned chunk = 63 - (unsigned)__builtin_clzll(i / FAR_TREE_FIRST + 1);
  *out_first = FAR_TREE_FIRST * ((UINT64_C(1) << chunk) - 1);
  return chunk;
}

static uint64_t chunk_entries(unsigned chunk) { return (uint64_t)FAR_TREE_FIRST << chunk; }
static size_t entry_size(const FarMap *map) { return map->shape.key + sizeof(FarPointer); }

/* Entries that nobody wrote, because he died first, are zero. */
static bool learn(FarMap *map, const unsigned char *entries, uint64_t n, Fault *fault) {
  for (uint64_t i = 0; i < n; i++, entries += entry_size(map)) {
    FarPointer bucket;
    memcpy(&bucket, entries + map->shape.key, sizeof bucket);
    if (bucket && !far_tree_add(&map->tree, entries, bucket, fault)) return false;
  }
  return true;
}

/* What was added to the tree since the last time. */
static bool read_tree(FarMap *map, const FarMapRoot *root, Stop *stop, Fault *fault) {
  enum { AT_ONCE = 32768 };
  while (map->known < root->entries) {
    uint64_t first;
    const unsigned chunk = chunk_of(map->known, &first);
    if (chunk >= FAR_TREE_CHUNKS) break;
    uint64_t n = first + chunk_entries(chunk) - map->known;
    if (n > root->entries - map->known) n = root->entries - map->known;
    if (n > AT_ONCE) n = AT_ONCE;
    if (root->chunks[chunk]) {
      unsigned char *entries = malloc(n * entry_size(map));
      if (!entries) return fault_oom(fault);
      FarOp op = {.code = FAR_READ,
                  .at = root->chunks[chunk] + (map->known - first) * entry_size(map),
                  .local = entries,
                  .length = (uint32_t)(n * entry_size(map))};
      const bool ok = far_round(map->memory, &op, 1, stop, fault) && learn(map, entries, n, fault);
      free(entries);
      if (!ok) return false;
    }
    map->known += n;
  }
  return true;
}

bool far_map_announce(FarMap *map, uint64_t number, const void *low, FarPointer bucket, Stop *stop,
                      Fault *fault) {
  FarOp ops[2];
  FarPointer there = 0;
  uint64_t first;
  const unsigned chunk = chunk_of(number, &first);
  if (chunk >= FAR_TREE_CHUNKS) return true; /* the bucket is found from its left neighbour */
  const FarPointer slot = map->root + offsetof(FarMapRoot, chunks) + chunk * sizeof(FarPointer);
  unsigned char entry[FAR_MOST_KEY + sizeof bucket];
  memcpy(entry, low, map->shape.key);
  memcpy(entry + map->shape.key, &bucket, sizeof bucket);
  ops[0] = (FarOp){.code = FAR_READ, .at = slot, .local = &there, .length = sizeof there};
  ops[1] = (FarOp){.code = FAR_STORE1,
                   .at = slot,
                   .index = (number - first) * entry_size(map),
                   .local = entry,
                   .length = (uint32_t)entry_size(map)};
  if (!far_round(map->memory, ops, 2, stop, fault)) return false;
  if (there) return true;
  const uint64_t size = chunk_entries(chunk) * entry_size(map);
  FarPointer block;
  unsigned char *zeroes = calloc(1, size);
  if (!zeroes) return fault_oom(fault);
  bool ok = far_alloc(map->memory, size, FAR_USE_BYTES, &block, stop, fault);
  FarOp put[3] = {{.code = FAR_WRITE, .at = block, .local = zeroes, .length = (uint32_t)size},
                  {.code = FAR_CAS, .at = slot, .value = block},
                  ops[1]};
  ok = ok && far_round(map->memory, put, 3, stop, fault);
  free(zeroes);
  if (ok && put[1].status != FAR_DONE)
    ok = far_free(map->memory, block, size, FAR_USE_BYTES, stop, fault);
  return ok;
}

/* ---- making and opening ---------------------------------------------------------------------- */

static bool fits(const FarMap *map, const FarMapRoot *root, uint64_t kind, Fault *fault) {
  if (kind != FAR_KIND_MAP)
    return fault_set(fault, FAULT_INVALID, "%s: \"%s\" is no map", map->memory->at, map->name);
  if (root->schema == map->schema && root->shape == far_shape_word(&map->shape)) return true;
  return fault_set(fault, FAULT_INVALID,
                   "%s: \"%s\" was made with other columns (schema %016llx, not %016llx)",
                   map->memory->at, map->name, (unsigned long long)root->schema,
                   (unsigned long long)map->schema);
}

/* An empty map: a root, and a bucket for all keys. */
static bool make(FarMap *map, FarMapRoot *root, Stop *stop, Fault *fault) {
  FarMemory *memory = map->memory;
  const uint32_t size = far_bucket_size(&map->shape);
  FarPointer at, bucket;
  FarOp ops[3] = {{.code = FAR_ADD, .value = 1}};
  ops[0].at = far_here(memory, offsetof(FarHeader, serial));
  if (!far_alloc(memory, sizeof *root, FAR_USE_BYTES, &at, stop, fault) ||
      !far_alloc(memory, size, FAR_USE_BUCKET, &bucket, stop, fault) ||
      !far_round(memory, ops, 1, stop, fault))
    return false;
  FarBucket *empty = calloc(1, size);
  if (!empty) return fault_oom(fault);
  *root = (FarMapRoot){.serial = ops[0].old + 1,
                       .shape = far_shape_word(&map->shape),
                       .schema = map->schema,
                       .first = bucket};
  /* Versions of a place never come again, whoever had it before. */
  *empty = (FarBucket){.version = root->serial << 32,
                       .owner = root->serial,
                       .shape = root->shape,
                       .flags = FAR_LAST};
  if (map->shape.kind == FAR_KEY_INTEGER) {
    const int64_t least = INT64_MIN;
    memcpy((unsigned char *)empty + far_low_at(), &least, sizeof least);
  }
  ops[0] = (FarOp){.code = FAR_WRITE, .at = bucket, .local = empty, .length = size};
  ops[1] = (FarOp){.code = FAR_WRITE, .at = at, .local = root, .length = sizeof *root};
  FarName name = {.kind = FAR_KIND_MAP, .root = at, .schema = map->schema};
  memcpy(name.name, map->name, strlen(map->name));
  bool added;
  const bool ok =
      far_round(memory, ops, 2, stop, fault) && far_name_add(memory, &name, &added, stop, fault);
  free(empty);
  if (!ok) return false;
  map->root = name.root;
  if (added) return true;
  ops[0] = (FarOp){.code = FAR_READ, .at = name.root, .local = root, .length = sizeof *root};
  return far_free(memory, at, sizeof *root, FAR_USE_BYTES, stop, fault) &&
         far_free(memory, bucket, size, FAR_USE_BUCKET, stop, fault) &&
         far_round(memory, ops, 1, stop, fault) && fits(map, root, name.kind, fault);
}

static bool open_root(FarMap *map, bool create, FarMapRoot *root, Stop *stop, Fault *fault) {
  FarName name;
  bool found;
  if (!far_name_find(map->memory, map->name, &name, &found, stop, fault)) return false;
  if (!found && create) return make(map, root, stop, fault);
  if (!found) {
    return fault_set(fault, FAULT_NOTFOUND, "%s: there is no \"%s\"", map->memory->at, map->name);
  }
  FarOp op = {.code = FAR_READ, .at = name.root, .local = root, .length = sizeof *root};
  map->root = name.root;
  return far_round(map->memory, &op, 1, stop, fault) && fits(map, root, name.kind, fault);
}

/* The leftmost bucket is the one entry that the list of the tree has not. */
static bool plant(FarMap *map, const FarMapRoot *root, Stop *stop, Fault *fault) {
  unsigned char least[FAR_MOST_KEY] = {0};
  if (map->shape.kind == FAR_KEY_INTEGER) {
    const int64_t smallest = INT64_MIN;
    memcpy(least, &smallest, sizeof smallest);
  }
  map->serial = root->serial;
  map->rows = root->rows;
  return far_tree_add(&map->tree, least, root->first, fault) && read_tree(map, root, stop, fault);
}

bool far_map_open(FarMemory *memory, const char *name, const FarShape *shape, uint64_t schema,
                  bool create, FarMap **out, Stop *stop, Fault *fault) {
  FarMapRoot root;
  if (!far_shape_valid(shape))
    return fault_set(fault, FAULT_LIMIT, "%s: elements of \"%s\" take %u bytes, the most is %d",
                     memory->at, name, (unsigned)shape->stride, FAR_MOST_STRIDE);
  FarMap *map = calloc(1, sizeof *map);
  if (!map || !(map->name = strdup(name))) {
    free(map);
    return fault_oom(fault);
  }
  map->memory = memory;
  map->shape = map->tree.shape = map->search.shape = *shape;
  map->search.wanted = shape->stride;
  map->schema = schema;
  if (!open_root(map, create, &root, stop, fault) || !plant(map, &root, stop, fault)) {
    far_map_close(map);
    return false;
  }
  *out = map;
  return true;
}

void far_map_close(FarMap *map) {
  if (!map) return;
  far_vector_close(map->vector);
  far_tree_clear(&map->tree);
  free(map->ops);
  free(map->room);
  free(map->asked);
  free(map->name);
  free(map);
}

/* ---- finding --------------------------------------------------------------------------------- */

bool far_map_owns(const FarMap *map, const FarBucket *head, Fault *fault) {
  if (head->owner == map->serial) return true;
  return fault_set(fault, FAULT_NOTFOUND, "%s: \"%s\" was dropped", map->memory->at, map->name);
}

/* Each bucket to the right begins later than where the tree sent us, or it is damaged, and
** we would go in circles. */
bool far_map_follow(FarMap *map, FarPointer bucket, const FarBucket *head, const void *key,
                    bool *moved, Fault *fault) {
  const unsigned char *high = far_high_of(&map->shape, head);
  FarTreePlace place;
  *moved = !(head->flags & FAR_LAST) && far_key_compare(&map->shape, key, high) >= 0;
  if (!*moved) return true;
  if (far_tree_find(&map->tree, key, &place) && far_tree_bucket(&map->tree, place) == bucket &&
      far_key_compare(&map->shape, high, far_tree_low(&map->tree, place)) <= 0)
    return far_map_damaged(map, fault);
  return far_tree_add(&map->tree, high, head->right, fault);
}

bool far_map_damaged(const FarMap *map, Fault *fault) {
  return fault_set(fault, FAULT_CORRUPT, "%s: \"%s\" is damaged: its buckets are out of order",
                   map->memory->at, map->name);
}

void far_map_bring(FarMap *map, uint32_t wanted, const FarFollow *cells, uint32_t n,
                   uint32_t most) {
  map->search.wanted = wanted ? wanted : map->shape.stride;
  map->search.nfollow = n < FAR_FOLLOWED ? n : FAR_FOLLOWED;
  map->most_brought = n ? most / 8 * 8 : 0;
  if (n) memcpy(map->search.follow, cells, map->search.nfollow * sizeof *cells);
}

/* The bytes of an answer; cells.c wants the head of a vector's group. */
static size_t answer_size(const FarMap *map) {
  if (map->vector) return sizeof(FarBucket) + map->shape.stride;
  return far_find_room(&map->search) + map->most_brought;
}

static bool make_room(FarMap *map, size_t n, Fault *fault) {
  if (n > map->capacity) {
    free(map->ops);
    free(map->asked);
    map->ops = calloc(n, sizeof *map->ops);
    map->asked = calloc(n, sizeof *map->asked);
    map->capacity = map->ops && map->asked ? n : 0;
  }
  if (n * answer_size(map) > map->room_capacity) {
    free(map->room);
    map->room = malloc(n * answer_size(map));
    map->room_capacity = map->room ? n * answer_size(map) : 0;
  }
  return (map->capacity >= n && map->room) || fault_oom(fault);
}

static bool ask(FarMap *map, size_t op, size_t i, const void *key, Fault *fault) {
  const size_t each = answer_size(map);
  FarTreePlace place;
  if (!far_tree_find(&map->tree, key, &place))
    return fault_set(fault, FAULT_CORRUPT, "%s: \"%s\" has no first bucket", map->memory->at,
                     map->name);
  map->asked[op] = i;
  map->ops[op] = (FarOp){.code = FAR_FIND,
                         .at = far_tree_bucket(&map->tree, place),
                         .search = &map->search,
                         .key = key,
                         .local = map->room + i * each,
                         .length = (uint32_t)each};
  return true;
}

static void take(const FarMap *map, const FarOp *op, FarFound *out) {
  const unsigned char *answer = op->local, *element = answer + FAR_FOUND;
  *out = (FarFound){.bucket = op->at, .slot = op->old == FAR_NONE ? -1 : (int)op->old};
  memcpy(&out->version, answer + offsetof(FarBucket, version), sizeof out->version);
  memcpy(&out->used, answer + offsetof(FarBucket, used), sizeof out->used);
  if (out->slot < 0) return;
  out->element = element;
  out->brought = element + map->search.wanted;
  const uint64_t brought = op->index - FAR_FOUND - map->search.wanted; /* a head had room there */
  out->nbrought = brought < map->most_brought ? (uint32_t)brought : map->most_brought;
  memcpy(&out->stamp, element, sizeof out->stamp);
}

bool far_map_wait(FarMap *map, FarWait *wait, FarPointer bucket, Stop *stop, Fault *fault) {
  uint64_t holder, ignored;
  FarOp read = far_read_op(bucket + offsetof(FarBucket, lock), &holder, sizeof holder);
  return far_round(map->memory, &read, 1, stop, fault) &&
         far_wait(map->memory, wait, holder, &ignored, stop, fault);
}

/* What became of an operation. *again: the key has to be looked for again. */
static bool settle(FarMap *map, const FarOp *op, FarWait *wait, FarFound *out, bool *again,
                   Stop *stop, Fault *fault) {
  bool moved = true;
  *again = op->status != FAR_DONE;
  if (!*again) {
    take(map, op, out);
    return true;
  }
  if (op->status == FAR_CHANGING) return far_map_wait(map, wait, op->at, stop, fault);
  if (!far_map_owns(map, op->local, fault) ||
      !far_map_follow(map, op->at, op->local, op->key, &moved, fault))
    return false;
  return moved || far_map_damaged(map, fault);
}

bool far_map_find(FarMap *map, const void *keys, size_t n, FarFound *out, Stop *stop,
                  Fault *fault) {
  const unsigned char *key = keys;
  size_t left = n;
  FarWait wait = {0};
  if (!make_room(map, n, fault)) return false;
  if (map->vector) return far_vector_find(map, keys, n, out, stop, fault);
  map->search.owner = map->serial;
  for (size_t i = 0; i < n; i++)
    if (!ask(map, i, i, key + i * map->shape.key, fault)) return false;
  while (left > 0) {
    if (!far_round(map->memory, map->ops, left, stop, fault)) return false;
    const size_t asked = left;
    left = 0;
    for (size_t op = 0; op < asked; op++) {
      const size_t i = map->asked[op];
      bool again;
      if (!settle(map, &map->ops[op], &wait, &out[i], &again, stop, fault) ||
          (again && !ask(map, left++, i, key + i * map->shape.key, fault)))
        return false;
    }
    map->memory->counts.retries += left > 0;
  }
  return true;
}
