/*
** Stacks of calls, folded to a line each, for the host.
*/
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/folded.h"
#include "extensions/omni/probing.h"
#include "extensions/omni/sites.h"

enum { FOLDED_MOST = 200000, FRAMES = 1000 };

/* The names of the functions, out of what the host asks of the column. */
static void ask_of(const ServeTerms *terms, Ask *out) {
  *out = (Ask){.module = ""};
  for (int i = 0; i < terms->count; i++) {
    if (terms->list[i].col == FOLDED_FUNC && !out->nnames) {
      out->names[out->nnames++] = (AskName){terms->list[i].text, terms->list[i].is_pattern};
    }
    if (terms->list[i].col == FOLDED_MODULE && terms->list[i].is_pattern) {
      out->module = terms->list[i].text;
    }
  }
}

/* The moments of the calls, in their order, which is that of the rows. */
static bool list_moments(const Sites *sites, const Probing *probing, Moment **out, Fault *fault) {
  if (probing->count > FOLDED_MOST) {
    return fault_set(fault, FAULT_LIMIT, "%llu calls, the limit is %d stacks; say ev < N",
                     (unsigned long long)probing->count, FOLDED_MOST);
  }
  Moment *list = calloc(probing->count + 1, sizeof *list);
  *out = list;
  if (!list) return fault_oom(fault);
  for (uint64_t i = 0; i < probing->count; i++) {
    const uint64_t *row = rows_at(&probing->rows, i);
    const Site *site = &sites->list[row_site(row[0])];
    if (site->module->is_varied) {
      return fault_set(fault, FAULT_UNSUPPORTED,
                       "%s is at different addresses in several processes", site->module->path);
    }
    list[i] = (Moment){.ev = probing_word(probing, row, ROW_EV),
                       .tid = (int32_t)probing_word(probing, row, ROW_TID),
                       .addr = site->module->base + site->offset,
                       .hit = probing_word(probing, row, ROW_HIT)};
  }
  return true;
}

typedef struct Folding {
  Service *service;
  PlayedFrames frames;
  uint64_t *at;
  size_t capacity;
  Text text;
} Folding;

static bool fold(Folding *folding, const PlayView *view, Fault *fault) {
  Played *played = &folding->service->played;
  if (!played_frames(played, view, FRAMES, &folding->frames, fault)) return false;
  const size_t count = folding->frames.count;
  if (!array_grow(folding->at, folding->capacity, count)) return fault_oom(fault);
  for (size_t i = 0; i < count; i++) folding->at[i] = folding->frames.list[i].at;
  text_clear(&folding->text);
  stacks_fold(played->stacks, folding->at, count, &folding->text);
  return !folding->text.oom || fault_oom(fault);
}

static bool put(Folding *folding, const Sites *sites, const Moment *moment, uint64_t site,
                uint64_t seq, CellWriter *out, Fault *fault) {
  PlayView view;
  if (!player_view(folding->service->played.player, moment->tid, &view, fault) ||
      !fold(folding, &view, fault)) {
    return false;
  }
  cell_integer(out, (int64_t)seq + 1);
  cell_text(out, sites->list[site].name);
  cell_text(out, sites->list[site].module->path);
  cell_integer(out, (int64_t)moment->ev);
  cell_integer(out, moment->tid);
  cell_text(out, text_get(&folding->text));
  probing_moment(out, sites->list[site].module, sites->list[site].offset, moment->ev,
                 (uint64_t)moment->tid, moment->hit);
  cells_row(out);
  return true;
}

/* To the end of the last interval, so that no row is of one that goes wrong. */
static bool stop_at(Service *service, const Sites *sites, const Probing *probing,
                    const Moment *moments, CellWriter *out, Fault *fault) {
  const PlayOptions options = {.hashes = true, .stop = &service->stop};
  Played *played = &service->played;
  Folding folding = {.service = service};
  PlayEnd end;
  bool ok = player_open(played->recording, &options, &played->player, fault) &&
            player_moments(played->player, moments, probing->count, fault);
  for (uint64_t i = 0; ok && i < probing->count; i++) {
    ok = player_run(played->player, UINT64_MAX, &end, fault);
    if (!ok) break;
    if (end.kind != PLAY_MOMENT) {
      ok = fault_set(fault, FAULT_CORRUPT, "played again, there are fewer calls");
      break;
    }
    const uint64_t *row = rows_at(&probing->rows, end.moment);
    ok = put(&folding, sites, &moments[end.moment], row_site(row[0]), end.moment, out, fault);
  }
  ok = ok && player_run(played->player, moments[probing->count - 1].ev + 1, &end, fault);
  played_stop(played);
  free(folding.frames.list);
  free(folding.at);
  text_finish(&folding.text);
  return ok;
}

bool serve_folded(Service *service, CellWriter *out, Fault *fault) {
  Played *played = &service->played;
  ServeTerms terms;
  Sites sites = {0};
  Probing probing = {0};
  Moment *moments = NULL;
  const char *dir = wire_get_text(&service->wire);
  serve_get_terms(&service->wire, &terms);
  const uint64_t last = wire_get_u64(&service->wire);
  Ask *ask = calloc(1, sizeof *ask);
  if (!ask) return fault_oom(fault);
  ask_of(&terms, ask);
  bool ok = wire_end(&service->wire, fault) && played_open(played, dir, fault) &&
            played_code(played, fault) && sites_find(ask, &played->code, &sites, fault);
  if (ok && sites.count) {
    ProbeSpec spec = {.columns = 1u << ROW_EV | 1u << ROW_TID | 1u << ROW_HIT,
                      .functions = sites.functions,
                      .nfunctions = sites.count};
    ok = probing_run(service, &spec, last, &probing, fault) &&
         list_moments(&sites, &probing, &moments, fault) &&
         (!probing.count || stop_at(service, &sites, &probing, moments, out, fault));
  }
  free(moments);
  free(ask);
  probing_finish(&probing);
  sites_finish(&sites);
  return ok;
}
