/*
** Whole files: see file.h.
*/
#include "test/runner/file.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

char *file_read(const char *path) {
  FILE *file = fopen(path, "r");
  if (!file) return NULL;
  Text content = {0};
  char buffer[8192];
  size_t count;
  text_add(&content, "");
  while ((count = fread(buffer, 1, sizeof buffer, file)) > 0) text_addn(&content, buffer, count);
  bool ok = !ferror(file) && !content.oom;
  fclose(file);
  if (!ok) text_finish(&content);
  return content.data;
}

bool file_write(const char *path, const char *content) {
  FILE *file = fopen(path, "w");
  if (!file) return false;
  bool ok = fputs(content, file) >= 0;
  return fclose(file) == 0 && ok;
}
