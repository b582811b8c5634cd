/*
** Minimize the largest, maximize the smallest: search by thresholds, bound by counting.
**
** A goal that contains the maximum of many sums is a plateau to a search that looks at single
** moves, and a weak relaxation to a linear program. But "largest <= tau" is a set of ordinary
** capacities: greedy packing answers it well, bisection finds the least tau it can manage, and
** counting how many units fit below tau shows what nobody can manage.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

enum { MAX_TARGETS = 16, BISECTIONS = 10, BOUND_STEPS = 40 };

typedef struct Target {
  int32_t def, column;
  double sign; /* 1: a maximum to be made small, -1: a minimum to be made large */
} Target;

/* The goal's terms that are thresholds. */
static int find_targets(const Job *job, Target *targets) {
  const Net *net = &job->net;
  int count = 0;
  if (job->goal < 0) return 0;
  const NetExpr *goal = &net->exprs[job->goal];
  for (size_t i = 0; i < goal->span.count && count < MAX_TARGETS; i++) {
    Term term = net->terms[goal->span.start + i];
    int32_t d = net->def[term.var];
    if (d < 0) continue;
    const NetDef *def = &net->defs[d];
    bool plain = (def->kind == NET_MAX && term.coef < 0) || (def->kind == NET_MIN && term.coef > 0);
    for (int32_t k = 0; plain && k < def->nexprs; k++) {
      plain = net->exprs[def->first_expr + k].guard.column < 0;
    }
    if (plain) targets[count++] = (Target){d, term.var, def->kind == NET_MAX ? 1 : -1};
  }
  return count;
}

bool threshold_goal(const Job *job) {
  Target targets[MAX_TARGETS];
  return find_targets(job, targets) > 0;
}

/* The target's value at the best answer / its proven limit, as something to be made small. */
static double reached(const Job *job, const Target *t) { return t->sign * job->best[t->column]; }

static double limit(const Job *job, const Target *t) {
  return t->sign > 0 ? job->lo[t->column] : -job->hi[t->column];
}

/* ---- the search */

/* Is there an answer with every target at most its tau (and better than the best)? */
static bool attempt(Search *search, const Target *targets, int count, const double *tau) {
  Job *job = search->job;
  State *s = &search->state;
  const Net *net = &job->net;
  size_t bytes = (size_t)net->ncols * sizeof *search->lo;
  memcpy(search->lo, job->lo, bytes);
  memcpy(search->hi, job->hi, bytes);
  for (int i = 0; i < count; i++) {
    int32_t c = targets[i].column;
    double value = targets[i].sign * tau[i];
    if (targets[i].sign > 0) search->hi[c] = fmin(search->hi[c], value + 1e-9);
    if (targets[i].sign < 0) search->lo[c] = fmax(search->lo[c], value - 1e-9);
  }
  state_caps(s, search->lo, search->hi, job->goal, job_cutoff(job));
  int64_t work = 4000 + (int64_t)net->nterms / 4;
  for (int mode = 0; mode < GREEDY_MODES; mode++) {
    if (job_stop(job)) return false;
    int32_t bad = greedy(search, (GreedyMode)mode, NULL, 0);
    if (s->nviolated && bad <= 6 && !local_search(search, work, false)) continue;
    if (s->nviolated) continue;
    memcpy(search->trial, s->value, bytes);
    if (job_offer(job, search->trial)) return true;
  }
  return false;
}

/* Bisect all targets at once between limit and what is reached, then each alone. */
static void bisect(Search *search, const Target *targets, int count, int which) {
  Job *job = search->job;
  double from[MAX_TARGETS], to[MAX_TARGETS], tau[MAX_TARGETS], a = 0, b = 1;
  for (int i = 0; i < count; i++) {
    to[i] = reached(job, &targets[i]);
    from[i] = which < 0 || which == i ? fmin(limit(job, &targets[i]), to[i]) : to[i];
  }
  for (int k = 0; k < BISECTIONS && b - a > 1e-3 && !job_stop(job); k++) {
    double middle = k == 0 ? 0 : (a + b) / 2; /* the limit itself, first: often it is reached */
    for (int i = 0; i < count; i++) tau[i] = from[i] + middle * (to[i] - from[i]);
    if (attempt(search, targets, count, tau)) {
      b = middle;
    } else {
      a = middle;
    }
    if (job_proven(job)) return;
  }
}

bool threshold_search(Search *search) {
  Target targets[MAX_TARGETS];
  Job *job = search->job;
  int count = find_targets(job, targets);
  if (!count || !job->have || job_proven(job)) return true;
  bisect(search, targets, count, -1);
  for (int round = 0; round < 2 && count > 1; round++) {
    double before = job->value;
    for (int i = 0; i < count && !job_proven(job) && !job_stop(job); i++) {
      bisect(search, targets, count, i);
    }
    if (job->value <= before) break;
  }
  return true;
}

/* ---- the bound */

/* One maximum seen as places (items) that units go to. Signs are turned so that coefficients are
** positive and smaller is better. */
typedef struct Places {
  const Net *net;
  const double *lo, *hi;
  const NetDef *def;
  double sign;
  int32_t *place; /* per column: the item it counts in, -1: none */
  double *size;   /* per column: its coefficient there */
  double *base;   /* per item: what is there anyway */
  double *price;  /* per item: makes sizes of one group comparable across items */
  double *mean;   /* per group: mean size */
  int32_t *order; /* groups by mean size, largest first */
  /* While counting: */
  double *smallest, *fits, *volume; /* per item */
} Places;

static void places_finish(Places *p) {
  free(p->place);
  free(p->size);
  free(p->base);
  free(p->price);
  free(p->mean);
  free(p->order);
  free(p->smallest);
  free(p->fits);
  free(p->volume);
}

static bool places_alloc(Places *p) {
  size_t nc = (size_t)p->net->ncols + 1, ng = (size_t)p->net->ngroups + 1,
         ni = (size_t)p->def->nexprs + 1;
  p->place = malloc(nc * sizeof *p->place);
  p->size = malloc(nc * sizeof *p->size);
  p->base = calloc(ni, sizeof *p->base);
  p->price = calloc(ni, sizeof *p->price);
  p->mean = calloc(ng, sizeof *p->mean);
  p->order = malloc(ng * sizeof *p->order);
  p->smallest = malloc(ni * sizeof *p->smallest);
  p->fits = malloc(ni * sizeof *p->fits);
  p->volume = malloc(ni * sizeof *p->volume);
  return p->place && p->size && p->base && p->price && p->mean && p->order && p->smallest &&
         p->fits && p->volume;
}

static void read_items(Places *p) {
  const Net *net = p->net;
  for (int32_t c = 0; c < net->ncols; c++) p->place[c] = -1;
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
        p->base[i] += coef * (coef > 0 ? p->lo[term.var] : p->hi[term.var]);
      }
    }
  }
}

/* Groups by mean size; per item the price: the mean of (mean size of the group / size here). */
static void rank_groups(Places *p) {
  const Net *net = p->net;
  int32_t n = 0;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    double sum = 0;
    int32_t count = 0;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (p->place[c] < 0 || p->hi[c] < 0.5) continue;
      sum += p->size[c];
      count++;
    }
    p->mean[g] = count ? sum / count : 0;
    if (count) p->order[n++] = g;
  }
  for (int32_t i = n; i < net->ngroups; i++) p->order[i] = -1;
  for (int32_t step = n / 2; step > 0; step /= 2) {
    for (int32_t i = step; i < n; i++) {
      int32_t g = p->order[i], k = i;
      for (; k >= step && p->mean[p->order[k - step]] < p->mean[g]; k -= step) {
        p->order[k] = p->order[k - step];
      }
      p->order[k] = g;
    }
  }
  for (int32_t i = 0; i < p->def->nexprs; i++) p->fits[i] = 0;
  for (int32_t c = 0; c < net->ncols; c++) {
    if (p->place[c] < 0) continue;
    p->price[p->place[c]] += p->size[c] > 0 ? p->mean[net->group[c]] / p->size[c] : 0;
    p->fits[p->place[c]]++;
  }
  for (int32_t i = 0; i < p->def->nexprs; i++) {
    if (p->fits[i] > 0) p->price[i] /= p->fits[i];
  }
}

/* Add one group to those that must fit below tau: its units join the items' counts. Returns how
** many of its units can stay outside of all items. *out_cheapest: the least price of one unit. */
static double admit(Places *p, const NetGroup *group, double tau, double *total_fits,
                    double *total_volume, double *out_cheapest) {
  double outside = 0, cheapest = INFINITY;
  for (int32_t c = group->first; c < group->first + group->count; c++) {
    int32_t i = p->place[c];
    if (i < 0) {
      outside += p->hi[c];
      continue;
    }
    double room = tau - p->base[i], units = fmin(p->hi[c], floor(room / p->size[c] + 1e-9));
    if (units < 1) continue;
    double before = fmin(p->fits[i], floor(room / p->smallest[i] + 1e-9));
    double filled = fmin(p->volume[i], room);
    if (p->fits[i] == 0) before = 0;
    p->smallest[i] = fmin(p->smallest[i], p->size[c]);
    p->fits[i] += units;
    p->volume[i] += units * p->size[c];
    *total_fits += fmin(p->fits[i], floor(room / p->smallest[i] + 1e-9)) - before;
    *total_volume += p->price[i] * (fmin(p->volume[i], room) - filled);
    cheapest = fmin(cheapest, p->price[i] * p->size[c]);
  }
  *out_cheapest = isinf(cheapest) ? 0 : cheapest;
  return outside;
}

/* False when it is certain that not all units fit with the maximum at most tau. */
static bool may_fit(Places *p, double tau) {
  const Net *net = p->net;
  double fits = 0, volume = 0, units = 0, needed = 0, outside = 0;
  for (int32_t i = 0; i < p->def->nexprs; i++) {
    if (p->base[i] > tau + 1e-9 * (1 + fabs(tau))) return false;
    p->smallest[i] = INFINITY;
    p->fits[i] = p->volume[i] = 0;
  }
  for (int32_t k = 0; k < net->ngroups && p->order[k] >= 0; k++) {
    const NetGroup *group = &net->groups[p->order[k]];
    double cheapest, free_units = admit(p, group, tau, &fits, &volume, &cheapest);
    double inside = fmax(0, group->size - free_units);
    outside += fmin(group->size, free_units);
    units += group->size;
    needed += inside * cheapest;
    if (units > fits + outside + 1e-6) return false;
    if (needed > volume * (1 + 1e-9) + 1e-9) return false;
  }
  return true;
}

static bool bound_target(Search *search, const Target *t) {
  Job *job = search->job;
  const Net *net = &job->net;
  Places p = {.net = net, .lo = job->lo, .hi = job->hi, .def = &net->defs[t->def], .sign = t->sign};
  bool ok = places_alloc(&p) || fault_oom(job->fault);
  if (ok) {
    read_items(&p);
    rank_groups(&p);
    double low = limit(job, t), high = job->have ? reached(job, t) : limit(job, t);
    double top = t->sign > 0 ? job->hi[t->column] : -job->lo[t->column];
    high = fmin(high, top);
    if (high > low && !may_fit(&p, high)) low = high;
    for (int k = 0; k < BOUND_STEPS && high - low > 1e-7 * (1 + fabs(high)); k++) {
      double middle = (low + high) / 2;
      if (may_fit(&p, middle)) {
        high = middle;
      } else {
        low = middle;
      }
    }
    low -= 1e-9 * (1 + fabs(low));
    if (low > limit(job, t)) {
      if (t->sign > 0) job->lo[t->column] = fmin(low, job->hi[t->column]);
      if (t->sign < 0) job->hi[t->column] = fmax(-low, job->lo[t->column]);
    }
  }
  places_finish(&p);
  return ok;
}

void threshold_bound(Search *search) {
  Target targets[MAX_TARGETS];
  Job *job = search->job;
  int count = find_targets(job, targets);
  for (int i = 0; i < count && !job_stop(job); i++) {
    if (!bound_target(search, &targets[i])) return;
  }
  if (count) job_tighten(job);
}
