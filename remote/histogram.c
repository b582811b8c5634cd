#include "remote/histogram.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "remote/alloc.h"
#include "remote/client.h"
#include "remote/memory.h"
#include "remote/names.h"
#include "remote/root.h"

typedef struct Root {
  FarBucket head;
  FarHistogramPlan plan;
  FarPointer counts;  /* of all windows */
  FarPointer current; /* those of the newest one */
  uint64_t turns;
  uint64_t spare;
} Root;

struct FarHistogram {
  FarMemory *memory;
  char *name;
  FarPointer root, counts;
  uint64_t serial;
  FarHistogramPlan plan;
};

const FarHistogramPlan *far_histogram_plan(const FarHistogram *histogram) {
  return &histogram->plan;
}

/* ---- buckets --------------------------------------------------------------------------------- */

static uint64_t window_counts(const FarHistogramPlan *plan) { return plan->buckets + 2; }
static uint64_t window_size(const FarHistogramPlan *plan) { return 8 * window_counts(plan); }

double far_histogram_edge(const FarHistogramPlan *plan, uint64_t bucket) {
  if (bucket == 0) return -INFINITY;
  if (bucket > plan->buckets + 1) return INFINITY;
  if (bucket == plan->buckets + 1) return plan->high;
  const double share = (double)(bucket - 1) / (double)plan->buckets;
  return plan->low + (plan->high - plan->low) * share;
}

/* What is on an edge, or so close to it that dividing says otherwise, is where the edges say. */
uint64_t far_histogram_bucket(const FarHistogramPlan *plan, double value) {
  if (!(value >= plan->low)) return 0;
  if (value >= plan->high) return plan->buckets + 1;
  const double share = (value - plan->low) / (plan->high - plan->low);
  uint64_t bucket = 1 + (uint64_t)(share * (double)plan->buckets);
  if (bucket > plan->buckets) bucket = plan->buckets;
  while (bucket > 1 && value < far_histogram_edge(plan, bucket)) bucket--;
  while (bucket < plan->buckets && value >= far_histogram_edge(plan, bucket + 1)) bucket++;
  return bucket;
}

static bool plan_fits(const FarHistogramPlan *plan, const char *name, Fault *fault) {
  if (plan->buckets < 1 || plan->buckets > FAR_MOST_BUCKETS)
    return fault_set(fault, FAULT_LIMIT, "\"%s\": 1 to %d buckets, not %llu", name,
                     FAR_MOST_BUCKETS, (unsigned long long)plan->buckets);
  if (plan->windows < 1 || plan->windows > FAR_MOST_WINDOWS)
    return fault_set(fault, FAULT_LIMIT, "\"%s\": 1 to %d windows, not %llu", name,
                     FAR_MOST_WINDOWS, (unsigned long long)plan->windows);
  if (!isfinite(plan->low) || !isfinite(plan->high) || !isfinite(plan->high - plan->low) ||
      !(plan->low < plan->high))
    return fault_set(fault, FAULT_INVALID, "\"%s\": low is below high, not %g and %g", name,
                     plan->low, plan->high);
  return true;
}

/* ---- making and opening ---------------------------------------------------------------------- */

static bool make(FarHistogram *it, const FarHistogramPlan *plan, Root *root, Stop *stop,
                 Fault *fault) {
  static const uint64_t zero;
  const uint64_t n = plan->windows * window_counts(plan);
  if (!plan_fits(plan, it->name, fault)) return false;
  *root = (Root){.plan = *plan};
  if (!far_root_serial(it->memory, &root->head.owner, stop, fault) ||
      !far_alloc(it->memory, 8 * n, FAR_USE_BYTES, &root->counts, stop, fault))
    return false;
  root->current = root->counts;
  const bool ok = far_fill(it->memory, root->counts, &zero, sizeof zero, n, stop, fault) &&
                  far_root_add(it->memory, FAR_KIND_HISTOGRAM, it->name, 0, root->head.owner, root,
                               sizeof *root, &it->root, stop, fault);
  if (!ok || !it->root) far_free(it->memory, root->counts, 8 * n, FAR_USE_BYTES, NULL, NULL);
  return ok;
}

static bool same_plan(const FarHistogramPlan *a, const FarHistogramPlan *b) {
  return a->low == b->low && a->high == b->high && a->buckets == b->buckets &&
         a->windows == b->windows;
}

static bool open_root(FarHistogram *it, const FarHistogramPlan *plan, Stop *stop, Fault *fault) {
  Root root;
  for (;;) {
    if (!far_root_find(it->memory, FAR_KIND_HISTOGRAM, it->name, 0, &root, sizeof root, &it->root,
                       stop, fault))
      return false;
    if (it->root) break;
    if (!plan->buckets)
      return fault_set(fault, FAULT_NOTFOUND,
                       "%s: there is no histogram \"%s\": to make it takes buckets, low, high",
                       it->memory->at, it->name);
    if (!make(it, plan, &root, stop, fault)) return false;
    if (it->root) break;
  }
  if (plan->buckets && !same_plan(plan, &root.plan)) {
    return fault_set(fault, FAULT_INVALID,
                     "%s: \"%s\" was made with buckets=%llu, low=%.17g, high=%.17g, windows=%llu",
                     it->memory->at, it->name, (unsigned long long)root.plan.buckets, root.plan.low,
                     root.plan.high, (unsigned long long)root.plan.windows);
  }
  if (!plan_fits(&root.plan, it->name, NULL) ||
      root.plan.windows > it->memory->head.size / window_size(&root.plan))
    return fault_set(fault, FAULT_CORRUPT, "%s: the root of \"%s\" is damaged", it->memory->at,
                     it->name);
  it->serial = root.head.owner;
  it->counts = root.counts;
  it->plan = root.plan;
  return true;
}

bool far_histogram_open(FarMemory *memory, const char *name, const FarHistogramPlan *plan,
                        FarHistogram **out, Stop *stop, Fault *fault) {
  FarHistogram *it = calloc(1, sizeof *it);
  if (!it || !(it->name = strdup(name))) {
    far_histogram_close(it);
    return fault_oom(fault);
  }
  it->memory = memory;
  if (!open_root(it, plan, stop, fault)) {
    far_histogram_close(it);
    return false;
  }
  *out = it;
  return true;
}

void far_histogram_close(FarHistogram *it) {
  if (!it) return;
  free(it->name);
  free(it);
}

bool far_histogram_drop(FarMemory *memory, const char *name, Stop *stop, Fault *fault) {
  static const FarPointer nowhere;
  FarName it;
  Root root;
  bool found;
  if (!far_name_find(memory, name, &it, &found, stop, fault)) return false;
  if (!found || it.kind != FAR_KIND_HISTOGRAM)
    return fault_set(fault, FAULT_NOTFOUND, "%s: there is no histogram \"%s\"", memory->at, name);
  FarOp op = far_read_op(it.root, &root, sizeof root);
  if (!far_round(memory, &op, 1, stop, fault)) return false;
  if (!root.head.owner || !plan_fits(&root.plan, name, NULL))
    return far_root_gone(memory, FAR_KIND_HISTOGRAM, name, fault);
  op = far_write_op(it.root + offsetof(Root, current), &nowhere, 8);
  return far_name_remove(memory, name, it.root, stop, fault) &&
         far_round(memory, &op, 1, stop, fault) &&
         far_root_drop(memory, it.root, sizeof root, stop, fault) &&
         far_free(memory, root.counts, root.plan.windows * window_size(&root.plan), FAR_USE_BYTES,
                  stop, fault);
}

/* ---- counting -------------------------------------------------------------------------------- */

static bool gone(const FarHistogram *it, Fault *fault) {
  return far_root_gone(it->memory, FAR_KIND_HISTOGRAM, it->name, fault);
}

bool far_histogram_observe(FarHistogram *it, double value, uint64_t n, Stop *stop, Fault *fault) {
  FarOp ops[] = {far_root_there_op(it->root, it->serial),
                 {.code = FAR_ADD1,
                  .at = it->root + offsetof(Root, current),
                  .index = 8 * far_histogram_bucket(&it->plan, value),
                  .value = n}};
  if (!far_round(it->memory, ops, 2, stop, fault)) return false;
  return ops[1].status == FAR_DONE || gone(it, fault);
}

bool far_histogram_turn(FarHistogram *it, uint64_t *out, Stop *stop, Fault *fault) {
  const FarPointer lock = it->root + offsetof(FarBucket, lock);
  Root root;
  FarOp ops[4] = {{0}, far_read_op(it->root, &root, sizeof root)};
  void *zeroes = calloc(1, window_size(&it->plan));
  if (!zeroes) return fault_oom(fault);
  bool ok = far_lock_round(it->memory, lock, ops, 2, stop, fault);
  size_t n = 0;
  if (ok && root.head.owner == it->serial) {
    root.turns++;
    const FarPointer next = it->counts + root.turns % it->plan.windows * window_size(&it->plan);
    /* Who turned it before may have died before he could say so: they count there already. */
    if (root.current != next || it->plan.windows == 1)
      ops[n++] = far_write_op(next, zeroes, window_size(&it->plan));
    root.current = next;
    ops[n++] = far_write_op(it->root + offsetof(Root, current), &root.current, 8);
    ops[n++] = far_write_op(it->root + offsetof(Root, turns), &root.turns, 8);
  }
  if (ok) {
    ops[n++] = far_unlock_op(lock);
    ok = far_round(it->memory, ops, n, NULL, fault) && (n > 1 || gone(it, fault));
  }
  free(zeroes);
  if (ok) *out = root.turns;
  return ok;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The windows stand in the order of the ring: they are read into the order of their numbers. */
static void reorder(const FarHistogramPlan *plan, uint64_t turns, const uint64_t *from,
                    uint64_t *out) {
  const uint64_t each = window_counts(plan);
  const uint64_t n = turns + 1 < plan->windows ? turns + 1 : plan->windows;
  for (uint64_t i = 0; i < n; i++)
    memcpy(out + i * each, from + (turns - i) % plan->windows * each, 8 * each);
}

bool far_histogram_read(FarHistogram *it, uint64_t *out, uint64_t *out_newest, Stop *stop,
                        Fault *fault) {
  const uint64_t each = window_size(&it->plan), windows = it->plan.windows;
  Root before, after;
  uint64_t *counts = malloc(windows * each);
  FarOp *ops = malloc((windows + 2) * sizeof *ops);
  bool ok = (counts && ops) || fault_oom(fault), whole = false;
  while (ok && !whole) {
    size_t n = 0;
    ops[n++] = far_read_op(it->root, &before, sizeof before);
    for (uint64_t i = 0; i < windows; i++)
      ops[n++] = far_read_op(it->counts + i * each, (char *)counts + i * each, each);
    ops[n++] = far_read_op(it->root, &after, sizeof after);
    ok = far_round(it->memory, ops, n, stop, fault) &&
         (after.head.owner == it->serial || gone(it, fault));
    whole = before.turns == after.turns; /* it was not turned meanwhile */
    it->memory->counts.retries += ok && !whole;
  }
  if (ok) reorder(&it->plan, after.turns, counts, out);
  if (ok) *out_newest = after.turns;
  free(counts);
  free(ops);
  return ok;
}

void far_histogram_alarm(const FarHistogram *it, uint64_t from, uint64_t to, FarRange *out,
                         FarRange *out_turn) {
  for (uint64_t i = 0; i < it->plan.windows; i++)
    out[i] = (FarRange){it->counts + i * window_size(&it->plan) + 8 * from, 8 * (to - from + 1)};
  *out_turn = (FarRange){it->root + offsetof(Root, turns), 8};
}
