/*
** A hostile schedule: what may happen to threads on many processors, but rarely does, is made to
** happen on one. Slices are short or long at random, a thread may lose its turn at the end of any
** call, and some threads are left waiting for long while others run.
**
** The seed chooses; how far threads come in a slice is the machine's doing. A run is therefore not
** repeated by its seed, but by its recording.
*/
#include "replay/record_inner.h"

enum { GIVE_WAY_IN = 6, SHUFFLE_IN = 40, FAIR_IN = 8 };

/* xorshift64* */
static uint64_t draw(Recorder *recorder) {
  uint64_t x = recorder->chaos;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  recorder->chaos = x;
  return (x * 0x2545f4914f6cdd1d) >> 33;
}

void chaos_begin(Recorder *recorder) { recorder->chaos = recorder->options->chaos; }

static void shuffle(Recorder *recorder) {
  for (size_t i = 0; i < recorder->nthreads; i++) {
    recorder->threads[i]->rank = (unsigned)draw(recorder);
  }
}

RecordThread *chaos_choose(Recorder *recorder) {
  const bool fair = draw(recorder) % FAIR_IN == 0;
  RecordThread *chosen = NULL;
  size_t nready = 0;
  if (draw(recorder) % SHUFFLE_IN == 0) shuffle(recorder);
  for (size_t i = 0; i < recorder->nthreads; i++) {
    RecordThread *thread = recorder->threads[i];
    if (thread->stand != THREAD_READY) continue;
    nready++;
    const bool better =
        fair ? draw(recorder) % nready == 0 : !chosen || thread->rank > chosen->rank;
    if (better) chosen = thread;
  }
  return chosen;
}

int64_t chaos_slice(Recorder *recorder) {
  static const int64_t lengths_us[] = {1, 500, 2000, 10000, 40000};
  return lengths_us[draw(recorder) % (sizeof lengths_us / sizeof *lengths_us)] * 1000;
}

bool chaos_gives_way(Recorder *recorder) { return draw(recorder) % GIVE_WAY_IN == 0; }
