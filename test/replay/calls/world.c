/*
** Descriptors of many kinds, each with something waiting in it.
*/
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/replay/calls/oracle.h"

static int fds[128];

int world_fd(char letter) { return fds[(int)letter & 127]; }

static void must(bool ok, const char *what) {
  if (ok) return;
  perror(what);
  exit(3);
}

static void make_files(const char *folder) {
  char path[256];
  fds['.'] = open(folder, O_RDONLY | O_DIRECTORY);
  snprintf(path, sizeof path, "%s/file", folder);
  fds['F'] = open(path, O_RDWR | O_CREAT, 0600);
  for (int i = 0; i < 1000; i++) must(write(fds['F'], "0123456789", 10) == 10, "file");
  lseek(fds['F'], 9900, SEEK_SET); /* 100 bytes are left */
  snprintf(path, sizeof path, "%s/link", folder);
  must(symlink("file", path) == 0, "link");
  snprintf(path, sizeof path, "%s/other", folder);
  fds['G'] = open(path, O_RDWR | O_CREAT, 0600);
  fds['D'] = open("/etc", O_RDONLY | O_DIRECTORY);
  fds['N'] = open("/dev/null", O_RDWR);
  fds['Z'] = open("/dev/zero", O_RDWR);
  fds['R'] = open("/dev/urandom", O_RDONLY);
  fds['H'] = memfd_create("held", MFD_ALLOW_SEALING);
}

static void make_pipes(void) {
  int ends[2];
  must(pipe(ends) == 0, "pipe");
  must(write(ends[1], "0123456789abcdefghijklmnopqrstuvwxyz", 36) == 36, "pipe");
  fds['P'] = ends[0];
  fds['p'] = ends[1];
  must(pipe2(ends, O_NONBLOCK) == 0, "pipe");
  fds['E'] = ends[0]; /* empty */
  fds['e'] = ends[1];
  must(openpty(&fds['t'], &fds['T'], NULL, NULL, NULL) == 0, "pty");
  must(write(fds['t'], "typed\n", 6) == 6, "pty");
}

static void make_sockets(void) {
  int ends[2], one = 1, unix_sockets = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  must(unix_sockets == 0 && write(ends[1], "stream of bytes", 15) == 15, "socketpair");
  fds['U'] = ends[0];
  fds['u'] = ends[1];
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof here;
  fds['X'] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
  setsockopt(fds['X'], SOL_SOCKET, SO_TIMESTAMP, &one, sizeof one);
  must(bind(fds['X'], (struct sockaddr *)&here, size) == 0, "bind");
  getsockname(fds['X'], (struct sockaddr *)&here, &size);
  fds['x'] = socket(AF_INET, SOCK_DGRAM, 0);
  must(connect(fds['x'], (struct sockaddr *)&here, size) == 0, "connect");
  must(write(fds['x'], "first datagram", 14) == 14 && write(fds['x'], "second", 6) == 6, "send");
  here.sin_port = 0;
  fds['L'] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  must(bind(fds['L'], (struct sockaddr *)&here, size) == 0 && listen(fds['L'], 3) == 0, "listen");
  getsockname(fds['L'], (struct sockaddr *)&here, &size);
  fds['l'] = socket(AF_INET, SOCK_STREAM, 0);
  must(connect(fds['l'], (struct sockaddr *)&here, size) == 0, "connect");
  fds['K'] = socket(AF_NETLINK, SOCK_RAW, 0);
  /* with a descriptor and credentials beside the bytes */
  must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends) == 0, "socketpair");
  setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
  fds['C'] = ends[0];
  fds['c'] = ends[1];
  char room[CMSG_SPACE(sizeof(int))] = {0};
  struct iovec part = {"with a present", 14};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  *head = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
  memcpy(CMSG_DATA(head), &fds['N'], sizeof(int));
  must(sendmsg(ends[1], &message, 0) == 14, "sendmsg");
}

static void make_events(const char *folder) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR1);
  fds['S'] = signalfd(-1, &set, 0);
  fds['V'] = eventfd(7, 0);
  fds['M'] = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec soon = {.it_value.tv_nsec = 1, .it_interval.tv_nsec = 1000};
  timerfd_settime(fds['M'], 0, &soon, NULL);
  fds['I'] = inotify_init1(IN_NONBLOCK);
  inotify_add_watch(fds['I'], folder, IN_ATTRIB);
  fchmod(fds['F'], 0640);
  fds['O'] = epoll_create1(0);
  char ready[] = "PUV";
  for (int i = 0; ready[i]; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)-3};
    must(epoll_ctl(fds['O'], EPOLL_CTL_ADD, fds[(int)ready[i]], &event) == 0, "epoll");
  }
  fds['-'] = -1;
  fds['w'] = AT_FDCWD;
}

void world_make(const char *folder) {
  make_files(folder);
  make_pipes();
  make_sockets();
  make_events(folder);
}
