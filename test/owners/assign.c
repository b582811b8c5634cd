/*
** own_assign() against what it promises, over random maps: everybody alive has a fair share,
** nothing moves without need, and who joins N others takes no more than 1/(N + 1) of the slices.
*/
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/owners/assign.h"

enum { MOST = 300, MOST_MEMBERS = 20 };

static int count(const int *owners, int nslices, int who) {
  int n = 0;
  for (int i = 0; i < nslices; i++) n += owners[i] == who;
  return n;
}

static int moved(const int *before, const int *after, int nslices) {
  int n = 0;
  for (int i = 0; i < nslices; i++) n += before[i] >= 0 && before[i] != after[i];
  return n;
}

static void check_even(const int *out, int nslices, int nmembers) {
  for (int m = 0; m < nmembers; m++) {
    const int n = count(out, nslices, m);
    assert(n == nslices / nmembers || n == (nslices + nmembers - 1) / nmembers);
  }
}

/* No assignment that is as even needs fewer moves: what is over a member's share has to go. */
static int needed(const int *before, int nslices, int nmembers) {
  int floor = nslices / nmembers, larger = nslices % nmembers, over = 0;
  for (int m = 0; m < nmembers; m++) {
    const int n = count(before, nslices, m);
    if (n > floor) over += n - floor;
  }
  for (int m = 0; m < nmembers; m++) {
    if (larger && count(before, nslices, m) > floor) {
      larger--;
      over--;
    }
  }
  return over;
}

static void check_random(void) {
  int before[MOST], out[MOST], again[MOST];
  const int nslices = 1 + rand() % MOST, nmembers = 1 + rand() % MOST_MEMBERS;
  for (int i = 0; i < nslices; i++) before[i] = rand() % (nmembers + 1) - 1;
  own_assign(before, nslices, nmembers, true, out);
  check_even(out, nslices, nmembers);
  assert(moved(before, out, nslices) <= needed(before, nslices, nmembers));
  own_assign(out, nslices, nmembers, true, again);
  assert(!memcmp(out, again, (size_t)nslices * sizeof *out));
  own_assign(out, nslices, nmembers, false, again);
  assert(!memcmp(out, again, (size_t)nslices * sizeof *out));
}

static void check_join(void) {
  int before[MOST], out[MOST], owners[MOST];
  const int n = 1 + rand() % (MOST_MEMBERS - 1), nslices = 4 * n + rand() % (MOST - 4 * n);
  for (int i = 0; i < nslices; i++) owners[i] = -1;
  own_assign(owners, nslices, n, false, before);
  own_assign(before, nslices, n + 1, false, out);
  check_even(out, nslices, n + 1);
  assert(moved(before, out, nslices) == count(out, nslices, n));
  assert(count(out, nslices, n) <= (nslices + n) / (n + 1));
  /* Who dies: only what was his changes hands. */
  const int dead = rand() % n;
  for (int i = 0; i < nslices; i++)
    owners[i] = before[i] == dead ? -1 : before[i] - (before[i] > dead);
  if (n == 1) return;
  own_assign(owners, nslices, n - 1, false, out);
  assert(moved(owners, out, nslices) == 0 && count(out, nslices, -1) == 0);
}

int main(void) {
  int owners[] = {0, -1, 1}, out[3];
  own_assign(owners, 3, 0, true, out);
  assert(out[0] == -1 && out[1] == -1 && out[2] == -1);
  for (int i = 0; i < 20000; i++) {
    srand((unsigned)i);
    check_random();
    check_join();
  }
  puts("1..1\nok 1 - assignments are even, and move little");
  return 0;
}
