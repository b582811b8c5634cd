/*
** What GLPK does to its hosts, and that ours does not notice: aborts, prints, NaN, shared state,
** deadlines, interrupts, refused memory. Times are asserted in processor seconds, so that a busy
** machine does not fail the test.
*/
#include <dirent.h>
#include <fcntl.h>
#include <glpk.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "solver/lp.h"
#include "solver/model.h"

static int checks, failures;

static void check(bool ok, const char *what, int line) {
  checks++;
  if (ok) return;
  failures++;
  fprintf(stderr, "line %d: %s\n", line, what);
}

#define CHECK(condition) check((condition), #condition, __LINE__)

/* ---- refusing memory: the n-th allocation from now on, once */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define CAN_REFUSE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_REFUSE 0
#endif
#endif
#ifndef CAN_REFUSE
#define CAN_REFUSE 1
#endif

static atomic_long countdown; /* 0: never */

static atomic_long lost; /* blocks that GLPK cannot but lose */
static pthread_t host;
static atomic_long live; /* blocks allocated and not freed, by anybody */

#if CAN_REFUSE
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void __libc_free(void *memory);

static bool refuse(void) {
  return atomic_load(&countdown) > 0 && atomic_fetch_sub(&countdown, 1) == 1;
}

static void *counted(void *memory) {
  if (memory) atomic_fetch_add(&live, 1);
  return memory;
}

void *malloc(size_t size) { return refuse() ? NULL : counted(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) {
  return refuse() ? NULL : counted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size) {
  if (refuse()) {
    /* GLPK forgets the block before it asks for a larger one: that one is lost. */
    if (memory && !pthread_equal(pthread_self(), host)) atomic_store(&lost, 1);
    return NULL;
  }
  return memory ? __libc_realloc(memory, size) : counted(__libc_realloc(NULL, size));
}

void free(void *memory) {
  if (memory) atomic_fetch_sub(&live, 1);
  __libc_free(memory);
}
#endif

/* ---- models */

static uint64_t mix(uint64_t z) {
  z = (z + UINT64_C(0x9E3779B97F4A7C15)) * UINT64_C(0xBF58476D1CE4E5B9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
  return z ^ (z >> 31);
}

/* Pods of all different sizes on nodes: nothing to merge, the greatest load minimized. */
static Model *placement(int nodes, int pods, uint64_t seed, bool linear) {
  Model *m = model_create();
  if (!m) return NULL;
  GuardedLin *loads = calloc((size_t)nodes, sizeof *loads);
  Lin goal = {0};
  for (int p = 0; loads && p < pods; p++) {
    Var pod = model_choice(m, nodes);
    model_start_choice(m, pod, p % nodes);
    for (int n = 0; n < nodes; n++) {
      double size = 1 + (double)(mix(seed + (uint64_t)p) % 1000) / 100;
      lin_add(&loads[n].lin, pod + n, size);
      if (linear) lin_add(&goal, pod + n, (double)(mix(seed ^ (uint64_t)(p * nodes + n)) % 1000));
    }
  }
  for (int n = 0; loads && n < nodes; n++) {
    loads[n].guard = LIT_TRUE;
    model_require(m, &loads[n].lin, MODEL_LE, 8.0 * pods / nodes + 11, n);
  }
  if (loads && !linear) lin_add(&goal, model_max(m, loads, (size_t)nodes), 1);
  if (!loads) goal.oom = true;
  model_goal(m, 1, false, &goal);
  for (int n = 0; loads && n < nodes; n++) lin_finish(&loads[n].lin);
  free(loads);
  lin_finish(&goal);
  return m;
}

static double seconds(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- the traps */

static void test_numbers(void) {
  Fault fault = {0};
  LpResult result;
  LpOptions options = {0};
  Lp lp = {0};
  CHECK(lp_add_column(&lp, 0, 1, false, NAN));
  CHECK(!lp_solve(&lp, &options, NULL, &result, &fault) && fault.code == FAULT_INVALID);
  lp.cost[0] = 1;
  fault_clear(&fault);
  CHECK(lp_add_row(&lp, (Term[]){{0, 1}, {0, 1}}, 2, 0, 1)); /* fatal in GLPK */
  CHECK(!lp_solve(&lp, &options, NULL, &result, &fault) && fault.code == FAULT_INVALID);
  lp.terms[1].var = 7;
  fault_clear(&fault);
  CHECK(!lp_solve(&lp, &options, NULL, &result, &fault) && fault.code == FAULT_INVALID);
  lp.row_start[1] = 1;
  lp.row_lo[0] = 0.5;
  lp.row_hi[0] = 0.5; /* equal bounds are another type for GLPK */
  fault_clear(&fault);
  CHECK(lp_solve(&lp, &options, NULL, &result, &fault) && result.status == LP_OPTIMAL);
  CHECK(result.x && fabs(result.x[0] - 0.5) < 1e-9);
  lp_result_finish(&result);
  lp.row_lo[0] = 2;
  lp.row_hi[0] = 3;
  CHECK(lp_solve(&lp, &options, NULL, &result, &fault) && result.status == LP_INFEASIBLE);
  lp_result_finish(&result);
  lp_finish(&lp);
  CHECK(lp_solve(&lp, &options, NULL, &result, &fault) && result.status == LP_OPTIMAL); /* empty */
  lp_result_finish(&result);
}

/* A host that uses GLPK on the calling thread keeps its problem and its output. */
static void test_host(void) {
  glp_prob *mine = glp_create_prob();
  glp_term_out(GLP_OFF);
  glp_add_cols(mine, 1);
  glp_set_col_bnds(mine, 1, GLP_DB, 1, 4);
  glp_set_obj_coef(mine, 1, 1);
  Model *m = placement(3, 12, 5, false);
  Answer answer;
  Fault fault = {0};
  CHECK(solver_solve(m, NULL, NULL, &answer, &fault) && answer.status == SOLVE_OPTIMAL);
  CHECK(glp_get_num_cols(mine) == 1 && glp_simplex(mine, NULL) == 0);
  CHECK(glp_get_obj_val(mine) == 1 && glp_term_out(GLP_ON) == GLP_OFF);
  answer_finish(&answer);
  model_destroy(m);
  glp_delete_prob(mine);
  glp_free_env();
}

typedef struct Task {
  uint64_t seed;
  double objective[3];
  bool ok;
} Task;

static void *solve_some(void *info) {
  Task *task = info;
  task->ok = true;
  for (int i = 0; i < 3; i++) {
    Model *m = placement(4, 10, task->seed * 10 + (uint64_t)i, i == 1);
    Answer answer;
    Fault fault = {0};
    task->ok =
        solver_solve(m, NULL, NULL, &answer, &fault) && task->ok && answer.status == SOLVE_OPTIMAL;
    task->objective[i] = answer.objective ? answer.objective[0] : NAN;
    answer_finish(&answer);
    model_destroy(m);
  }
  return NULL;
}

/* Several threads at once find what each finds alone. */
static void test_threads(void) {
  enum { THREADS = 4 };
  Task alone[THREADS], together[THREADS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    alone[i].seed = together[i].seed = (uint64_t)i;
    solve_some(&alone[i]);
  }
  for (int i = 0; i < THREADS; i++) {
    CHECK(pthread_create(&threads[i], NULL, solve_some, &together[i]) == 0);
  }
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    CHECK(alone[i].ok && together[i].ok);
    for (int k = 0; k < 3; k++) {
      CHECK(fabs(alone[i].objective[k] - together[i].objective[k]) < 1e-6);
    }
  }
}

typedef struct Asked {
  double when, cpu_when; /* wall seconds; processor seconds when first asked after that */
} Asked;

static bool ask(void *ctx) {
  Asked *asked = ctx;
  if (seconds(CLOCK_MONOTONIC) < asked->when) return false;
  if (asked->cpu_when == 0) asked->cpu_when = seconds(CLOCK_PROCESS_CPUTIME_ID);
  return true;
}

/* An instrumented build computes several times as long for the same work. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
static const double overrun = 2.0;
#else
static const double overrun = 0.3;
#endif

/* Deadlines and requests, on models from small to hopeless: how much is computed after the time. */
static void test_times(void) {
  static const struct {
    int nodes, pods;
    bool linear;
  } sizes[] = {{12, 40, false},  {100, 100, false}, {300, 300, false},
               {300, 300, true}, {800, 400, false}, {800, 400, true}};
  double worst = 0;
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    Model *m = placement(sizes[i].nodes, sizes[i].pods, i, sizes[i].linear);
    for (int k = 0; k < 6; k++) {
      double limit = (double[]){0.001, 0.05, 0.2, 0.4, 0.8, 1.5}[k];
      Asked asked = {.when = seconds(CLOCK_MONOTONIC) + limit};
      Stop stop = {.asked = ask, .ctx = &asked};
      Answer answer;
      Fault fault = {0};
      bool ok = solver_solve(m, NULL, &stop, &answer, &fault);
      double after = asked.cpu_when > 0 ? seconds(CLOCK_PROCESS_CPUTIME_ID) - asked.cpu_when : 0;
      worst = fmax(worst, after);
      if (after > 0.2) {
        fprintf(stderr, "%dx%d%s, stop after %g s: %.3f s more\n", sizes[i].nodes, sizes[i].pods,
                sizes[i].linear ? " linear" : "", limit, after);
      }
      CHECK(after <= overrun);
      CHECK(ok ? answer.status != SOLVE_INFEASIBLE : fault.code == FAULT_INTERRUPT);
      int tag;
      CHECK(!ok || !answer.values || model_check(m, answer.values, &tag) == -1);
      answer_finish(&answer);
    }
    model_destroy(m);
  }
  printf("traps: at most %.3f s of work after a stop\n", worst);
}

/* One solve and one core with the n-th allocation refused: the right answer or "out of memory",
** nothing else, and nothing left behind. Returns whether an allocation was refused. */
static bool refuse_nth(long n, bool linear) {
  Fault fault = {0};
  Answer answer = {0};
  int *tags = NULL;
  size_t count = 0;
  bool minimal, core = false;
  long before = atomic_load(&live);
  atomic_store(&countdown, n);
  Model *m = linear ? placement(6, 14, 3, true) : placement(3, 8, 3, false);
  bool ok = m && solver_solve(m, NULL, NULL, &answer, &fault);
  FaultCode code = m ? fault.code : FAULT_NOMEM;
  if (ok) { /* a core of a feasible model: INVALID, unless memory is refused */
    fault_clear(&fault);
    core = solver_core(m, NULL, NULL, NULL, &tags, &count, &minimal, &fault);
  }
  long left = atomic_exchange(&countdown, 0);
  CHECK(ok ? answer.status == SOLVE_OPTIMAL : code == FAULT_NOMEM);
  CHECK(!core && (!ok || fault.code == FAULT_INVALID || fault.code == FAULT_NOMEM));
  answer_finish(&answer);
  model_destroy(m);
  CHECK(atomic_load(&live) == before + atomic_exchange(&lost, 0));
  return left == 0;
}

static void test_memory(void) {
  for (int linear = 0; CAN_REFUSE && linear < 2; linear++) {
    long refused = 0, n = 1;
    for (; n < 100000 && refuse_nth(n, linear); n += 1 + n / 80) refused++;
    printf("traps: %ld allocations refused of %ld\n", refused, n);
  }
}

/* With the one that reading the folder takes: the same each time. (A child process could look
** before its parent has closed its own end of their pipe.) */
static int count_entries(const char *path) {
  DIR *folder = opendir(path);
  int count = 0;
  while (folder && readdir(folder)) count++;
  if (folder) closedir(folder);
  return count;
}

static void *nothing(void *ctx) { return ctx; }

int main(void) {
  /* The thread sanitizer starts a thread of its own with the first one: before they are counted. */
  pthread_t first;
  if (pthread_create(&first, NULL, nothing, NULL) == 0) pthread_join(first, NULL);
  const char *fds = "/proc/self/fd", *tasks = "/proc/self/task";
  char name[] = "/tmp/traps-XXXXXX";
  host = pthread_self();
  int nfds = count_entries(fds), ntasks = count_entries(tasks);
  CHECK(nfds > 0 && ntasks > 0);
  fflush(stdout);
  int real = dup(1), captured = mkstemp(name);
  CHECK(real >= 0 && captured >= 0 && dup2(captured, 1) == 1);
  test_numbers();
  test_host();
  test_threads();
  struct stat written;
  CHECK(fstat(captured, &written) == 0 && written.st_size == 0); /* nothing on stdout so far */
  test_times();
  test_memory();
  CHECK(fstat(captured, &written) == 0 && written.st_size == 0);
  dup2(real, 1); /* what the tests printed is still in the buffer */
  close(real);
  close(captured);
  unlink(name);
  /* A joined thread may still be listed for a moment: the kernel wakes the joiner first. */
  for (int i = 0; i < 100 && (count_entries(tasks) != ntasks || count_entries(fds) != nfds); i++) {
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  CHECK(count_entries(tasks) == ntasks);
  CHECK(count_entries(fds) == nfds);
  printf("traps: %d checks, %d failed\n", checks, failures);
  return failures != 0;
}
