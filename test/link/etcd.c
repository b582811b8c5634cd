/*
** The oracle with etcd as the coordinator, which is killed and started again in the middle. Owners
** are stopped for longer than their leases last: somebody else owns their slices, and has taken
** over their copies in far memory (standby=), when they go on.
*/
#include <assert.h>

#include "test/link/etcd.h"

static char folder[] = "/tmp/tenfold-etcd-XXXXXX";

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
  int status;
  assert(waitpid(oracle, &status, 0) == oracle);
  stop_process(etcd);
  snprintf(program, sizeof program, "rm -rf '%s'", folder);
  if (system(program) != 0) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
