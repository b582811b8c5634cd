/*
** A program that makes many system calls, for the tests of the in-process log. The calls between
** two getppid() are what is compared.
**
**   inside files FOLDER | errors | signals | blocked | held | threads | polls | processes |
**          dies COUNT | long
*/
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void mark(void) { getppid(); }

static char text[4096];

/* So often is all of it done: calls are rewritten when they have been made a few times. */
enum { TURNS = 6 };

static void do_files(void) {
  struct stat st;
  char path[512], link[64];
  int fd = open("a", O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (int i = 0; i < 200; i++) {
    int n = snprintf(text, sizeof text, "line %d\n", i);
    if (write(fd, text, (size_t)n) != n) exit(3);
  }
  lseek(fd, 3, SEEK_SET);
  while (read(fd, text, 100) > 0) {
  }
  struct iovec parts[3] = {{path, 7}, {link, 0}, {text, 9}};
  lseek(fd, 0, SEEK_SET);
  readv(fd, parts, 3);
  writev(fd, parts, 3);
  pread(fd, text, 11, 5);
  pwrite(fd, "end", 3, 4000);
  fstat(fd, &st);
  ftruncate(fd, 100);
  int copy = dup(fd), other = dup2(fd, 40);
  fcntl(copy, F_GETFL);
  fcntl(other, F_SETFD, FD_CLOEXEC);
  close(copy);
  mkdir("d", 0700);
  symlink("a", "l");
  readlink("l", link, sizeof link);
  getcwd(path, sizeof path);
  access("a", R_OK);
  stat("l", &st);
  lstat("l", &st);
  rename("a", "b");
  DIR *dir = opendir(".");
  while (readdir(dir)) {
  }
  closedir(dir);
  unlink("l");
  unlink("b");
  rmdir("d");
  int pipes[2];
  pipe2(pipes, O_NONBLOCK);
  write(pipes[1], "abc", 3);
  struct pollfd poll_one = {.fd = pipes[0], .events = POLLIN};
  poll(&poll_one, 1, 0);
  read(pipes[0], text, sizeof text);
  read(pipes[0], text, sizeof text);
  int zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
  for (int i = 0; i < 1000; i++) write(null, text, (size_t)read(zero, text, 1));
  const int opened[] = {fd, other, pipes[0], pipes[1], zero, null};
  for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) close(opened[i]);
}

static void try_files(const char *folder) {
  if (chdir(folder) != 0) exit(2);
  mark();
  for (int i = 0; i < TURNS; i++) do_files();
  mark();
}

static void do_errors(void) {
  char *nowhere = (char *)8;
  struct stat st;
  struct iovec parts[2] = {{text, 4}, {nowhere, 4}};
  read(77, text, 1);
  close(77);
  open("/nowhere/file", O_RDONLY);
  open(nowhere, O_RDONLY);
  stat(nowhere, &st);
  stat("/", (struct stat *)nowhere);
  stat("", &st);
  int fd = open("/dev/zero", O_RDWR);
  read(fd, nowhere, 10);
  write(fd, nowhere, 10);
  readv(fd, parts, 2);
  writev(fd, (struct iovec *)nowhere, 2);
  writev(fd, parts, 2);
  writev(fd, parts, -1);
  readv(fd, parts, 100000);
  lseek(fd, 0, 99);
  fcntl(fd, 9999);
  syscall(SYS_readlink, "/proc/self/exe", nowhere, 100);
  access("/proc/self/maps", R_OK);
  poll((struct pollfd *)nowhere, 1, 0);
  epoll_wait(fd, (struct epoll_event *)text, 3, 0);
  getdents64(fd, text, sizeof text);
  close(fd);
}

static void try_errors(void) {
  mark();
  for (int i = 0; i < TURNS; i++) do_errors();
  mark();
}

static volatile sig_atomic_t signals;
static volatile unsigned long work;

static void on_signal(int number) {
  (void)number;
  int before = errno;
  signals++;
  if (lseek(3, 0, SEEK_CUR) < 0) _exit(4);
  errno = before;
}

static void start_timer(int flags, int microseconds) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
  struct itimerval every = {{0, microseconds}, {0, microseconds}};
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &every, NULL);
}

/* Signals come at any instruction: in calls, in the page, between them. */
static void try_signals(void) {
  int fd = open("/dev/zero", O_RDONLY);
  if (fd != 3) exit(5);
  start_timer(SA_RESTART, 700);
  for (int i = 0; i < 60000; i++) {
    if (read(fd, text, 16) != 16) exit(6);
    if (i % 3 == 0) lseek(fd, 0, SEEK_SET);
    if (i % 1000 == 0) {
      for (int k = 0; k < 100000; k++) work += (unsigned long)k;
    }
  }
  start_timer(0, 900);
  int pipes[2];
  if (pipe(pipes) != 0) exit(7);
  for (int i = 0; i < 40; i++) {
    struct pollfd one = {.fd = pipes[0], .events = POLLIN};
    poll(&one, 1, 1);
    write(pipes[1], "x", 1);
    if (read(pipes[0], text, 1) != 1 && errno != EINTR) exit(8);
  }
  printf("%d signals\n", signals > 0);
}

static void try_blocked(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  struct itimerval every = {{0, 500}, {0, 500}};
  setitimer(ITIMER_REAL, &every, NULL);
  int fd = open("/dev/zero", O_RDONLY);
  for (int i = 0; i < 20000; i++) read(fd, text, 1);
  printf("%d\n", (int)lseek(fd, 0, SEEK_CUR));
}

/* Signals come at any instruction, and are let through by calls that are logged. */
static void try_held(void) {
  sigset_t all, before;
  sigfillset(&all);
  if (open("/dev/zero", O_RDONLY) != 3) exit(17); /* the handler wants it */
  start_timer(SA_RESTART, 300);
  for (int i = 0; i < 20000; i++) {
    for (int k = 0; k < 300; k++) work += (unsigned long)k;
    sigprocmask(SIG_BLOCK, &all, &before);
    lseek(3, 0, SEEK_CUR);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (i % 10) continue;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || munmap(page, 4096) != 0) exit(18);
  }
  printf("%d signals\n", signals > 0);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int shared_pipe[2];
static long shared_sum;

static void *be_thread(void *number) {
  int fd = open("/dev/zero", O_RDONLY);
  char bytes[64];
  for (int i = 0; i < 3000; i++) {
    read(fd, bytes, sizeof bytes);
    pthread_mutex_lock(&lock);
    shared_sum += i;
    if (i % 7 == 0) write(shared_pipe[1], number, 1);
    pthread_mutex_unlock(&lock);
    if (i % 100 == 0) usleep(100);
    if (i % 13 == 0) read(shared_pipe[0], bytes, 1);
  }
  close(fd);
  return NULL;
}

static void try_threads(void) {
  pthread_t threads[4];
  if (pipe(shared_pipe) != 0) exit(10);
  write(shared_pipe[1], text, 1000);
  for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, be_thread, text + i);
  for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  printf("%ld\n", shared_sum);
}

static int polled_pipe[2];

static void read_zeros(void) {
  char byte;
  int fd = open("/dev/zero", O_RDONLY);
  for (int i = 0; i < 400; i++) read(fd, &byte, 1);
  close(fd);
}

static void *be_writer(void *nothing) {
  read_zeros();
  write(polled_pipe[1], "x", 1);
  return nothing;
}

/* Who polls has what the last poll told in memory, while others run. */
static void try_polls(void) {
  pthread_t thread;
  struct pollfd one = {.events = POLLIN};
  if (pipe(polled_pipe) != 0) exit(13);
  one.fd = polled_pipe[0];
  for (int i = 0; i < 10; i++) {
    one.revents = 0x55;
    pthread_create(&thread, NULL, be_writer, NULL);
    if (poll(&one, 1, -1) != 1 || one.revents != POLLIN) exit(14);
    if (poll(&one, 1, 5) != 1 || poll((struct pollfd *)text, 0, 0) != 0) exit(15);
    read(polled_pipe[0], text, 1);
    if (poll(&one, 1, 0) != 0 || one.revents != 0) exit(16);
    pthread_join(thread, NULL);
  }
}

static void try_processes(void) {
  int pipes[2];
  if (pipe(pipes) != 0) exit(11);
  for (int i = 0; i < 3; i++) {
    if (fork() != 0) continue;
    for (int k = 0; k < 500; k++) {
      if (write(pipes[1], &k, sizeof k) != sizeof k) _exit(12);
    }
    if (i == 2) execl("/bin/true", "true", (char *)NULL);
    _exit(i);
  }
  close(pipes[1]);
  long sum = 0;
  for (int k; read(pipes[0], &k, sizeof k) == sizeof k;) sum += k;
  while (wait(NULL) > 0) {
  }
  printf("%ld\n", sum);
}

/* As many calls as it says, then it is gone without another one. */
static void try_dying(int count) {
  int fd = open("/dev/zero", O_RDONLY);
  for (int i = 0; i < count; i++) lseek(fd, i, SEEK_SET);
  *(volatile char *)(intptr_t)(count * 0 + 8) = 1;
}

static void try_long(void) {
  int fd = open("/dev/zero", O_RDONLY);
  for (;;) read(fd, text, 64);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "files") == 0 && argc > 2)
    try_files(argv[2]);
  else if (strcmp(what, "errors") == 0)
    try_errors();
  else if (strcmp(what, "signals") == 0)
    try_signals();
  else if (strcmp(what, "blocked") == 0)
    try_blocked();
  else if (strcmp(what, "held") == 0)
    try_held();
  else if (strcmp(what, "threads") == 0)
    try_threads();
  else if (strcmp(what, "polls") == 0)
    try_polls();
  else if (strcmp(what, "processes") == 0)
    try_processes();
  else if (strcmp(what, "dies") == 0 && argc > 2)
    try_dying(atoi(argv[2]));
  else if (strcmp(what, "long") == 0)
    try_long();
  else
    return 1;
  return 0;
}
