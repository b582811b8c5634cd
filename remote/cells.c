/*
** Reading elements of vectors, and what is kept of them.
*/
#include "remote/cells.h"

#include <stdlib.h>
#include <string.h>

#include "remote/client.h"
#include "remote/root.h"

enum { MOST_READ = 1 << 20 }; /* bytes of an operation */

static uint64_t stamp_of(const void *cells, uint32_t length) {
  const uint64_t hash = hash_bytes(cells, length, 0);
  return hash == 0 || hash == FAR_ANY ? 1 : hash;
}

static void make_element(const FarMap *map, uint64_t index, const void *cells, unsigned char *out) {
  const uint64_t stamp = stamp_of(cells, map->vector->cell);
  memcpy(out, &stamp, FAR_STAMP);
  memcpy(out + FAR_STAMP, &index, 8);
  memcpy(out + FAR_STAMP + 8, cells, map->vector->cell);
}

static bool read_root(FarMap *map, Stop *stop, Fault *fault) {
  FarVectorRoot root;
  FarOp op = far_read_op(map->root, &root, sizeof root);
  return far_round(map->memory, &op, 1, stop, fault) && far_vector_learn(map, &root, fault);
}

bool far_vector_reach(FarMap *map, uint64_t index, Stop *stop, Fault *fault) {
  if (index < map->vector->length) return true;
  if (!read_root(map, stop, fault)) return false;
  return index < map->vector->length ||
         fault_set(fault, FAULT_LIMIT, "%s: \"%s\" has elements 0 to %llu, not %lld",
                   map->memory->at, map->name, (unsigned long long)map->vector->length - 1,
                   (long long)index);
}

bool far_vector_follow(FarMap *map, bool *out_grown, Stop *stop, Fault *fault) {
  *out_grown = map->vector->told > map->vector->length;
  return !*out_grown || read_root(map, stop, fault);
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct Piece { /* elements that one operation reads */
  FarSpan *span;
  uint64_t first, n, groups;
  FarPlace place;
  FarBucket *before, *after;
  unsigned char *cells;
} Piece;

static uint64_t groups_of(const FarVector *it, uint64_t first, uint64_t n) {
  return (first + n - 1) / it->group - first / it->group + 1;
}

/* The next piece of what is left of a span from `at` on. */
static Piece piece_of(const FarVector *it, FarSpan *span, uint64_t at) {
  Piece piece = {.span = span, .first = at, .place = far_vector_place(it, at)};
  const uint64_t most = MOST_READ / it->cell + 1;
  piece.n = span->first + span->n - at;
  if (piece.n > piece.place.end - at) piece.n = piece.place.end - at;
  if (piece.n > most) piece.n = most;
  piece.groups = groups_of(it, at, piece.n);
  return piece;
}

/* All that is left of the spans. */
static bool make_pieces(FarVector *it, FarSpan *spans, size_t n, Piece **out, size_t *out_n) {
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    for (uint64_t at = spans[i].first + spans[i].done; at < spans[i].first + spans[i].n; count++)
      at += piece_of(it, &spans[i], at).n;
  }
  Piece *pieces = arena_array(&it->scratch, count, sizeof *pieces);
  if (!(*out = pieces)) return false;
  *out_n = count;
  for (size_t i = 0; i < n; i++) {
    for (uint64_t at = spans[i].first + spans[i].done; at < spans[i].first + spans[i].n; pieces++) {
      *pieces = piece_of(it, &spans[i], at);
      at += pieces->n;
      pieces->before = arena_array(&it->scratch, pieces->groups, sizeof(FarBucket));
      pieces->after = arena_array(&it->scratch, pieces->groups, sizeof(FarBucket));
      pieces->cells = arena_array(&it->scratch, pieces->n, it->cell);
      if (!pieces->before || !pieces->after || !pieces->cells) return false;
    }
  }
  return true;
}

/* What of a piece was read at one version each. False: not all; *out_holder is in the way. */
static bool take(FarMap *map, const Piece *piece, uint64_t *out_holder) {
  FarVector *it = map->vector;
  FarSpan *span = piece->span;
  if (span->first + span->done != piece->first) return false;
  const uint64_t first_group = span->first / it->group;
  for (uint64_t i = 0; i < piece->n; i++) {
    const uint64_t index = piece->first + i, group = index / it->group;
    const FarBucket *before = &piece->before[group - piece->first / it->group];
    const FarBucket *after = &piece->after[group - piece->first / it->group];
    if (before->version != after->version || before->version & 1) {
      *out_holder = after->lock;
      return false;
    }
    it->versions[group] = before->version;
    span->heads[group - first_group] = *before;
    make_element(map, index, piece->cells + i * it->cell,
                 span->elements + span->done * map->shape.stride);
    span->done++;
  }
  return true;
}

static bool read_pieces(FarMap *map, Piece *pieces, size_t n, Stop *stop, Fault *fault) {
  FarVector *it = map->vector;
  FarBucket root;
  FarOp *ops = arena_array(&it->scratch, 3 * n + 1, sizeof *ops);
  if (!ops) return fault_oom(fault);
  ops[0] = far_read_op(map->root, &root, sizeof root);
  for (size_t i = 0; i < n; i++) {
    const size_t heads = pieces[i].groups * sizeof(FarBucket);
    ops[3 * i + 1] = far_read_op(pieces[i].place.head, pieces[i].before, heads);
    ops[3 * i + 2] = far_read_op(pieces[i].place.cell, pieces[i].cells, pieces[i].n * it->cell);
    ops[3 * i + 3] = far_read_op(pieces[i].place.head, pieces[i].after, heads);
  }
  if (!far_round(map->memory, ops, 3 * n + 1, stop, fault)) return false;
  if (root.owner != map->serial)
    return far_root_gone(map->memory, FAR_KIND_VECTOR, map->name, fault);
  it->told = root.used;
  return true;
}

static bool read_spans(FarMap *map, FarSpan *spans, size_t n, Stop *stop, Fault *fault) {
  FarWait wait = {0};
  for (bool whole = false; !whole;) {
    Piece *pieces;
    size_t count;
    uint64_t holder = 0;
    arena_reset(&map->vector->scratch);
    if (!make_pieces(map->vector, spans, n, &pieces, &count)) return fault_oom(fault);
    if (!read_pieces(map, pieces, count, stop, fault)) return false;
    whole = true;
    for (size_t i = 0; i < count; i++) whole = take(map, &pieces[i], &holder) && whole;
    if (!whole && !far_wait(map->memory, &wait, holder, &(uint64_t){0}, stop, fault)) return false;
  }
  return true;
}

/* ---- what is kept ---------------------------------------------------------------------------- */

void far_vector_keep(FarMap *map, int64_t ns) { map->vector->kept_ns = ns; }

bool far_vector_ask(FarMap *map, bool fresh) {
  const bool before = map->vector->fresh;
  map->vector->fresh = fresh;
  return before;
}

/* The heads of all groups, and the root. A round; more when the vector has grown. */
static bool read_heads(FarMap *map, FarBucket **out, uint64_t *out_n, Stop *stop, Fault *fault) {
  FarVector *it = map->vector;
  for (;;) {
    FarVectorRoot root;
    const uint64_t n = groups_of(it, 0, it->length), length = it->length;
    const uint64_t most = MOST_READ / sizeof(FarBucket);
    FarBucket *heads = malloc(n * sizeof *heads);
    FarOp *ops = malloc((n / most + FAR_PARTS + 2) * sizeof *ops);
    size_t nops = 1;
    bool ok = (heads && ops) || fault_oom(fault);
    if (ok) ops[0] = far_read_op(map->root, &root, sizeof root);
    for (uint64_t at = 0; ok && at < n;) {
      const FarPlace place = far_vector_place(it, at * it->group);
      uint64_t end = place.end / it->group < n ? place.end / it->group : n;
      if (end - at > most) end = at + most;
      ops[nops++] = far_read_op(place.head, heads + at, (end - at) * sizeof *heads);
      at = end;
    }
    ok =
        ok && far_round(map->memory, ops, nops, stop, fault) && far_vector_learn(map, &root, fault);
    free(ops);
    if (ok && it->length == length) {
      it->told = length;
      *out = heads;
      *out_n = n;
      return true;
    }
    free(heads);
    if (!ok) return false;
  }
}

/* Groups that are not what they were, as spans of them in a row. */
static FarSpan *find_changed(const FarMap *map, const FarBucket *heads, uint64_t n,
                             size_t *out_spans, uint64_t *out_groups) {
  const FarVector *it = map->vector;
  const uint64_t kept = it->kept ? groups_of(it, 0, it->kept) : 0;
  FarSpan *spans = NULL;
  size_t count = 0, capacity = 0;
  *out_groups = 0;
  for (uint64_t i = 0; i < n; i++) {
    const uint64_t end = (i + 1) * it->group < it->length ? (i + 1) * it->group : it->length;
    if (i < kept && heads[i].version == it->copied[i] && end <= it->kept) continue;
    if (count && spans[count - 1].first + spans[count - 1].n == i * it->group) {
      spans[count - 1].n += end - i * it->group;
    } else {
      if (!array_grow(spans, capacity, count + 1)) {
        free(spans);
        return NULL;
      }
      spans[count++] = (FarSpan){.first = i * it->group, .n = end - i * it->group};
    }
    ++*out_groups;
  }
  *out_spans = count;
  return spans ? spans : malloc(1);
}

static void copy_span(FarMap *map, const FarSpan *span) {
  FarVector *it = map->vector;
  for (uint64_t i = 0; i < span->n; i++) {
    memcpy(it->copy + (span->first + i) * it->cell,
           span->elements + i * map->shape.stride + FAR_STAMP + 8, it->cell);
  }
  for (uint64_t i = 0; i < groups_of(it, span->first, span->n); i++)
    it->copied[span->first / it->group + i] = span->heads[i].version;
}

static bool read_changed(FarMap *map, FarSpan *spans, size_t n, Stop *stop, Fault *fault) {
  uint64_t elements = 0, groups = 0;
  for (size_t i = 0; i < n; i++) {
    elements += spans[i].n;
    groups += groups_of(map->vector, spans[i].first, spans[i].n);
  }
  unsigned char *bytes = malloc(elements * map->shape.stride);
  FarBucket *heads = malloc(groups * sizeof *heads);
  bool ok = (bytes && heads) || fault_oom(fault);
  elements = groups = 0;
  for (size_t i = 0; i < n && ok; i++) {
    spans[i].elements = bytes + elements * map->shape.stride;
    spans[i].heads = heads + groups;
    elements += spans[i].n;
    groups += groups_of(map->vector, spans[i].first, spans[i].n);
  }
  ok = ok && read_spans(map, spans, n, stop, fault);
  for (size_t i = 0; i < n && ok; i++) copy_span(map, &spans[i]);
  free(bytes);
  free(heads);
  return ok;
}

bool far_vector_refresh(FarMap *map, uint64_t *out, Stop *stop, Fault *fault) {
  FarVector *it = map->vector;
  const int64_t now = clock_now();
  FarBucket *heads = NULL;
  uint64_t groups, changed = 0;
  size_t n = 0;
  if (!read_heads(map, &heads, &groups, stop, fault)) return false;
  FarSpan *spans = NULL;
  bool ok = array_grow(it->copy, it->copy_capacity, it->length * it->cell) &&
            array_grow(it->copied, it->copied_capacity, groups) &&
            (spans = find_changed(map, heads, groups, &n, &changed)) != NULL;
  if (!ok) fault_oom(fault);
  ok = ok && (!n || read_changed(map, spans, n, stop, fault));
  free(heads);
  free(spans);
  if (!ok) return false;
  it->kept = it->length;
  it->kept_at = now;
  if (out) *out = changed;
  return true;
}

static bool answers(FarMap *map, bool *out, Stop *stop, Fault *fault) {
  FarVector *it = map->vector;
  *out = it->kept_ns >= 0 && !it->fresh;
  if (!*out || (it->kept == it->length &&
                (it->kept_ns == FAR_UNTIL_TOLD || clock_now() - it->kept_at <= it->kept_ns)))
    return true;
  return far_vector_refresh(map, NULL, stop, fault);
}

static void copy_out(FarMap *map, FarSpan *span) {
  FarVector *it = map->vector;
  for (uint64_t i = 0; i < span->n; i++) {
    const uint64_t index = span->first + i;
    make_element(map, index, it->copy + index * it->cell, span->elements + i * map->shape.stride);
    span->heads[index / it->group - span->first / it->group] =
        (FarBucket){.version = it->copied[index / it->group]};
  }
  span->done = span->n;
  map->memory->counts.hits += span->n;
}

bool far_vector_read(FarMap *map, FarSpan *spans, size_t n, Stop *stop, Fault *fault) {
  bool kept;
  for (size_t i = 0; i < n; i++) spans[i].done = 0;
  if (!answers(map, &kept, stop, fault)) return false;
  if (!kept) return read_spans(map, spans, n, stop, fault);
  for (size_t i = 0; i < n; i++) copy_out(map, &spans[i]);
  return true;
}

/* ---- finding --------------------------------------------------------------------------------- */

/* In the map's room, for each key: the head of its group, and its element. */
static size_t find_some(FarMap *map, const unsigned char *keys, size_t n, FarFound *out,
                        FarSpan *spans) {
  const FarVector *it = map->vector;
  size_t count = 0;
  for (size_t i = 0; i < n; i++) {
    const uint64_t index = far_vector_index(keys + i * 8);
    FarBucket *head = (FarBucket *)(void *)(map->room + i * (sizeof *head + map->shape.stride));
    out[i] = (FarFound){.slot = -1};
    if (index >= it->length) continue;
    spans[count++] =
        (FarSpan){.first = index, .n = 1, .elements = (unsigned char *)(head + 1), .heads = head};
    out[i].bucket = far_vector_head(map, index);
    out[i].slot = (int)(index % it->group);
    out[i].element = (unsigned char *)(head + 1);
  }
  return count;
}

bool far_vector_find(FarMap *map, const void *keys, size_t n, FarFound *out, Stop *stop,
                     Fault *fault) {
  FarSpan one, *spans = n == 1 ? &one : malloc(n * sizeof *spans);
  if (!spans) return fault_oom(fault);
  bool ok = true;
  for (bool again = true; ok && again;) {
    const size_t count = find_some(map, keys, n, out, spans);
    ok = far_vector_read(map, spans, count, stop, fault);
    /* Some are not there: perhaps the vector has grown. */
    again = count < n;
    if (ok && again) ok = far_vector_follow(map, &again, stop, fault);
  }
  for (size_t i = 0; ok && i < n; i++) {
    if (!out[i].element) continue;
    const FarBucket *head = (const FarBucket *)(const void *)out[i].element - 1;
    out[i].version = head->version;
    out[i].used = head->used;
    memcpy(&out[i].stamp, out[i].element, FAR_STAMP);
  }
  if (spans != &one) free(spans);
  return ok;
}

/* ---- what this client wrote ------------------------------------------------------------------ */

bool far_vector_known(const FarMap *map, uint64_t index, FarSeen *out) {
  const FarVector *it = map->vector;
  if (index >= it->length || !it->versions[index / it->group]) return false;
  *out = (FarSeen){.stamp = FAR_ANY,
                   .bucket = far_vector_head(map, index),
                   .version = it->versions[index / it->group],
                   .slot = (int)(index % it->group)};
  return true;
}

static void version_became(FarVector *it, uint64_t group, uint64_t version) {
  it->versions[group] = version + 2;
  if (it->kept && group < groups_of(it, 0, it->kept) && it->copied[group] == version)
    it->copied[group] = version + 2;
}

void far_vector_wrote(FarMap *map, uint64_t index, uint64_t version, const void *cells) {
  FarVector *it = map->vector;
  if (index < it->kept) memcpy(it->copy + index * it->cell, cells, it->cell);
  version_became(it, index / it->group, version);
}

void far_vector_added(FarMap *map, uint64_t index, uint64_t version, uint32_t at, int64_t value) {
  FarVector *it = map->vector;
  if (index < it->kept) memcpy(it->copy + index * it->cell + at, &value, sizeof value);
  version_became(it, index / it->group, version);
}
