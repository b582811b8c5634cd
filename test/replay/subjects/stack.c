/*
** Writes from known functions: stack_middle calls itself 0 to 6 times, then stack_inner writes.
*/
#include <fcntl.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline, noclone))

enum { WRITES = 7 };

NOINLINE int stack_inner(int fd, int n) { return (int)write(fd, "x", 1) + n; }

NOINLINE int stack_middle(int fd, int n) {
  int sum = n > 0 ? stack_middle(fd, n - 1) : stack_inner(fd, n);
  __asm__ volatile("" : "+r"(sum)); /* no loop instead of the recursion */
  return sum + 1;
}

int main(void) {
  int fd = open("/dev/null", O_WRONLY | O_CLOEXEC), sum = 0;
  for (int i = 0; i < WRITES; i++) sum += stack_middle(fd, i);
  return sum < 0;
}
