#include "remote/owners/assign.h"

#include <string.h>

#include "remote/owners/node.h"

enum { MARGIN = 5 }; /* the part of the mean that is as good as nothing: loads are measured */

typedef struct Scale {
  int counts[OWN_MEMBERS];
  uint64_t weights[OWN_MEMBERS], sum;
} Scale;

static uint64_t weight_of(const OwnMap *map, int slice) { return map->own[slice] + OWN_IDLE; }

static void weigh(const OwnMap *map, const int *owners, Scale *out) {
  *out = (Scale){0};
  for (int i = 0; i < map->nslices; i++)
    if (owners[i] >= 0) out->counts[owners[i]]++;
  for (int m = 0; m < map->nmembers; m++) {
    out->weights[m] = map->loads[m] + (uint64_t)out->counts[m] * OWN_IDLE;
    out->sum += out->weights[m];
  }
}

static int lightest(const Scale *scale, int nmembers) {
  int least = 0;
  for (int m = 1; m < nmembers; m++) {
    if (scale->weights[m] > scale->weights[least]) continue;
    if (scale->weights[m] < scale->weights[least] || scale->counts[m] < scale->counts[least])
      least = m;
  }
  return least;
}

/* ---- slices of nobody ------------------------------------------------------------------------ */

/* The heaviest first; what is not known weighs as much as others do on the average. */
static void claim(const OwnMap *map, Scale *scale, int *out) {
  int owned = 0;
  for (int m = 0; m < map->nmembers; m++) owned += scale->counts[m];
  const uint64_t usual = owned ? scale->sum / (uint64_t)owned : OWN_IDLE;
  for (;;) {
    int next = -1;
    for (int i = 0; i < map->nslices; i++)
      if (out[i] < 0 && (next < 0 || map->own[i] > map->own[next])) next = i;
    if (next < 0) return;
    const int m = lightest(scale, map->nmembers);
    const uint64_t weight = map->own[next] ? weight_of(map, next) : usual;
    out[next] = m;
    scale->counts[m]++;
    scale->weights[m] += weight;
    scale->sum += weight;
  }
}

/* ---- members who are new --------------------------------------------------------------------- */

/* How many slices each one gives so that `wanted` come together: in proportion to what he has, and
** nobody less than `share` for it. */
static void set_gifts(const OwnMap *map, const Scale *scale, int wanted, int share, int *gifts) {
  int rest[OWN_MEMBERS], all = 0, left = wanted;
  for (int m = 0; m < map->nmembers; m++) {
    rest[m] = -1;
    gifts[m] = 0;
    if (scale->counts[m] > share) all += scale->counts[m];
  }
  for (int m = 0; m < map->nmembers && all; m++) {
    if (scale->counts[m] <= share) continue;
    const int part = scale->counts[m] * wanted;
    gifts[m] = part / all;
    rest[m] = part % all;
    left -= gifts[m];
  }
  for (; left > 0; left--) { /* the largest remainders; of equal ones, of who has most */
    int most = -1;
    for (int m = 0; m < map->nmembers; m++) {
      if (rest[m] < 0 || (most >= 0 && rest[m] < rest[most])) continue;
      if (most < 0 || rest[m] > rest[most] || scale->counts[m] > scale->counts[most]) most = m;
    }
    if (most < 0) return;
    gifts[most]++;
    rest[most] = -1;
  }
}

/* Some of what a member has had, of what is busy and what is not: n of all, evenly. */
static void give_evenly(const OwnMap *map, int from, int n, const int *to, int *out) {
  int order[OWN_MOST_SLICES], count = 0, given = 0;
  for (int i = 0; i < map->nslices; i++) {
    if (map->owners[i] != from) continue;
    int at = count++;
    for (; at > 0 && map->own[order[at - 1]] < map->own[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  for (int i = count;
       i-- > 0 && given < n;) /* the last ones first: of equal ones, as good as any */
    if ((i + 1) * n / count > i * n / count) out[order[i]] = to[given++];
}

static void welcome(const OwnMap *map, const Scale *scale, bool fully, int *out) {
  const int share = map->nslices / map->nmembers;
  const uint64_t mean = scale->sum / (uint64_t)map->nmembers;
  int wants[OWN_MOST_SLICES], gifts[OWN_MEMBERS], nwants = 0, at = 0;
  for (int m = 0; m < map->nmembers; m++) {
    const int most = fully ? 4 : 3; /* quarters */
    if (4 * scale->counts[m] >= most * share || 4 * scale->weights[m] >= (uint64_t)most * mean)
      continue;
    for (int i = scale->counts[m]; i < share; i++) wants[nwants++] = m;
  }
  if (!nwants) return;
  set_gifts(map, scale, nwants, share, gifts);
  for (int m = 0; m < map->nmembers; m++) {
    give_evenly(map, m, gifts[m], wants + at, out);
    at += gifts[m];
  }
}

void own_assign(const OwnMap *map, bool fully, int *out) {
  Scale scale;
  memcpy(out, map->owners, (size_t)map->nslices * sizeof *out);
  if (map->nmembers < 1) {
    for (int i = 0; i < map->nslices; i++) out[i] = -1;
    return;
  }
  weigh(map, out, &scale);
  claim(map, &scale, out);
  welcome(map, &scale, fully, out);
}

/* ---- loads ----------------------------------------------------------------------------------- */

/* Members by their weight, the heaviest first: those who have something to give, or can take. */
static int rank(const OwnMap *map, const Scale *scale, int *order) {
  int n = 0;
  const uint64_t mean = scale->sum / (uint64_t)map->nmembers;
  for (int m = 0; m < map->nmembers; m++) {
    if (scale->counts[m] < 2 && scale->weights[m] > mean) continue; /* it cannot be cut */
    int at = n++;
    for (; at > 0 && scale->weights[order[at - 1]] < scale->weights[m]; at--)
      order[at] = order[at - 1];
    order[at] = m;
  }
  return n;
}

/* The largest of ours that is not heavier than half of the difference, else the smallest one; but
** what would not be noticed stays where it is. -1: there is none. */
static int choose(const OwnMap *map, const int *out, int me, uint64_t difference) {
  const uint64_t most = difference / 2, least = difference / (uint64_t)map->nslices;
  int best = -1;
  for (int i = 0; i < map->nslices; i++) {
    const uint64_t weight = weight_of(map, i), now = best < 0 ? 0 : weight_of(map, best);
    if (out[i] != me || weight < least) continue;
    if (best < 0 || (weight <= most ? now > most || weight > now : now > weight)) best = i;
  }
  return best;
}

static int give_load(const OwnMap *map, Scale *scale, int me, int to, int most, int *out) {
  const uint64_t mean = scale->sum / (uint64_t)map->nmembers;
  int given = 0;
  while (given < most && scale->counts[me] > 1) {
    const uint64_t heavy = scale->weights[me], light = scale->weights[to];
    if (heavy <= light) break;
    const int slice = choose(map, out, me, heavy - light);
    const uint64_t weight = slice < 0 ? 0 : weight_of(map, slice);
    /* The other one stays lighter than we were, by more than what comes from measuring. */
    if (!weight || light + weight + mean / MARGIN >= heavy) break;
    out[slice] = to;
    scale->counts[me]--;
    scale->counts[to]++;
    scale->weights[me] -= weight;
    scale->weights[to] += weight;
    given++;
  }
  return given;
}

int own_even_out(const OwnMap *map, int me, int most, int *out) {
  Scale scale;
  int order[OWN_MEMBERS], at = 0;
  memcpy(out, map->owners, (size_t)map->nslices * sizeof *out);
  if (map->nmembers < 2) return 0;
  weigh(map, out, &scale);
  const int n = rank(map, &scale, order);
  while (at < n && order[at] != me) at++;
  if (at >= n / 2) return 0; /* there is nobody to give to */
  const int to = order[n - 1 - at];
  const uint64_t mean = scale.sum / (uint64_t)map->nmembers, part = mean / MARGIN;
  if (scale.weights[me] <= mean + part && scale.weights[to] >= mean - part) return 0;
  return give_load(map, &scale, me, to, most, out);
}
