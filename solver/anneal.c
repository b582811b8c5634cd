/*
** Linear goals, large models: annealing by exchanges.
**
** When every place that is worth having is full, a unit that moves to a better place must push
** others out of it. So a move is a chain: a unit goes where it likes to be, whatever it pushes out
** of full rows goes to the cheapest place that has room, and the sum of it all is accepted or taken
** back. Early on chains that lose a little are accepted as well, later ever less. Where each group
** may go is sorted by what it costs, so that the cheapest place is the first that fits.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/search.h"

enum {
  STEPS_PER_UNIT = 6000,
  MOST_STEPS = 6000000,
  POLL = 256,
  REFRESH = 1 << 17, /* steps between exact activities: sums of reals drift */
  MOST_PUSHED = 3,
  PLACES = 300, /* places tried for what was pushed out */
  TERMS = 96    /* terms of a full row looked at for something to push out */
};

typedef struct Anneal {
  Search *search;
  State *s;
  const Net *net;
  int32_t *places; /* columns of each group from its first column on, cheapest first */
  int32_t *nplaces;
  int32_t *occupied; /* columns with a unit that can move */
  int32_t *where;    /* of a column in `occupied`, -1 */
  int32_t noccupied;
  /* The best found: what was occupied, and by how many. */
  int32_t *best;
  double *best_units, best_value;
  int32_t nbest;
  double typical, heat;
  int32_t log[4 * MOST_PUSHED + 4]; /* of one chain: column * 2 + (1: a unit went in) */
  int nlog;
} Anneal;

static uint32_t any(Anneal *a, uint32_t n) { return random_below(&a->search->random, n); }

static double unit_random(Anneal *a) {
  return (double)((random_next(&a->search->random) >> 11) + 1) / 9007199254740993.0;
}

static double cost(const Anneal *a, int32_t column) { return -a->search->goal_coef[column]; }

/* ---- setting up */

static void sort_places(Anneal *a, int32_t *places, int32_t n) {
  for (int32_t step = n / 2; step > 0; step = step == 2 ? 1 : step * 5 / 11) {
    for (int32_t i = step; i < n; i++) {
      int32_t c = places[i], k = i;
      for (; k >= step && cost(a, places[k - step]) > cost(a, c); k -= step) {
        places[k] = places[k - step];
      }
      places[k] = c;
    }
  }
}

/* Returns the number of units. */
static int64_t list_places(Anneal *a) {
  const Net *net = a->net;
  int64_t units = 0;
  double spread = 0, widest = 0;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    int32_t *places = a->places + group->first, n = 0;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      if (a->s->hi[c] > a->s->lo[c]) places[n++] = c;
    }
    a->nplaces[g] = n;
    if (!n) continue;
    sort_places(a, places, n);
    units += group->size;
    spread += group->size * (cost(a, places[n / 2]) - cost(a, places[0]));
    widest = fmax(widest, cost(a, places[n - 1]) - cost(a, places[0]));
  }
  a->typical = units && spread > 0 ? spread / (double)units : widest;
  return units;
}

static void list_occupied(Anneal *a) {
  a->noccupied = 0;
  for (int32_t c = 0; c < a->net->ncols; c++)
    a->where[c] = -1; /* derived ones too: rows read them */
  for (int32_t c = 0; c < a->net->nprimary; c++) {
    if (a->net->group[c] < 0 || a->s->value[c] <= a->s->lo[c] + 0.5) continue;
    a->where[c] = a->noccupied;
    a->occupied[a->noccupied++] = c;
  }
}

/* ---- a chain */

static void shift(Anneal *a, int32_t column, double delta) {
  state_change(a->s, column, delta);
  bool occupied = a->s->value[column] > a->s->lo[column] + 0.5;
  int32_t at = a->where[column];
  if (occupied == (at >= 0)) return;
  if (occupied) {
    a->where[column] = a->noccupied;
    a->occupied[a->noccupied++] = column;
    return;
  }
  int32_t last = a->occupied[--a->noccupied];
  a->occupied[at] = last;
  a->where[last] = at;
  a->where[column] = -1;
}

static void shift_logged(Anneal *a, int32_t column, bool in) {
  shift(a, column, in ? 1 : -1);
  a->log[a->nlog++] = column * 2 + in;
}

static void undo(Anneal *a) {
  while (a->nlog) {
    int32_t entry = a->log[--a->nlog];
    shift(a, entry / 2, entry & 1 ? -1 : 1);
  }
}

/* A column with a unit whose leaving eases a violated expression; -1: there is none, or it is rare.
 */
static int32_t find_victim(Anneal *a, int32_t expr, int32_t spared) {
  const State *s = a->s;
  const NetExpr *e = &a->net->exprs[expr];
  bool over = s->act[expr] > s->cap_hi[expr];
  uint32_t n = (uint32_t)e->span.count, offset = n ? any(a, n) : 0;
  for (uint32_t i = 0; i < n && i < TERMS; i++) {
    Term term = a->net->terms[e->span.start + (i + offset) % n];
    if (a->where[term.var] >= 0 && term.var != spared && (term.coef > 0) == over) return term.var;
  }
  return -1;
}

/* Make room for what went into `column`. Returns how many were pushed out into pushed[], -1 when
** that is not enough. Rows that wait for them to come back are none of its business. */
static int push_out(Anneal *a, int32_t column, int32_t *pushed) {
  State *s = a->s;
  for (int n = 0;; n++) {
    int32_t victim = -1;
    for (size_t i = 0; i < s->nviolated && victim < 0; i++) {
      victim = find_victim(a, s->violated[i], column);
    }
    if (victim < 0) return n;
    if (n == MOST_PUSHED) return -1;
    pushed[n] = victim;
    shift_logged(a, victim, false);
  }
}

/* The cheapest place for a unit that was in `column`, if it costs at most `most` more. */
static int32_t find_place(const Anneal *a, int32_t column, double most) {
  const State *s = a->s;
  int32_t g = a->net->group[column], n = a->nplaces[g];
  const int32_t *places = a->places + a->net->groups[g].first;
  for (int32_t i = 0; i < n && i < PLACES; i++) {
    int32_t c = places[i];
    if (cost(a, c) - cost(a, column) > most) return -1;
    if (c == column || s->value[c] >= s->hi[c]) continue;
    if (state_cost(s, c, 1) <= 0) return c;
  }
  return -1;
}

static void step(Anneal *a) {
  State *s = a->s;
  int32_t from = a->occupied[any(a, (uint32_t)a->noccupied)], g = a->net->group[from];
  double u = unit_random(a);
  int32_t to = a->places[a->net->groups[g].first + (int32_t)(u * u * (a->nplaces[g] - 1))];
  if (to == from || s->value[to] >= s->hi[to]) return;
  double loss = cost(a, to) - cost(a, from), most = -a->heat * log(unit_random(a));
  if (loss > most + a->typical / 3) return;
  int32_t pushed[MOST_PUSHED];
  a->nlog = 0;
  shift_logged(a, from, false);
  shift_logged(a, to, true);
  int n = s->nviolated ? push_out(a, to, pushed) : 0;
  for (int i = 0; i < n && loss <= most + a->typical; i++) {
    int32_t place = find_place(a, pushed[i], most - loss);
    if (place < 0) {
      n = -1;
      break;
    }
    loss += cost(a, place) - cost(a, pushed[i]);
    shift_logged(a, place, true);
  }
  if (n < 0 || s->nviolated || loss > most) undo(a);
}

/* ---- all of it */

static void keep_best(Anneal *a, double value) {
  a->best_value = value;
  a->nbest = a->noccupied;
  for (int32_t i = 0; i < a->noccupied; i++) {
    a->best[i] = a->occupied[i];
    a->best_units[i] = a->s->value[a->occupied[i]];
  }
}

static void offer_best(Anneal *a) {
  double *trial = a->search->trial;
  for (int32_t c = 0; c < a->net->nprimary; c++) {
    trial[c] = a->net->group[c] >= 0 ? a->s->lo[c] : a->s->value[c];
  }
  for (int32_t i = 0; i < a->nbest; i++) trial[a->best[i]] = a->best_units[i];
  job_offer(a->search->job, trial);
}

static void run(Anneal *a, int64_t steps, double seconds) {
  Job *job = a->search->job;
  int64_t began = clock_now();
  double hot = a->typical / 10, cold = a->typical / 200;
  for (int64_t i = 0; i < steps; i++) {
    if (i % POLL == 0) {
      double share = (double)i / (double)steps;
      if (isfinite(seconds)) share = fmax(share, (double)(clock_now() - began) / 1e9 / seconds);
      if (share >= 1 || job_stop(job)) break;
      a->heat = hot * pow(cold / hot, share);
    }
    if (i % REFRESH == REFRESH - 1) {
      memcpy(a->search->trial, a->s->value, (size_t)a->net->ncols * sizeof *a->s->value);
      state_set(a->s, a->search->trial);
    }
    step(a);
    double value = a->s->act[job->goal];
    if (value > a->best_value + 1e-9 * (1 + fabs(a->best_value))) keep_best(a, value);
    if (a->best_value >= job->bound) break;
  }
}

static bool applies(const Search *search) {
  const Job *job = search->job;
  if (job->goal < 0 || !job->have) return false;
  const NetExpr *goal = &job->net.exprs[job->goal];
  for (size_t i = 0; i < goal->span.count; i++) {
    int32_t c = job->net.terms[goal->span.start + i].var;
    if (c >= job->net.nprimary || job->net.group[c] < 0) return false;
  }
  return true;
}

bool anneal(Search *search, double seconds) {
  Job *job = search->job;
  const Net *net = &job->net;
  size_t n = (size_t)net->ncols + 1;
  if (!applies(search)) return true;
  int64_t since = job_clock();
  Anneal a = {.search = search, .s = &search->state, .net = net};
  a.places = malloc(n * sizeof *a.places);
  a.nplaces = calloc((size_t)net->ngroups + 1, sizeof *a.nplaces);
  a.occupied = malloc(n * sizeof *a.occupied);
  a.where = malloc(n * sizeof *a.where);
  a.best = malloc(n * sizeof *a.best);
  a.best_units = malloc(n * sizeof *a.best_units);
  bool ok = (a.places && a.nplaces && a.occupied && a.where && a.best && a.best_units) ||
            fault_oom(job->fault);
  if (ok) {
    /* Not the job's bounds: they have no room for the answer to start from. */
    state_caps(a.s, net->lo, net->hi, job->goal, -INFINITY);
    state_set(a.s, job->best);
    int64_t units = list_places(&a);
    list_occupied(&a);
    keep_best(&a, a.s->act[job->goal]);
    if (a.noccupied && a.typical > 0 && !a.s->nviolated) {
      run(&a, units * STEPS_PER_UNIT < MOST_STEPS ? units * STEPS_PER_UNIT : MOST_STEPS, seconds);
      offer_best(&a);
    }
  }
  free(a.places);
  free(a.nplaces);
  free(a.occupied);
  free(a.where);
  free(a.best);
  free(a.best_units);
  job_phase(job, "anneal", since);
  return ok;
}
