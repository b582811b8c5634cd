/*
** Chance: a generator of Marsaglia's, and texts.
*/
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "test/multiverse/shared/world.h"

void say(Words *words, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int n = vsnprintf(words->at + words->length, sizeof words->at - words->length, format, args);
  va_end(args);
  words->length += (size_t)n;
  if (words->length >= sizeof words->at) {
    printf("Bail out! a text is too long\n");
    exit(1);
  }
}

static uint64_t state;

unsigned pick(unsigned n) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (unsigned)((state * 0x2545F4914F6CDD1DULL) >> 33) % n;
}

bool chance(unsigned percent) { return pick(100) < percent; }

void chance_begin(uint64_t seed) {
  state = seed * 0x9E3779B97F4A7C15ULL + 1;
  for (int i = 0; i < 8; i++) pick(2);
}

uint64_t chance_seed(void) { return ((uint64_t)pick(1u << 30) << 20) + pick(1u << 20) + 1; }

uint64_t chance_swap(uint64_t next) {
  const uint64_t before = state;
  state = next;
  return before;
}
