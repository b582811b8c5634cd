/*
** The server's side of verbs: whose queues are whose, and a pair of queues to itself.
*/
#include "remote/rdma.h"
#include "remote/verbs.h"

#ifdef TENFOLD_RDMA
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/array.h"
#include "remote/address.h"
#include "remote/chain.h"

enum { SECOND = 1000000000, BACKLOG = 64 };

typedef struct Guest { /* a client that may have queues */
  uint64_t client, token;
  struct rdma_cm_id *id; /* NULL: not yet, or not any more */
  bool came;
} Guest;

struct FarVerbs {
  const Rdma *rdma;
  FarMapped *memory;
  char *at;
  struct rdma_event_channel *channel;
  struct rdma_cm_id *listener;
  struct ibv_pd *pd;
  struct ibv_cq *cq; /* of all queues here; nothing is ever in it */
  struct ibv_mr *mr;
  Guest *guests;
  size_t nguests, capacity;
  FarWords words; /* by the queues to itself */
  Nic *own;
  Chain *chain;
  FarCounts counts;
};

static bool refuse(const FarVerbs *it, const char *what, Fault *fault) {
  return fault_set(fault, FAULT_IO, "%s: %s: %s", it->at, what, strerror(errno));
}

/* ---- guests ---------------------------------------------------------------------------------- */

bool far_verbs_expect(FarVerbs *verbs, uint64_t client, uint64_t *out_token, Fault *fault) {
  far_verbs_drop(verbs, client);
  Guest guest = {.client = client};
  if (getrandom(&guest.token, sizeof guest.token, 0) != sizeof guest.token)
    return refuse(verbs, "random numbers", fault);
  if (!array_grow(verbs->guests, verbs->capacity, verbs->nguests + 1)) return fault_oom(fault);
  verbs->guests[verbs->nguests++] = guest;
  *out_token = guest.token;
  return true;
}

/* When the queues are destroyed, the card has ended what it was doing for them. */
static void end_queues(FarVerbs *verbs, struct rdma_cm_id *id) {
  if (!id) return;
  if (id->qp) verbs->rdma->destroy_qp(id);
  verbs->rdma->destroy_id(id);
}

void far_verbs_drop(FarVerbs *verbs, uint64_t client) {
  for (size_t i = 0; i < verbs->nguests; i++) {
    if (verbs->guests[i].client != client) continue;
    end_queues(verbs, verbs->guests[i].id);
    verbs->guests[i] = verbs->guests[--verbs->nguests];
    return;
  }
}

/* ---- what comes ------------------------------------------------------------------------------ */

static Guest *guest_of(const FarVerbs *verbs, const RdmaHello *hello) {
  for (size_t i = 0; hello->magic == rdma_magic && i < verbs->nguests; i++) {
    Guest *guest = &verbs->guests[i];
    if (!guest->came && guest->token == hello->token) return guest;
  }
  return NULL;
}

static bool welcome(FarVerbs *verbs, struct rdma_cm_id *id) {
  struct ibv_qp_init_attr wanted = {.send_cq = verbs->cq, .recv_cq = verbs->cq};
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap =
      (struct ibv_qp_cap){.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1};
  const RdmaWelcome said = {(uintptr_t)verbs->memory->base, verbs->memory->size, verbs->mr->rkey};
  struct rdma_conn_param how = {.private_data = &said, .private_data_len = sizeof said};
  how.responder_resources = RDMA_MAX_RESP_RES;
  how.initiator_depth = RDMA_MAX_INIT_DEPTH;
  how.rnr_retry_count = RDMA_RETRIES;
  return verbs->rdma->create_qp(id, verbs->pd, &wanted) == 0 && verbs->rdma->accept(id, &how) == 0;
}

static void request(FarVerbs *verbs, struct rdma_cm_id *id, const RdmaHello *hello) {
  Guest *guest = id->verbs == verbs->listener->verbs ? guest_of(verbs, hello) : NULL;
  if (guest && welcome(verbs, id)) {
    guest->came = true;
    guest->id = id;
    return;
  }
  if (!guest) verbs->rdma->reject(id, NULL, 0);
  end_queues(verbs, id);
}

/* The other end is gone: queues that lead nowhere are not kept. The client stays, until its
** connection ends as well. */
static void forget(FarVerbs *verbs, struct rdma_cm_id *id) {
  for (size_t i = 0; i < verbs->nguests; i++) {
    if (verbs->guests[i].id != id) continue;
    verbs->guests[i].id = NULL;
    end_queues(verbs, id);
    return;
  }
}

int far_verbs_fd(const FarVerbs *verbs) { return verbs->channel->fd; }

void far_verbs_serve(FarVerbs *verbs) {
  struct rdma_cm_event *event;
  while (verbs->rdma->get_event(verbs->channel, &event) == 0) {
    RdmaHello hello = {0};
    const struct rdma_conn_param *said = &event->param.conn;
    const enum rdma_cm_event_type what = event->event;
    struct rdma_cm_id *id = event->id;
    if (what == RDMA_CM_EVENT_CONNECT_REQUEST && said->private_data &&
        said->private_data_len >= sizeof hello)
      memcpy(&hello, said->private_data, sizeof hello);
    verbs->rdma->ack_event(event); /* before it: an id is destroyed when its events are done with */
    if (what == RDMA_CM_EVENT_CONNECT_REQUEST) {
      request(verbs, id, &hello);
    } else if (what != RDMA_CM_EVENT_ESTABLISHED && id != verbs->listener) {
      forget(verbs, id);
    }
  }
}

/* ---- words ----------------------------------------------------------------------------------- */

static bool change(void *ctx, FarOp *op, Fault *fault) {
  FarVerbs *verbs = ctx;
  const FarSegment segment = {op, 1};
  bool lost = false;
  return chain_round(verbs->chain, &segment, 1, clock_now() + SECOND, NULL, &lost, fault);
}

static void serve_it(void *ctx) { far_verbs_serve(ctx); }

static bool own_queues(FarVerbs *verbs, Fault *fault) {
  static const uint64_t nobody; /* no client has this id */
  uint64_t token;
  if (!far_verbs_expect(verbs, nobody, &token, fault)) return false;
  verbs->own = verbs_connect(verbs->at, token, clock_now() + 5 * (int64_t)SECOND, NULL, serve_it,
                             verbs, fault);
  if (!verbs->own) return false;
  verbs->chain = chain_open(verbs->own, verbs->at, verbs->memory->region, verbs->memory->size,
                            &verbs->counts, fault);
  return verbs->chain != NULL;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool listen_at(FarVerbs *it, struct sockaddr *place, Fault *fault) {
  enum {
    MAY = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE |
          IBV_ACCESS_REMOTE_ATOMIC
  };
  if (it->rdma->create_id(it->channel, &it->listener, NULL, RDMA_PS_TCP))
    return refuse(it, "no connection can be made", fault);
  if (it->rdma->bind_addr(it->listener, place)) return refuse(it, "cannot listen", fault);
  if (!it->listener->verbs) {
    return fault_set(fault, FAULT_INVALID, "%s: it has to be the address of one RDMA device",
                     it->at);
  }
  if (!(it->pd = it->rdma->alloc_pd(it->listener->verbs)))
    return refuse(it, "no protection domain", fault);
  if (!(it->cq = it->rdma->create_cq(it->listener->verbs, 1, NULL, NULL, 0)))
    return refuse(it, "no completion queue", fault);
  if (!(it->mr = it->rdma->reg_mr(it->pd, it->memory->base, it->memory->size, MAY))) {
    return fault_set(fault, FAULT_IO, "%s: %llu bytes of memory cannot be pinned (ulimit -l): %s",
                     it->at, (unsigned long long)it->memory->size, strerror(errno));
  }
  return it->rdma->listen(it->listener, BACKLOG) == 0 || refuse(it, "cannot listen", fault);
}

FarVerbs *far_verbs_open(FarMapped *memory, const char *at, Fault *fault) {
  struct sockaddr_storage place;
  const Rdma *rdma = rdma_load(fault);
  if (!rdma || !address_place(at, true, &place, fault)) return NULL;
  FarVerbs *it = calloc(1, sizeof *it);
  if (!it || !(it->at = strdup(at))) {
    free(it);
    fault_oom(fault);
    return NULL;
  }
  it->rdma = rdma;
  it->memory = memory;
  if ((it->channel = rdma_open_channel(rdma, fault)) &&
      listen_at(it, (struct sockaddr *)&place, fault) && own_queues(it, fault)) {
    it->words = (FarWords){change, it};
    memory->words = &it->words;
    return it;
  }
  far_verbs_close(it);
  return NULL;
}

void far_verbs_close(FarVerbs *verbs) {
  if (!verbs) return;
  verbs->memory->words = NULL;
  chain_close(verbs->chain);
  if (verbs->own) verbs->own->kind->close(verbs->own, false);
  while (verbs->nguests) far_verbs_drop(verbs, verbs->guests[0].client);
  if (verbs->mr) verbs->rdma->dereg_mr(verbs->mr);
  if (verbs->cq) verbs->rdma->destroy_cq(verbs->cq);
  if (verbs->pd) verbs->rdma->dealloc_pd(verbs->pd);
  if (verbs->listener) verbs->rdma->destroy_id(verbs->listener);
  if (verbs->channel) verbs->rdma->destroy_channel(verbs->channel);
  free(verbs->guests);
  free(verbs->at);
  free(verbs);
}

#else
FarVerbs *far_verbs_open(FarMapped *memory, const char *at, Fault *fault) {
  (void)memory;
  (void)at;
  rdma_load(fault);
  return NULL;
}

void far_verbs_close(FarVerbs *verbs) { (void)verbs; }
int far_verbs_fd(const FarVerbs *verbs) { return verbs ? 0 : -1; }
void far_verbs_serve(FarVerbs *verbs) { (void)verbs; }
bool far_verbs_expect(FarVerbs *verbs, uint64_t client, uint64_t *out_token, Fault *fault) {
  (void)verbs;
  (void)client;
  *out_token = 0;
  rdma_load(fault);
  return false;
}
void far_verbs_drop(FarVerbs *verbs, uint64_t client) {
  (void)verbs;
  (void)client;
}
#endif
