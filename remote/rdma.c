#include "remote/rdma.h"

#include <stddef.h>

#ifdef TENFOLD_RDMA
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

typedef struct Symbol {
  const char *name;
  size_t at; /* in Rdma */
} Symbol;

static const Symbol of_cm[] = {
    {"rdma_create_event_channel", offsetof(Rdma, create_channel)},
    {"rdma_destroy_event_channel", offsetof(Rdma, destroy_channel)},
    {"rdma_get_cm_event", offsetof(Rdma, get_event)},
    {"rdma_ack_cm_event", offsetof(Rdma, ack_event)},
    {"rdma_event_str", offsetof(Rdma, event_text)},
    {"rdma_create_id", offsetof(Rdma, create_id)},
    {"rdma_destroy_id", offsetof(Rdma, destroy_id)},
    {"rdma_set_option", offsetof(Rdma, set_option)},
    {"rdma_resolve_addr", offsetof(Rdma, resolve_addr)},
    {"rdma_resolve_route", offsetof(Rdma, resolve_route)},
    {"rdma_connect", offsetof(Rdma, connect)},
    {"rdma_bind_addr", offsetof(Rdma, bind_addr)},
    {"rdma_listen", offsetof(Rdma, listen)},
    {"rdma_accept", offsetof(Rdma, accept)},
    {"rdma_reject", offsetof(Rdma, reject)},
    {"rdma_create_qp", offsetof(Rdma, create_qp)},
    {"rdma_destroy_qp", offsetof(Rdma, destroy_qp)},
    {NULL, 0},
};

static const Symbol of_verbs[] = {
    {"ibv_alloc_pd", offsetof(Rdma, alloc_pd)},
    {"ibv_dealloc_pd", offsetof(Rdma, dealloc_pd)},
    {"ibv_reg_mr", offsetof(Rdma, reg_mr)},
    {"ibv_dereg_mr", offsetof(Rdma, dereg_mr)},
    {"ibv_create_cq", offsetof(Rdma, create_cq)},
    {"ibv_destroy_cq", offsetof(Rdma, destroy_cq)},
    {"ibv_query_device", offsetof(Rdma, query_device)},
    {"ibv_wc_status_str", offsetof(Rdma, status_text)},
    {NULL, 0},
};

/* Data and functions have pointers of one kind here (POSIX). */
static bool take(const char *library, const Symbol *symbols, Rdma *out, Fault *fault) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (!handle) {
    return fault_set(fault, FAULT_UNSUPPORTED, "verbs need the library %s (Debian's %s): %s",
                     library, strstr(library, "cm") ? "librdmacm1" : "libibverbs1", dlerror());
  }
  for (; symbols->name; symbols++) {
    void *symbol = dlsym(handle, symbols->name);
    if (!symbol)
      return fault_set(fault, FAULT_UNSUPPORTED, "verbs: %s has no %s", library, symbols->name);
    memcpy((char *)out + symbols->at, &symbol, sizeof symbol);
  }
  return true;
}

bool rdma_load_from(const char *cm, const char *verbs, Rdma *out, Fault *fault) {
  return take(cm, of_cm, out, fault) && take(verbs, of_verbs, out, fault);
}

const Rdma *rdma_load(Fault *fault) {
  static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
  static Rdma rdma;
  static bool loaded;
  pthread_mutex_lock(&guard);
  loaded = loaded || rdma_load_from("librdmacm.so.1", "libibverbs.so.1", &rdma, fault);
  const bool ok = loaded;
  pthread_mutex_unlock(&guard);
  return ok ? &rdma : NULL;
}

struct rdma_event_channel *rdma_open_channel(const Rdma *rdma, Fault *fault) {
  struct rdma_event_channel *channel = rdma->create_channel();
  if (!channel) {
    fault_set(fault, FAULT_UNSUPPORTED, "this machine has no RDMA device: %s", strerror(errno));
    return NULL;
  }
  fcntl(channel->fd, F_SETFL, fcntl(channel->fd, F_GETFL) | O_NONBLOCK);
  fcntl(channel->fd, F_SETFD, FD_CLOEXEC);
  return channel;
}

#else
bool rdma_load_from(const char *cm, const char *verbs, Rdma *out, Fault *fault) {
  (void)cm;
  (void)verbs;
  (void)out;
  return fault_set(fault, FAULT_UNSUPPORTED,
                   "this was compiled without verbs: rdma/rdma_cma.h (Debian's librdmacm-dev) was "
                   "missing");
}

const Rdma *rdma_load(Fault *fault) {
  rdma_load_from("", "", NULL, fault);
  return NULL;
}
#endif
