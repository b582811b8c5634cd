/*
** What a program does with far memory, without SQLite. Built against what is installed:
**
**   cc example.c $(pkg-config --cflags --libs tenfold-far) && ./a.out shm:demo
**
** Every program that opens the same memory sees the same counter, vector, queue and histogram.
*/
#include <remote/histogram.h>
#include <remote/queue.h>
#include <remote/vector.h>
#include <remote/word.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Of a vector and a queue: stamp, index or ticket, and one word. */
static const FarShape shape = {
    .kind = FAR_KEY_INTEGER, .key = 8, .stride = FAR_STAMP + 8 + 8, .slots = 16};

static bool count(FarMemory *memory, Fault *fault) {
  FarPointer word;
  int64_t visits;
  if (!far_word_open(memory, "visits", &word, NULL, fault) ||
      !far_word_add(memory, word, 1, &visits, NULL, fault))
    return false;
  printf("visits: %" PRId64 "\n", visits);
  return true;
}

/* An element of the vector is changed, and told about in the queue: both or neither. */
static bool change(FarMap *vector, FarQueue *queue, uint64_t index, uint64_t value, Fault *fault) {
  const FarSeen any = {.stamp = FAR_ANY};
  FarTxn *txn = far_txn_begin(far_map_memory(vector), fault);
  const bool ok = txn && far_txn_put(txn, vector, &index, &value, &any, fault) &&
                  far_txn_push(txn, queue, &index, fault) && far_txn_commit(txn, NULL, fault);
  far_txn_end(txn);
  return ok;
}

static bool follow(FarMap *vector, FarQueue *queue, Fault *fault) {
  unsigned char element[FAR_STAMP + 8 + 8];
  uint64_t index, value, n;
  FarFound found;
  for (;;) {
    if (!far_queue_pop(queue, 1, element, &n, NULL, fault)) return false;
    if (!n) return true;
    memcpy(&index, element + FAR_STAMP + 8, sizeof index);
    if (!far_map_find(vector, &index, 1, &found, NULL, fault)) return false;
    memcpy(&value, found.element + FAR_STAMP + 8, sizeof value);
    printf("element %" PRIu64 " is now %" PRIu64 "\n", index, value);
  }
}

static bool measure(FarMemory *memory, Fault *fault) {
  const FarHistogramPlan plan = {.low = 0, .high = 100, .buckets = 10, .windows = 1};
  FarHistogram *latency;
  uint64_t counts[12], window;
  if (!far_histogram_open(memory, "latency", &plan, &latency, NULL, fault)) return false;
  const bool ok = far_histogram_observe(latency, 12.5, 1, NULL, fault) &&
                  far_histogram_read(latency, counts, &window, NULL, fault);
  if (ok) printf("from 10 to 20: %" PRIu64 "\n", counts[far_histogram_bucket(&plan, 12.5)]);
  far_histogram_close(latency);
  return ok;
}

int main(int argc, char **argv) {
  const uint64_t zero = 0;
  const FarVectorOptions options = {.length = 1000, .initial = &zero};
  const char *at = argc > 1 ? argv[1] : "shm:tenfold-example";
  Fault fault = {0};
  FarMap *vector = NULL;
  FarQueue *queue = NULL;
  FarMemory *memory = far_open(at, NULL, &fault);
  const bool ok = memory && count(memory, &fault) &&
                  far_vector_open(memory, "numbers", &shape, 1, &options, &vector, NULL, &fault) &&
                  far_queue_open(memory, "changes", &shape, 1, 100, &queue, NULL, &fault) &&
                  change(vector, queue, 7, 42, &fault) && change(vector, queue, 8, 43, &fault) &&
                  follow(vector, queue, &fault) && measure(memory, &fault);
  if (!ok) fprintf(stderr, "%s\n", fault.text);
  far_map_close(vector);
  far_queue_close(queue);
  far_close(memory);
  if (argc < 2) far_unlink(at, NULL);
  return !ok;
}
