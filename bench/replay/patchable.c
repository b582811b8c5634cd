/*
** How many functions of programs can be probed natively, by what their files say: entries of
** .eh_frame_hdr, windows as replay/probe_body finds them.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <elf.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replay/probe_body.h"

typedef struct File {
  const uint8_t *bytes;
  size_t size;
  const Elf64_Phdr *headers;
  int count;
} File;

/* The bytes of the file at an address of the program, or NULL. */
static const uint8_t *at(const File *file, uint64_t addr, size_t *out_size) {
  for (int i = 0; i < file->count; i++) {
    const Elf64_Phdr *h = &file->headers[i];
    if (h->p_type != PT_LOAD || addr < h->p_vaddr || addr >= h->p_vaddr + h->p_filesz) continue;
    *out_size = h->p_vaddr + h->p_filesz - addr;
    return file->bytes + h->p_offset + (addr - h->p_vaddr);
  }
  return NULL;
}

static size_t read_data(void *ctx, uint64_t addr, void *out, size_t size) {
  size_t there;
  const uint8_t *bytes = at(ctx, addr, &there);
  if (!bytes) return 0;
  if (size > there) size = there;
  memcpy(out, bytes, size);
  return size;
}

static int32_t i32(const uint8_t *bytes) {
  int32_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

static bool none_taken(const void *ctx, uint64_t start, uint64_t end) {
  (void)ctx;
  return start >= end;
}

typedef struct Counts {
  size_t functions, native, islands, returns, returns_native, returns_islands;
} Counts;

static void count_function(const File *file, const CodeImage *image, uint64_t lo, uint64_t hi,
                           Counts *counts) {
  Body body;
  Window window;
  uint64_t island;
  if (!body_create(&body, image, lo, hi, read_data, (void *)(uintptr_t)file)) abort();
  for (size_t i = 0; i < body.count; i++) {
    const bool entry = i == 0;
    if (!entry && body.insns[i].kind != INSN_RETURN) continue;
    bool far = body_window_at(&body, i, !entry, &window);
    bool near = !far && body_short_window(&body, i, !entry, none_taken, NULL, &window, &island);
    *(entry ? &counts->functions : &counts->returns) += 1;
    *(entry ? &counts->native : &counts->returns_native) += far;
    *(entry ? &counts->islands : &counts->returns_islands) += near;
  }
  body_finish(&body);
}

static void count_file(const File *file, Counts *counts) {
  uint64_t table = 0;
  CodeImage image = {0};
  for (int i = 0; i < file->count; i++) {
    const Elf64_Phdr *h = &file->headers[i];
    if (h->p_type == PT_GNU_EH_FRAME) table = h->p_vaddr;
    if (h->p_type != PT_LOAD || !(h->p_flags & PF_X)) continue;
    if (!image_create(&image, h->p_vaddr, file->bytes + h->p_offset, h->p_filesz)) abort();
  }
  size_t size;
  const uint8_t *header = at(file, table, &size);
  if (!header || !image.bytes || header[3] != 0x3b) return;
  for (int32_t k = 0; k < i32(header + 8); k++) {
    const uint64_t fde = table + (uint64_t)(int64_t)i32(header + 12 + 8 * k + 4);
    const uint8_t *bytes = at(file, fde, &size);
    const uint64_t lo = fde + 8 + (uint64_t)(int64_t)i32(bytes + 8);
    if (lo < image.start || lo >= image.start + image.size) continue;
    count_function(file, &image, lo, lo + (uint32_t)i32(bytes + 12), counts);
  }
  image_finish(&image);
}

static void show(const char *pattern) {
  glob_t found;
  struct stat stat;
  if (glob(pattern, 0, NULL, &found)) return;
  int fd = open(found.gl_pathv[0], O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && fstat(fd, &stat) == 0) {
    File file = {.size = (size_t)stat.st_size};
    file.bytes = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, fd, 0);
    assert(file.bytes != MAP_FAILED);
    const Elf64_Ehdr *elf = (const void *)file.bytes;
    file.headers = (const void *)(file.bytes + elf->e_phoff);
    file.count = elf->e_phnum;
    Counts c = {0};
    count_file(&file, &c);
    if (c.functions && c.returns) {
      printf("%-44s %9zu %8.2f %8.2f %9zu %8.2f %8.2f\n", found.gl_pathv[0], c.functions,
             100.0 * (double)c.native / (double)c.functions,
             100.0 * (double)(c.native + c.islands) / (double)c.functions, c.returns,
             100.0 * (double)c.returns_native / (double)c.returns,
             100.0 * (double)(c.returns_native + c.returns_islands) / (double)c.returns);
    }
    munmap((void *)(uintptr_t)file.bytes, file.size);
  }
  if (fd >= 0) close(fd);
  globfree(&found);
}

int main(void) {
  printf("%-44s %9s %8s %8s %9s %8s %8s\n", "", "functions", "% jump", "+ short", "returns",
         "% jump", "+ short");
  show("/lib/x86_64-linux-gnu/libc.so.6");
  show("/lib/x86_64-linux-gnu/libsqlite3.so.0");
  show("/usr/lib/x86_64-linux-gnu/libsqlite3.so.0");
  show("/lib64/ld-linux-x86-64.so.2");
  show("/usr/lib/x86_64-linux-gnu/libstdc++.so.6");
  show("/usr/lib/x86_64-linux-gnu/libcrypto.so.3");
  show("/bin/bash");
  show("/usr/bin/git");
  show("/usr/bin/redis-server");
  show("/usr/bin/python3.11");
  return 0;
}
