/*
** What is left behind: see residue.h.
*/
#define _GNU_SOURCE
#include "test/runner/residue.h"

#include <dirent.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
int __lsan_do_recoverable_leak_check(void);
#else
static int __lsan_do_recoverable_leak_check(void) { return 0; }
#endif

static int captured = -1;

int residue_capture_stdout(void) {
  int real = dup(STDOUT_FILENO);
  captured = memfd_create("stdout", 0);
  if (real < 0 || captured < 0 || dup2(captured, STDOUT_FILENO) < 0) return -1;
  return real;
}

static int count_entries(const char *path) {
  DIR *folder = opendir(path);
  if (!folder) return -1;
  int count = 0;
  while (readdir(folder)) count++;
  closedir(folder);
  return count;
}

Residue residue_take(void) {
  return (Residue){.descriptors = count_entries("/proc/self/fd"),
                   .threads = count_entries("/proc/self/task"),
                   .memory = sqlite3_memory_used()};
}

/* The kernel takes a joined thread out of /proc a moment after the join. */
static int settled_threads(int wanted) {
  int threads = 0;
  for (int i = 0; i < 1000; i++) {
    threads = count_entries("/proc/self/task");
    if (threads <= wanted) break;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return threads;
}

static void check_stdout(Text *out) {
  struct stat info;
  fflush(stdout);
  if (captured < 0 || fstat(captured, &info) != 0 || info.st_size == 0) return;
  char start[81];
  ssize_t length = pread(captured, start, sizeof start - 1, 0);
  start[length > 0 ? length : 0] = '\0';
  text_addf(out, "%lld bytes written to standard output: %s\n", (long long)info.st_size, start);
  if (ftruncate(captured, 0) != 0) text_add(out, "cannot clear standard output\n");
  lseek(captured, 0, SEEK_SET);
}

void residue_compare(const Residue *before, Text *out) {
  int threads = settled_threads(before->threads);
  Residue now = residue_take();
  if (now.memory != before->memory) {
    text_addf(out, "sqlite3_memory_used() is %lld, was %lld\n", now.memory, before->memory);
  }
  if (now.descriptors != before->descriptors) {
    text_addf(out, "%d open descriptors, were %d\n", now.descriptors, before->descriptors);
  }
  if (threads > before->threads) {
    text_addf(out, "%d threads, were %d\n", threads - 2, before->threads - 2);
  }
  siginfo_t child = {0};
  if (waitid(P_ALL, 0, &child, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD) {
    text_add(out, "a child process is left\n");
  }
  check_stdout(out);
}

void residue_leaks(Text *out) {
  static bool known; /* a leak stays one: later cases cannot be told from the first */
  if (known || !__lsan_do_recoverable_leak_check()) return;
  known = true;
  text_add(out, "leaked memory of libc's allocator: see standard error\n");
}
