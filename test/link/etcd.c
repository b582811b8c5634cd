/*
** The oracle with etcd as the coordinator, which is killed and started again in the middle. Owners
** are stopped for longer than their leases last: somebody else owns their slices when they go on.
*/
#include <arpa/inet.h>
#include <assert.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/tenfold-etcd-XXXXXX";

static void pause_ms(int ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  nanosleep(&time, NULL);
}

static int free_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t length = sizeof address;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
  assert(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

static bool answers(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  close(fd);
  return ok;
}

static pid_t start_etcd(int client, int peer) {
  char urls[4][100], cluster[120];
  snprintf(urls[0], sizeof urls[0], "http://127.0.0.1:%d", client);
  snprintf(urls[1], sizeof urls[1], "http://127.0.0.1:%d", peer);
  snprintf(cluster, sizeof cluster, "default=%s", urls[1]);
  const pid_t child = fork();
  if (child == 0) {
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr)) _exit(126);
    execlp("etcd", "etcd", "--data-dir", folder, "--listen-client-urls", urls[0],
           "--advertise-client-urls", urls[0], "--listen-peer-urls", urls[1],
           "--initial-advertise-peer-urls", urls[1], "--initial-cluster", cluster,
           "--unsafe-no-fsync", (char *)NULL);
    _exit(127);
  }
  for (int i = 0; i < 200 && !answers(client); i++) pause_ms(50);
  return child;
}

static void stop(pid_t child) {
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
  char program[1000], coord[100];
  const char *count = argc > 1 ? argv[1] : "800", *seed = argc > 2 ? argv[2] : "1";
  if (access("/usr/bin/etcd", X_OK)) {
    puts("1..0 # SKIP etcd is not installed");
    return 77;
  }
  assert(mkdtemp(folder));
  const int client = free_port(), peer = free_port();
  pid_t etcd = start_etcd(client, peer);
  snprintf(coord, sizeof coord, "etcd:http://127.0.0.1:%d/test?ttl=2", client);
  setenv("LINK_COORD", coord, 1);
  setenv("LINK_STOP", "2800", 1);
  snprintf(program, sizeof program, "%s", argv[0]);
  char *name = strstr(program, "test-link-etcd");
  assert(name);
  strcpy(name, "test-link-oracle");
  const pid_t oracle = fork();
  if (oracle == 0) {
    execl(program, program, count, seed, (char *)NULL);
    _exit(127);
  }
  pause_ms(3000);
  stop(etcd);
  pause_ms(500);
  etcd = start_etcd(client, peer);
  int status;
  assert(waitpid(oracle, &status, 0) == oracle);
  stop(etcd);
  snprintf(program, sizeof program, "rm -rf '%s'", folder);
  if (system(program) != 0) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
