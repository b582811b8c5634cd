/*
** Small models whose sums are rounded: see settle.h.
**
** A linear program has a tolerance, and so has every conclusion from it; plain SQLite has none.
** What is optimal by a hair, or feasible only because 0.1 + 0.2 is more than 0.3, is found by
** going through the assignments one by one. An assignment is evaluated in the model's arithmetic.
** Where a comparison ends within its noise, that says nothing, and the judge is asked.
*/
#include "solver/settle.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/presolve.h"

static const double usual_steps = 3e7;
enum { POLL = 256 };

/* A primary that is open: the values from..from+count of a choice or of an integer. */
typedef struct Digit {
  Var first;
  const Choice *choice; /* NULL: an integer */
  int32_t *left;        /* of a choice: the indexes of values that are left */
  double from, start;   /* of an integer */
  int32_t count, at;
} Digit;

typedef struct Settle {
  const Model *model;
  const SolveOptions *options;
  const uint8_t *skip;
  Stop *stop;
  Fault *fault;
  Digit *digits;
  size_t ndigits;
  int32_t *lefts; /* the pool of digits[].left */
  double *values, *best;
  double *levels, *best_levels, *noise,
      *best_noise;   /* of the levels: numbers, what rounding makes */
  double *noises;    /* of the definitions at hand */
  uint8_t *doubtful; /* per variable: hangs on a comparison within its noise */
  int best_moves;    /* primaries that leave their present value */
  bool have;
} Settle;

/* ---- what is open --------------------------------------------------------------------------- */

static bool settle_alloc(Settle *s) {
  const Model *model = s->model;
  size_t nvars = model->nvars, nlevels = model->ngoals + 1;
  s->digits = calloc(nvars + 1, sizeof *s->digits);
  s->lefts = malloc((nvars + 1) * sizeof *s->lefts);
  s->values = calloc(nvars + 1, sizeof *s->values);
  s->best = calloc(nvars + 1, sizeof *s->best);
  s->levels = calloc(nlevels, sizeof *s->levels);
  s->best_levels = calloc(nlevels, sizeof *s->best_levels);
  s->noise = calloc(nlevels, sizeof *s->noise);
  s->best_noise = calloc(nlevels, sizeof *s->best_noise);
  s->noises = calloc(model->ndefs + 1, sizeof *s->noises);
  s->doubtful = calloc(nvars + 1, sizeof *s->doubtful);
  return (s->digits && s->lefts && s->values && s->best && s->levels && s->best_levels &&
          s->noise && s->best_noise && s->noises && s->doubtful) ||
         fault_oom(s->fault);
}

static void settle_finish(Settle *s) {
  free(s->digits);
  free(s->lefts);
  free(s->values);
  free(s->best);
  free(s->levels);
  free(s->best_levels);
  free(s->noise);
  free(s->best_noise);
  free(s->noises);
  free(s->doubtful);
}

/* A digit for every choice and number, with the values that presolve leaves. False: too many
** assignments, or a REAL. */
static bool list_digits(Settle *s, const Presolve *p, double most) {
  const Model *model = s->model;
  double count = 1;
  size_t nlefts = 0;
  for (size_t i = 0; i < model->nchoices; i++) {
    const Choice *choice = &model->choices[i];
    Digit digit = {.first = choice->first, .choice = choice, .left = s->lefts + nlefts};
    for (int32_t v = 0; v < choice->count; v++) {
      if (p->at.mark[choice->first + v] != MARK_OUT) digit.left[digit.count++] = v;
    }
    nlefts += (size_t)digit.count;
    s->digits[s->ndigits++] = digit;
    count *= digit.count;
    if (count > most) return false;
  }
  for (size_t n = 0; n < model->nnumbers; n++) {
    Var var = model->numbers[n];
    double lo = p->at.lo[var], hi = p->at.hi[var];
    if (lo != hi && model->vars[var].kind == VAR_REAL) return false;
    count *= hi - lo + 1;
    if (count > most) return false;
    s->digits[s->ndigits++] =
        (Digit){.first = var, .from = lo, .start = NAN, .count = (int32_t)(hi - lo) + 1};
    for (size_t k = 0; k < model->nstarts; k++) {
      if (model->starts[k].var == var) s->digits[s->ndigits - 1].start = model->starts[k].value;
    }
  }
  return true;
}

/* ---- one assignment ------------------------------------------------------------------------- */

static int32_t digit_index(const Digit *digit) { return digit->left[digit->at]; }

static void write_digit(Settle *s, const Digit *digit, double chosen) {
  if (digit->choice) {
    s->values[digit->first + digit_index(digit)] = chosen;
  } else {
    s->values[digit->first] = digit->from + digit->at;
  }
}

/* The next assignment; false after the last. */
static bool advance(Settle *s) {
  for (size_t i = 0; i < s->ndigits; i++) {
    Digit *digit = &s->digits[i];
    write_digit(s, digit, 0);
    digit->at = digit->at + 1 < digit->count ? digit->at + 1 : 0;
    write_digit(s, digit, 1);
    if (digit->at > 0) return true;
  }
  return false;
}

static int count_moves(const Settle *s) {
  int moves = 0;
  for (size_t i = 0; i < s->ndigits; i++) {
    const Digit *digit = &s->digits[i];
    if (digit->choice) {
      moves += digit->choice->start >= 0 && digit->choice->start != digit_index(digit);
    } else {
      moves += !isnan(digit->start) && digit->start != digit->from + digit->at;
    }
  }
  return moves;
}

static bool reads_doubtful(const Settle *s, Span span) {
  for (size_t i = 0; i < span.count; i++) {
    if (s->doubtful[s->model->terms[span.start + i].var]) return true;
  }
  return false;
}

static bool def_doubtful(const Settle *s, const Definition *def) {
  const Model *model = s->model;
  if (reads_doubtful(s, def->span)) return true;
  if (def->kind == DEF_LE && def->noise > 0) {
    double sum = terms_value(model->terms + def->span.start, def->span.count, s->values);
    return fabs(sum - def->bound) <= def->noise;
  }
  if (def->kind == DEF_PRODUCT && s->doubtful[lit_var(def->lit)]) return true;
  for (uint32_t i = 0; i < def->nitems; i++) {
    const Item *item = &model->items[def->first_item + i];
    if (s->doubtful[lit_var(item->guard)] || reads_doubtful(s, item->span)) return true;
  }
  return false;
}

/* Marks what hangs on comparisons within their noise. */
static void find_doubts(Settle *s) {
  for (size_t i = 0; i < s->model->ndefs; i++) {
    const Definition *def = &s->model->defs[i];
    s->doubtful[def->var] = def_doubtful(s, def);
  }
}

/* 1: holds, 0: is broken, -1: in doubt. */
static int requirement_state(const Settle *s, const Requirement *req) {
  if (reads_doubtful(s, req->span)) return -1;
  const Term *terms = s->model->terms + req->span.start;
  double value = terms_value(terms, req->span.count, s->values), over = value - req->bound;
  if (req->sense == MODEL_EQ) {
    if (fabs(over) > req->slack) return 0;
    return req->slack == 0 ? 1 : -1;
  }
  if (req->sense == MODEL_GE) over = -over;
  if (over > req->slack) return 0;
  return req->slack == 0 || over < -req->slack ? 1 : -1;
}

static int requirements_state(const Settle *s) {
  int state = 1;
  for (size_t i = 0; i < s->model->nreqs; i++) {
    const Requirement *req = &s->model->reqs[i];
    if (s->skip && s->skip[req->tag]) continue;
    int own = requirement_state(s, req);
    if (own == 0) return 0;
    if (own < 0) state = -1;
  }
  return state;
}

/* The numbers of the levels; those before *out_sure are not in doubt. */
static void compute_levels(const Settle *s, size_t *out_sure) {
  const Model *model = s->model;
  bool sure = true;
  *out_sure = 0;
  model_noises(model, s->values, s->noises);
  for (size_t l = 0; l < model->ngoals; l++) {
    const Lin *lin = &model->goals[l].lin;
    s->levels[l] = model_lin_value(lin, s->values);
    s->noise[l] = model_noise_at(model, l, s->values, s->noises);
    for (size_t i = 0; sure && i < lin->count; i++) sure = !s->doubtful[lin->terms[i].var];
    if (sure) *out_sure = l + 1;
  }
}

/* The first `count` levels against the best: -1, 0, 1. What rounding explains is no difference. */
static int compare_levels(const Settle *s, size_t count) {
  for (size_t l = 0; l < count; l++) {
    double difference = s->levels[l] - s->best_levels[l];
    if (fabs(difference) > s->noise[l] + s->best_noise[l]) return difference < 0 ? -1 : 1;
  }
  return 0;
}

static void keep(Settle *s, int moves) {
  memcpy(s->best, s->values, s->model->nvars * sizeof *s->best);
  memcpy(s->best_levels, s->levels, s->model->ngoals * sizeof *s->levels);
  memcpy(s->best_noise, s->noise, s->model->ngoals * sizeof *s->noise);
  s->best_moves = moves;
  s->have = true;
}

/* Keep the assignment at hand when it holds and is better, or as good and nearer to the present. */
static bool look_at(Settle *s) {
  size_t nlevels = s->options->first_answer ? 0 : s->model->ngoals, sure;
  bool holds = true;
  model_evaluate(s->model, s->values);
  find_doubts(s);
  int state = requirements_state(s), moves = count_moves(s);
  if (state == 0) return true;
  compute_levels(s, &sure);
  if (sure > nlevels) sure = nlevels;
  int order = s->have ? compare_levels(s, sure) : 1;
  if (order < 0 || (order == 0 && sure == nlevels && moves >= s->best_moves)) return true;
  if (state < 0 || sure < nlevels) {
    const Judge *judge = s->options->judge;
    if (!judge->ask(judge->ctx, s->values, s->skip, &holds, s->levels, s->fault)) return false;
    if (!holds) return true;
    order = s->have ? compare_levels(s, nlevels) : 1;
  }
  if (order > 0 || (order == 0 && moves < s->best_moves)) keep(s, moves);
  return true;
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* *out_all: none was left out. */
static bool look_at_all(Settle *s, bool *out_all) {
  s->values[VAR_ONE] = 1;
  for (size_t i = 0; i < s->ndigits; i++) {
    if (s->digits[i].count == 0) return true;
    write_digit(s, &s->digits[i], 1);
  }
  int64_t looked = 0;
  *out_all = false;
  do {
    if (looked++ % POLL == 0 && stop_now(s->stop)) return true;
    if (!look_at(s)) return false;
    if (s->options->first_answer && s->have) break;
  } while (advance(s));
  *out_all = true;
  return true;
}

static double steps_of_one(const Model *model) {
  double steps = (double)(model->nterms + model->nvars + model->nreqs + 2 * model->nitems);
  for (size_t t = 0; t < model->ntallies; t++) {
    steps += (double)model->tallies[t].size * model->tallies[t].count;
  }
  return steps;
}

static void report(Settle *s, Answer *answer) {
  answer->status = s->have ? SOLVE_OPTIMAL : SOLVE_INFEASIBLE;
  if (!s->have) return;
  model_evaluate(s->model, s->best);
  answer->values = s->best;
  s->best = NULL;
  for (size_t l = 0; l < answer->nlevels; l++) {
    answer->objective[l] = answer->bound[l] = s->best_levels[l];
    answer->noise[l] = s->best_noise[l];
  }
}

bool settle(const Model *model, const SolveOptions *options, const uint8_t *skip, Stop *stop,
            Answer *answer, bool *out_done, Fault *fault) {
  Settle s = {.model = model, .options = options, .skip = skip, .stop = stop, .fault = fault};
  Presolve p;
  int64_t since = clock_now();
  double steps = options->settle > 0 ? options->settle : usual_steps;
  *out_done = false;
  if (options->settle < 0 || !presolve_init(&p, model, skip, fault)) return options->settle < 0;
  presolve_bounds(&p, options->assume, options->nassume);
  bool ok = settle_alloc(&s), all = p.infeasible;
  if (ok && !all && list_digits(&s, &p, steps / steps_of_one(model))) {
    ok = look_at_all(&s, &all);
  }
  if (ok && all) {
    report(&s, answer);
    answer->phases[answer->nphases++] = (SolvePhase){"settle", (double)(clock_now() - since) / 1e9};
    *out_done = true;
  }
  settle_finish(&s);
  presolve_finish(&p);
  return ok;
}
