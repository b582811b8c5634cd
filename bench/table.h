/*
** Medians and Markdown.
*/
#ifndef TENFOLD_BENCH_TABLE_H
#define TENFOLD_BENCH_TABLE_H

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ROUNDS = 32 };

static inline int table_by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

/* NaN when there are none. Of an even number, the upper one: a measured value, not a made-up one.
 */
static inline double median(const double *values, int count) {
  double sorted[MOST_ROUNDS];
  if (count < 1 || count > MOST_ROUNDS) return NAN;
  memcpy(sorted, values, (size_t)count * sizeof *sorted);
  qsort(sorted, (size_t)count, sizeof *sorted, table_by_value);
  return sorted[count / 2];
}

static inline double largest(const double *values, int count) {
  double most = -INFINITY;
  for (int i = 0; i < count; i++) most = fmax(most, values[i]);
  return most;
}

/* | cell | cell | … from a list separated by '|', and the line below it: columns are right-aligned
** but for the first ones. */
static inline void table_head(const char *titles, int left) {
  int columns = 1;
  for (const char *at = titles; *at; at++) columns += *at == '|';
  printf("\n|%s|\n|", titles);
  for (int i = 0; i < columns; i++) printf(i < left ? " --- |" : " ---: |");
  printf("\n");
}

/* The line of a text file that starts so, after its colon; "?" when there is none. */
static inline const char *table_line_of(const char *path, const char *start, char *out, int size) {
  char line[256];
  FILE *f = fopen(path, "r");
  snprintf(out, (size_t)size, "?");
  while (f && fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (strncmp(line, start, strlen(start)) != 0 || !colon) continue;
    line[strcspn(line, "\n")] = 0;
    snprintf(out, (size_t)size, "%s", colon + 1 + strspn(colon + 1, " \t"));
    break;
  }
  if (f) fclose(f);
  return out;
}

static inline void table_machine(void) {
  char cpu[256], memory[256];
  double load[1] = {0};
  table_line_of("/proc/cpuinfo", "model name", cpu, sizeof cpu);
  table_line_of("/proc/meminfo", "MemTotal", memory, sizeof memory);
  FILE *f = fopen("/proc/loadavg", "r");
  if (!f || fscanf(f, "%lf", load) != 1) load[0] = NAN;
  if (f) fclose(f);
  printf("Machine: %ld × %s, %.0f GiB; load average at the start %.1f.\n",
         sysconf(_SC_NPROCESSORS_ONLN), cpu, atof(memory) / 1048576, load[0]);
}

static inline bool option_given(int argc, char **argv, const char *name) {
  for (int i = 1; i < argc; i++) {
    if (!strcmp(argv[i], name)) return true;
  }
  return false;
}

#endif
