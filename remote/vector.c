/*
** Making vectors, finding and changing their elements. Reading and what is kept: cells.c.
*/
#include "remote/vector.h"

#include <stdlib.h>
#include <string.h>

#include "remote/alloc.h"
#include "remote/cells.h"
#include "remote/client.h"
#include "remote/names.h"
#include "remote/root.h"

enum { GROUP_BYTES = 4096, MOST_GROUP = 512 };

/* ---- parts ----------------------------------------------------------------------------------- */

static uint64_t part_groups(uint64_t first, unsigned part) {
  return part ? first << (part - 1) : first;
}

static unsigned part_of(const FarVector *it, uint64_t group, uint64_t *out_before) {
  const unsigned part = group < it->first ? 0 : 64 - (unsigned)__builtin_clzll(group / it->first);
  *out_before = part ? it->first << (part - 1) : 0;
  return part;
}

FarPlace far_vector_place(const FarVector *it, uint64_t index) {
  uint64_t before;
  const uint64_t group = index / it->group;
  const unsigned part = part_of(it, group, &before);
  return (FarPlace){it->parts[part].cells + (index - before * it->group) * it->cell,
                    it->parts[part].heads + (group - before) * sizeof(FarBucket),
                    (before + part_groups(it->first, part)) * it->group};
}

FarPointer far_vector_cell(const FarMap *map, uint64_t index) {
  return far_vector_place(map->vector, index).cell;
}

FarPointer far_vector_head(const FarMap *map, uint64_t index) {
  return far_vector_place(map->vector, index).head;
}

uint32_t far_vector_group(const FarMap *map) { return map->vector->group; }
uint64_t far_vector_length(const FarMap *map) { return map->vector->length; }

FarOp far_vector_there_op(const FarMap *map) { return far_root_there_op(map->root, map->serial); }

bool far_vector_learn(FarMap *map, const FarVectorRoot *root, Fault *fault) {
  FarVector *it = map->vector;
  const uint64_t most = it->first << (FAR_PARTS - 1);
  const uint64_t groups = (root->head.used + it->group - 1) / it->group;
  if (root->head.owner != map->serial)
    return far_root_gone(map->memory, FAR_KIND_VECTOR, map->name, fault);
  if (root->head.used > map->memory->head.size / it->cell || groups > most)
    return fault_set(fault, FAULT_CORRUPT, "%s: \"%s\" has a length of %llu", map->memory->at,
                     map->name, (unsigned long long)root->head.used);
  if (!array_grow(it->versions, it->versions_capacity, groups)) return fault_oom(fault);
  memcpy(it->parts, root->parts, sizeof it->parts);
  it->length = map->rows = root->head.used;
  return true;
}

/* ---- making and growing ---------------------------------------------------------------------- */

/* Parts until there is room for so many elements. All of what is new is written before the root
** points to it. */
static bool add_parts(FarMemory *memory, FarVectorRoot *root, uint32_t cell, uint64_t length,
                      const void *initial, Stop *stop, Fault *fault) {
  const FarBucket head = {.version = root->head.owner << 32, .owner = root->head.owner};
  const uint64_t groups = (length + root->group - 1) / root->group;
  uint64_t there = 0;
  for (unsigned i = 0; i < FAR_PARTS && there < groups; i++) {
    const uint64_t more = part_groups(root->first, i);
    there += more;
    if (root->parts[i].cells) continue;
    FarPointer cells, heads;
    if (!far_alloc(memory, more * root->group * cell, FAR_USE_BYTES, &cells, stop, fault))
      return false;
    if (!far_alloc(memory, more * sizeof head, FAR_USE_BYTES, &heads, stop, fault)) {
      far_free(memory, cells, more * root->group * cell, FAR_USE_BYTES, NULL, NULL);
      return false;
    }
    root->parts[i].cells = cells;
    root->parts[i].heads = heads;
    if (!far_fill(memory, heads, &head, sizeof head, more, stop, fault) ||
        !far_fill(memory, cells, initial, cell, more * root->group, stop, fault))
      return false;
  }
  root->head.used = length;
  return true;
}

static void free_parts(FarMemory *memory, const FarVectorRoot *root, uint32_t cell, unsigned from) {
  for (unsigned i = from; i < FAR_PARTS; i++) {
    const uint64_t groups = part_groups(root->first, i);
    if (!root->parts[i].cells) continue;
    far_free(memory, root->parts[i].cells, groups * root->group * cell, FAR_USE_BYTES, NULL, NULL);
    far_free(memory, root->parts[i].heads, groups * sizeof(FarBucket), FAR_USE_BYTES, NULL, NULL);
  }
}

static bool bearable(const FarMap *map, uint64_t length, Fault *fault) {
  return length <= FAR_MOST_ELEMENTS ||
         fault_set(fault, FAULT_LIMIT, "%s: \"%s\": a vector has at most %llu elements, not %llu",
                   map->memory->at, map->name, (unsigned long long)FAR_MOST_ELEMENTS,
                   (unsigned long long)length);
}

static bool make(FarMap *map, FarVectorRoot *root, const FarVectorOptions *options, Stop *stop,
                 Fault *fault) {
  const uint32_t cell = map->vector->cell;
  uint32_t group = options->group;
  if (!group) group = GROUP_BYTES / cell < MOST_GROUP ? GROUP_BYTES / cell : MOST_GROUP;
  if (!group) group = 1;
  *root = (FarVectorRoot){.schema = map->schema,
                          .shape = far_shape_word(&map->shape),
                          .group = group,
                          .first = (options->length + group - 1) / group};
  if (!far_root_serial(map->memory, &root->head.owner, stop, fault)) return false;
  bool ok = add_parts(map->memory, root, cell, options->length, options->initial, stop, fault) &&
            far_root_add(map->memory, FAR_KIND_VECTOR, map->name, map->schema, root->head.owner,
                         root, sizeof *root, &map->root, stop, fault);
  if (!ok || !map->root) free_parts(map->memory, root, cell, 0);
  return ok;
}

static bool grow(FarMap *map, FarVectorRoot *root, const FarVectorOptions *options, Stop *stop,
                 Fault *fault) {
  FarMemory *memory = map->memory;
  const FarPointer lock = map->root + offsetof(FarBucket, lock);
  unsigned before = 0;
  FarOp ops[5] = {{0}, far_read_op(map->root, root, sizeof *root)};
  if (!far_lock_round(memory, lock, ops, 2, stop, fault)) return false;
  while (before < FAR_PARTS && root->parts[before].cells) before++;
  size_t n = 0;
  const bool ours = root->head.owner == map->serial;
  bool ok = ours || far_root_gone(memory, FAR_KIND_VECTOR, map->name, fault);
  if (ok && root->head.used < options->length) {
    ok = add_parts(memory, root, map->vector->cell, options->length, options->initial, stop, fault);
    if (!ok) free_parts(memory, root, map->vector->cell, before);
    if (ok) { /* the length last: until then nobody looks there */
      ops[n++] =
          far_write_op(map->root + offsetof(FarVectorRoot, parts), root->parts, sizeof root->parts);
      ops[n++] = far_write_op(map->root + offsetof(FarBucket, used), &root->head.used, 8);
    }
  }
  ops[n++] = far_unlock_op(lock);
  return far_round(memory, ops, n, NULL, ok ? fault : NULL) && ok;
}

static bool open_root(FarMap *map, const FarVectorOptions *options, FarVectorRoot *root, Stop *stop,
                      Fault *fault) {
  for (;;) {
    if (!far_root_find(map->memory, FAR_KIND_VECTOR, map->name, map->schema, root, sizeof *root,
                       &map->root, stop, fault))
      return false;
    if (map->root) break;
    if (options->must_exist || !options->length)
      return fault_set(fault, FAULT_NOTFOUND,
                       "%s: there is no vector \"%s\": to make it takes a length", map->memory->at,
                       map->name);
    if (!make(map, root, options, stop, fault)) return false;
    if (map->root) break;
  }
  map->serial = root->head.owner;
  if (root->shape != far_shape_word(&map->shape) || !root->group || root->group > FAR_EXTENT ||
      !root->first || root->first > FAR_MOST_ELEMENTS)
    return fault_set(fault, FAULT_CORRUPT, "%s: the root of \"%s\" is damaged", map->memory->at,
                     map->name);
  map->vector->group = (uint32_t)root->group;
  map->vector->first = root->first;
  return root->head.used >= options->length || grow(map, root, options, stop, fault);
}

bool far_vector_open(FarMemory *memory, const char *name, const FarShape *shape, uint64_t schema,
                     const FarVectorOptions *options, FarMap **out, Stop *stop, Fault *fault) {
  FarVectorRoot root;
  if (!far_shape_valid(shape) || shape->kind != FAR_KEY_INTEGER ||
      shape->stride == FAR_STAMP + shape->key)
    return fault_set(fault, FAULT_LIMIT, "%s: elements of \"%s\" take %u bytes", memory->at, name,
                     (unsigned)shape->stride);
  FarMap *map = calloc(1, sizeof *map);
  if (!map || !(map->name = strdup(name)) || !(map->vector = calloc(1, sizeof *map->vector))) {
    far_map_close(map);
    return fault_oom(fault);
  }
  map->memory = memory;
  map->shape = map->tree.shape = *shape;
  map->schema = schema;
  map->vector->cell = shape->stride - FAR_STAMP - shape->key;
  map->vector->kept_ns = -1;
  if (!bearable(map, options->length, fault) || !open_root(map, options, &root, stop, fault) ||
      !far_vector_learn(map, &root, fault)) {
    far_map_close(map);
    return false;
  }
  *out = map;
  return true;
}

void far_vector_close(FarVector *it) {
  if (!it) return;
  free(it->versions);
  free(it->copy);
  free(it->copied);
  arena_finish(&it->scratch);
  free(it);
}

/* ---- dropping -------------------------------------------------------------------------------- */

/* Takes the locks of some groups in a row, for ever. */
static bool lock_heads(FarMemory *memory, FarPointer heads, uint64_t n, Stop *stop, Fault *fault) {
  enum { AT_ONCE = 256 };
  FarOp ops[AT_ONCE];
  for (uint64_t at = 0; at < n; at += AT_ONCE) {
    const uint64_t some = n - at < AT_ONCE ? n - at : AT_ONCE;
    for (uint64_t i = 0; i < some; i++) {
      ops[i] = (FarOp){.code = FAR_CAS,
                       .at = heads + (at + i) * sizeof(FarBucket) + offsetof(FarBucket, lock),
                       .value = memory->client};
    }
    if (!far_round(memory, ops, some, stop, fault)) return false;
    for (uint64_t i = 0; i < some; i++) {
      FarOp again;
      if (ops[i].status == FAR_DIFFERS && ops[i].old != memory->client &&
          !far_lock_round(memory, ops[i].at, &again, 1, stop, fault))
        return false;
    }
  }
  return true;
}

/* With the root's lock held, which goes with it. */
static bool drop_root(FarMemory *memory, const char *name, FarPointer at, const FarVectorRoot *root,
                      Stop *stop, Fault *fault) {
  FarShape shape;
  far_shape_of_word(root->shape, &shape);
  if (!root->head.owner || !far_shape_valid(&shape))
    return far_root_gone(memory, FAR_KIND_VECTOR, name, fault);
  if (!far_name_remove(memory, name, at, stop, fault)) return false;
  for (unsigned i = 0; i < FAR_PARTS; i++) {
    if (root->parts[i].heads &&
        !lock_heads(memory, root->parts[i].heads, part_groups(root->first, i), stop, fault))
      return false;
  }
  if (!far_root_drop(memory, at, sizeof *root, stop, fault)) return false;
  free_parts(memory, root, shape.stride - FAR_STAMP - shape.key, 0);
  return true;
}

bool far_vector_drop(FarMemory *memory, const char *name, Stop *stop, Fault *fault) {
  FarVectorRoot root;
  FarName it;
  bool found;
  if (!far_name_find(memory, name, &it, &found, stop, fault)) return false;
  if (!found || it.kind != FAR_KIND_VECTOR)
    return fault_set(fault, FAULT_NOTFOUND, "%s: there is no vector \"%s\"", memory->at, name);
  const FarPointer lock = it.root + offsetof(FarBucket, lock);
  FarOp ops[2] = {{0}, far_read_op(it.root, &root, sizeof root)};
  if (!far_lock_round(memory, lock, ops, 2, stop, fault)) return false;
  if (drop_root(memory, name, it.root, &root, stop, fault)) return true;
  ops[0] = far_unlock_op(lock);
  far_round(memory, ops, 1, NULL, NULL);
  return false;
}

/* ---- changing -------------------------------------------------------------------------------- */

bool far_vector_set(FarMap *map, uint64_t index, const void *cells, Stop *stop, Fault *fault) {
  const FarSeen any = {.stamp = FAR_ANY};
  FarTxn *txn = far_txn_begin(map->memory, fault);
  const bool ok =
      txn && far_txn_put(txn, map, &index, cells, &any, fault) && far_txn_commit(txn, stop, fault);
  far_txn_end(txn);
  return ok;
}

bool far_vector_add(FarMap *map, uint64_t index, uint32_t at, int64_t n, int64_t *out, Stop *stop,
                    Fault *fault) {
  const uint32_t before = FAR_STAMP + map->shape.key;
  FarWait wait = {0};
  if (at < before || at % 8 || at + 8 > map->shape.stride)
    return fault_set(fault, FAULT_INVALID, "%s: \"%s\" has no word at %u", map->memory->at,
                     map->name, (unsigned)at);
  if (!far_vector_reach(map, index, stop, fault)) return false;
  const FarPlace place = far_vector_place(map->vector, index);
  FarOp ops[] = {far_vector_there_op(map),
                 {.code = FAR_CAS,
                  .guard = true,
                  .at = place.head + offsetof(FarBucket, lock),
                  .value = map->memory->client},
                 {.code = FAR_ADD, .at = place.cell + at - before, .value = (uint64_t)n},
                 {.code = FAR_ADD, .at = place.head + offsetof(FarBucket, version), .value = 2},
                 far_unlock_op(place.head + offsetof(FarBucket, lock))};
  for (;;) {
    if (!far_round(map->memory, ops, 5, stop, fault)) return false;
    if (ops[0].status != FAR_DONE)
      return far_root_gone(map->memory, FAR_KIND_VECTOR, map->name, fault);
    if (ops[1].status == FAR_DONE) break;
    if (!far_wait(map->memory, &wait, ops[1].old, &ops[1].expected, stop, fault)) return false;
  }
  *out = (int64_t)(ops[2].old + ops[2].value);
  far_vector_added(map, index, ops[3].old, at - before, *out);
  return true;
}
