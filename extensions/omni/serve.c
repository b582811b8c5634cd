/*
** The helper from inside: see serve.h.
*/
#include "extensions/omni/serve.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extensions/omni/omni.h"
#include "extensions/omni/program.h"

/* While we work there is nothing to hear but WIRE_STOP: whatever comes means that. */
static bool host_wants_end(void *ctx) {
  (void)ctx;
  char byte;
  ssize_t n = recv(WIRE_SOCKET, &byte, sizeof byte, MSG_DONTWAIT | MSG_PEEK);
  return n >= 0; /* 0: it has gone */
}

static bool serve(Service *service, Fault *fault) {
  switch (service->wire.kind) {
  case WIRE_STOP: /* for an answer that was on its way */
    return true;
  case WIRE_RECORD:
    return serve_record(service, fault);
  case WIRE_VERIFY:
    return serve_verify(service, fault);
  case WIRE_CALLS:
    return serve_calls(service, fault);
  default:
    return fault_set(fault, FAULT_INTERNAL, "a question of kind %d", service->wire.kind);
  }
}

static bool say_hello(Service *service, Fault *fault) {
  wire_begin(&service->wire, WIRE_HELLO);
  wire_put_u32(&service->wire, WIRE_VERSION);
  wire_put_text(&service->wire, VT_VERSION);
  return wire_send(WIRE_SOCKET, &service->wire, -1, fault);
}

static bool say_fault(Service *service, const Fault *why, Fault *fault) {
  wire_begin(&service->wire, WIRE_FAULT);
  wire_put_u32(&service->wire, (uint32_t)why->code);
  wire_put_text(&service->wire, why->text);
  return wire_send(WIRE_SOCKET, &service->wire, -1, fault);
}

int program_helper(int argc, char **argv) {
  (void)argc;
  struct stat st;
  if (fstat(WIRE_SOCKET, &st) != 0 || !S_ISSOCK(st.st_mode)) {
    return program_usage(argv[0], "it is for omni itself");
  }
  fcntl(WIRE_SOCKET, F_SETFD, FD_CLOEXEC);
  Service *service = calloc(1, sizeof *service);
  if (!service) return PROGRAM_FAILED;
  Fault fault = {0};
  bool ok = say_hello(service, &fault);
  while (ok && wire_receive(WIRE_SOCKET, -1, &service->wire, &fault)) {
    Fault why = {0};
    if (service->wire.kind == WIRE_NONE) continue;
    service->stop = (Stop){.asked = host_wants_end};
    if (!serve(service, &why)) ok = say_fault(service, &why, &fault);
  }
  free(service);
  return 0; /* the host has gone, or does not make sense */
}
