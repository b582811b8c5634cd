/*
** GLPK behind lp.h, kept on a leash.
**
** GLPK aborts the process on misuse and on refused memory, writes to stdout (its fatal message even
** with output switched off), and keeps its state per thread, shared with whatever else in the
** process uses GLPK on that thread. So each solve gets a thread of its own:
**   - glp_error_hook + longjmp turns an abort into a Fault; after it only glp_free_env() is legal,
**     which on a thread of our own destroys nothing but our own problem;
**   - glp_term_hook swallows all output and doubles as a clock: glp_simplex has no callback, but
**     it "prints" every 50 ms, and jumping out from there is how it is interrupted;
**   - inside glp_intopt the tree callback polls as well.
** Cover cuts stay off: their knapsack code has process-wide variables, two solves would race.
*/
#include <glpk.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "solver/lp.h"

typedef struct Worker {
  const Lp *lp;
  const LpOptions *options;
  LpResult *result; /* the worker's until `done` */
  jmp_buf escape;
  char fatal[200]; /* what GLPK printed last: its last words when it aborts */
  bool aborted;
  bool out_of_memory;
  bool met; /* branch and cut was ended because the bounds met */
  atomic_bool cancel;

  pthread_mutex_t mutex; /* guards the rest */
  pthread_cond_t changed;
  bool done;
  double *best;    /* a better integer solution, not yet reported */
  double *scratch; /* the one being reported */
  bool best_new;
  double bound;
} Worker;

const char *lp_backend(void) {
  static char name[32];
  if (!name[0]) snprintf(name, sizeof name, "GLPK %d.%d", GLP_MAJOR_VERSION, GLP_MINOR_VERSION);
  return name;
}

/* ---- hooks, on the worker */

/* An abort comes as "what\n" and then "Error detected in file...\n"; the first part is kept. */
static int on_print(void *info, const char *text) {
  static const char where[] = "Error detected in file";
  Worker *w = info;
  if (strncmp(text, where, sizeof where - 1) == 0) return 1;
  size_t used = strlen(w->fatal), more = strlen(text);
  if (used && w->fatal[used - 1] == '\n') used = 0; /* a new line starts */
  if (more > sizeof w->fatal - 1 - used) more = sizeof w->fatal - 1 - used;
  memcpy(w->fatal + used, text, more);
  w->fatal[used + more] = '\0';
  if (atomic_load_explicit(&w->cancel, memory_order_relaxed)) longjmp(w->escape, 1);
  return 1;
}

static void on_error(void *info) {
  Worker *w = info;
  w->aborted = true;
  longjmp(w->escape, 1);
}

/* Is the best solution so near to the bound that it counts as optimal? */
static bool bounds_meet(const Worker *w, glp_prob *problem, double bound) {
  int status = glp_mip_status(problem);
  if (status != GLP_FEAS && status != GLP_OPT) return false;
  double best = glp_mip_obj_val(problem) + w->lp->offset;
  double gap = fmax(w->options->gap * fmax(1, fabs(best)), 0.4 * w->options->step);
  return best - bound <= gap;
}

static void on_node(glp_tree *tree, void *info) {
  Worker *w = info;
  glp_prob *problem = glp_ios_get_prob(tree);
  int reason = glp_ios_reason(tree);
  if (reason == GLP_IHEUR && w->options->point && glp_ios_curr_node(tree) == 1) {
    double *point = w->scratch;
    for (int j = 0; j < w->lp->ncols; j++) point[j + 1] = w->options->point[j];
    glp_ios_heur_sol(tree, point);
  }
  if (reason == GLP_IBINGO) {
    pthread_mutex_lock(&w->mutex);
    for (int j = 0; j < w->lp->ncols; j++) w->best[j] = glp_get_col_prim(problem, j + 1);
    w->best_new = true;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
  }
  int node = glp_ios_best_node(tree), total = 0;
  if (node) {
    double bound = glp_ios_node_bound(tree, node) + w->lp->offset;
    w->met = w->met || bounds_meet(w, problem, bound);
    pthread_mutex_lock(&w->mutex);
    if (bound > w->bound && isfinite(bound)) w->bound = bound;
    pthread_mutex_unlock(&w->mutex);
  }
  glp_ios_tree_size(tree, NULL, NULL, &total);
  w->result->nodes = total;
  const LpOptions *o = w->options;
  if (w->met || (o->max_nodes && total > o->max_nodes) ||
      (o->max_iterations && glp_get_it_cnt(problem) > o->max_iterations) ||
      atomic_load_explicit(&w->cancel, memory_order_relaxed)) {
    glp_ios_terminate(tree);
  }
}

/* ---- the problem, on the worker */

static int bound_type(double lo, double hi) {
  if (lo == hi) return GLP_FX;
  if (isinf(lo)) return isinf(hi) ? GLP_FR : GLP_UP;
  return isinf(hi) ? GLP_LO : GLP_DB;
}

static double power_of_two(double x) {
  int exponent;
  frexp(x, &exponent);
  return ldexp(1, exponent);
}

/* Sums of bytes or of 2^32 beside 0/1 columns make the simplex call feasible problems infeasible.
** Columns of wide bounds are counted in larger units, and then rows of large or small coefficients;
** what is of ordinary size stays as it is. One pass, where glp_scale_prob() takes a second. */
static void scale(glp_prob *problem, const Lp *lp) {
  for (int j = 0; j < lp->ncols; j++) {
    double widest = fmax(fabs(lp->col_lo[j]), fabs(lp->col_hi[j]));
    if (widest > 4096 && isfinite(widest)) glp_set_sjj(problem, j + 1, power_of_two(widest));
  }
  for (int i = 0; i < lp->nrows; i++) {
    double largest = 0;
    for (size_t k = lp->row_start[i]; k < lp->row_start[i + 1]; k++) {
      double unit = glp_get_sjj(problem, lp->terms[k].var + 1);
      largest = fmax(largest, fabs(lp->terms[k].coef) * unit);
    }
    bool ordinary = largest >= 1.0 / 64 && largest <= 4096;
    if (!ordinary && largest > 0) glp_set_rii(problem, i + 1, 1 / power_of_two(largest));
  }
}

static glp_prob *load(const Lp *lp, bool integer) {
  glp_prob *problem = glp_create_prob();
  glp_set_obj_dir(problem, GLP_MIN);
  if (lp->ncols) glp_add_cols(problem, lp->ncols);
  for (int j = 0; j < lp->ncols; j++) {
    glp_set_col_bnds(problem, j + 1, bound_type(lp->col_lo[j], lp->col_hi[j]), lp->col_lo[j],
                     lp->col_hi[j]);
    glp_set_obj_coef(problem, j + 1, lp->cost[j]);
    if (integer && lp->integer[j]) glp_set_col_kind(problem, j + 1, GLP_IV);
  }
  if (!lp->nrows) return problem;
  glp_add_rows(problem, lp->nrows);
  size_t longest = 0;
  for (int i = 0; i < lp->nrows; i++) {
    size_t count = lp->row_start[i + 1] - lp->row_start[i];
    if (count > longest) longest = count;
  }
  int *index = glp_alloc((int)longest + 1, sizeof *index); /* freed with the environment */
  double *coef = glp_alloc((int)longest + 1, sizeof *coef);
  for (int i = 0; i < lp->nrows; i++) {
    int count = 0;
    for (size_t k = lp->row_start[i]; k < lp->row_start[i + 1]; k++) {
      index[++count] = lp->terms[k].var + 1;
      coef[count] = lp->terms[k].coef;
    }
    glp_set_mat_row(problem, i + 1, count, index, coef);
    glp_set_row_bnds(problem, i + 1, bound_type(lp->row_lo[i], lp->row_hi[i]), lp->row_lo[i],
                     lp->row_hi[i]);
  }
  glp_free(index);
  glp_free(coef);
  scale(problem, lp);
  return problem;
}

static void set_basis(glp_prob *problem, const Lp *lp, const uint8_t *basis) {
  for (int i = 0; i < lp->nrows; i++) glp_set_row_stat(problem, i + 1, basis[i]);
  for (int j = 0; j < lp->ncols; j++) glp_set_col_stat(problem, j + 1, basis[lp->nrows + j]);
}

static int simplex(glp_prob *problem, const LpOptions *o) {
  glp_smcp parm;
  glp_init_smcp(&parm);
  parm.msg_lev = GLP_MSG_ON; /* printing is the clock, see above */
  parm.out_frq = 50;
  parm.meth = GLP_PRIMAL; /* a given basis is one that columns were added to: still feasible */
  if (o->max_iterations && o->max_iterations < INT32_MAX) parm.it_lim = (int)o->max_iterations;
  int rc = glp_simplex(problem, &parm);
  /* The primal simplex now and then calls a feasible problem infeasible, by the width of its own
  ** tolerance after it perturbed the bounds: only the dual one is believed. */
  bool doubtful = rc == 0 && glp_get_status(problem) == GLP_NOFEAS;
  if (doubtful || rc == GLP_EBADB || rc == GLP_ESING || rc == GLP_ECOND || rc == GLP_EFAIL ||
      (rc == 0 && glp_get_status(problem) == GLP_UNDEF)) {
    glp_std_basis(problem); /* the slack basis is never singular */
    parm.meth = GLP_DUALP;
    rc = glp_simplex(problem, &parm);
  }
  return rc;
}

static void read_relaxation(glp_prob *problem, Worker *w) {
  LpResult *r = w->result;
  const Lp *lp = w->lp;
  for (int j = 0; j < lp->ncols; j++) {
    r->x[j] = glp_get_col_prim(problem, j + 1);
    if (r->basis) r->basis[lp->nrows + j] = (uint8_t)glp_get_col_stat(problem, j + 1);
  }
  for (int i = 0; i < lp->nrows; i++) {
    if (r->basis) r->basis[i] = (uint8_t)glp_get_row_stat(problem, i + 1);
    if (r->row_dual) r->row_dual[i] = glp_get_row_dual(problem, i + 1);
  }
  r->objective = glp_get_obj_val(problem) + lp->offset;
}

/* Solve the relaxation; true when it is optimal. */
static bool relax(glp_prob *problem, Worker *w) {
  LpResult *r = w->result;
  if (w->options->basis) {
    set_basis(problem, w->lp, w->options->basis);
  }
  int rc = simplex(problem, w->options);
  r->iterations = glp_get_it_cnt(problem);
  int status = glp_get_status(problem);
  if (rc == GLP_EITLIM || rc == GLP_ETMLIM) {
    r->status = LP_STOPPED;
  } else if (rc != 0 || status == GLP_UNDEF || status == GLP_UNBND || status == GLP_INFEAS) {
    r->status = LP_FAILED;
    snprintf(r->message, sizeof r->message, "simplex ended with code %d, status %d", rc, status);
  } else if (status == GLP_NOFEAS) {
    r->status = LP_INFEASIBLE;
  } else {
    r->status = LP_OPTIMAL;
    read_relaxation(problem, w);
    r->bound = r->objective;
  }
  return r->status == LP_OPTIMAL;
}

/* Cuts computed from numbers that far apart cut off answers. */
static bool is_wide(const Lp *lp) {
  const double most = 1 << 20;
  for (size_t k = 0; k < lp->nterms; k++) {
    if (fabs(lp->terms[k].coef) > most) return true;
  }
  for (int j = 0; j < lp->ncols; j++) {
    if (lp->col_hi[j] - lp->col_lo[j] > most) return true; /* or comes in by substitution */
  }
  return false;
}

static void branch(glp_prob *problem, Worker *w) {
  LpResult *r = w->result;
  glp_iocp parm;
  glp_init_iocp(&parm);
  parm.msg_lev = GLP_MSG_ON;
  parm.out_dly = 0;
  parm.out_frq = 50;
  parm.tol_int = 1e-7;
  parm.tol_obj = 1e-9;
  parm.clq_cuts = GLP_ON;
  parm.gmi_cuts = parm.mir_cuts = is_wide(w->lp) ? GLP_OFF : GLP_ON;
  parm.cb_func = on_node;
  parm.cb_info = w;
  int rc = glp_intopt(problem, &parm);
  r->iterations = glp_get_it_cnt(problem);
  int status = glp_mip_status(problem);
  bool proven = rc == 0 || w->met;
  if (status == GLP_OPT || status == GLP_FEAS) {
    for (int j = 0; j < w->lp->ncols; j++) r->x[j] = glp_mip_col_val(problem, j + 1);
    r->objective = glp_mip_obj_val(problem) + w->lp->offset;
    r->status = proven ? LP_OPTIMAL : LP_FEASIBLE;
    if (rc == 0) r->bound = r->objective;
  } else if (proven && status == GLP_NOFEAS) {
    r->status = LP_INFEASIBLE;
  } else if (rc == GLP_ESTOP || rc == GLP_ETMLIM) {
    r->status = LP_STOPPED;
  } else {
    r->status = LP_FAILED;
    snprintf(r->message, sizeof r->message, "branch and cut ended with code %d, status %d", rc,
             status);
  }
}

static void run(Worker *w) {
  glp_prob *problem = load(w->lp, w->options->integer);
  int64_t start = clock_now();
  bool optimal = relax(problem, w);
  double seconds = (double)(clock_now() - start) / 1e9;
  if (optimal && w->options->integer && w->options->max_root > 0 &&
      seconds > w->options->max_root) {
    w->result->status = LP_STOPPED; /* the bound stays */
  } else if (optimal && w->options->integer) {
    w->bound = w->result->bound; /* nobody else reads before the tree callback's lock */
    branch(problem, w);
  }
  glp_delete_prob(problem);
}

static void *work(void *info) {
  Worker *w = info;
  if (glp_init_env() >= 2) { /* 2: no memory, 3: unsupported */
    w->out_of_memory = true;
  } else {
    if (setjmp(w->escape) == 0) {
      glp_error_hook(on_error, w);
      glp_term_hook(on_print, w);
      run(w);
    } else if (!w->aborted) {
      w->result->status = LP_STOPPED; /* cancelled */
    }
    glp_free_env();
  }
  pthread_mutex_lock(&w->mutex);
  w->done = true;
  pthread_cond_signal(&w->changed);
  pthread_mutex_unlock(&w->mutex);
  return NULL;
}

/* ---- the calling thread */

static bool valid_number(double value) { return isfinite(value) && fabs(value) < 1e300; }

/* GLPK takes a NaN for a number and says "optimal", and calls a repeated column fatal. */
static bool valid(const Lp *lp, Fault *fault) {
  int *seen = calloc((size_t)lp->ncols + 1, sizeof *seen);
  if (!seen) return fault_oom(fault);
  bool ok = valid_number(lp->offset);
  for (int j = 0; ok && j < lp->ncols; j++) {
    ok = valid_number(lp->cost[j]) && lp->col_lo[j] <= lp->col_hi[j] && lp->col_lo[j] < INFINITY &&
         lp->col_hi[j] > -INFINITY;
  }
  for (int i = 0; ok && i < lp->nrows; i++) {
    ok = lp->row_lo[i] <= lp->row_hi[i] && lp->row_lo[i] < INFINITY && lp->row_hi[i] > -INFINITY;
    for (size_t k = lp->row_start[i]; ok && k < lp->row_start[i + 1]; k++) {
      int j = lp->terms[k].var;
      ok = j >= 0 && j < lp->ncols && valid_number(lp->terms[k].coef) && seen[j] != i + 1;
      if (ok) seen[j] = i + 1;
    }
  }
  free(seen);
  if (!ok)
    fault_set(fault, FAULT_INVALID,
              "solver: a linear program with a coefficient or bound "
              "that is not a number, or a column twice in a row");
  return ok;
}

static void wait_ms(Worker *w, int ms) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += ms * 1000000L;
  if (until.tv_nsec >= 1000000000L) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000L;
  }
  pthread_cond_timedwait(&w->changed, &w->mutex, &until);
}

/* Wait for the worker; hand over what it finds; tell it when to stop. */
static void supervise(Worker *w, Stop *stop) {
  const LpOptions *o = w->options;
  int64_t limit = o->seconds > 0 ? clock_now() + (int64_t)(fmin(o->seconds, 1e9) * 1e9) : 0;
  double *report = w->scratch + w->lp->ncols + 1;
  pthread_mutex_lock(&w->mutex);
  while (!w->done) {
    wait_ms(w, 5);
    bool fresh = w->best_new;
    if (fresh && o->found) memcpy(report, w->best, (size_t)w->lp->ncols * sizeof *report);
    w->best_new = w->best_new && !o->found;
    pthread_mutex_unlock(&w->mutex); /* `stop` may run the host's code */
    if (fresh && o->found) o->found(o->found_ctx, report);
    if (stop_now(stop) || (limit && clock_now() >= limit)) {
      atomic_store_explicit(&w->cancel, true, memory_order_relaxed);
    }
    pthread_mutex_lock(&w->mutex);
  }
  pthread_mutex_unlock(&w->mutex);
}

static bool start_thread(Worker *w, pthread_t *thread, Fault *fault) {
  /* The host's signals are for the host's threads. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int rc = pthread_create(thread, NULL, work, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (rc == 0) return true;
  return fault_set(fault, FAULT_NOMEM, "solver: no thread to be had: %s", strerror(rc));
}

static bool outcome(Worker *w, Fault *fault) {
  LpResult *r = w->result;
  if (w->out_of_memory) return fault_oom(fault);
  if (w->aborted) {
    size_t n = strlen(w->fatal);
    while (n && (w->fatal[n - 1] == '\n' || w->fatal[n - 1] == '.')) w->fatal[--n] = '\0';
    if (strstr(w->fatal, "no memory") || strstr(w->fatal, "not enough memory") ||
        strstr(w->fatal, "memory allocation")) {
      return fault_oom(fault);
    }
    return fault_set(fault, FAULT_INTERNAL, "solver: GLPK gave up: %s", w->fatal);
  }
  if (w->options->integer && w->bound > r->bound) r->bound = w->bound;
  if (w->options->integer && r->status == LP_STOPPED && isfinite(w->best[0]) && w->lp->ncols) {
    /* cancelled from within a node: the tree is gone, the copy is not */
    memcpy(r->x, w->best, (size_t)w->lp->ncols * sizeof *r->x);
    r->status = LP_FEASIBLE;
    r->objective = w->lp->offset;
    for (int j = 0; j < w->lp->ncols; j++) r->objective += w->lp->cost[j] * r->x[j];
  }
  if (r->status != LP_OPTIMAL && r->status != LP_FEASIBLE) {
    free(r->x);
    r->x = NULL;
  }
  return true;
}

static bool init_condition(pthread_cond_t *condition) {
  pthread_condattr_t how;
  if (pthread_condattr_init(&how) != 0) return false;
  bool ok = pthread_condattr_setclock(&how, CLOCK_MONOTONIC) == 0 &&
            pthread_cond_init(condition, &how) == 0;
  pthread_condattr_destroy(&how);
  return ok;
}

bool lp_solve(const Lp *lp, const LpOptions *options, Stop *stop, LpResult *out, Fault *fault) {
  bool ok = false, threads = false;
  size_t ncols = (size_t)lp->ncols, nrows = (size_t)lp->nrows;
  LpResult result = {.bound = -INFINITY, .objective = INFINITY, .status = LP_STOPPED};
  Worker w = {.lp = lp, .options = options, .result = &result, .bound = -INFINITY};
  pthread_t thread;
  *out = (LpResult){0};
  if (!valid(lp, fault)) return false;
  result.x = calloc(ncols + 1, sizeof *result.x);
  w.best = malloc((ncols + 1) * sizeof *w.best);
  w.scratch = calloc(2 * (ncols + 1), sizeof *w.scratch);
  if (!options->integer) result.basis = calloc(nrows + ncols + 1, 1);
  if (options->duals) result.row_dual = calloc(nrows + 1, sizeof *result.row_dual);
  if (!result.x || !w.best || !w.scratch || (!options->integer && !result.basis) ||
      (options->duals && !result.row_dual)) {
    fault_oom(fault);
    goto out;
  }
  w.best[0] = NAN;
  if (pthread_mutex_init(&w.mutex, NULL) != 0) {
    fault_oom(fault);
    goto out;
  }
  if (!init_condition(&w.changed)) {
    pthread_mutex_destroy(&w.mutex);
    fault_oom(fault);
    goto out;
  }
  threads = true;
  if (!start_thread(&w, &thread, fault)) goto out;
  supervise(&w, stop);
  pthread_join(thread, NULL);
  ok = outcome(&w, fault);
  if (ok && w.best_new && options->found && result.x) options->found(options->found_ctx, result.x);
out:
  if (threads) {
    pthread_cond_destroy(&w.changed);
    pthread_mutex_destroy(&w.mutex);
  }
  free(w.best);
  free(w.scratch);
  if (!ok) lp_result_finish(&result);
  *out = result;
  return ok;
}
