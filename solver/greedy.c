/*
** Greedy construction: the hardest groups first, each unit where it hurts least.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

bool search_init(Search *search, Job *job) {
  const Net *net = &job->net;
  size_t nc = (size_t)net->ncols + 1, ng = (size_t)net->ngroups + 1;
  *search = (Search){.job = job, .random = job->options.seed};
  if (!state_init(&search->state, net, job->fault)) return false;
  search->goal_coef = calloc(nc, sizeof *search->goal_coef);
  search->base = calloc(nc, sizeof *search->base);
  search->trial = calloc(nc, sizeof *search->trial);
  search->order = malloc(ng * sizeof *search->order);
  search->hardness = calloc(ng, sizeof *search->hardness);
  search->heap = malloc(nc * sizeof *search->heap);
  search->score = calloc(nc, sizeof *search->score);
  search->lo = malloc(nc * sizeof *search->lo);
  search->hi = malloc(nc * sizeof *search->hi);
  search->relaxed = calloc(nc, sizeof *search->relaxed);
  search->tabu = calloc(nc, sizeof *search->tabu);
  if (search->goal_coef && search->base && search->trial && search->order && search->hardness &&
      search->heap && search->score && search->lo && search->hi && search->relaxed &&
      search->tabu) {
    return true;
  }
  search_finish(search);
  return fault_oom(job->fault);
}

void search_finish(Search *search) {
  state_release(&search->state);
  free(search->goal_coef);
  free(search->base);
  free(search->trial);
  free(search->order);
  free(search->hardness);
  free(search->heap);
  free(search->score);
  free(search->lo);
  free(search->hi);
  free(search->relaxed);
  free(search->tabu);
  search->goal_coef = search->base = search->trial = search->hardness = NULL;
  search->score = search->lo = search->hi = search->relaxed = NULL;
  search->order = search->heap = NULL;
  search->tabu = NULL;
}

/* ---- order */

/* The share of its room that one unit in this column takes, in the scarcest place. */
static double appetite(const State *s, int32_t column) {
  const Net *net = s->net;
  double most = 0;
  for (size_t i = net->use_start[column]; i < net->use_start[column + 1]; i++) {
    int32_t e = net->uses[i].expr;
    double coef = net->uses[i].coef;
    double room = coef > 0 ? s->cap_hi[e] - s->least[e] : s->most[e] - s->cap_lo[e];
    if (isfinite(room)) most = fmax(most, room > 0 ? fabs(coef) / room : 2);
  }
  return most;
}

/* A group is hard when its units are large, when few values are left for them, and when they are
** many for those few. */
static double group_hardness(const Search *search, const NetGroup *group) {
  const State *s = &search->state;
  double sum = 0;
  int32_t open = 0;
  for (int32_t c = group->first; c < group->first + group->count; c++) {
    if (s->hi[c] <= s->lo[c]) continue;
    double share = appetite(s, c);
    if (share > 1) continue;
    sum += share;
    open++;
  }
  if (!open) return 1e9;
  return sum / open + 2.0 * group->size / open;
}

/* Hardest first, by insertion into a heap-free shell sort: groups are few next to columns. */
static void sort_groups(Search *search, double noise) {
  int32_t n = search->job->net.ngroups;
  double *key = search->hardness;
  for (int32_t g = 0; g < n; g++) search->order[g] = g;
  if (noise > 0) {
    for (int32_t g = 0; g < n; g++) {
      key[g] *= 1 + noise * ((double)random_below(&search->random, 1000) / 500 - 1);
    }
  }
  for (int32_t step = n / 2; step > 0; step /= 2) {
    for (int32_t i = step; i < n; i++) {
      int32_t g = search->order[i], k = i;
      for (; k >= step && key[search->order[k - step]] < key[g]; k -= step) {
        search->order[k] = search->order[k - step];
      }
      search->order[k] = g;
    }
  }
}

/* ---- starting point */

static double nearest(double value, double lo, double hi) {
  if (isnan(value)) value = 0;
  return fmin(fmax(value, lo), hi);
}

void search_level(Search *search) {
  Job *job = search->job;
  const Net *net = &job->net;
  memset(search->goal_coef, 0, ((size_t)net->ncols + 1) * sizeof *search->goal_coef);
  if (job->goal >= 0) {
    const NetExpr *goal = &net->exprs[job->goal];
    for (size_t i = 0; i < goal->span.count; i++) {
      Term term = net->terms[goal->span.start + i];
      search->goal_coef[term.var] = term.coef;
    }
  }
  net_start(net, search->base);
  for (int32_t c = 0; c < net->nprimary; c++) {
    search->base[c] =
        net->group[c] >= 0 ? job->lo[c] : nearest(search->base[c], job->lo[c], job->hi[c]);
  }
  state_caps(&search->state, job->lo, job->hi, job->goal, -INFINITY);
  for (int32_t g = 0; g < net->ngroups; g++) {
    search->hardness[g] = group_hardness(search, &net->groups[g]);
  }
}

/* ---- placing */

/* How full the places are that the unit would go to, after it went there. */
static double fullness(const State *s, int32_t column, GreedyMode mode) {
  const Net *net = s->net;
  double sum = 0, most = 0;
  for (size_t i = net->use_start[column]; i < net->use_start[column + 1]; i++) {
    int32_t e = net->uses[i].expr;
    double coef = net->uses[i].coef, cap = coef > 0 ? s->cap_hi[e] : s->cap_lo[e];
    if (isinf(cap)) continue;
    double from = coef > 0 ? s->least[e] : s->most[e];
    double share = from == cap ? 1 : (s->act[e] + coef - from) / (cap - from);
    sum += share;
    most = fmax(most, share);
  }
  return mode == GREEDY_FULLEST ? -sum : most;
}

static double place_score(const Search *search, int32_t column, GreedyMode mode) {
  const State *s = &search->state;
  const Job *job = search->job;
  double score = 1e6 * state_cost(s, column, 1) + fullness(s, column, mode);
  if (job->goal >= 0) score -= 1e3 * search->goal_coef[column] * s->scale[job->goal];
  return score;
}

static void sift_down(Search *search, size_t at, size_t count) {
  int32_t *heap = search->heap, moving = heap[at];
  double key = search->score[moving];
  for (size_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && search->score[heap[child + 1]] < search->score[heap[child]]) child++;
    if (search->score[heap[child]] >= key) break;
    heap[at] = heap[child];
  }
  heap[at] = moving;
}

/* Place `units` of the group. Scores of other columns can only have become worse since they were
** computed (rows over several values), so a stale best is scored again before it is believed. */
static int32_t place_group(Search *search, const NetGroup *group, double units, GreedyMode mode) {
  State *s = &search->state;
  size_t count = 0;
  int32_t bad = 0;
  for (int32_t c = group->first; c < group->first + group->count; c++) {
    if (s->value[c] >= s->hi[c]) continue;
    search->score[c] = place_score(search, c, mode);
    search->heap[count++] = c;
  }
  s->steps += 8 * group->count;
  for (size_t i = count / 2; i-- > 0;) sift_down(search, i, count);
  while (units > 0.5 && count) {
    int32_t c = search->heap[0];
    double score = place_score(search, c, mode);
    if (score > search->score[c] + 1e-12) {
      search->score[c] = score;
      sift_down(search, 0, count);
      if (search->heap[0] != c) continue;
    }
    bad += state_cost(s, c, 1) > 0;
    state_change(s, c, 1);
    units--;
    if (s->value[c] >= s->hi[c]) {
      search->heap[0] = search->heap[--count];
    } else {
      search->score[c] = place_score(search, c, mode);
    }
    if (count) sift_down(search, 0, count);
  }
  if (units > 0.5 && group->count) { /* no room within bounds: anywhere, the search will repair */
    state_change(s, group->first, units);
    bad += (int32_t)units;
  }
  return bad;
}

/* The present values that violate nothing stay. Returns the units left to place. */
static double keep_group(Search *search, const NetGroup *group, const double *keep) {
  State *s = &search->state;
  double left = group->size;
  for (int32_t c = group->first; c < group->first + group->count; c++) left -= s->value[c];
  for (int32_t c = group->first; keep && c < group->first + group->count; c++) {
    for (double n = keep[c]; n > 0.5 && left > 0.5 && s->value[c] < s->hi[c]; n--, left--) {
      if (state_cost(s, c, 1) > 0) break;
      state_change(s, c, 1);
    }
  }
  return left;
}

int32_t greedy(Search *search, GreedyMode mode, const double *keep, double noise) {
  const Net *net = &search->job->net;
  int32_t bad = 0;
  state_set(&search->state, search->base);
  sort_groups(search, noise);
  for (int32_t i = 0; i < net->ngroups; i++) {
    const NetGroup *group = &net->groups[search->order[i]];
    if (!group->count) continue;
    double left = keep_group(search, group, keep);
    if (left <= 0.5) continue;
    int32_t misfits = place_group(search, group, left, mode);
    /* What did not fit comes earlier next time. */
    if (misfits) search->hardness[search->order[i]] *= 1.5;
    bad += misfits;
    if ((i & 7) == 7 && job_stop(search->job)) mode = GREEDY_EMPTIEST;
  }
  return bad;
}
