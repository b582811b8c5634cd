/*
** What the program side can do: see job.h.
*/
#include "extensions/omni/job.h"

#include "replay/play.h"

static bool verify(Recording *recording, Stop *stop, VerifySummary *out, Fault *fault) {
  const PlayOptions options = {.hashes = true, .stop = stop};
  Player *player = NULL;
  PlayEnd end;
  bool ok = player_open(recording, &options, &player, fault) &&
            player_run(player, UINT64_MAX, &end, fault);
  player_close(player);
  if (!ok) return false;
  *out =
      (VerifySummary){.events = end.ev, .hashes = end.hashes, .cut = recording_is_cut(recording)};
  return true;
}

bool job_verify(const char *dir, Stop *stop, VerifySummary *out, Fault *fault) {
  Recording *recording;
  if (!recording_open(dir, &recording, fault)) return false;
  bool ok = verify(recording, stop, out, fault);
  recording_close(recording);
  return ok;
}
