/*
** How the time of playing was spent, by event.
*/
#include "replay/play_inner.h"

static int64_t since(const Player *player, int64_t now) { return now - player->pace.begun; }

/* Every second one goes. */
static void thin(PlayPace *pace) {
  pace->count /= 2;
  for (int i = 0; i < pace->count; i++) pace->marks[i] = pace->marks[2 * i + 1];
  pace->interval_ns *= 2;
}

void pace_mark(Player *player, int64_t now) {
  PlayPace *pace = &player->pace;
  if (!pace->begun) *pace = (PlayPace){.begun = now, .interval_ns = 1000000};
  const int64_t last = pace->count ? pace->marks[pace->count - 1].ns : 0;
  /* Where probes can be set: see player_probe(). */
  if (player->nspaces != 1 || player->applied || since(player, now) - last < pace->interval_ns) {
    return;
  }
  if (pace->count == PACE_MARKS) thin(pace);
  pace->marks[pace->count++] = (PaceMark){player->ev, since(player, now)};
}

static int64_t distance(int64_t a, int64_t b) { return a < b ? b - a : a - b; }

/* When event `ev` had been played; 0: not known. */
static int64_t time_of(const PlayPace *pace, uint64_t ev) {
  for (int i = 0; ev && i < pace->count; i++)
    if (pace->marks[i].ev >= ev) return pace->marks[i].ns;
  return 0;
}

static const PaceMark *nearest(const PlayPace *pace, int64_t ns) {
  const PaceMark *best = NULL;
  for (int i = 0; i < pace->count; i++)
    if (!best || distance(pace->marks[i].ns, ns) < distance(best->ns, ns)) best = &pace->marks[i];
  return best;
}

uint64_t player_half(const Player *player, int64_t least_ns, uint64_t near) {
  const PlayPace *pace = &player->pace;
  const int64_t all = pace->begun ? since(player, clock_now()) : 0;
  const int64_t half = all / 2, guess = time_of(pace, near);
  if (all < least_ns) return 0;
  if (guess && distance(guess, half) < all / 64) return near;
  /* Somebody else may have had the processors for a while, now or when it was guessed. */
  const int64_t aim = guess && distance(guess, half) < all / 8 ? (half + guess) / 2 : half;
  const PaceMark *best = nearest(pace, aim);
  return best && best->ev && distance(best->ns, half) < all / 4 ? best->ev : 0;
}
