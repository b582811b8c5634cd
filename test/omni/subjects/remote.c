/* What gdb looks at through omni: calls in each other, a global that is written, a thread, a loop
** without any system call, a child. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
  char name[8];
  int value;
  struct node *next;
};

static struct node nodes[4];
long total;
volatile unsigned long mixed = 1;

__attribute__((noinline)) static int weigh(struct node *node, int depth) {
  int own = node->value * depth, rest = 0;
  if (!node->next) return own;
  rest = weigh(node->next, depth + 1);
  total += own;
  return own + rest;
}

__attribute__((noinline)) static void mix(int rounds) {
  for (int i = 0; i < rounds; i++) mixed = mixed * 6364136223846793005ul + 1442695040888963407ul;
}

static void *work(void *arg) {
  int *sum = arg;
  for (int i = 0; i < 3; i++) {
    *sum += i;
    getppid();
  }
  return NULL;
}

int main(int argc, char **argv) {
  double ratio = 0.75;
  int sum = 0;
  pthread_t thread;
  for (int i = 0; i < 4; i++) {
    snprintf(nodes[i].name, sizeof nodes[i].name, "n%d", i);
    nodes[i].value = (i + 1) * 10;
    nodes[i].next = i < 3 ? &nodes[i + 1] : NULL;
  }
  int weight = weigh(nodes, 1);
  mix(argc > 1 ? atoi(argv[1]) : 1000);
  pthread_create(&thread, NULL, work, &sum);
  pthread_join(thread, NULL);
  pid_t child = fork();
  if (!child) {
    total = -1;
    _exit((int)(weigh(nodes + 2, 2) & 63));
  }
  int status;
  waitpid(child, &status, 0);
  printf("%s %d %ld %d %g %lx\n", argv[0] ? "ok" : "", weight, total, sum, ratio, mixed & 0xff);
  return WEXITSTATUS(status) == 52 ? 0 : 1;
}
