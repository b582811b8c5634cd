/*
** A replay with probes whose rows the helper reads itself: see probing.h.
*/
#define _GNU_SOURCE /* memfd_create */
#include "extensions/omni/probing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static bool play(Service *service, const ProbeSpec *spec, uint64_t last, int fd, Fault *fault) {
  const PlayOptions options = {.hashes = true, .stop = &service->stop};
  Player *player = NULL;
  PlayEnd end = {0};
  ProbeCounts counts = {0};
  int set = 0;
  bool ok = player_open(service->played.recording, &options, &player, fault) &&
            player_probe(player, spec, fd, NULL, 0, &set, fault) &&
            player_run(player, last, &end, fault) &&
            player_rows(player, set, ROWS_COMPLETE, &counts, fault);
  player_close(player);
  if (ok && end.kind == PLAY_LIMIT) {
    return fault_set(fault, FAULT_LIMIT,
                     "more than %d rows until event %" PRIu64 "; say ev < N, or name less",
                     PROBING_ROWS, end.ev);
  }
  if (ok && counts.refused) {
    return fault_set(fault, FAULT_UNSUPPORTED, "%" PRIu64 " of %zu places cannot be probed",
                     counts.refused, spec->nfunctions);
  }
  return ok;
}

bool probing_run(Service *service, ProbeSpec *spec, uint64_t last, Probing *out, Fault *fault) {
  RowState state;
  *out = (Probing){0};
  played_stop(&service->played);
  spec->limit = PROBING_ROWS;
  int fd = memfd_create("omni probing", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  out->open = play(service, spec, last, fd, fault) && rows_open(fd, &out->rows, fault);
  close(fd);
  return out->open && rows_count(&out->rows, &out->count, &state, fault);
}

void probing_finish(Probing *probing) {
  if (probing->open) rows_close(&probing->rows);
  *probing = (Probing){0};
}

void probing_moment(CellWriter *out, const CodeFile *file, uint64_t offset, uint64_t ev,
                    uint64_t tid, uint64_t hit) {
  char text[96];
  if (file->is_varied) {
    cell_null(out);
    return;
  }
  snprintf(text, sizeof text, "%" PRIu64 ":%" PRId64 ":0x%" PRIx64 ":%" PRIu64, ev, (int64_t)tid,
           file->base + offset, hit);
  cell_text(out, text);
}
