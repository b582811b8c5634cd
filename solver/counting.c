/*
** What no answer can beat, by counting: see threshold_bound() in search.h.
**
** A *corner* is a threshold for every target: "largest cpu share at most 0.28 and largest memory
** share at most 0.31". Whether all units might fit below a corner is a matter of counting places,
** for all groups together and for those that only have a few places to go to: ten pods that must
** stand apart, on nodes with an ssd in one zone, say more than the other 490. What does not fit
** below a corner does not fit below any corner that is smaller, so
**   - each target alone has a least threshold, found by bisection with the others at their highest;
**   - what two of them trade against each other is found by splitting boxes of corners, the box
**     that promises most first.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

/* Splits of boxes; columns visited at most, in each of two stages. */
enum { AXIS_STEPS = 40, MAX_BOXES = 256, STEPS = 30000000 };

/* One target seen as places (items) that units go to. Signs are turned so that coefficients are
** positive and smaller is better. */
typedef struct Places {
  const NetDef *def;
  double sign, weight; /* weight: what one more costs the goal */
  int32_t *place;      /* per primary column: the item it counts in, -1: none */
  double *size;        /* per primary column: its coefficient there */
  double *base;        /* per item: what is there anyway */
  double *price;       /* per item: makes sizes of one group comparable across items */
  int32_t *order;      /* groups by mean size, largest first; -1 ends it */
  /* While counting: */
  double *smallest, *fits, *volume; /* per item */
} Places;

/* Groups that have no place of this target outside of a common set of items. */
typedef struct Family {
  int32_t target, first, count; /* groups of the pool, in the target's order */
} Family;

typedef struct Counting {
  Job *job;
  const Net *net;
  int ntargets;
  const Target *targets;
  Places places[MAX_TARGETS];
  double *units; /* per primary column: how many of its units fit below the corner */
  Family *families;
  int32_t nfamilies;
  int32_t *pool;
  size_t npool, pool_capacity;
  int64_t steps;
} Counting;

/* ---- setting up */

static bool places_alloc(Places *p, const Net *net) {
  size_t nc = (size_t)net->nprimary + 1, ng = (size_t)net->ngroups + 1,
         ni = (size_t)p->def->nexprs + 1;
  p->place = malloc(nc * sizeof *p->place);
  p->size = calloc(nc, sizeof *p->size);
  p->base = calloc(ni, sizeof *p->base);
  p->price = calloc(ni, sizeof *p->price);
  p->order = malloc(ng * sizeof *p->order);
  p->smallest = malloc(ni * sizeof *p->smallest);
  p->fits = calloc(ni, sizeof *p->fits);
  p->volume = malloc(ni * sizeof *p->volume);
  return p->place && p->size && p->base && p->price && p->order && p->smallest && p->fits &&
         p->volume;
}

static void places_finish(Places *p) {
  free(p->place);
  free(p->size);
  free(p->base);
  free(p->price);
  free(p->order);
  free(p->smallest);
  free(p->fits);
  free(p->volume);
}

static void read_items(Places *p, const Job *job) {
  const Net *net = &job->net;
  for (int32_t c = 0; c < net->nprimary; c++) p->place[c] = -1;
  for (int32_t i = 0; i < p->def->nexprs; i++) {
    const NetExpr *expr = &net->exprs[p->def->first_expr + i];
    p->base[i] = p->sign * expr->constant;
    for (size_t k = 0; k < expr->span.count; k++) {
      Term term = net->terms[expr->span.start + k];
      double coef = p->sign * term.coef;
      if (net->group[term.var] >= 0 && coef > 0 && p->place[term.var] < 0) {
        p->place[term.var] = i;
        p->size[term.var] = coef;
      } else {
        p->base[i] += coef * (coef > 0 ? job->lo[term.var] : job->hi[term.var]);
      }
    }
  }
}

/* Groups by mean size, shell sort; `n` of them. */
static void sort_by(int32_t *order, int32_t n, const double *key) {
  for (int32_t step = n / 2; step > 0; step /= 2) {
    for (int32_t i = step; i < n; i++) {
      int32_t g = order[i], k = i;
      for (; k >= step && key[order[k - step]] < key[g]; k -= step) order[k] = order[k - step];
      order[k] = g;
    }
  }
}

/* Order of the groups; per item the price: the mean of (mean size of the group / size here). */
static void rank_groups(Places *p, const Job *job, double *mean) {
  const Net *net = &job->net;
  int32_t n = 0;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    double sum = 0;
    int32_t count = 0;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (p->place[c] < 0 || job->hi[c] < 0.5) continue;
      sum += p->size[c];
      count++;
    }
    mean[g] = count ? sum / count : 0;
    if (count) p->order[n++] = g;
  }
  sort_by(p->order, n, mean);
  p->order[n] = -1;
  for (int32_t c = 0; c < net->nprimary; c++) {
    if (p->place[c] < 0) continue;
    p->price[p->place[c]] += mean[net->group[c]] / p->size[c];
    p->fits[p->place[c]]++;
  }
  for (int32_t i = 0; i < p->def->nexprs; i++) {
    if (p->fits[i] > 0) p->price[i] /= p->fits[i];
  }
}

/* ---- families */

typedef struct Supports {
  uint64_t *bits; /* per group: the items it has a place in */
  int32_t *size;
  size_t words;
} Supports;

static bool within(const Supports *s, int32_t a, int32_t b) {
  if (s->size[a] > s->size[b]) return false;
  const uint64_t *x = s->bits + (size_t)a * s->words, *y = s->bits + (size_t)b * s->words;
  for (size_t i = 0; i < s->words; i++) {
    if (x[i] & ~y[i]) return false;
  }
  return true;
}

static void find_supports(const Counting *k, const Places *p, Supports *s) {
  for (int32_t i = 0; p->order[i] >= 0; i++) {
    int32_t g = p->order[i];
    const NetGroup *group = &k->net->groups[g];
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (p->place[c] < 0 || k->job->hi[c] < 0.5) continue;
      uint64_t *word = &s->bits[(size_t)g * s->words + (size_t)p->place[c] / 64];
      uint64_t bit = UINT64_C(1) << (p->place[c] % 64);
      s->size[g] += !(*word & bit);
      *word |= bit;
    }
  }
}

/* The groups within the leader's items (leader < 0: all), as a family. */
static bool add_family(Counting *k, int target, const Supports *s, int32_t leader) {
  const Places *p = &k->places[target];
  Family family = {target, (int32_t)k->npool, 0};
  for (int32_t i = 0; p->order[i] >= 0; i++) {
    int32_t g = p->order[i];
    if (leader >= 0 && !within(s, g, leader)) continue;
    /* Of equal leaders the first speaks for all. */
    if (leader >= 0 && g < leader && s->size[g] == s->size[leader]) {
      k->npool = (size_t)family.first;
      return true;
    }
    if (!array_grow(k->pool, k->pool_capacity, k->npool + 1)) return false;
    k->pool[k->npool++] = g;
    family.count++;
    k->steps += s->size[g];
  }
  k->families[k->nfamilies++] = family;
  return true;
}

/* Families of one target, those with the fewest items first, as many as there is time for. */
static bool find_families(Counting *k, int target, double *key, int32_t *leaders) {
  const Places *p = &k->places[target];
  const Net *net = k->net;
  Supports s = {.words = (size_t)p->def->nexprs / 64 + 1};
  s.bits = calloc(((size_t)net->ngroups + 1) * s.words, sizeof *s.bits);
  s.size = calloc((size_t)net->ngroups + 1, sizeof *s.size);
  bool ok = s.bits && s.size;
  int32_t n = 0;
  k->steps = 0;
  if (ok) {
    find_supports(k, p, &s);
    for (; p->order[n] >= 0; n++) {
      leaders[n] = p->order[n];
      key[leaders[n]] = -s.size[leaders[n]];
    }
    sort_by(leaders, n, key);
    ok = n == 0 || add_family(k, target, &s, -1);
  }
  for (int32_t i = 0; ok && i < n && k->steps < STEPS / 10; i++) {
    ok = add_family(k, target, &s, leaders[i]);
  }
  free(s.bits);
  free(s.size);
  return ok;
}

static bool counting_init(Counting *k, Job *job, const Target *targets, int ntargets) {
  const Net *net = &job->net;
  size_t ng = (size_t)net->ngroups + 1;
  *k = (Counting){.job = job, .net = net, .targets = targets, .ntargets = ntargets};
  double *key = calloc(ng, sizeof *key);
  int32_t *leaders = malloc(ng * sizeof *leaders);
  k->units = malloc(((size_t)net->nprimary + 1) * sizeof *k->units);
  k->families = malloc((ng + 1) * (size_t)ntargets * sizeof *k->families);
  bool ok = key && leaders && k->units && k->families;
  for (int t = 0; ok && t < ntargets; t++) {
    Places *p = &k->places[t];
    p->def = &net->defs[targets[t].def];
    p->sign = targets[t].sign;
    p->weight = targets[t].weight;
    ok = places_alloc(p, net);
    if (!ok) break;
    read_items(p, job);
    rank_groups(p, job, key);
    ok = find_families(k, t, key, leaders);
  }
  free(key);
  free(leaders);
  k->steps = 0;
  return ok;
}

static void counting_finish(Counting *k) {
  for (int t = 0; t < k->ntargets; t++) places_finish(&k->places[t]);
  free(k->units);
  free(k->families);
  free(k->pool);
}

/* ---- counting */

static double fitting(double room, double size) { return floor(room / size + 1e-9); }

/* Units of every column, and whether each group has enough of them. */
static bool groups_fit(Counting *k, const double *corner) {
  const Net *net = k->net;
  bool fit = true;
  k->steps += net->nprimary;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    double sum = 0;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      double units = k->job->hi[c];
      for (int t = 0; t < k->ntargets && units > 0; t++) {
        const Places *p = &k->places[t];
        if (p->place[c] < 0) continue;
        units = fmin(units, fitting(corner[t] - p->base[p->place[c]], p->size[c]));
      }
      k->units[c] = fmax(0, units);
      sum += k->units[c];
    }
    fit = fit && (!group->count || sum > group->size - 0.5); /* without columns: settled */
  }
  return fit;
}

/* Add one group to those that must fit below tau: its units join the items' counts. Returns how
** many of its units can stay outside of all items. *out_cheapest: the least price of one unit. */
static double admit(Counting *k, Places *p, const NetGroup *group, double tau, double *total_fits,
                    double *total_volume, double *out_cheapest) {
  double outside = 0, cheapest = INFINITY;
  for (int32_t c = group->first; c < group->first + group->count; c++) {
    int32_t i = p->place[c];
    double units = k->units[c];
    if (units < 0.5) continue;
    if (i < 0) {
      outside += units;
      continue;
    }
    double room = tau - p->base[i];
    double before = p->fits[i] > 0 ? fmin(p->fits[i], fitting(room, p->smallest[i])) : 0;
    double filled = fmin(p->volume[i], room);
    p->smallest[i] = fmin(p->smallest[i], p->size[c]);
    p->fits[i] += units;
    p->volume[i] += units * p->size[c];
    *total_fits += fmin(p->fits[i], fitting(room, p->smallest[i])) - before;
    *total_volume += p->price[i] * (fmin(p->volume[i], room) - filled);
    cheapest = fmin(cheapest, p->price[i] * p->size[c]);
  }
  k->steps += group->count;
  *out_cheapest = isinf(cheapest) ? 0 : cheapest;
  return outside;
}

/* False when it is certain that the family does not fit below tau. */
static bool family_fits(Counting *k, const Family *family, double tau) {
  Places *p = &k->places[family->target];
  double fits = 0, volume = 0, units = 0, needed = 0, outside = 0;
  for (int32_t i = 0; i < p->def->nexprs; i++) {
    p->smallest[i] = INFINITY;
    p->fits[i] = p->volume[i] = 0;
  }
  for (int32_t n = 0; n < family->count; n++) {
    const NetGroup *group = &k->net->groups[k->pool[family->first + n]];
    double cheapest, free_units = admit(k, p, group, tau, &fits, &volume, &cheapest);
    outside += fmin(group->size, free_units);
    units += group->size;
    needed += fmax(0, group->size - free_units) * cheapest;
    if (units > fits + outside + 1e-6) return false;
    if (needed > volume * (1 + 1e-9) + 1e-9) return false;
  }
  return true;
}

/* False when it is certain that not all units fit below the corner. */
static bool may_fit(Counting *k, const double *corner) {
  for (int t = 0; t < k->ntargets; t++) {
    const Places *p = &k->places[t];
    double least = corner[t] + 1e-9 * (1 + fabs(corner[t]));
    for (int32_t i = 0; i < p->def->nexprs; i++) {
      if (p->base[i] > least) return false;
    }
  }
  if (!groups_fit(k, corner)) return false;
  for (int32_t i = 0; i < k->nfamilies; i++) {
    if (!family_fits(k, &k->families[i], corner[k->families[i].target])) {
      Family found = k->families[i]; /* what fails often is asked first */
      memmove(k->families + 1, k->families, (size_t)i * sizeof found);
      k->families[0] = found;
      return false;
    }
  }
  return true;
}

/* What fits below the lowest corner fits below all: it need not be asked again. True when nothing
** is left to ask. */
static bool drop_fitting(Counting *k, const double *corner) {
  bool fit = groups_fit(k, corner);
  int32_t kept = 0;
  for (int32_t i = 0; i < k->nfamilies; i++) {
    Family family = k->families[i];
    if (!family_fits(k, &family, corner[family.target])) k->families[kept++] = family;
  }
  k->nfamilies = kept;
  return fit && !kept;
}

/* ---- corners */

typedef struct Box {
  double low[MAX_TARGETS], high[MAX_TARGETS];
  double value; /* of the goal at `low`: nothing in the box is better */
} Box;

static double value_at(const Counting *k, double top, const double *from, const double *corner) {
  for (int t = 0; t < k->ntargets; t++) top -= k->places[t].weight * (corner[t] - from[t]);
  return top;
}

/* The least threshold of each target alone. */
static void raise_lowest(Counting *k, Box *box) {
  double corner[MAX_TARGETS];
  memcpy(corner, box->high, sizeof corner);
  for (int t = 0; t < k->ntargets && k->steps < STEPS; t++) {
    double low = box->low[t], high = box->high[t];
    for (int i = 0; i < AXIS_STEPS && high - low > 1e-7 * (1 + fabs(high)); i++) {
      if (k->steps >= STEPS || job_stop(k->job)) break;
      corner[t] =
          i ? (low + high) / 2 : low; /* the lowest itself, first: often nothing forbids it */
      if (!may_fit(k, corner)) {
        low = corner[t];
      } else {
        high = corner[t];
      }
    }
    if (low > box->low[t]) box->low[t] = low - 1e-9 * (1 + fabs(low));
    corner[t] = box->high[t];
  }
}

/* Split boxes, the most promising first. Returns what nothing in `first` exceeds. */
static double split_boxes(Counting *k, const Box *first, double cutoff, Box *boxes) {
  int n = 1;
  boxes[0] = *first;
  for (;;) {
    int best = 0;
    for (int i = 1; i < n; i++) best = boxes[i].value > boxes[best].value ? i : best;
    Box box = boxes[best], right = box;
    if (n == MAX_BOXES || k->steps >= STEPS || job_stop(k->job)) return box.value;
    if (box.value <= cutoff) return cutoff;
    int widest = 0;
    double width = 0;
    for (int t = 0; t < k->ntargets; t++) {
      double wide = k->places[t].weight * (box.high[t] - box.low[t]);
      if (wide > width) {
        width = wide;
        widest = t;
      }
    }
    if (width < 1e-7 * (1 + fabs(box.value))) return box.value;
    double middle = (box.low[widest] + box.high[widest]) / 2;
    box.high[widest] = right.low[widest] = middle;
    right.value = value_at(k, first->value, first->low, right.low);
    boxes[best] = right;
    if (may_fit(k, box.high)) boxes[n++] = box;
  }
}

static bool count_corners(Counting *k, bool thorough) {
  Job *job = k->job;
  double least, top, cutoff = job_cutoff(job);
  Box first;
  net_expr_bounds(&job->net, job->goal, job->lo, job->hi, &least, &top);
  first.value = top;
  for (int t = 0; t < k->ntargets; t++) {
    int32_t c = k->targets[t].column;
    double low = k->places[t].sign > 0 ? job->lo[c] : -job->hi[c];
    double high = k->places[t].sign > 0 ? job->hi[c] : -job->lo[c];
    if (job->have) high = fmin(high, low + fmax(0, top - cutoff) / k->places[t].weight);
    first.low[t] = low;
    first.high[t] = high;
  }
  if (drop_fitting(k, first.low)) return true;
  if (!may_fit(k, first.high)) {
    job->infeasible = true;
    return true;
  }
  double before[MAX_TARGETS];
  memcpy(before, first.low, sizeof before);
  raise_lowest(k, &first);
  first.value = value_at(k, top, before, first.low);
  for (int t = 0; t < k->ntargets; t++) {
    int32_t c = k->targets[t].column;
    if (first.low[t] <= before[t]) continue;
    if (k->places[t].sign > 0) job->lo[c] = fmin(first.low[t], job->hi[c]);
    if (k->places[t].sign < 0) job->hi[c] = fmax(-first.low[t], job->lo[c]);
  }
  k->steps = 0;
  if (!thorough || k->ntargets < 2 || drop_fitting(k, first.low)) return true;
  Box *boxes = malloc(MAX_BOXES * sizeof *boxes);
  if (!boxes) return fault_oom(job->fault);
  double bound = split_boxes(k, &first, cutoff, boxes);
  free(boxes);
  job_bound(job, bound + 1e-9 * (1 + fabs(bound)));
  return true;
}

void threshold_bound(Search *search, bool thorough) {
  Target targets[MAX_TARGETS];
  Job *job = search->job;
  int count = find_targets(job, targets);
  if (!count || job_stop(job)) return;
  Counting k;
  bool ok = counting_init(&k, job, targets, count) || fault_oom(job->fault);
  ok = ok && count_corners(&k, thorough);
  counting_finish(&k);
  if (ok) job_tighten(job);
}
