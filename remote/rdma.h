/*
** librdmacm and libibverbs, found at run time: for rdma_nic.c and rdma_listen.c. Their headers
** may be missing where this is compiled: then there is no TENFOLD_RDMA.
*/
#ifndef TENFOLD_REMOTE_RDMA_H
#define TENFOLD_REMOTE_RDMA_H

#include "base/fault.h"

#if __has_include(<rdma/rdma_cma.h>)
#define TENFOLD_RDMA 1

#include <rdma/rdma_cma.h>
#undef ibv_reg_mr

typedef struct Rdma {
  __typeof__(rdma_create_event_channel) *create_channel;
  __typeof__(rdma_destroy_event_channel) *destroy_channel;
  __typeof__(rdma_get_cm_event) *get_event;
  __typeof__(rdma_ack_cm_event) *ack_event;
  __typeof__(rdma_event_str) *event_text;
  __typeof__(rdma_create_id) *create_id;
  __typeof__(rdma_destroy_id) *destroy_id;
  __typeof__(rdma_set_option) *set_option;
  __typeof__(rdma_resolve_addr) *resolve_addr;
  __typeof__(rdma_resolve_route) *resolve_route;
  __typeof__(rdma_connect) *connect;
  __typeof__(rdma_bind_addr) *bind_addr;
  __typeof__(rdma_listen) *listen;
  __typeof__(rdma_accept) *accept;
  __typeof__(rdma_reject) *reject;
  __typeof__(rdma_create_qp) *create_qp;
  __typeof__(rdma_destroy_qp) *destroy_qp;
  __typeof__(ibv_alloc_pd) *alloc_pd;
  __typeof__(ibv_dealloc_pd) *dealloc_pd;
  __typeof__(ibv_reg_mr) *reg_mr;
  __typeof__(ibv_dereg_mr) *dereg_mr;
  __typeof__(ibv_create_cq) *create_cq;
  __typeof__(ibv_destroy_cq) *destroy_cq;
  __typeof__(ibv_query_device) *query_device;
  __typeof__(ibv_wc_status_str) *status_text;
} Rdma;

/* What a client says with its request for queues, and what it is answered. */
typedef struct RdmaHello {
  uint64_t magic, token;
} RdmaHello;
typedef struct RdmaWelcome {
  uint64_t base, size, key;
} RdmaWelcome;

static const uint64_t rdma_magic = UINT64_C(0x31616d6472616674); /* "tfardma1" */

/* Peers that are gone are found out in this time, four times over: 4.096 us << 14 = 67 ms. The
** defaults of librdmacm are 2 s, eight times over. */
enum { RDMA_ACK_TIMEOUT = 14, RDMA_RETRIES = 3 };

/* Events do not wait for anybody: get_event() fails with EAGAIN. NULL: with a fault. */
struct rdma_event_channel *rdma_open_channel(const Rdma *rdma, Fault *fault);

#else
typedef struct Rdma Rdma;
#endif

/* NULL: one of them, or a function of it, is missing: the fault names it. They stay loaded. */
const Rdma *rdma_load(Fault *fault);

/* The same, by these names, into *out. */
bool rdma_load_from(const char *cm, const char *verbs, Rdma *out, Fault *fault);

#endif
