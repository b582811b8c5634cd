/*
** The helper from inside: see serve.h.
*/
#define _GNU_SOURCE /* sched_getaffinity */
#include "extensions/omni/serve.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/omni.h"
#include "extensions/omni/program.h"

/* While we work there is nothing to hear but WIRE_STOP: whatever comes means that. */
static bool host_wants_end(void *ctx) {
  (void)ctx;
  char byte;
  ssize_t n = recv(WIRE_SOCKET, &byte, sizeof byte, MSG_DONTWAIT | MSG_PEEK);
  return n >= 0; /* 0: it has gone */
}

/* ---- questions that are answered with cells -------------------------------------------------- */

static const struct {
  WireKind kind;
  bool (*serve)(Service *service, CellWriter *out, Fault *fault);
} questions[] = {
    {WIRE_FUNCTIONS, serve_functions},
    {WIRE_REGISTERS, serve_registers},
    {WIRE_MEMORY, serve_memory},
    {WIRE_STACK, serve_stack},
    {WIRE_VARIABLES, serve_variables},
    {WIRE_EXPRESSIONS, serve_expressions},
    {WIRE_GLOBALS, serve_globals},
    {WIRE_TYPES, serve_types},
    {WIRE_PARAMETERS, serve_parameters},
    {WIRE_LINES, serve_lines},
    {WIRE_PROBE, serve_probe},
    {WIRE_PASSES, serve_passes},
    {WIRE_INSTRUCTIONS, serve_instructions},
    {WIRE_FOLDED, serve_folded},
    {WIRE_WRITES, serve_writes},
};

/* The host tells a helper that was gone before it was asked from one that the question ended. */
static bool say_arrived(Fault *fault) {
  Wire *news = calloc(1, sizeof *news);
  if (!news) return fault_oom(fault);
  wire_begin(news, WIRE_NEWS);
  const bool ok = wire_send(WIRE_SOCKET, news, -1, fault);
  free(news);
  return ok;
}

static bool serve_cells(Service *service, Fault *fault) {
  const WireKind kind = service->wire.kind;
  CellWriter writer = {.fd = service->wire.fd - 1};
  service->wire.fd = 0;
  bool ok;
  size_t i = 0;
  while (i < countof(questions) && questions[i].kind != kind) i++;
  if (i == countof(questions) || writer.fd < 0) {
    ok = fault_set(fault, FAULT_INTERNAL, "a question of kind %d", kind);
  } else {
    ok = say_arrived(fault) && questions[i].serve(service, &writer, fault);
  }
  const uint64_t rows = writer.rows;
  ok = cells_finish(&writer, fault) && ok;
  if (writer.fd >= 0) close(writer.fd);
  if (!ok) return false;
  wire_begin(&service->wire, WIRE_DONE);
  wire_put_u64(&service->wire, rows);
  return wire_send(WIRE_SOCKET, &service->wire, -1, fault);
}

Moment serve_get_moment(Wire *wire) {
  Moment moment = {.ev = wire_get_u64(wire)};
  moment.tid = (int32_t)wire_get_u32(wire);
  moment.addr = wire_get_u64(wire);
  moment.hit = wire_get_u64(wire);
  return moment;
}

void serve_get_terms(Wire *wire, ServeTerms *out) {
  const uint32_t count = wire_get_u32(wire);
  *out = (ServeTerms){0};
  for (uint32_t i = 0; i < count && !wire->failed; i++) {
    const int col = (int)wire_get_u32(wire);
    const bool is_pattern = wire_get_u32(wire) != 0;
    const char *text = wire_get_text(wire);
    if (out->count == SERVE_TERMS) continue; /* the host tests them all again */
    out->list[out->count].col = col;
    out->list[out->count].is_pattern = is_pattern;
    out->list[out->count++].text = text;
  }
}

bool serve_fits(const ServeTerms *terms, int col, const char *text) {
  for (int i = 0; i < terms->count; i++) {
    if (terms->list[i].col != col) continue;
    const char *wanted = terms->list[i].text;
    if (!(terms->list[i].is_pattern ? glob_matches(wanted, text) : strcmp(wanted, text) == 0)) {
      return false;
    }
  }
  return true;
}

/* ---- all questions --------------------------------------------------------------------------- */

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
    return serve_cells(service, fault);
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
  _Static_assert(sizeof service->processors == sizeof(cpu_set_t), "a whole mask");
  sched_getaffinity(0, sizeof service->processors, (cpu_set_t *)(void *)service->processors);
  bool ok = say_hello(service, &fault);
  while (ok && wire_receive(WIRE_SOCKET, -1, &service->wire, &fault)) {
    Fault why = {0};
    if (service->wire.kind == WIRE_NONE) continue;
    service->stop = (Stop){.asked = host_wants_end};
    if (!serve(service, &why)) ok = say_fault(service, &why, &fault);
  }
  played_close(&service->played);
  free(service);
  return 0; /* the host has gone, or does not make sense */
}
