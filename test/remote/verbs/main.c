/*
** Verbs, as far as that goes without a card: what is missing is named, memory that is served is for
** nobody else, and words are changed by whom they have to be. The rest is done in a guest.
*/
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote/chain.h"
#include "remote/client.h"
#include "remote/rdma.h"
#include "remote/server.h"
#include "remote/verbs.h"
#include "test/remote/shared/fake_nic.h"

enum { PORT = 17877 };

static Fault fault;
static int done;

static void must(bool yes) {
  if (yes) return;
  printf("Bail out! %s\n", fault.text);
  exit(1);
}

static void ok(const char *what) { printf("ok %d - %s\n", ++done, what); }

/* ---- what is missing ------------------------------------------------------------------------- */

static void libraries(void) {
  Fault told[2] = {{0}, {0}};
#ifdef TENFOLD_RDMA
  Rdma rdma;
  assert(!rdma_load_from("librdmacm.so.0", "libibverbs.so.1", &rdma, &told[0]));
  assert(strstr(told[0].text, "librdmacm.so.0") && strstr(told[0].text, "librdmacm1"));
  assert(!rdma_load_from("libc.so.6", "libibverbs.so.1", &rdma, &told[1]));
  assert(strstr(told[1].text, "rdma_create_event_channel"));
#else
  assert(!rdma_load(&told[0]) && !rdma_load(&told[1]));
  assert(strstr(told[0].text, "librdmacm-dev"));
#endif
  assert(told[0].code == FAULT_UNSUPPORTED && told[1].code == FAULT_UNSUPPORTED);
  ok("a library that is missing is named");
}

/* A server by tcp: only. */
static pid_t start(const char *memory_at, const char *at) {
  const pid_t child = fork();
  if (child) return child;
  const FarOptions options = {.size = 16 << 20};
  FarMemory *memory = far_open(memory_at, &options, &fault);
  must(memory != NULL);
  FarServer *server = far_server_open(memory, NULL, &fault);
  must(server && far_server_listen(server, at, &fault));
  must(far_server_run(server, -1, NULL, &fault));
  _exit(0);
}

static void not_served(void) {
  char memory[100], tcp[40], verbs[40];
  const int port = PORT + (int)(getpid() % 10000);
  snprintf(memory, sizeof memory, "shm:test-verbs-%d", (int)getpid());
  snprintf(tcp, sizeof tcp, "tcp:127.0.0.1:%d", port);
  snprintf(verbs, sizeof verbs, "verbs:127.0.0.1:%d", port);
  const pid_t server = start(memory, tcp);
  const struct timespec pause = {0, 2000000};
  FarMemory *by_tcp = NULL;
  for (int i = 0; !by_tcp && i < 1000; i++) {
    Fault early = {0};
    by_tcp = far_open(tcp, NULL, &early);
    if (!by_tcp) nanosleep(&pause, NULL);
  }
  assert(by_tcp);
  Fault told = {0};
  assert(!far_open(verbs, NULL, &told) && told.code == FAULT_UNSUPPORTED);
  assert(strstr(told.text, "does not serve verbs") && strstr(told.text, verbs));
  far_close(by_tcp);
  kill(server, SIGKILL);
  waitpid(server, NULL, 0);
  told = (Fault){0};
  assert(!far_open(verbs, NULL, &told) && told.code == FAULT_IO);
  told = (Fault){0};
  assert(!far_open("verbs:nowhere", NULL, &told) && told.code == FAULT_INVALID);
  must(far_unlink(memory, &fault));
  ok("a server that does not serve verbs says so");
}

/* ---- alone ----------------------------------------------------------------------------------- */

static void alone(void) {
  char at[100];
  snprintf(at, sizeof at, "shm:test-alone-%d", (int)getpid());
  FarMemory *first = far_open(at, NULL, &fault), *second = far_open(at, NULL, &fault);
  must(first && second);
  Fault told = {0};
  assert(!far_mapped_alone(first, &told) && told.code == FAULT_BUSY);
  far_close(second);
  must(far_mapped_alone(first, &fault));
  told = (Fault){0};
  assert(!far_open(at, NULL, &told) && told.code == FAULT_BUSY && strstr(told.text, "verbs"));
  far_close(first);
  first = far_open(at, NULL, &fault);
  must(first != NULL);
  far_close(first);
  must(far_unlink(at, &fault));
  ok("memory that is served by verbs is mapped by nobody else");
}

/* ---- words ----------------------------------------------------------------------------------- */

typedef struct Card {
  Chain *chain;
  uint64_t changes;
} Card;

static bool by_card(void *ctx, FarOp *op, Fault *out) {
  Card *card = ctx;
  const FarSegment segment = {op, 1};
  bool lost;
  card->changes++;
  return chain_round(card->chain, &segment, 1, clock_now() + 1000000000, NULL, &lost, out);
}

/* Whatever changes a word that others may change goes to the card, and comes out as it would have.
** Blocks of a client that died are given back the same way. */
static void words(void) {
  char at[100];
  snprintf(at, sizeof at, "shm:test-words-%d", (int)getpid());
  FarMemory *memory = far_open(at, NULL, &fault);
  must(memory != NULL);
  FarCounts counts = {0};
  FakeNic *nic = fake_nic_open(&memory->mapped, NIC_ROOM, 16, 1);
  Card card = {chain_open(&nic->nic, at, memory->mapped.region, memory->mapped.size, &counts, NULL),
               0};
  const FarWords changer = {by_card, &card};
  const FarPointer word = far_here(memory, memory->head.data);
  must(memory->transport->reserve(memory, memory->head.data, FAR_EXTENT, &fault));
  memory->mapped.words = &changer;
  const uint64_t pointer = word + 64;
  FarOp ops[] = {{.code = FAR_ADD, .at = word, .value = 5},
                 {.code = FAR_CAS, .at = word, .expected = 5, .value = pointer},
                 {.code = FAR_CAS, .at = word, .expected = 5, .value = 1},
                 {.code = FAR_ADD0, .at = word, .value = 3},
                 {.code = FAR_FAAI, .at = word, .value = 8, .local = &ops[0].index, .length = 8},
                 {.code = FAR_EXPECT, .at = word, .expected = pointer + 8}};
  must(far_round(memory, ops, 6, NULL, &fault));
  assert(ops[0].old == 0 && ops[1].status == FAR_DONE && ops[2].status == FAR_DIFFERS);
  assert(ops[2].old == pointer && ops[3].old == 0 && ops[0].index == 3 && ops[4].old == pointer);
  assert(ops[5].status == FAR_DONE && card.changes == 5);

  uint64_t client;
  must(far_mapped_begin_client(memory, &client, &fault));
  FarClient *record =
      (FarClient *)(void *)(memory->mapped.base + memory->head.clients) + far_client_slot(client);
  uint64_t *bits = (uint64_t *)(void *)(memory->mapped.base + memory->head.bitmaps);
  *bits = 0xff0f;
  record->pools[3] = (FarPool){memory->head.bitmaps, 0xf00};
  const uint64_t before = card.changes;
  must(far_mapped_end_client(memory, client, &fault));
  assert(*bits == 0xf00f && card.changes == before + 2);
  const FarHeader *header = (const FarHeader *)(const void *)memory->mapped.base;
  assert(header->classes[3].freed == 4);

  nic->fails = 1; /* it does not answer any more */
  nic->why = "gone";
  Fault told = {0};
  assert(!far_round(memory, ops, 1, NULL, &told) && strstr(told.text, "gone"));
  memory->mapped.words = NULL;
  chain_close(card.chain);
  nic->nic.kind->close(&nic->nic, false);
  far_close(memory);
  must(far_unlink(at, &fault));
  ok("words are changed by the card, also behind the dead");
}

int main(void) {
  libraries();
  not_served();
  alone();
  words();
  printf("1..%d\n", done);
}
