/*
** Two threads that draw the next number from a file, as servers do for their queues: it is read,
** one is added, it is written. Nothing makes these three one step.
*/
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int fd;

static void *draw(void *number) {
  char text[16] = {0};
  if (pread(fd, text, sizeof text - 1, 0) < 0) return NULL;
  *(int *)number = atoi(text) + 1;
  int size = snprintf(text, sizeof text, "%d\n", *(int *)number);
  return pwrite(fd, text, (size_t)size, 0) == size ? number : NULL;
}

int main(void) {
  pthread_t threads[2];
  int numbers[2] = {0};
  fd = open("number", O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, draw, &numbers[i]);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  puts(numbers[0] == numbers[1] ? "two have the same number" : "well");
  return numbers[0] == numbers[1];
}
