/*
** Torn reads: elements of 16 KB, each full of one word, are changed as fast as it goes by two
** processes, in a bucket of four: two elements, which go where there is room, and four, which are
** overwritten. Who looks for them, and who reads them in order, never sees two words in one. In
** mapped memory, and with rounds that fall to pieces as those by verbs do; a server does one at a
** time.
*/
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/scan.h"
#include "test/remote/shared/by_chains.h"

enum { WORDS = 2000, LOOKS = 20000 };

static int keys;
static bool chains;

static const FarShape shape = {FAR_KEY_INTEGER, 8, FAR_STAMP + 8 + 8 * WORDS, 4};
static char at[64];
static Fault fault;

static void must(bool ok) {
  if (ok) return;
  printf("Bail out! %s\n", fault.text);
  fflush(stdout);
  _exit(1);
}

static FarMap *open_map(void) {
  const FarOptions options = {.size = 8 << 20, .deadline_ns = 20000000000};
  FarMemory *memory = far_open(at, &options, &fault);
  FarMap *map = NULL;
  must(memory != NULL);
  if (chains) by_chains(memory, (uint64_t)getpid(), 20, 50);
  must(far_map_open(memory, "m", &shape, 1, true, &map, NULL, &fault));
  return map;
}

static void put(FarMap *map, int64_t key, uint64_t word) {
  static uint64_t value[WORDS];
  const FarSeen any = {.stamp = FAR_ANY, .slot = -1};
  for (int i = 0; i < WORDS; i++) value[i] = word;
  FarTxn *txn = far_txn_begin(far_map_memory(map), &fault);
  must(txn && far_txn_put(txn, map, &key, value, &any, &fault) &&
       far_txn_commit(txn, NULL, &fault));
  far_txn_end(txn);
}

static pid_t change(uint64_t first) {
  const pid_t child = fork();
  assert(child >= 0);
  if (child) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  FarMap *map = open_map();
  for (uint64_t n = first;; n += 2) put(map, (int64_t)(n / 2) % keys, n);
}

static uint64_t whole(const unsigned char *element, const char *how) {
  uint64_t words[WORDS];
  memcpy(words, element + FAR_STAMP + 8, sizeof words);
  for (int i = 1; i < WORDS; i++) {
    if (words[i] == words[0]) continue;
    printf("not ok - %s: %llu, and %llu from word %d on\n", how, (unsigned long long)words[0],
           (unsigned long long)words[i], i);
    fflush(stdout);
    _exit(1);
  }
  return words[0];
}

static void look(int looks) {
  sprintf(at, "shm:torn-%d", (int)getpid());
  FarMap *map = open_map();
  for (int64_t key = 0; key < keys; key++) put(map, key, 0);
  const pid_t others[] = {change(1), change(2)};
  FarScan *scan = far_scan_begin(map, &fault);
  must(scan != NULL);
  uint64_t last = 0, changes = 0;
  for (int i = 0; i < looks || changes < 100; i++) {
    const int64_t key = i % keys;
    FarFound found;
    must(far_map_find(map, &key, 1, &found, NULL, &fault) && found.element);
    const uint64_t word = whole(found.element, "looked for");
    changes += word != last;
    last = word;
    if (i % 4) continue;
    const unsigned char *element = NULL;
    int n = 0;
    must(far_scan_seek(scan, NULL, NULL, NULL, i % 8 != 0, UINT64_MAX, NULL, &fault));
    for (;; n++) {
      must(far_scan_next(scan, &element, NULL, NULL, &fault));
      if (!element) break;
      whole(element, "read in order");
    }
    assert(n == keys);
  }
  for (int i = 0; i < 2; i++) {
    int status;
    kill(others[i], SIGKILL);
    assert(waitpid(others[i], &status, 0) == others[i]);
    assert(WIFSIGNALED(status)); /* had not failed before */
  }
  far_scan_end(scan);
  FarMemory *memory = far_map_memory(map);
  far_map_close(map);
  far_close(memory);
  far_unlink(at, &fault);
  printf("# %llu changes were seen\n", (unsigned long long)changes);
}

int main(void) {
  int n = 0;
  for (keys = 2; keys <= 4; keys += 2) {
    for (int way = 0; way < 2; way++) {
      chains = way == 1;
      look(chains ? LOOKS / 20 : LOOKS);
      printf("ok %d - none of %d elements is torn%s\n", ++n, keys, chains ? ", by chains" : "");
      fflush(stdout); /* before the next fork */
    }
  }
  printf("1..%d\n", n);
  return 0;
}
