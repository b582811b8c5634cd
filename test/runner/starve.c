/*
** Refusing memory: see starve.h.
*/
#include "test/runner/starve.h"

#include "base/stop.h"
#include "test/runner/failing.h"
#include "test/runner/judge.h"
#include "test/runner/run.h"
#include "test/runner/tap.h"

enum { MOST_SAMPLES = 200, FEWEST_SAMPLES = 10 };

static const int64_t sample_time = INT64_C(2000000000); /* ns */

/* One run with that allocation refused, judged. */
static void starve_once(const char *preamble, const char *script, const char *expected,
                        const char *folder, long victim, Text *why) {
  Stage *stage = stage_open(MODE_OOM, folder, false);
  if (!stage) return;
  stage_prepare(stage, script);
  stage_run(stage, preamble, false);
  stage_clear(stage);
  failing_start(victim);
  bool ok = stage_run(stage, script, true);
  const char *output = stage_output(stage);
  bool starved = stage_starved(stage);
  if (!ok) {
    text_add(why, output);
  } else {
    judge_starved(expected, output, starved, why);
  }
  if (starved && !failing_refused()) text_add(why, "out of memory, but none was refused\n");
  stage_close(stage, why);
}

static unsigned next_random(unsigned *state) {
  *state = *state * 1103515245u + 12345u;
  return *state >> 8;
}

void starve_case(const char *preamble, const char *script, const char *expected,
                 const FixtureOptions *options, Text *why) {
  int64_t start = clock_now();
  starve_once(preamble, script, expected, options->folder, 0, why);
  int64_t took = clock_now() - start + 1;
  long count = failing_count();
  long samples = sample_time / took;
  if (samples > MOST_SAMPLES) samples = MOST_SAMPLES;
  if (samples < FEWEST_SAMPLES) samples = FEWEST_SAMPLES;
  if (samples > count || options->every) samples = count;
  unsigned state = options->seed;
  for (long i = 0; i < samples && !why->length; i++) {
    long first = count * i / samples, width = count * (i + 1) / samples - first;
    long victim = 1 + first + (long)(next_random(&state) % (unsigned long)width);
    tap_running(NULL, victim);
    starve_once(preamble, script, expected, options->folder, victim, why);
    if (why->length) text_addf(why, "when allocation %ld of %ld is refused\n", victim, count);
  }
}
