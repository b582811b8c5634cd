#include "remote/owners/standby_far.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

enum { KEY = 16, KEY_BYTES = 10, SCHEMA = 1 };

static const int64_t deadline = 250000000;

/* ---- opening --------------------------------------------------------------------------------- */

/* Few heads stand together, so that owners seldom get into each other's way. */
static const FarShape heads_shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + sizeof(OwnHead), .slots = 2};
static const FarShape rows_shape = {
    .kind = FAR_KEY_TEXT, .key = KEY, .stride = FAR_STAMP + KEY + 8 + OWN_PART, .slots = FAR_SLOTS};

bool own_far_open(OwnFar *far, const char *name, const char *at, const char *secret, Fault *fault) {
  const FarOptions options = {.deadline_ns = deadline, .secret = secret};
  char text[FAR_NAME];
  *far = (OwnFar){.memory = far_open(at, &options, fault)};
  if (!far->memory) return false;
  snprintf(text, sizeof text, "%.50s:heads", name);
  bool ok = far_map_open(far->memory, text, &heads_shape, SCHEMA, true, &far->heads, NULL, fault);
  snprintf(text, sizeof text, "%.50s:rows", name);
  ok = ok && far_map_open(far->memory, text, &rows_shape, SCHEMA, true, &far->rows, NULL, fault);
  if (!ok) own_far_close(far);
  return ok;
}

void own_far_close(OwnFar *far) {
  far_map_close(far->heads);
  far_map_close(far->rows);
  far_close(far->memory);
  *far = (OwnFar){0};
}

/* ---- heads ----------------------------------------------------------------------------------- */

static void head_of(const FarFound *found, OwnHead *out) {
  *out = (OwnHead){0};
  if (found->element) memcpy(out, found->element + FAR_STAMP + heads_shape.key, sizeof *out);
}

static bool find_heads(OwnFar *far, const int *slices, size_t n, FarFound *out, Fault *fault) {
  int64_t *keys = malloc((n + 1) * sizeof *keys);
  if (!keys) return fault_oom(fault);
  for (size_t i = 0; i < n; i++) keys[i] = slices[i];
  const bool ok = far_map_find(far->heads, keys, n, out, NULL, fault);
  free(keys);
  return ok;
}

/* Puts them with the rest of a transaction. */
static bool put_heads(OwnFar *far, FarTxn *txn, const int *slices, const OwnHead *there,
                      const OwnHead *heads, size_t n, Fault *fault) {
  FarFound *found = malloc((n + 1) * sizeof *found);
  bool ok = (found || fault_oom(fault)) && find_heads(far, slices, n, found, fault);
  for (size_t i = 0; ok && i < n; i++) {
    const int64_t key = slices[i];
    const FarSeen seen = far_seen(&found[i]);
    OwnHead now;
    head_of(&found[i], &now);
    ok = !there || (now.generation == there[i].generation && now.epoch == there[i].epoch) ||
         fault_set(fault, FAULT_CONFLICT, "the copy of slice %d is another owner's", slices[i]);
    ok = ok && far_txn_put(txn, far->heads, &key, &heads[i], &seen, fault);
  }
  free(found);
  return ok;
}

bool own_far_put_heads(OwnFar *far, const int *slices, const OwnHead *there, const OwnHead *heads,
                       size_t n, Fault *fault) {
  FarTxn *txn = far_txn_begin(far->memory, fault);
  const bool ok = txn && put_heads(far, txn, slices, there, heads, n, fault) &&
                  far_txn_commit(txn, NULL, fault);
  far_txn_end(txn);
  return ok;
}

bool own_far_get_heads(OwnFar *far, const int *slices, OwnHead *out, size_t n, Fault *fault) {
  FarFound *found = malloc((n + 1) * sizeof *found);
  const bool ok = (found || fault_oom(fault)) && find_heads(far, slices, n, found, fault);
  for (size_t i = 0; ok && i < n; i++) head_of(&found[i], &out[i]);
  free(found);
  return ok;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void key_of(uint64_t hash, unsigned part, unsigned char out[KEY]) {
  memset(out, 0, KEY);
  out[0] = KEY_BYTES;
  for (int i = 0; i < 8; i++) out[2 + i] = (unsigned char)(hash >> (56 - 8 * i));
  out[10] = (unsigned char)(part >> 8);
  out[11] = (unsigned char)part;
}

static uint64_t hash_of(const unsigned char *key, unsigned *out_part) {
  uint64_t hash = 0;
  for (int i = 0; i < 8; i++) hash = hash << 8 | key[2 + i];
  *out_part = (unsigned)key[10] << 8 | key[11];
  return hash;
}

/* A part: how many bytes of it count, and the bytes. The first one begins with how many there are
** in all. */
typedef struct Part {
  uint64_t length;
  unsigned char bytes[OWN_PART];
} Part;

static unsigned parts_of(uint64_t length) {
  if (length > OWN_MOST_COPIED) return 1; /* it is damaged: the rest is never looked at */
  return length ? (unsigned)((length + OWN_PART - 1) / OWN_PART) : 1;
}

static const Part *part_at(const unsigned char *element) {
  return (const Part *)(const void *)(element + FAR_STAMP + KEY);
}

/* The bytes of all that the first part belongs to. */
static uint64_t length_of(const unsigned char *element) {
  Part part;
  uint64_t length;
  memcpy(&part, part_at(element), sizeof part);
  memcpy(&length, part.bytes, sizeof length);
  return part.length >= sizeof length ? length : UINT64_MAX;
}

/* Rows of one hash as bytes, from rows[i] on. *out_next: behind them. False: no memory. */
static bool make_bytes(const OwnType *type, const OwnBatch *batch, size_t i, size_t *out_next,
                       FarWireBuffer *out) {
  const uint64_t hash = batch->rows[i].hash;
  out->length = 0;
  for (*out_next = i; *out_next < batch->n && batch->rows[*out_next].hash == hash; ++*out_next) {
    const OwnBatchRow *row = &batch->rows[*out_next];
    if (!row->object) continue;
    if (!out->length && !own_put_word(out, 0)) return false;
    if (!own_put_word(out, row->object->version) ||
        !own_put_word(out, row->gone | (uint64_t)row->dirty << 1) ||
        !own_put_row(out, type, row->object->row, UINT64_MAX))
      return false;
  }
  const uint64_t length = out->length;
  if (length) memcpy(out->bytes, &length, sizeof length);
  return true;
}

/* What there is under a hash becomes `bytes`, or nothing when there are none. */
static bool put_parts(OwnFar *far, FarTxn *txn, uint64_t hash, const FarFound *found,
                      const FarWireBuffer *bytes, Fault *fault) {
  const unsigned before = found->element ? parts_of(length_of(found->element)) : 0;
  const unsigned after = bytes->length ? parts_of(bytes->length) : 0;
  unsigned char key[KEY];
  for (unsigned i = 0; i < before || i < after; i++) {
    const FarSeen seen = i ? (FarSeen){.stamp = FAR_ANY} : far_seen(found);
    Part part = {0};
    key_of(hash, i, key);
    if (i < after) {
      const size_t from = (size_t)i * OWN_PART, left = bytes->length - from;
      part.length = left < OWN_PART ? left : OWN_PART;
      memcpy(part.bytes, bytes->bytes + from, part.length);
    }
    if (!far_txn_put(txn, far->rows, key, i < after ? &part : NULL, &seen, fault)) return false;
  }
  return true;
}

static bool find_rows(OwnFar *far, const OwnBatch *batch, FarFound *out, Fault *fault) {
  unsigned char keys[OWN_BATCH][KEY];
  size_t n = 0;
  for (size_t i = 0; i < batch->n; i++)
    if (!i || batch->rows[i].hash != batch->rows[i - 1].hash)
      key_of(batch->rows[i].hash, 0, keys[n++]);
  return far_map_find(far->rows, keys, n, out, NULL, fault);
}

static bool put_rows(OwnFar *far, FarTxn *txn, const OwnType *type, const OwnBatch *batch,
                     uint64_t *out_long, Fault *fault) {
  FarFound found[OWN_BATCH];
  FarWireBuffer bytes = {0};
  size_t n = 0, next;
  bool ok = find_rows(far, batch, found, fault);
  for (size_t i = 0; ok && i < batch->n; i = next, n++) {
    ok = make_bytes(type, batch, i, &next, &bytes) || fault_oom(fault);
    if (bytes.length > OWN_MOST_COPIED) {
      *out_long += next - i;
      bytes.length = 0;
    }
    ok = ok && put_parts(far, txn, batch->rows[i].hash, &found[n], &bytes, fault);
  }
  far_wire_free(&bytes);
  return ok;
}

bool own_far_write(OwnFar *far, const OwnType *type, int slice, const OwnBatch *batch,
                   uint64_t *out_long, Fault *fault) {
  OwnHead head = {batch->generation, batch->epoch, {0}};
  memcpy(head.doubts, batch->doubts, sizeof head.doubts);
  FarTxn *txn = far_txn_begin(far->memory, fault);
  const bool ok = txn && put_rows(far, txn, type, batch, out_long, fault) &&
                  put_heads(far, txn, &slice, &head, &head, 1, fault) &&
                  far_txn_commit(txn, NULL, fault);
  far_txn_end(txn);
  return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct Gathered { /* parts of one hash */
  uint64_t hash, wanted;  /* bytes in all; 0: nothing is being gathered */
  unsigned next;
  unsigned char *bytes;
  size_t length, capacity;
} Gathered;

static bool give(Gathered *it, OwnFarEach *each, void *ctx, Fault *fault) {
  const bool any = it->wanted != 0, whole = it->length == it->wanted;
  it->wanted = 0;
  return !any || each(ctx, it->hash, whole ? it->bytes : NULL, it->length, fault);
}

/* Parts that do not follow belong to nothing. */
static bool take_part(Gathered *it, const unsigned char *element, OwnFarEach *each, void *ctx,
                      Fault *fault) {
  unsigned number;
  Part part;
  const uint64_t hash = hash_of(element + FAR_STAMP, &number);
  memcpy(&part, part_at(element), sizeof part);
  if (!number) {
    const uint64_t length = length_of(element);
    if (!give(it, each, ctx, fault)) return false;
    *it = (Gathered){hash, length, 0, it->bytes, 0, it->capacity};
  }
  if (!it->wanted || hash != it->hash || number != it->next || part.length > OWN_PART ||
      it->length + part.length > OWN_MOST_COPIED)
    return true;
  if (!array_extend(it->bytes, it->capacity, it->length + part.length)) return fault_oom(fault);
  memcpy(it->bytes + it->length, part.bytes, part.length);
  it->length += part.length;
  it->next++;
  return true;
}

bool own_far_read(OwnFar *far, uint64_t low, uint64_t high, OwnFarEach *each, void *ctx,
                  Fault *fault) {
  unsigned char from[KEY], to[KEY];
  const unsigned char *element = NULL;
  Gathered it = {0};
  key_of(low, 0, from);
  key_of(high, UINT16_MAX, to);
  FarScan *scan = far_scan_begin(far->rows, fault);
  bool ok = scan && far_scan_seek(scan, NULL, from, to, false, UINT64_MAX, NULL, fault);
  while (ok && (ok = far_scan_next(scan, &element, NULL, NULL, fault)) && element)
    ok = take_part(&it, element, each, ctx, fault);
  ok = ok && give(&it, each, ctx, fault);
  far_scan_end(scan);
  free(it.bytes);
  return ok;
}
