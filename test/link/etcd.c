/*
** The oracle with etcd as the coordinator, which is killed and started again in the middle. Owners
** are stopped for longer than their leases last: somebody else owns their slices, and has taken
** over their copies in far memory (standby=), when they go on.
**
**   etcd [COUNT] [SEED] [cut]     with cut, one of them is cut off from etcd every 6 s
*/
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <assert.h>
#include <sys/mman.h>

#include "test/link/etcd.h"

static char folder[] = "/tmp/tenfold-etcd-XXXXXX";

/* The first worker goes by a relay. NULL: he does not. */
static atomic_int *start_relay(int client, bool wanted, pid_t *out) {
  char coord[100];
  int port;
  if (!wanted) return NULL;
  atomic_int *cut =
      mmap(NULL, sizeof *cut, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert(cut != MAP_FAILED);
  *out = relay_start(client, cut, &port);
  snprintf(coord, sizeof coord, "etcd:http://127.0.0.1:%d/test?ttl=2", port);
  setenv("LINK_COORD_0", coord, 1);
  return cut;
}

/* Cut for 3 s, whole for 3 s, by turns. */
static int wait_and_cut(pid_t oracle, atomic_int *cut) {
  static const Cut turns[] = {CUT_SILENT, CUT_NOT, CUT_RESET, CUT_NOT};
  int status;
  for (int i = 0; waitpid(oracle, &status, WNOHANG) != oracle; i++) {
    if (cut) atomic_store(cut, turns[i / 300 % 4]);
    pause_ms(10);
  }
  return status;
}

int main(int argc, char **argv) {
  char program[1000], coord[100], standby[100];
  const char *count = argc > 1 ? argv[1] : "800", *seed = argc > 2 ? argv[2] : "1";
  if (!etcd_installed()) {
    puts("1..0 # SKIP etcd is not installed");
    return 77;
  }
  assert(mkdtemp(folder));
  const int client = etcd_free_port(), peer = etcd_free_port();
  pid_t etcd = etcd_start(folder, client, peer);
  snprintf(coord, sizeof coord, "etcd:http://127.0.0.1:%d/test?ttl=2", client);
  setenv("LINK_COORD", coord, 1);
  setenv("LINK_STOP", "2800", 1);
  pid_t relay = 0;
  atomic_int *cut = start_relay(client, argc > 3, &relay);
  snprintf(standby, sizeof standby, "file:%s/copies", folder);
  setenv("LINK_STANDBY", standby, 1);
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
  stop_process(etcd);
  pause_ms(500);
  etcd = etcd_start(folder, client, peer);
  const int status = wait_and_cut(oracle, cut);
  if (cut) stop_process(relay);
  stop_process(etcd);
  snprintf(program, sizeof program, "rm -rf '%s'", folder);
  if (system(program) != 0) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
