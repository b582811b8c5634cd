/*
** What it costs to keep a state of what is played, and to go back to it, by the memory that the
** program has written. The program writes so many MB and makes calls; a state is kept at each.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/stop.h"
#include "replay/play.h"
#include "replay/record.h"

enum { CALLS = 60, ROUNDS = 5 };

static int workload(size_t megabytes) {
  const size_t size = megabytes << 20;
  char *bytes = malloc(size + 1);
  if (!bytes) return 1;
  for (size_t i = 0; i < size; i += 64) bytes[i] = (char)(i / 64 + 1);
  __asm__ volatile("" ::"r"(bytes) : "memory");
  for (int i = 0; i < CALLS; i++) syscall(SYS_getppid);
  return 0;
}

static void must(bool ok, const Fault *fault) {
  if (ok) return;
  fprintf(stderr, "%s\n", fault->text);
  exit(1);
}

/* us of each of the last calls; of the way back to the first of their states. */
static double play(Recording *recording, int checkpoints, double *out_back) {
  const PlayOptions options = {.checkpoints = checkpoints, .checkpoint_ns = 1};
  uint64_t first, last;
  Player *player;
  PlayEnd end;
  Fault fault = {0};
  must(trace_range(recording, &first, &last, &fault), &fault);
  must(player_open(recording, &options, &player, &fault), &fault);
  const uint64_t from = last - CALLS;
  must(player_run(player, from, &end, &fault), &fault);
  int64_t begun = clock_now();
  must(player_run(player, last - 5, &end, &fault), &fault);
  const double each = (double)(clock_now() - begun) / 1e3 / (double)(last - 5 - from);
  begun = clock_now();
  if (checkpoints) must(player_rewind(player, from + 2, &fault), &fault);
  *out_back = (double)(clock_now() - begun) / 1e3;
  player_close(player);
  return each;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void measure(const char *self, const char *megabytes) {
  char dir[] = "/tmp/checkpoint-XXXXXX", command[64];
  char *argv[] = {(char *)(uintptr_t)self, (char *)(uintptr_t)megabytes, NULL};
  double kept[ROUNDS], back[ROUNDS], ignored;
  RecordSummary summary;
  Recording *recording;
  Fault fault = {0};
  if (!mkdtemp(dir)) exit(1);
  const RecordOptions options = {.dir = dir, .argv = argv};
  must(record_run(&options, NULL, &summary, &fault), &fault);
  must(recording_open(dir, &recording, &fault), &fault);
  for (int i = 0; i < ROUNDS; i++) {
    const double plain = play(recording, 0, &ignored);
    kept[i] = play(recording, 400, &back[i]) - plain;
  }
  qsort(kept, ROUNDS, sizeof *kept, compare);
  qsort(back, ROUNDS, sizeof *back, compare);
  printf("%6s MB: %8.0f us to keep, %8.0f us to go back\n", megabytes, kept[ROUNDS / 2],
         back[ROUNDS / 2]);
  recording_close(recording);
  snprintf(command, sizeof command, "rm -rf %s", dir);
  if (system(command) != 0) fprintf(stderr, "%s stays\n", dir);
}

int main(int argc, char **argv) {
  static const char *const sizes[] = {"1", "16", "64", "256"};
  char self[4096];
  if (argc == 2 && atoi(argv[1]) > 0) return workload((size_t)atoi(argv[1]));
  const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
  assert(n > 0);
  self[n] = '\0';
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) measure(self, sizes[i]);
  return 0;
}
