#include "remote/owners/assign.h"

#include <string.h>

#include "remote/owners/node.h"

/* Who has most gets the larger shares first; among equals the one with the lower number. */
static void set_shares(const int *counts, int nslices, int nmembers, int *shares) {
  int larger = nslices % nmembers;
  for (int i = 0; i < nmembers; i++) shares[i] = nslices / nmembers;
  for (; larger > 0; larger--) {
    int most = -1;
    for (int i = 0; i < nmembers; i++) {
      if (shares[i] > nslices / nmembers) continue;
      if (most < 0 || counts[i] > counts[most]) most = i;
    }
    shares[most]++;
  }
}

static int poorest(const int *counts, int nmembers) {
  int least = 0;
  for (int i = 1; i < nmembers; i++)
    if (counts[i] < counts[least]) least = i;
  return least;
}

void own_assign(const int *owners, int nslices, int nmembers, bool fully, int *out) {
  int counts[OWN_MEMBERS] = {0}, shares[OWN_MEMBERS];
  memcpy(out, owners, (size_t)nslices * sizeof *out);
  if (nmembers < 1) {
    for (int i = 0; i < nslices; i++) out[i] = -1;
    return;
  }
  for (int i = 0; i < nslices; i++)
    if (out[i] >= 0) counts[out[i]]++;
  for (int i = 0; i < nslices; i++) {
    if (out[i] >= 0) continue;
    out[i] = poorest(counts, nmembers);
    counts[out[i]]++;
  }
  if (!fully && 4 * counts[poorest(counts, nmembers)] >= 3 * (nslices / nmembers)) return;
  set_shares(counts, nslices, nmembers, shares);
  for (int i = nslices; i-- > 0;) {
    if (counts[out[i]] <= shares[out[i]]) continue;
    counts[out[i]]--;
    for (int j = 0; j < nmembers; j++) {
      if (counts[j] >= shares[j]) continue;
      out[i] = j;
      counts[j]++;
      break;
    }
  }
}
