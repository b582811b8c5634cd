/*
** A card by verbs: a pair of queues (RC) with the server's, made by librdmacm.
*/
#define _GNU_SOURCE /* MAP_ANONYMOUS, MADV_DONTFORK */
#include "remote/rdma.h"
#include "remote/verbs.h"

#ifdef TENFOLD_RDMA
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote/address.h"

typedef struct RdmaNic {
  Nic nic;
  const Rdma *rdma;
  struct rdma_event_channel *channel;
  struct rdma_cm_id *id;
  struct ibv_pd *pd;
  struct ibv_cq *cq;
  struct ibv_mr *mr;
  uint64_t chain; /* the number of the one under way: the last work's id */
  struct ibv_send_wr works[NIC_DEPTH];
  struct ibv_sge places[NIC_DEPTH];
  char why[128];
} RdmaNic;

enum { RXE_VENDOR = 0xffffff };

/* ---- works ----------------------------------------------------------------------------------- */

static void make_work(const RdmaNic *it, const NicWork *work, struct ibv_send_wr *out,
                      struct ibv_sge *place) {
  const uint64_t at = it->nic.base + work->at;
  *place = (struct ibv_sge){.addr = (uintptr_t)(it->nic.room + work->local),
                            .length = work->length,
                            .lkey = it->mr->lkey};
  *out = (struct ibv_send_wr){.wr_id = it->chain, .sg_list = place, .num_sge = 1};
  out->send_flags = work->fence ? IBV_SEND_FENCE : 0;
  if (work->code <= NIC_WRITE) {
    out->opcode = work->code == NIC_READ ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
    out->wr.rdma.remote_addr = at;
    out->wr.rdma.rkey = it->nic.key;
    return;
  }
  const bool cas = work->code == NIC_CAS;
  out->opcode = cas ? IBV_WR_ATOMIC_CMP_AND_SWP : IBV_WR_ATOMIC_FETCH_AND_ADD;
  out->wr.atomic.remote_addr = at;
  out->wr.atomic.rkey = it->nic.key;
  out->wr.atomic.compare_add = cas ? work->expected : work->value;
  out->wr.atomic.swap = work->value;
}

static bool rdma_post(Nic *nic, const NicWork *works, size_t n, Fault *fault) {
  RdmaNic *it = (RdmaNic *)nic;
  struct ibv_send_wr *refused;
  it->chain++;
  for (size_t i = 0; i < n; i++) {
    make_work(it, &works[i], &it->works[i], &it->places[i]);
    it->works[i].next = i + 1 < n ? &it->works[i + 1] : NULL;
  }
  it->works[n - 1].send_flags |= IBV_SEND_SIGNALED; /* the others tell only of failures */
  const int rc = ibv_post_send(it->id->qp, it->works, &refused);
  return rc == 0 || fault_set(fault, FAULT_IO, "verbs: the card takes no work: %s", strerror(rc));
}

static NicState rdma_poll(Nic *nic, const char **out_why) {
  RdmaNic *it = (RdmaNic *)nic;
  struct ibv_wc done;
  const int n = ibv_poll_cq(it->cq, 1, &done);
  if (n == 0) return NIC_BUSY;
  if (n > 0 && done.status == IBV_WC_SUCCESS) return done.wr_id == it->chain ? NIC_DONE : NIC_BUSY;
  *out_why = n < 0 ? "the card cannot be asked" : it->rdma->status_text(done.status);
  return NIC_FAILED;
}

/* rdma_rxe may miss that what it waits for is done (its requester says that it waits after its
** completer looked whether it does). A write of nothing makes the requester look again. */
static void rdma_nudge(Nic *nic) {
  RdmaNic *it = (RdmaNic *)nic;
  struct ibv_send_wr nothing = {.wr_id = it->chain, .opcode = IBV_WR_RDMA_WRITE}, *refused;
  nothing.wr.rdma.remote_addr = it->nic.base;
  nothing.wr.rdma.rkey = it->nic.key;
  ibv_post_send(it->id->qp, &nothing, &refused);
}

static void rdma_nic_close(Nic *nic, bool inherited) {
  RdmaNic *it = (RdmaNic *)nic;
  if (inherited) { /* a child may let go of what is its parent's, but not end it */
    close(it->channel->fd);
    free(it);
    return;
  }
  if (it->id && it->id->qp) it->rdma->destroy_qp(it->id);
  if (it->cq) it->rdma->destroy_cq(it->cq);
  if (it->mr) it->rdma->dereg_mr(it->mr);
  if (it->nic.room) munmap(it->nic.room, it->nic.nroom);
  if (it->pd) it->rdma->dealloc_pd(it->pd);
  if (it->id) it->rdma->destroy_id(it->id);
  if (it->channel) it->rdma->destroy_channel(it->channel);
  free(it);
}

static const NicKind by_verbs = {rdma_post, rdma_poll, rdma_nudge, rdma_nic_close};

/* ---- a connection ---------------------------------------------------------------------------- */

typedef struct Attempt { /* to connect */
  RdmaNic *nic;
  const char *at;
  int64_t deadline;
  Stop *stop;
  void (*meanwhile)(void *ctx);
  void *ctx;
} Attempt;

static bool refuse(const Attempt *it, const char *what, Fault *fault) {
  return fault_set(fault, FAULT_IO, "%s: %s: %s", it->at, what, strerror(errno));
}

/* Events say in numbers what was wrong. */
static bool explain(const Attempt *it, const struct rdma_cm_event *event, Fault *fault) {
  enum { NOBODY_LISTENS = 8, REFUSED = 28 }; /* InfiniBand's reasons */
  const int status = event->status;
  if (event->event == RDMA_CM_EVENT_REJECTED) {
    return fault_set(fault, FAULT_IO, "%s: the server refuses the queues (%s, reason %d)", it->at,
                     status == NOBODY_LISTENS ? "it does not listen for verbs"
                     : status == REFUSED      ? "a wrong token"
                                              : "no room, say",
                     status);
  }
  return fault_set(fault, FAULT_IO, "%s: cannot be reached by verbs: %s (%s)", it->at,
                   status < 0 ? strerror(-status) : "no answer",
                   it->nic->rdma->event_text(event->event));
}

/* Waits for this event. */
static bool await(const Attempt *it, enum rdma_cm_event_type wanted, RdmaWelcome *out,
                  Fault *fault) {
  struct rdma_cm_event *event;
  struct pollfd for_events = {.fd = it->nic->channel->fd, .events = POLLIN};
  while (it->nic->rdma->get_event(it->nic->channel, &event)) {
    if (errno != EAGAIN && errno != EINTR) return refuse(it, "no events", fault);
    if (it->stop && stop_now(it->stop))
      return fault_set(fault, FAULT_INTERRUPT, "%s: interrupted", it->at);
    if (clock_now() > it->deadline)
      return fault_set(fault, FAULT_IO, "%s: no queues in time", it->at);
    if (it->meanwhile) it->meanwhile(it->ctx);
    poll(&for_events, 1, it->meanwhile ? 1 : 10);
  }
  bool ok = event->event == wanted || explain(it, event, fault);
  if (ok && out) {
    const struct rdma_conn_param *said = &event->param.conn;
    ok = said->private_data && said->private_data_len >= sizeof *out;
    if (ok) memcpy(out, said->private_data, sizeof *out);
    if (!ok) fault_set(fault, FAULT_IO, "%s: no far memory answers here", it->at);
  }
  it->nic->rdma->ack_event(event);
  return ok;
}

/* What works are done with, once it is known by which device the server is reached. */
static bool make_queues(const Attempt *it, Fault *fault) {
  RdmaNic *nic = it->nic;
  struct ibv_device_attr device;
  if (nic->rdma->query_device(nic->id->verbs, &device))
    return refuse(it, "the device does not answer", fault);
  if (device.atomic_cap == IBV_ATOMIC_NONE || device.max_qp_wr < 16) {
    return fault_set(fault, FAULT_UNSUPPORTED, "%s: the RDMA device cannot change words", it->at);
  }
  /* rdma_rxe waits with a fence until nothing is under way that was read. When an answer is late,
  ** and it sends everything anew, that is what has the fence itself: then it waits for ever. */
  nic->nic.fences = device.vendor_id != RXE_VENDOR;
  const int most = device.max_qp_wr - NIC_NUDGES;
  nic->nic.depth = most < NIC_DEPTH ? (size_t)most : NIC_DEPTH;
  void *room = mmap(NULL, NIC_ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return fault_oom(fault);
  nic->nic.room = room;
  nic->nic.nroom = NIC_ROOM;
  madvise(room, NIC_ROOM, MADV_DONTFORK); /* a child's copy of it would be ours no more */
  if (!(nic->pd = nic->rdma->alloc_pd(nic->id->verbs)))
    return refuse(it, "no protection domain", fault);
  if (!(nic->mr = nic->rdma->reg_mr(nic->pd, room, NIC_ROOM, IBV_ACCESS_LOCAL_WRITE)))
    return refuse(it, "2 MiB cannot be pinned (ulimit -l)", fault);
  if (!(nic->cq = nic->rdma->create_cq(nic->id->verbs, (int)nic->nic.depth + NIC_NUDGES + 1, NULL,
                                       NULL, 0)))
    return refuse(it, "no completion queue", fault);
  struct ibv_qp_init_attr wanted = {.send_cq = nic->cq, .recv_cq = nic->cq};
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap = (struct ibv_qp_cap){.max_send_wr = (uint32_t)nic->nic.depth + NIC_NUDGES,
                                   .max_recv_wr = 1,
                                   .max_send_sge = 1,
                                   .max_recv_sge = 1};
  return nic->rdma->create_qp(nic->id, nic->pd, &wanted) == 0 || refuse(it, "no queues", fault);
}

static bool connect_with(const Attempt *it, struct sockaddr *place, uint64_t token, Fault *fault) {
  RdmaNic *nic = it->nic;
  const int left_ms = (int)((it->deadline - clock_now()) / 1000000) + 1;
  uint8_t timeout = RDMA_ACK_TIMEOUT;
  const RdmaHello hello = {rdma_magic, token};
  RdmaWelcome welcome;
  if (nic->rdma->set_option(nic->id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout,
                            sizeof timeout))
    return refuse(it, "no time limit can be set", fault);
  if (nic->rdma->resolve_addr(nic->id, NULL, place, left_ms))
    return refuse(it, "no RDMA device reaches it", fault);
  if (!await(it, RDMA_CM_EVENT_ADDR_RESOLVED, NULL, fault)) return false;
  if (nic->rdma->resolve_route(nic->id, left_ms)) return refuse(it, "no route", fault);
  if (!await(it, RDMA_CM_EVENT_ROUTE_RESOLVED, NULL, fault) || !make_queues(it, fault))
    return false;
  struct rdma_conn_param how = {.private_data = &hello, .private_data_len = sizeof hello};
  how.responder_resources = RDMA_MAX_RESP_RES;
  how.initiator_depth = RDMA_MAX_INIT_DEPTH;
  how.retry_count = RDMA_RETRIES;
  how.rnr_retry_count = RDMA_RETRIES;
  if (nic->rdma->connect(nic->id, &how)) return refuse(it, "cannot be asked for queues", fault);
  if (!await(it, RDMA_CM_EVENT_ESTABLISHED, &welcome, fault)) return false;
  nic->nic.base = welcome.base;
  nic->nic.key = (uint32_t)welcome.key;
  return true;
}

Nic *verbs_connect(const char *at, uint64_t token, int64_t deadline, Stop *stop,
                   void (*meanwhile)(void *ctx), void *ctx, Fault *fault) {
  struct sockaddr_storage place;
  const Rdma *rdma = rdma_load(fault);
  if (!rdma || !address_place(at, false, &place, fault)) return NULL;
  RdmaNic *nic = calloc(1, sizeof *nic);
  if (!nic) {
    fault_oom(fault);
    return NULL;
  }
  nic->nic.kind = &by_verbs;
  nic->rdma = rdma;
  const Attempt it = {nic, at, deadline, stop, meanwhile, ctx};
  nic->channel = rdma_open_channel(rdma, fault);
  bool ok = nic->channel != NULL;
  if (ok && rdma->create_id(nic->channel, &nic->id, NULL, RDMA_PS_TCP))
    ok = refuse(&it, "no connection can be made", fault);
  if (ok && connect_with(&it, (struct sockaddr *)&place, token, fault)) return &nic->nic;
  rdma_nic_close(&nic->nic, false);
  return NULL;
}

#else
Nic *verbs_connect(const char *at, uint64_t token, int64_t deadline, Stop *stop,
                   void (*meanwhile)(void *ctx), void *ctx, Fault *fault) {
  (void)at;
  (void)token;
  (void)deadline;
  (void)stop;
  (void)meanwhile;
  (void)ctx;
  rdma_load(fault);
  return NULL;
}
#endif
