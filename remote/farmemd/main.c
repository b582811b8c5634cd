/*
** farmemd: a server of far memory.
**
**   farmemd --listen tcp:127.0.0.1:7877 --listen unix:/run/far.sock --size 4G
*/
#define _GNU_SOURCE /* memfd_create, signalfd */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "remote/farmemd/help.h"
#include "remote/farmemd/metrics.h"
#include "remote/server.h"

enum { PLACES = 16, SECRET = 256, METRICS_SECONDS = 5 };

typedef struct Options {
  const char *listen[PLACES];
  int nlisten;
  const char *memory, *secret_file, *metrics;
  char verbs[300];
  char persist[4200];
  char secret[SECRET];
  uint64_t size;
  FarServerOptions server;
  bool quiet;
} Options;

static void say(const char *line) {
  char now[32];
  const time_t seconds = time(NULL);
  struct tm parts;
  strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &parts));
  fprintf(stderr, "%s farmemd: %s\n", now, line);
}

static int refuse(const char *what, const char *value) {
  fprintf(stderr, "farmemd: %s%s%s\n", what, value ? ": " : "", value ? value : "");
  return 2;
}

/* ---- options --------------------------------------------------------------------------------- */

static bool read_size(const char *text, uint64_t *out) {
  char *end;
  static const char units[] = "kMGT";
  errno = 0;
  const uint64_t number = strtoull(text, &end, 10);
  const char *unit = *end ? strchr(units, *end) : NULL;
  if (end == text || *text == '-' || errno || (*end && (!unit || end[1]))) return false;
  const int shift = unit ? 10 * (int)(unit - units + 1) : 0;
  if (number > UINT64_MAX >> shift) return false;
  *out = number << shift;
  return true;
}

static bool read_lease(const char *text, int64_t *out_ns) {
  uint64_t ms;
  if (!read_size(text, &ms) || ms > 86400000) return false;
  *out_ns = ms ? (int64_t)ms * 1000000 : -1;
  return true;
}

static bool read_spin(const char *text, int64_t *out_ns) {
  uint64_t us;
  if (!read_size(text, &us) || us > 10000) return false;
  *out_ns = (int64_t)us * 1000;
  return true;
}

static bool read_secret(Options *options) {
  FILE *file = fopen(options->secret_file, "r");
  if (!file) return false;
  const bool ok = fgets(options->secret, sizeof options->secret, file) != NULL;
  fclose(file);
  options->secret[strcspn(options->secret, "\r\n")] = '\0';
  options->server.secret = options->secret;
  return ok && *options->secret;
}

/* Only this machine's programs reach it. */
static bool is_local(const char *at) {
  static const char *const local[] = {"unix:", "tcp:127.", "tcp:localhost:", "tcp:[::1]:"};
  for (size_t i = 0; i < sizeof local / sizeof *local; i++)
    if (!strncmp(at, local[i], strlen(local[i]))) return true;
  return false;
}

static const struct option known[] = {{"listen", required_argument, NULL, 'l'},
                                      {"verbs", required_argument, NULL, 'r'},
                                      {"memory", required_argument, NULL, 'm'},
                                      {"persist", required_argument, NULL, 'p'},
                                      {"size", required_argument, NULL, 's'},
                                      {"secret-file", required_argument, NULL, 'k'},
                                      {"max-clients", required_argument, NULL, 'n'},
                                      {"lease", required_argument, NULL, 't'},
                                      {"spin", required_argument, NULL, 'w'},
                                      {"metrics", required_argument, NULL, 'e'},
                                      {"quiet", no_argument, NULL, 'q'},
                                      {"version", no_argument, NULL, 'v'},
                                      {"help", no_argument, NULL, 'h'},
                                      {0}};

/* 0: go on; else the status to end with, + 1. */
static int read_options(int argc, char **argv, Options *out) {
  uint64_t number;
  for (int c; (c = getopt_long(argc, argv, "", known, NULL)) >= 0;) {
    switch (c) {
    case 'l':
      if (out->nlisten == PLACES) return 1 + refuse("too many places to listen at", NULL);
      out->listen[out->nlisten++] = optarg;
      break;
    case 'r':
      if (*out->verbs) return 1 + refuse("--verbs once", optarg);
      snprintf(out->verbs, sizeof out->verbs, "verbs:%s", optarg);
      break;
    case 'm':
      out->memory = optarg;
      break;
    case 'p':
      snprintf(out->persist, sizeof out->persist, "file:%s", optarg);
      break;
    case 's':
      if (!read_size(optarg, &out->size)) return 1 + refuse("--size", optarg);
      break;
    case 'k':
      out->secret_file = optarg;
      if (!read_secret(out)) return 1 + refuse("no secret in", optarg);
      break;
    case 'n':
      if (!read_size(optarg, &number) || !number || number > 1023)
        return 1 + refuse("--max-clients is 1 to 1023, not", optarg);
      out->server.most_clients = (unsigned)number;
      break;
    case 't':
      if (read_lease(optarg, &out->server.lease_ns)) break;
      return 1 + refuse("--lease is 0 to 86400000 ms, not", optarg);
    case 'w':
      if (read_spin(optarg, &out->server.spin_ns)) break;
      return 1 + refuse("--spin is 0 to 10000 microseconds, not", optarg);
    case 'e':
      out->metrics = optarg;
      break;
    case 'q':
      out->quiet = true;
      break;
    case 'v':
      puts("farmemd " TENFOLD_VERSION);
      return 1;
    case 'h':
      fputs(farmemd_help, stdout);
      return 1;
    default:
      fputs("farmemd --help tells what there is\n", stderr);
      return 3;
    }
  }
  if (optind < argc) return 1 + refuse("what is meant by", argv[optind]);
  if (out->memory && *out->persist) return 1 + refuse("--memory or --persist, not both", NULL);
  if (!out->nlisten && !*out->verbs) out->listen[out->nlisten++] = "tcp:127.0.0.1:7877";
  if (!*out->secret && *out->verbs)
    return 1 + refuse("others than this machine's programs need a --secret-file", out->verbs);
  for (int i = 0; i < out->nlisten; i++) {
    if (!*out->secret && !is_local(out->listen[i]))
      return 1 + refuse("others than this machine's programs need a --secret-file", out->listen[i]);
  }
  return 0;
}

/* ---- the server ------------------------------------------------------------------------------ */

/* A memory that is nobody's but ours, unless another one was asked for. */
static FarMemory *open_memory(const Options *options, Fault *fault) {
  char anonymous[64];
  const FarOptions how = {.size = options->size};
  if (options->memory) return far_open(options->memory, &how, fault);
  if (*options->persist) return far_open(options->persist, &how, fault);
  const int fd = memfd_create("farmemd", MFD_CLOEXEC);
  if (fd < 0) {
    fault_set(fault, FAULT_IO, "no memory: %s", strerror(errno));
    return NULL;
  }
  snprintf(anonymous, sizeof anonymous, "file:/proc/self/fd/%d", fd);
  FarMemory *memory = far_open(anonymous, &how, fault);
  close(fd);
  return memory;
}

static void say_stats(const FarServer *server) {
  FarServerStats stats;
  char line[400];
  far_server_stats(server, &stats);
  snprintf(line, sizeof line,
           "clients=%" PRIu64 " accepted=%" PRIu64 " refused=%" PRIu64 " buried=%" PRIu64
           " silent=%" PRIu64 " rounds=%" PRIu64 " operations=%" PRIu64 " notices=%" PRIu64
           " bytes_in=%" PRIu64 " bytes_out=%" PRIu64 " watches=%" PRIu64 " memory_size=%" PRIu64
           " memory_used=%" PRIu64,
           stats.clients, stats.accepted, stats.refused, stats.buried, stats.silent, stats.rounds,
           stats.operations, stats.notices, stats.bytes_in, stats.bytes_out, stats.watches,
           stats.memory_size, stats.memory_used);
  say(line);
}

/* Something to do beside serving: a signal, and a time. */
typedef struct Wake {
  int signals, timer, both; /* both: an epoll of the two */
  bool complained;          /* about metrics */
} Wake;

static bool open_wake(Wake *it, const Options *options, Fault *fault) {
  sigset_t set;
  const struct itimerspec often = {{METRICS_SECONDS, 0}, {METRICS_SECONDS, 0}};
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  it->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  it->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  it->both = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  if (it->signals >= 0 && it->timer >= 0 && it->both >= 0 &&
      epoll_ctl(it->both, EPOLL_CTL_ADD, it->signals, &event) == 0 &&
      epoll_ctl(it->both, EPOLL_CTL_ADD, it->timer, &event) == 0 &&
      (!options->metrics || timerfd_settime(it->timer, 0, &often, NULL) == 0))
    return true;
  return fault_set(fault, FAULT_IO, "signals: %s", strerror(errno));
}

/* Where it worked at the beginning it is no reason to end that it does not any more. */
static bool tell_metrics(Wake *it, const FarServer *server, const Options *options, bool up,
                         Fault *fault) {
  FarServerStats stats;
  if (!options->metrics) return true;
  far_server_stats(server, &stats);
  const bool ok = metrics_write(options->metrics, &stats, up, fault);
  if (ok) it->complained = false;
  return ok;
}

static void update_metrics(Wake *it, const FarServer *server, const Options *options, bool up) {
  Fault fault = {0};
  if (tell_metrics(it, server, options, up, &fault) || it->complained) return;
  say(fault.text);
  it->complained = true;
}

static bool run(FarServer *server, const Options *options, Wake *wake, Fault *fault) {
  for (int i = 0; i < options->nlisten; i++) {
    if (!far_server_listen(server, options->listen[i], fault)) return false;
  }
  if (*options->verbs && !far_server_listen_verbs(server, options->verbs, fault)) return false;
  if (!tell_metrics(wake, server, options, true, fault)) return false;
  say("ready");
  for (bool ends = false; !ends;) {
    struct signalfd_siginfo info;
    uint64_t times;
    if (!far_server_run(server, wake->both, options->quiet ? NULL : say, fault)) break;
    const ssize_t ignored = read(wake->timer, &times, sizeof times);
    (void)ignored;
    if (read(wake->signals, &info, sizeof info) == sizeof info) {
      say_stats(server);
      ends = info.ssi_signo != SIGUSR1;
    }
    update_metrics(wake, server, options, !ends);
    if (ends) return true;
  }
  update_metrics(wake, server, options, false);
  return false;
}

int main(int argc, char **argv) {
  Options options = {0};
  Fault fault = {0};
  Wake wake = {0};
  const int status = read_options(argc, argv, &options);
  if (status) return status - 1;
  FarMemory *memory = open_wake(&wake, &options, &fault) ? open_memory(&options, &fault) : NULL;
  FarServer *server = memory ? far_server_open(memory, &options.server, &fault) : NULL;
  const bool ok = server && run(server, &options, &wake, &fault);
  if (!ok) say(fault.text);
  far_server_close(server);
  far_close(memory);
  for (int i = 0; i < options.nlisten; i++)
    if (ok && !strncmp(options.listen[i], "unix:", 5)) unlink(options.listen[i] + 5);
  return ok ? 0 : 1;
}
