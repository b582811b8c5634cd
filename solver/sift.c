/*
** Sifting: see sift.h.
**
** Of 50,000 columns a relaxation uses a few hundred. Solve with a few, price all, add those that
** look better than they are paid for, again. Since the columns of a group add up to its size, the
** prices give a bound at every step: cost of the few + for each group, size * its most negative
** reduced cost.
*/
#include "solver/sift.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 2500, ROUNDS = 40, FIRST_COLUMNS = 12 };

typedef struct Sift {
  Job *job;
  Relaxation *r;
  const Lp *lp;
  uint8_t *in;    /* per column of the program: among the few */
  int32_t *few;   /* its index there */
  uint8_t *basis; /* status of every row and column so far */
  double *dual;
  double *worst; /* per group: most negative reduced cost */
  int64_t until;
} Sift;

void relaxation_finish(Relaxation *r) {
  free(r->x);
  free(r->reduced);
  encode_finish(&r->encoding);
  *r = (Relaxation){0};
}

static void price_columns(const Lp *lp, const double *dual, double *reduced) {
  memcpy(reduced, lp->cost, (size_t)lp->ncols * sizeof *reduced);
  for (int i = 0; i < lp->nrows; i++) {
    if (dual[i] == 0) continue;
    for (size_t k = lp->row_start[i]; k < lp->row_start[i + 1]; k++) {
      reduced[lp->terms[k].var] -= dual[i] * lp->terms[k].coef;
    }
  }
}

static int32_t group_of(const Sift *s, int j) {
  int32_t c = s->r->encoding.net_column[j];
  return c < 0 || c >= s->job->net.nprimary ? -1 : s->job->net.group[c];
}

/* Add the `most` columns of each group with the least key below `limit`. */
static int admit(Sift *s, const double *key, int most, double limit) {
  const Net *net = &s->job->net;
  int added = 0;
  for (int32_t g = 0; g < net->ngroups; g++) {
    const NetGroup *group = &net->groups[g];
    int quota = most + group->size / 2;
    double cut = limit;
    /* The quota-th least key, roughly: halve the range a few times instead of sorting. */
    double low = INFINITY;
    for (int32_t c = group->first; c < group->first + group->count; c++) {
      int32_t j = s->r->encoding.lp_column[c];
      if (j >= 0 && !s->in[j]) low = fmin(low, key[j]);
    }
    if (low >= limit) continue;
    double high = limit;
    for (int step = 0; step < 12; step++) {
      double middle = isinf(high) ? low + ldexp(1 + fabs(low), 4 - step) : (low + high) / 2;
      int count = 0;
      for (int32_t c = group->first; c < group->first + group->count; c++) {
        int32_t j = s->r->encoding.lp_column[c];
        count += j >= 0 && !s->in[j] && key[j] <= middle;
      }
      cut = middle;
      if (count >= quota / 2 && count <= quota) break;
      if (isinf(high)) {
        if (count <= quota) break;
      } else if (count > quota) {
        high = middle;
      } else {
        low = middle;
      }
    }
    for (int32_t c = group->first, left = 2 * quota; c < group->first + group->count && left; c++) {
      int32_t j = s->r->encoding.lp_column[c];
      if (j < 0 || s->in[j] || key[j] > cut || key[j] >= limit) continue;
      s->in[j] = 1;
      left--;
      added++;
    }
  }
  return added;
}

/* What must be in from the start: everything outside of groups, and what makes it feasible. */
static void first_columns(Sift *s) {
  const Job *job = s->job;
  for (int j = 0; j < s->lp->ncols; j++) {
    int32_t c = s->r->encoding.net_column[j];
    s->in[j] = group_of(s, j) < 0 || job->best[c] > 0.5 || s->lp->col_lo[j] > 0;
  }
  admit(s, s->lp->cost, FIRST_COLUMNS, INFINITY);
}

static bool build_few(Sift *s, Lp *few, uint8_t **out_basis) {
  const Lp *lp = s->lp;
  Term *row = malloc(((size_t)lp->ncols + 1) * sizeof *row);
  *few = (Lp){.offset = lp->offset};
  *out_basis = malloc((size_t)lp->nrows + (size_t)lp->ncols + 1);
  bool ok = row && *out_basis;
  for (int j = 0; ok && j < lp->ncols; j++) {
    if (!s->in[j]) continue;
    s->few[j] = few->ncols;
    (*out_basis)[lp->nrows + few->ncols] = s->basis[lp->nrows + j];
    ok = lp_add_column(few, lp->col_lo[j], lp->col_hi[j], false, lp->cost[j]);
  }
  for (int i = 0; ok && i < lp->nrows; i++) {
    size_t count = 0;
    for (size_t k = lp->row_start[i]; k < lp->row_start[i + 1]; k++) {
      Term term = lp->terms[k];
      if (s->in[term.var]) row[count++] = (Term){s->few[term.var], term.coef};
    }
    (*out_basis)[i] = s->basis[i];
    ok = lp_add_row(few, row, count, lp->row_lo[i], lp->row_hi[i]);
  }
  free(row);
  return ok || fault_oom(s->job->fault);
}

static void take_over(Sift *s, const LpResult *result) {
  const Lp *lp = s->lp;
  for (int i = 0; i < lp->nrows; i++) s->basis[i] = result->basis[i];
  memcpy(s->dual, result->row_dual, (size_t)lp->nrows * sizeof *s->dual);
  for (int j = 0; j < lp->ncols; j++) {
    s->r->x[j] = s->in[j] ? result->x[s->few[j]] : lp->col_lo[j];
    if (s->in[j]) s->basis[lp->nrows + j] = result->basis[lp->nrows + s->few[j]];
  }
}

/* After pricing: the bound, and reduced costs relative to the cheapest of each group. */
static void conclude(Sift *s, double objective) {
  const Net *net = &s->job->net;
  double bound = objective;
  for (int32_t g = 0; g < net->ngroups; g++) s->worst[g] = 0;
  for (int j = 0; j < s->lp->ncols; j++) {
    int32_t g = group_of(s, j);
    if (g >= 0 && !s->in[j]) s->worst[g] = fmin(s->worst[g], s->r->reduced[j]);
  }
  for (int32_t g = 0; g < net->ngroups; g++) bound += s->worst[g] * net->groups[g].size;
  if (bound > s->r->bound) s->r->bound = bound;
}

/* One round. *out_more: columns were added. */
static bool sift_round(Sift *s, int round, bool *out_more) {
  Lp few;
  uint8_t *basis = NULL;
  LpResult result = {0};
  bool ok = build_few(s, &few, &basis);
  *out_more = false;
  if (ok) {
    LpOptions options = {.duals = true, .basis = round > 0 ? basis : NULL};
    options.seconds = fmax(1e-3, (double)(s->until - clock_now()) / 1e9);
    ok = lp_solve(&few, &options, s->job->stop, &result, s->job->fault);
  }
  if (ok && result.status == LP_OPTIMAL) {
    take_over(s, &result);
    price_columns(s->lp, s->dual, s->r->reduced);
    conclude(s, result.objective);
    s->r->usable = true;
    *out_more = admit(s, s->r->reduced, 4, -1e-7) > 0;
  }
  free(basis);
  lp_result_finish(&result);
  lp_finish(&few);
  return ok;
}

static bool sift(Job *job, Relaxation *r, double seconds) {
  const Lp *lp = &r->encoding.lp;
  size_t n = (size_t)lp->ncols + 1, m = (size_t)lp->nrows + 1;
  Sift s = {.job = job, .r = r, .lp = lp};
  s.until = clock_now() + (int64_t)(fmin(seconds, 1e6) * 1e9);
  s.in = calloc(n, 1);
  s.few = malloc(n * sizeof *s.few);
  s.basis = malloc(n + m);
  s.dual = malloc(m * sizeof *s.dual);
  s.worst = malloc(((size_t)job->net.ngroups + 1) * sizeof *s.worst);
  bool ok = s.in && s.few && s.basis && s.dual && s.worst, more = true;
  if (!ok) fault_oom(job->fault);
  if (ok) {
    memset(s.basis, 2, n + m); /* at the lower bound: where columns that come in stand */
    first_columns(&s);
  }
  for (int round = 0; ok && more && round < ROUNDS; round++) {
    if (job_stop(job) || clock_now() >= s.until) break;
    ok = sift_round(&s, round, &more);
  }
  /* Relative to the cheapest of the group, prices are never negative. */
  for (int j = 0; ok && r->usable && j < lp->ncols; j++) {
    int32_t g = group_of(&s, j);
    if (g >= 0) r->reduced[j] -= s.worst[g];
  }
  free(s.in);
  free(s.few);
  free(s.basis);
  free(s.dual);
  free(s.worst);
  return ok;
}

static bool solve_whole(Job *job, Relaxation *r, double seconds) {
  LpOptions options = {.duals = true, .seconds = isinf(seconds) ? 0 : fmax(1e-3, seconds)};
  LpResult result;
  if (!lp_solve(&r->encoding.lp, &options, job->stop, &result, job->fault)) return false;
  r->infeasible = result.status == LP_INFEASIBLE;
  r->usable = result.status == LP_OPTIMAL;
  if (r->usable) {
    memcpy(r->x, result.x, (size_t)r->encoding.lp.ncols * sizeof *r->x);
    price_columns(&r->encoding.lp, result.row_dual, r->reduced);
    r->bound = result.objective;
  }
  lp_result_finish(&result);
  return true;
}

bool relaxation_solve(Job *job, Relaxation *r, double seconds) {
  size_t n = (size_t)r->encoding.lp.ncols + 1;
  r->bound = -INFINITY;
  r->x = calloc(n, sizeof *r->x);
  r->reduced = calloc(n, sizeof *r->reduced);
  if (!r->x || !r->reduced) return fault_oom(job->fault);
  if (n > LARGE && job->have) return sift(job, r, seconds);
  return solve_whole(job, r, seconds);
}
