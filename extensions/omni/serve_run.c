/*
** Recording and verifying for the host.
*/
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "extensions/omni/job.h"
#include "extensions/omni/serve.h"

/* The program that is recorded has our descriptors 0 to 2. */
static bool redirect(const char *path, int fd, Fault *fault) {
  if (!*path) return true;
  int flags = fd == 0 ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
  int opened = open(path, flags | O_CLOEXEC | O_NOCTTY, 0666);
  bool ok = opened >= 0 && dup2(opened, fd) >= 0;
  if (!ok) fault_set(fault, FAULT_IO, "\"%s\": %s", path, strerror(errno));
  if (opened >= 0) close(opened);
  return ok;
}

static bool read_command(Wire *wire, char ***out, Fault *fault) {
  uint32_t count = wire_get_u32(wire);
  if (count == 0 || count > WIRE_LIMIT) return fault_set(fault, FAULT_INTERNAL, "%u words", count);
  char **argv = calloc((size_t)count + 1, sizeof *argv);
  if (!argv) return fault_oom(fault);
  for (uint32_t i = 0; i < count; i++) argv[i] = (char *)(uintptr_t)wire_get_text(wire);
  if (wire_end(wire, fault)) {
    *out = argv;
    return true;
  }
  free(argv);
  return false;
}

static bool send_summary(Service *service, const RecordSummary *summary, Fault *fault) {
  Wire *wire = &service->wire;
  wire_begin(wire, WIRE_DONE);
  wire_put_u32(wire, (uint32_t)summary->status);
  wire_put_u64(wire, summary->events);
  wire_put_u64(wire, summary->raw);
  wire_put_u64(wire, summary->stored);
  wire_put_u32(wire, (uint32_t)summary->threads);
  wire_put_u32(wire, (uint32_t)summary->processes);
  wire_put_u64(wire, (uint64_t)summary->ns);
  return wire_send(WIRE_SOCKET, wire, -1, fault);
}

bool serve_record(Service *service, Fault *fault) {
  Wire *wire = &service->wire;
  RecordOptions options = {.dir = wire_get_text(wire)};
  options.hash_every = wire_get_u64(wire);
  options.chaos = wire_get_u64(wire);
  options.calls = (RecordCalls)wire_get_u32(wire);
  const char *paths[3];
  for (int i = 0; i < 3; i++) paths[i] = wire_get_text(wire);
  char **argv = NULL;
  if (!read_command(wire, &argv, fault)) return false;
  options.argv = argv;
  RecordSummary summary = {0};
  bool ok = true;
  for (int i = 0; ok && i < 3; i++) ok = redirect(paths[i], i, fault);
  ok = ok && record_run(&options, &service->stop, &summary, fault);
  free(argv);
  return ok && send_summary(service, &summary, fault);
}

bool serve_verify(Service *service, Fault *fault) {
  Wire *wire = &service->wire;
  const char *dir = wire_get_text(wire);
  VerifySummary summary;
  if (!wire_end(wire, fault) || !job_verify(dir, &service->stop, &summary, fault)) return false;
  wire_begin(wire, WIRE_DONE);
  wire_put_u64(wire, summary.events);
  wire_put_u64(wire, summary.hashes);
  wire_put_u32(wire, summary.cut);
  return wire_send(WIRE_SOCKET, wire, -1, fault);
}
