#include "remote/farmemd/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Metric {
  const char *name, *type, *help;
  size_t at; /* in FarServerStats */
} Metric;

#define STAT(field) offsetof(FarServerStats, field)

static const Metric metrics[] = {
    {"clients", "gauge", "Clients that are connected.", STAT(clients)},
    {"accepted_total", "counter", "Connections that were accepted.", STAT(accepted)},
    {"refused_total", "counter",
     "Connections without room, a proof of the secret, or the right protocol.", STAT(refused)},
    {"buried_total", "counter", "Clients that left, however, and were cleaned up behind.",
     STAT(buried)},
    {"leases_lost_total", "counter", "Clients that were given up for their silence.", STAT(silent)},
    {"rounds_total", "counter", "Rounds that were asked of the server; those by verbs are not.",
     STAT(rounds)},
    {"operations_total", "counter", "Operations in them.", STAT(operations)},
    {"received_bytes_total", "counter", "Bytes from clients.", STAT(bytes_in)},
    {"sent_bytes_total", "counter", "Bytes to clients.", STAT(bytes_out)},
    {"watches", "gauge", "Things that clients watch.", STAT(watches)},
    {"notices_total", "counter", "Notices of changes that were sent.", STAT(notices)},
    {"memory_size_bytes", "gauge", "Size of the memory.", STAT(memory_size)},
    {"memory_used_bytes", "gauge", "What of it is used, in pieces of 64 KiB.", STAT(memory_used)},
};

static void print(FILE *file, const char *name, const char *type, const char *help,
                  uint64_t value) {
  fprintf(file, "# HELP farmemd_%s %s\n# TYPE farmemd_%s %s\nfarmemd_%s %" PRIu64 "\n", name, help,
          name, type, name, value);
}

static bool failed(const char *path, Fault *fault) {
  return fault_set(fault, FAULT_IO, "--metrics: %s: %s", path, strerror(errno));
}

bool metrics_write(const char *path, const FarServerStats *stats, bool up, Fault *fault) {
  const size_t length = strlen(path) + sizeof ".new";
  char *other = malloc(length);
  if (!other) return fault_oom(fault);
  snprintf(other, length, "%s.new", path); /* which is no *.prom */
  const int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
  FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
  bool ok = file != NULL;
  if (!ok) failed(path, fault);
  if (!ok && fd >= 0) close(fd);
  if (ok) {
    print(file, "up", "gauge", "1 while the server runs, 0 when it has ended.", up);
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
      const Metric *it = &metrics[i];
      uint64_t value;
      memcpy(&value, (const char *)stats + it->at, sizeof value);
      print(file, it->name, it->type, it->help, value);
    }
    fprintf(file,
            "# HELP farmemd_info Which farmemd this is.\n# TYPE farmemd_info gauge\n"
            "farmemd_info{version=\"%s\"} 1\n",
            TENFOLD_VERSION);
    const bool whole = !ferror(file);
    ok = (fclose(file) == 0 && whole && rename(other, path) == 0) || failed(path, fault);
  }
  if (!ok && fd >= 0) unlink(other);
  free(other);
  return ok;
}
