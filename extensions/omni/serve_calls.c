/*
** Calls for the host: the functions that are asked for, probed while the recording is played.
*/
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/ask.h"
#include "extensions/omni/epoch.h"
#include "extensions/omni/serve.h"
#include "extensions/omni/sites.h"
#include "replay/play.h"
#include "replay/row_packer.h"

/* ---- the question ---------------------------------------------------------------------------- */

static bool read_ask(Wire *wire, Ask *ask, Fault *fault) {
  *ask = (Ask){.dir = wire_get_text(wire)};
  const uint32_t nnames = wire_get_u32(wire);
  for (uint32_t i = 0; i < nnames && i < ASK_NAMES; i++) {
    ask->names[i].is_pattern = wire_get_u32(wire) != 0;
    ask->names[i].text = wire_get_text(wire);
  }
  ask->nnames = (int)nnames;
  ask->module = wire_get_text(wire);
  ask->columns = wire_get_u64(wire);
  ask->returns = wire_get_u32(wire) != 0;
  ask->limit = wire_get_u64(wire);
  ask->first = wire_get_u64(wire);
  ask->last = wire_get_u64(wire);
  ask->near = wire_get_u64(wire);
  ask->beside = wire_get_u32(wire) != 0;
  const uint32_t ntests = wire_get_u32(wire);
  for (uint32_t i = 0; i < ntests && i < ASK_TESTS; i++) {
    ask->tests[i].column = (RowColumn)wire_get_u32(wire);
    ask->tests[i].low = (int64_t)wire_get_u64(wire);
    ask->tests[i].high = (int64_t)wire_get_u64(wire);
  }
  ask->ntests = (int)ntests;
  if (!wire_end(wire, fault)) return false;
  if (nnames == 0 || nnames > ASK_NAMES || ntests > ASK_TESTS || ask->columns >> ROW_COLUMNS) {
    return fault_set(fault, FAULT_INTERNAL, "a question about %u functions with %u tests", nnames,
                     ntests);
  }
  return true;
}

/* An interval is one test or two. False: more than there is room for, which the host then does. */
static void add_tests(const Ask *ask, ProbeSpec *spec) {
  for (int i = 0; i < ask->ntests; i++) {
    const AskTest *test = &ask->tests[i];
    ProbeTest one = {.column = test->column, .nvalues = 1};
    if (test->low == test->high) {
      one.op = PROBE_EQ;
      one.values[0] = test->low;
      spec->tests[spec->ntests++] = one;
      continue;
    }
    if (test->low != INT64_MIN) {
      one.op = PROBE_GE;
      one.values[0] = test->low;
      spec->tests[spec->ntests++] = one;
    }
    if (test->high != INT64_MAX) {
      one.op = PROBE_LE;
      one.values[0] = test->high;
      spec->tests[spec->ntests++] = one;
    }
  }
}

/* ---- the answer ------------------------------------------------------------------------------ */

static bool send_sites(Service *service, const Sites *sites, Fault *fault) {
  enum { AT_ONCE = 8 }; /* names and paths are shorter than 4 KiB each */
  for (size_t i = 0; i < sites->count; i += AT_ONCE) {
    const size_t n = sites->count - i < AT_ONCE ? sites->count - i : AT_ONCE;
    wire_begin(&service->wire, WIRE_ROWS);
    wire_put_u32(&service->wire, (uint32_t)n);
    for (size_t k = i; k < i + n; k++) {
      const Site *site = &sites->list[k];
      const uint64_t base = site->module->base;
      wire_put_text(&service->wire, site->name);
      wire_put_text(&service->wire, site->module->path);
      wire_put_u64(&service->wire, site->module->is_varied ? 0 : base + site->offset);
      wire_put_u64(&service->wire, (uint64_t)site->module->file << 40 ^ site->offset);
    }
    if (!wire_send(WIRE_SOCKET, &service->wire, -1, fault)) return false;
  }
  return true;
}

/* What has come of the probes. */
typedef struct Outcome {
  ProbeCounts counts;
  PlayEnd end;
  uint64_t half; /* where half of the time was over */
} Outcome;

static RowState state_of(const Outcome *outcome) {
  return outcome->end.kind == PLAY_LIMIT ? ROWS_LIMITED : ROWS_COMPLETE;
}

static bool probe(Player *player, const Ask *ask, const Sites *sites, const RowTaker *taker, int fd,
                  Outcome *out, Fault *fault) {
  ProbeSpec spec = {.columns = ask->columns,
                    .returns = ask->returns,
                    .limit = ask->limit,
                    .taker = taker,
                    .functions = sites->functions,
                    .nfunctions = sites->count};
  int set = 0;
  add_tests(ask, &spec);
  if (!player_probe(player, &spec, fd, NULL, 0, &set, fault) ||
      !player_run(player, ask->last, &out->end, fault) ||
      !player_rows(player, set, state_of(out), &out->counts, fault)) {
    return false;
  }
  if (!out->counts.refused) return true;
  return fault_set(fault, FAULT_UNSUPPORTED, "%llu of %zu functions cannot be probed",
                   (unsigned long long)out->counts.refused, sites->count);
}

/* With a limit there are few rows: they are packed when all are there. */
static bool pack_few(RowPacker *packer, int fd, RowState state, Fault *fault) {
  Rows rows;
  uint64_t count;
  RowState now;
  if (!rows_open(fd, &rows, fault)) return false;
  const bool ok = rows_count(&rows, &count, &now, fault) &&
                  row_packer_end(packer, rows_at(&rows, 0), count, state, fault);
  rows_close(&rows);
  return ok;
}

static bool probe_few(Player *player, const Ask *ask, const Sites *sites, RowPacker *packer,
                      Outcome *out, Fault *fault) {
  const int fd = memfd_create("omni rows", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  const bool ok =
      probe(player, ask, sites, NULL, fd, out, fault) && pack_few(packer, fd, state_of(out), fault);
  close(fd);
  return ok;
}

static bool probe_all(Player *player, const Ask *ask, const Sites *sites, RowPacker *packer,
                      Outcome *out, Fault *fault) {
  return probe(player, ask, sites, row_packer_taker(packer), row_packer_ring(packer), out, fault) &&
         row_packer_end(packer, NULL, 0, state_of(out), fault);
}

/* All of it, by a player that comes and goes. */
static bool play(Service *service, const Ask *ask, const Sites *sites, RowPacker *packer,
                 Outcome *out, Fault *fault) {
  const PlayOptions options = {.hashes = true, .stop = &service->stop, .beside = ask->beside};
  Player *player = NULL;
  played_stop(&service->played);
  const bool ok = player_open(service->played.recording, &options, &player, fault) &&
                  (ask->limit ? probe_few : probe_all)(player, ask, sites, packer, out, fault);
  if (ok) out->half = player_half(player, EPOCH_LEAST_NS, ask->near);
  player_close(player);
  return ok;
}

/* From a state on, which is kept for the next time. */
static bool play_on(Service *service, const Ask *ask, const Sites *sites, RowPacker *packer,
                    Outcome *out, Fault *fault) {
  Played *played = &service->played;
  Fault ignored = {0};
  if (!played_after(played, &service->stop, ask->first, fault)) return false;
  player_keeps(played->player,
               false); /* nobody goes back to them, and each costs the half its time */
  const bool ok =
      (ask->limit ? probe_few : probe_all)(played->player, ask, sites, packer, out, fault);
  player_keeps(played->player, true);
  if (!player_rewind(played->player, ask->first, &ignored)) played_stop(played);
  return ok;
}

static bool make_rows(Service *service, const Ask *ask, const Sites *sites, int fd, Outcome *out,
                      Fault *fault) {
  const RowLayout layout = row_layout(ask->columns, ask->returns);
  RowPacker *packer;
  if (!row_packer_create(fd, &layout, service->processors, &packer, fault)) return false;
  const bool ok = (ask->first ? play_on : play)(service, ask, sites, packer, out, fault);
  row_packer_free(packer);
  return ok;
}

static bool send_done(Service *service, const Outcome *outcome, Fault *fault) {
  wire_begin(&service->wire, WIRE_DONE);
  wire_put_u64(&service->wire, outcome->counts.native);
  wire_put_u64(&service->wire, outcome->counts.int3);
  wire_put_u64(&service->wire, outcome->end.ev);
  wire_put_u64(&service->wire, outcome->half);
  return wire_send(WIRE_SOCKET, &service->wire, -1, fault);
}

/* Keeps the state in the middle, for questions to come, and reads what is known of the code. */
static bool prepare(Service *service, uint64_t last, Fault *fault) {
  Played *played = &service->played;
  const Outcome nothing = {0};
  uint64_t middle;
  if (!epoch_middle(played->recording, last, &middle, fault)) return false;
  wire_begin(&service->wire, WIRE_NEWS);
  wire_put_u64(&service->wire, middle);
  return wire_send(WIRE_SOCKET, &service->wire, -1, fault) &&
         (!middle ||
          (played_code(played, fault) && played_after(played, &service->stop, middle, fault))) &&
         send_done(service, &nothing, fault);
}

static bool answer(Service *service, Ask *ask, int fd, Fault *fault) {
  Played *played = &service->played;
  Sites sites = {0};
  Outcome outcome = {0};
  if (!played_open(played, ask->dir, fault)) return false;
  if (ask->first == ASK_MIDDLE) return prepare(service, ask->last, fault);
  bool ok = played_code(played, fault) && sites_find(ask, &played->code, &sites, fault);
  if (ok && sites.count) {
    ok = make_rows(service, ask, &sites, fd, &outcome, fault) && send_sites(service, &sites, fault);
  }
  sites_finish(&sites);
  return ok && send_done(service, &outcome, fault);
}

/* The texts of the question are in the message, which the answer takes the place of. */
static bool answer_copied(Service *service, int fd, Fault *fault) {
  Wire *question = malloc(sizeof *question);
  Ask *ask = malloc(sizeof *ask);
  bool ok = question && ask;
  if (ok) {
    *question = service->wire;
    ok = read_ask(question, ask, fault) && answer(service, ask, fd, fault);
  }
  free(question);
  free(ask);
  return ok || fault_oom(fault);
}

bool serve_calls(Service *service, Fault *fault) {
  const int fd = service->wire.fd - 1;
  service->wire.fd = 0;
  if (fd < 0) return fault_set(fault, FAULT_INTERNAL, "a question about calls without a file");
  bool ok = answer_copied(service, fd, fault);
  close(fd);
  return ok;
}
