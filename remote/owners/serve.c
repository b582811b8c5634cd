/*
** Where other nodes connect: a thread that listens, and one for each connection.
*/
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remote/address.h"
#include "remote/owners/inside.h"
#include "remote/proof.h"

enum { UNPROVED = 256, GREETING = 1000000000, STACK = 512 << 10 };

/* ---- a connection ---------------------------------------------------------------------------- */

typedef struct Patience {
  OwnConn *conn;
  int64_t until; /* 0: no limit */
} Patience;

static bool go_on(void *ctx) {
  const Patience *it = ctx;
  return !atomic_load(&it->conn->node->stopping) && (!it->until || clock_now() < it->until);
}

static const char *reply(OwnConn *conn) {
  Patience patience = {conn, clock_now() + 10 * (int64_t)GREETING};
  far_wire_end(&conn->out, 0);
  return own_frame_send(conn->fd, &conn->out, go_on, &patience);
}

/* NULL: she knows the secret. */
static const char *greet(OwnConn *conn) {
  unsigned char hers[WIRE_NONCE], mine[WIRE_NONCE], proof[WIRE_PROOF];
  Patience patience = {conn, clock_now() + GREETING};
  OwnNode *node = conn->node;
  uint32_t kind;
  uint64_t version;
  const char *wrong =
      own_frame_receive(conn->fd, &conn->in, UNPROVED, &kind, NULL, go_on, &patience);
  if (wrong) return wrong;
  if (kind != OWN_MSG_HELLO || conn->in.length != 16 + WIRE_NONCE) return "no greeting";
  memcpy(&version, conn->in.bytes + 8, sizeof version);
  if (version != OWN_WIRE_VERSION) return "another version of the protocol";
  memcpy(hers, conn->in.bytes + 16, sizeof hers);
  if (!proof_nonce(mine)) return "no random numbers";
  if (!far_wire_begin(&conn->out, (FarWireKind)OWN_MSG_CHALLENGE) ||
      !far_wire_add(&conn->out, mine, sizeof mine))
    return "out of memory";
  if ((wrong = reply(conn))) return wrong;
  wrong = own_frame_receive(conn->fd, &conn->in, UNPROVED, &kind, NULL, go_on, &patience);
  if (wrong) return wrong;
  own_proof(node->secret, false, hers, mine, proof);
  if (kind != OWN_MSG_PROVE || conn->in.length != 8 + WIRE_PROOF ||
      !proof_same(proof, conn->in.bytes + 8)) {
    Fault fault = {0};
    fault_set(&fault, FAULT_DENIED, "the secret is not the node's");
    if (!own_answer_fault(conn, &fault)) reply(conn);
    return "a wrong secret";
  }
  own_proof(node->secret, true, hers, mine, proof);
  conn->out.length = 0;
  if (!far_wire_begin(&conn->out, (FarWireKind)OWN_MSG_WELCOME) ||
      !far_wire_add(&conn->out, proof, sizeof proof) ||
      !own_put_bytes(&conn->out, node->name, strlen(node->name)))
    return "out of memory";
  return reply(conn);
}

static void count(OwnConn *conn) {
  OwnNode *node = conn->node;
  pthread_mutex_lock(&node->lock);
  node->stats.requests++;
  node->stats.bytes_in += conn->in.length;
  node->stats.bytes_out += conn->out.length;
  pthread_mutex_unlock(&node->lock);
}

/* What was prepared here and neither done nor undone. Who writes through holds the lock of the
** database from before he prepared until he has ended: once we had it, the database knows. */
static void settle(OwnConn *conn, OwnUse *use) {
  OwnTable *table = use->table;
  if (!own_table_prepared(table, conn)) return;
  if (table->write != OWN_WRITE_THROUGH) {
    own_table_abort(table, conn);
    return;
  }
  bool known = false;
  while (!known && !atomic_load(&conn->node->stopping)) {
    Fault fault = {0};
    known = own_use_clerk(use, &fault) && table->store.begin(use->clerk, &fault) &&
            table->store.end(use->clerk, false, &fault);
    if (!known) own_pause(1000000);
  }
  own_table_forget_prepared(table, conn);
}

/* Slices that were coming. */
static void stop_arrivals(OwnConn *conn, OwnTable *table) {
  bool any = false;
  for (int i = 0; i < table->nslices; i++) {
    OwnSlice *slice = &table->slices[i];
    pthread_mutex_lock(&slice->lock);
    if (slice->state == OWN_CLOSED && slice->from == conn) {
      slice->from = &own_gone;
      any = true;
    }
    pthread_mutex_unlock(&slice->lock);
  }
  if (any) own_node_hurry(conn->node);
}

static void *converse(void *ctx) {
  OwnConn *conn = ctx;
  Patience patience = {conn, 0};
  uint32_t kind;
  const char *wrong = greet(conn);
  if (wrong) {
    pthread_mutex_lock(&conn->node->lock);
    conn->node->stats.refused++;
    pthread_mutex_unlock(&conn->node->lock);
  }
  while (!wrong) {
    wrong = own_frame_receive(conn->fd, &conn->in, WIRE_MOST, &kind, NULL, go_on, &patience);
    own_gate_enter();
    if (!wrong) wrong = own_answer(conn, kind);
    own_gate_leave();
    if (!wrong) wrong = reply(conn);
    if (!wrong) count(conn);
    own_load_charge(conn);
  }
  own_socket_remove(&conn->fd);
  own_gate_enter();
  for (OwnUse *use = conn->uses; use; use = use->next) {
    settle(conn, use);
    stop_arrivals(conn, use->table);
  }
  own_uses_end(&conn->uses);
  own_gate_leave();
  own_rows_drop(conn->rows, conn->nrows);
  far_wire_free(&conn->in);
  far_wire_free(&conn->out);
  atomic_store(&conn->ended, true);
  return NULL;
}

/* ---- the listener ---------------------------------------------------------------------------- */

static void reap(OwnNode *node, bool all) {
  OwnConn *ended = NULL;
  pthread_mutex_lock(&node->lock);
  for (OwnConn **at = &node->conns; *at;) {
    OwnConn *conn = *at;
    if (!all && !atomic_load(&conn->ended)) {
      at = &conn->next;
      continue;
    }
    *at = conn->next;
    conn->next = ended;
    ended = conn;
  }
  pthread_mutex_unlock(&node->lock);
  for (OwnConn *next; ended; ended = next) {
    next = ended->next;
    pthread_join(ended->thread, NULL);
    free(ended);
  }
}

static void accept_one(OwnNode *node) {
  const int on = 1;
  const struct timeval slice = {0, 200000};
  const int fd = accept4(node->listen_fd, NULL, NULL, SOCK_CLOEXEC);
  OwnConn *conn = fd >= 0 ? calloc(1, sizeof *conn) : NULL;
  pthread_attr_t small;
  if (!conn) {
    if (fd >= 0) close(fd);
    return;
  }
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &slice, sizeof slice);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* of no use to unix sockets */
  conn->node = node;
  conn->fd = fd;
  own_socket_add(&conn->fd);
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, STACK);
  pthread_mutex_lock(&node->lock);
  const bool ok = pthread_create(&conn->thread, &small, converse, conn) == 0;
  if (ok) {
    conn->next = node->conns;
    node->conns = conn;
  }
  pthread_mutex_unlock(&node->lock);
  pthread_attr_destroy(&small);
  if (ok) return;
  own_socket_remove(&conn->fd);
  free(conn);
}

static void *listen_on(void *ctx) {
  OwnNode *node = ctx;
  while (!atomic_load(&node->stopping)) {
    struct pollfd fds[] = {{.fd = node->listen_fd, .events = POLLIN},
                           {.fd = node->wake_fd, .events = POLLIN}};
    if (poll(fds, 2, 1000) > 0 && fds[0].revents) accept_one(node);
    reap(node, false);
  }
  return NULL;
}

bool own_listen(OwnNode *node, Fault *fault) {
  node->listen_fd = address_listen(node->address, fault);
  own_socket_add(&node->listen_fd);
  if (node->listen_fd < 0) return false;
  const int rc = pthread_create(&node->listener, NULL, listen_on, node);
  node->listening = rc == 0;
  return node->listening || fault_set(fault, FAULT_IO, "no thread: %s", strerror(rc));
}

void own_listen_end(OwnNode *node) {
  const uint64_t one = 1;
  if (node->listening) {
    if (write(node->wake_fd, &one, sizeof one) < 0) { /* then it sees it within a second */
    }
    pthread_join(node->listener, NULL);
    if (!strncmp(node->address, "unix:", 5)) unlink(node->address + 5);
  }
  pthread_mutex_lock(&node->lock);
  for (OwnConn *conn = node->conns; conn; conn = conn->next) own_socket_shut(&conn->fd);
  pthread_mutex_unlock(&node->lock);
  reap(node, true);
  own_socket_remove(&node->listen_fd);
  node->listening = false;
}
