/*
** Presolve, second half: interchangeable choices into groups.
**
** Fifty identical pods on a thousand nodes are not 50,000 unknowns but 1,000 counts, without the
** 50! symmetric copies of every answer that branch and bound would wade through. Choices are
** alike when whatever is left reads their values alike: by themselves, or in the same tallies, or
** in tallies that are read alike.
*/
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "solver/presolve.h"

typedef struct Hash2 {
  uint64_t a, b; /* 128 bits: a collision would merge choices that differ */
} Hash2;

typedef struct Columns {
  const Presolve *p;
  Hash2 *hash;         /* per variable: who reads it, whatever the order; memory of others is not
                       ** touched */
  uint8_t *read;       /* per choice: some value is read by itself */
  uint8_t *tally_read; /* per tally: some value is */
  int32_t *tallies;    /* that are read, of choice i: tallies[start[i]..start[i + 1]) */
  size_t *start;
} Columns;

/* ---- who reads it */

static void touch(Columns *columns, Var var, uint64_t container, double coef) {
  const VarInfo *info = &columns->p->model->vars[var];
  uint64_t bits;
  memcpy(&bits, &coef, sizeof bits);
  uint64_t h = presolve_mix(container ^ presolve_mix(bits + UINT64_C(0x9E3779B97F4A7C15)));
  columns->hash[var].a += h;
  columns->hash[var].b += presolve_mix(h ^ UINT64_C(0xD6E8FEB86659FD93));
  if (info->kind == VAR_VALUE) columns->read[info->owner] = 1;
  if (info->kind == VAR_TALLY) columns->tally_read[info->owner] = 1;
}

static void touch_span(Columns *columns, const Term *terms, size_t count, uint64_t container) {
  uint64_t mixed = presolve_mix(container);
  for (size_t i = 0; i < count; i++) touch(columns, terms[i].var, mixed, terms[i].coef);
}

static void touch_lit(Columns *columns, Lit lit, uint64_t container) {
  touch(columns, lit_var(lit), presolve_mix(container), lit & 1);
}

/* Containers are numbered: each requirement, clique, definition, item, guard and goal is one. */
static void touch_all(Columns *columns) {
  const Presolve *p = columns->p;
  const Model *model = p->model;
  uint64_t id = 1;
  for (size_t i = 0; i < model->nreqs; i++, id++) {
    const Requirement *req = &model->reqs[i];
    if (!p->dropped[i]) touch_span(columns, model->terms + req->span.start, req->span.count, id);
  }
  for (size_t i = 0; i < p->nspans; i++, id++) {
    touch_span(columns, p->cliques + p->clique_spans[i].start, p->clique_spans[i].count, id);
  }
  for (size_t i = 0; i < model->ndefs; i++, id += 2) {
    const Definition *def = &model->defs[i];
    if (!p->live[i]) continue;
    touch_span(columns, model->terms + def->span.start, def->span.count, id);
    if (def->kind == DEF_PRODUCT) touch_lit(columns, def->lit, id + 1);
    for (uint32_t k = 0; k < def->nitems; k++, id += 2) {
      const Item *item = &model->items[def->first_item + k];
      touch_span(columns, model->terms + item->span.start, item->span.count, id + 2);
      touch_lit(columns, item->guard, id + 3);
    }
  }
  for (size_t i = 0; i < model->ngoals; i++, id++) {
    touch_span(columns, model->goals[i].lin.terms, model->goals[i].lin.count, id);
  }
}

/* Tallies by choice: counting sort, in which start[i + 1] serves as the place to write. */
static bool list_tallies(Columns *columns) {
  const Model *model = columns->p->model;
  columns->tallies = malloc((model->nmembers + 1) * sizeof *columns->tallies);
  columns->start = calloc(model->nchoices + 2, sizeof *columns->start);
  if (!columns->tallies || !columns->start) return false;
  for (int pass = 0; pass < 2; pass++) {
    for (size_t t = 0; t < model->ntallies; t++) {
      const int32_t *members = tally_members(model, &model->tallies[t]);
      for (int32_t m = 0; m < model->tallies[t].size && columns->tally_read[t]; m++) {
        size_t *at = &columns->start[members[m] + (pass ? 1 : 2)];
        if (pass) columns->tallies[*at] = (int32_t)t;
        ++*at;
      }
    }
    for (size_t i = 2; i < model->nchoices + 2 && !pass; i++) {
      columns->start[i] += columns->start[i - 1];
    }
  }
  return true;
}

/* ---- who is alike */

/* What identifies a choice: its values' columns in order; a fixed value's column does not matter.
 */
static Hash2 choice_hash(const Columns *columns, size_t index) {
  const Presolve *p = columns->p;
  const Choice *choice = &p->model->choices[index];
  Hash2 h = {presolve_mix((uint64_t)choice->count), 1};
  for (int32_t v = 0; v < choice->count; v++) {
    Hash2 own = {0, 0};
    if (columns->read[index]) own = columns->hash[choice->first + v];
    for (size_t i = columns->start[index]; i < columns->start[index + 1]; i++) {
      Hash2 of = columns->hash[p->model->tallies[columns->tallies[i]].first + v];
      own.a += of.a;
      own.b += of.b;
    }
    if (p->at.mark[choice->first + v] == MARK_OUT) own = (Hash2){3, 5};
    if (p->at.mark[choice->first + v] == MARK_SURE) own = (Hash2){7, 11};
    h.a = presolve_mix(h.a ^ own.a) + own.b;
    h.b = presolve_mix(h.b + own.b) ^ own.a;
  }
  return h;
}

/* Choices of the same tallies with the same values left, and not read by themselves, are alike
** without any looking at their columns. */
static bool add_plain_key(const Columns *columns, size_t index, Text *key) {
  const Presolve *p = columns->p;
  const Choice *choice = &p->model->choices[index];
  size_t from = columns->start[index], n = columns->start[index + 1] - from;
  text_clear(key);
  text_addn(key, (const char *)&n, sizeof n);
  text_addn(key, (const char *)(columns->tallies + from), n * sizeof *columns->tallies);
  text_addn(key, (const char *)p->at.mark + choice->first, (size_t)choice->count);
  return !key->oom;
}

static bool find_leaders(Columns *columns, Presolve *p) {
  Map plain = {0}, hashed = {0};
  Text key = {0};
  bool ok = true;
  for (size_t i = 0; ok && i < p->model->nchoices; i++) {
    int64_t *at = NULL;
    bool added = true;
    if (!columns->read[i]) {
      ok = add_plain_key(columns, i, &key) &&
           (at = map_put(&plain, key.data, key.length, (int64_t)i, &added));
      if (ok && !added) p->leader[i] = p->leader[*at];
    }
    if (!ok || !added) continue;
    Hash2 hash = choice_hash(columns, i);
    ok = (at = map_put(&hashed, &hash, sizeof hash, (int64_t)i, NULL)) != NULL;
    if (ok) p->leader[i] = (int32_t)*at;
  }
  map_finish(&plain);
  map_finish(&hashed);
  text_finish(&key);
  return ok;
}

/* ---- tallies of groups */

static int by_leader(const void *a, const void *b) {
  const Share *x = a, *y = b;
  return (x->leader > y->leader) - (x->leader < y->leader);
}

static bool find_shares(Presolve *p) {
  const Model *model = p->model;
  p->shares = malloc((model->nmembers + 1) * sizeof *p->shares);
  p->share_start = malloc((model->ntallies + 1) * sizeof *p->share_start);
  if (!p->shares || !p->share_start) return false;
  size_t n = 0;
  for (size_t t = 0; t < model->ntallies; t++) {
    const Tally *tally = &model->tallies[t];
    const int32_t *members = tally_members(model, tally);
    Share *shares = p->shares + n;
    p->share_start[t] = n;
    for (int32_t m = 0; m < tally->size; m++) {
      int32_t leader = p->leader[members[m]];
      shares[m] = (Share){leader, 1, leader == members[m]};
    }
    qsort(shares, (size_t)tally->size, sizeof *shares, by_leader);
    size_t kept = 0;
    for (int32_t m = 1; m < tally->size; m++) {
      if (shares[m].leader == shares[kept].leader) {
        shares[kept].count++;
        shares[kept].leads |= shares[m].leads;
      } else {
        shares[++kept] = shares[m];
      }
    }
    n += kept + 1;
  }
  p->share_start[model->ntallies] = n;
  return true;
}

bool presolve_groups(Presolve *p, Fault *fault) {
  const Model *model = p->model;
  Columns columns = {.p = p};
  columns.hash = calloc(model->nvars, sizeof *columns.hash);
  columns.read = calloc(model->nchoices + 1, 1);
  columns.tally_read = calloc(model->ntallies + 1, 1);
  bool ok = columns.hash && columns.read && columns.tally_read;
  if (ok) touch_all(&columns);
  ok = ok && list_tallies(&columns) && find_leaders(&columns, p) && find_shares(p);
  free(columns.hash);
  free(columns.read);
  free(columns.tally_read);
  free(columns.tallies);
  free(columns.start);
  return ok || fault_oom(fault);
}
