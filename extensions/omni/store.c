/*
** Answers about calls on disk: see store.h.
*/
#define _GNU_SOURCE /* copy_file_range */
#include "extensions/omni/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/array.h"

static const char magic[8] = {'o', 'm', 'n', 'i', 'a', 'n', 's', '1'};

enum { STORE_VERSION = 2, SITES_LARGEST = 64 << 20, NAME_SIZE = 48, KEPT_MOST = 64 };
static const uint64_t rows_largest = UINT64_C(1) << 30;

/* Begins NAME.sites; then the question, then of each site u32 sizes of name and module, u64 addr,
** u64 key, and both texts without their NUL. */
typedef struct StoreHead {
  char magic[8];
  uint32_t version, nsites;
  uint64_t question_size, size; /* of the question; of all of the file */
  uint64_t rows, rows_digest;
  uint64_t digest; /* of the file with this field 0 */
} StoreHead;

static void name_of(const CallsAnswer *answer, const char *suffix, char out[NAME_SIZE]) {
  const uint64_t hash = hash_bytes(answer->question.data, answer->question.length, STORE_VERSION);
  snprintf(out, NAME_SIZE, "%016" PRIx64 ".%s", hash, suffix);
}

static int open_folder(const OmniSource *source, bool make) {
  char path[4096];
  const int n = snprintf(path, sizeof path, "%s/answers", source->path);
  if (n < 0 || (size_t)n >= sizeof path) return -1;
  if (make && mkdir(path, 0700) != 0 && errno != EEXIST) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* ---- loading --------------------------------------------------------------------------------- */

/* A file that only this user can have written. -1: there is none. */
static int open_own(int folder, const char *name, uint64_t *out_size) {
  struct stat st;
  int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return -1;
  const bool own = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                   !(st.st_mode & (S_IWGRP | S_IWOTH)) && st.st_size > 0;
  if (own) {
    *out_size = (uint64_t)st.st_size;
    return fd;
  }
  close(fd);
  return -1;
}

static bool read_all(int fd, void *out, size_t size) {
  for (size_t at = 0; at < size;) {
    ssize_t n = pread(fd, (char *)out + at, size - at, (off_t)at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += (size_t)n;
  }
  return true;
}

static bool is_right(const CallsAnswer *answer, uint8_t *bytes, uint64_t size, StoreHead *out) {
  if (size < sizeof *out) return false;
  memcpy(out, bytes, sizeof *out);
  memset(bytes + offsetof(StoreHead, digest), 0, sizeof out->digest);
  return memcmp(out->magic, magic, sizeof magic) == 0 && out->version == STORE_VERSION &&
         out->size == size && out->question_size == answer->question.length &&
         out->question_size <= size - sizeof *out && out->nsites <= ASK_SITES &&
         hash_bytes(bytes, size, STORE_VERSION) == out->digest &&
         memcmp(bytes + sizeof *out, answer->question.data, answer->question.length) == 0;
}

static bool take_site(CallsAnswer *answer, const uint8_t **at, const uint8_t *end, Fault *fault) {
  uint32_t lengths[2];
  CallSite *site = &answer->sites[answer->nsites];
  if ((size_t)(end - *at) < sizeof lengths + 2 * sizeof(uint64_t)) return false;
  memcpy(lengths, *at, sizeof lengths);
  memcpy(&site->addr, *at + 8, 8);
  memcpy(&site->key, *at + 16, 8);
  *at += 24;
  if ((uint64_t)lengths[0] + lengths[1] > (uint64_t)(end - *at)) return false;
  char *texts[2];
  for (int i = 0; i < 2; i++) {
    texts[i] = arena_alloc(&answer->arena, (size_t)lengths[i] + 1);
    if (!texts[i]) return fault_oom(fault);
    memcpy(texts[i], *at, lengths[i]);
    texts[i][lengths[i]] = '\0';
    *at += lengths[i];
  }
  site->name = texts[0];
  site->module = texts[1];
  answer->nsites++;
  return true;
}

static bool take_sites(CallsAnswer *answer, const uint8_t *bytes, const StoreHead *head,
                       Fault *fault) {
  const uint8_t *at = bytes + sizeof *head + head->question_size, *end = bytes + head->size;
  answer->sites = calloc((size_t)head->nsites + 1, sizeof *answer->sites);
  if (!answer->sites) return fault_oom(fault);
  for (uint32_t i = 0; i < head->nsites; i++) {
    if (!take_site(answer, &at, end, fault)) return false;
  }
  return at == end;
}

static bool load_sites(int folder, CallsAnswer *answer, StoreHead *out, Fault *fault) {
  char name[NAME_SIZE];
  uint64_t size;
  name_of(answer, "sites", name);
  int fd = open_own(folder, name, &size);
  if (fd < 0) return false;
  uint8_t *bytes = size <= SITES_LARGEST ? malloc(size) : NULL;
  if (!bytes && size <= SITES_LARGEST) fault_oom(fault);
  const bool ok = bytes && read_all(fd, bytes, size) && is_right(answer, bytes, size, out) &&
                  take_sites(answer, bytes, out, fault);
  free(bytes);
  close(fd);
  return ok;
}

static bool load_rows(int folder, const Ask *ask, CallsAnswer *answer, const StoreHead *head) {
  char name[NAME_SIZE];
  uint64_t size;
  Fault why = {0};
  name_of(answer, "rows", name);
  int fd = open_own(folder, name, &size);
  if (fd < 0) return false;
  answer->has_rows = packed_open(fd, &answer->rows, &why);
  close(fd);
  const Packed *rows = &answer->rows;
  return answer->has_rows && rows->layout.columns == ask->columns &&
         rows->layout.returns == ask->returns &&
         (rows->state == ROWS_COMPLETE || rows->state == ROWS_LIMITED) &&
         rows->rows == head->rows && packed_digest(rows) == head->rows_digest;
}

bool store_load(const OmniSource *source, const Ask *ask, CallsAnswer *answer, Fault *fault) {
  StoreHead head;
  int folder = open_folder(source, false);
  if (folder < 0) return false;
  const bool ok = load_sites(folder, answer, &head, fault) &&
                  (!head.nsites || load_rows(folder, ask, answer, &head));
  close(folder);
  if (!ok) answer_clear(answer);
  return ok;
}

/* ---- saving ---------------------------------------------------------------------------------- */

static bool copy_rows(int from, int to, uint64_t size) {
  while (size > 0) {
    char part[1 << 16];
    ssize_t n = read(from, part, size < sizeof part ? (size_t)size : sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0 || write(to, part, (size_t)n) != n) return false;
    size -= (uint64_t)n;
  }
  return true;
}

static void put_sites(const CallsAnswer *answer, Text *out) {
  StoreHead head = {.version = STORE_VERSION,
                    .nsites = (uint32_t)answer->nsites,
                    .question_size = answer->question.length,
                    .rows = answer->rows.rows};
  memcpy(head.magic, magic, sizeof magic);
  if (answer->has_rows) head.rows_digest = packed_digest(&answer->rows);
  text_addn(out, (const char *)&head, sizeof head);
  text_addn(out, answer->question.data, answer->question.length);
  for (size_t i = 0; i < answer->nsites; i++) {
    const CallSite *site = &answer->sites[i];
    const uint32_t lengths[2] = {(uint32_t)strlen(site->name), (uint32_t)strlen(site->module)};
    text_addn(out, (const char *)lengths, sizeof lengths);
    text_addn(out, (const char *)&site->addr, sizeof site->addr);
    text_addn(out, (const char *)&site->key, sizeof site->key);
    text_addn(out, site->name, lengths[0]);
    text_addn(out, site->module, lengths[1]);
  }
  if (out->oom) return;
  head.size = out->length;
  memcpy(out->data, &head, sizeof head);
  head.digest = hash_bytes(out->data, out->length, STORE_VERSION);
  memcpy(out->data, &head, sizeof head);
}

/* Under a name of its own, then under the right one. */
static bool publish(int folder, const char *name, bool (*fill)(const void *ctx, int fd),
                    const void *ctx) {
  char draft[NAME_SIZE + 32];
  snprintf(draft, sizeof draft, ".%s.%d.%" PRIx64, name, getpid(), (uint64_t)(uintptr_t)ctx);
  int fd = openat(folder, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  bool ok = fill(ctx, fd);
  ok = close(fd) == 0 && ok && renameat(folder, draft, folder, name) == 0;
  if (!ok) unlinkat(folder, draft, 0);
  return ok;
}

typedef struct RowsSource {
  int fd;
  uint64_t size;
} RowsSource;

static bool fill_rows(const void *ctx, int fd) {
  const RowsSource *rows = ctx;
  return lseek(rows->fd, 0, SEEK_SET) == 0 && copy_rows(rows->fd, fd, rows->size);
}

static bool fill_sites(const void *ctx, int fd) {
  const Text *text = ctx;
  return write(fd, text->data, text->length) == (ssize_t)text->length;
}

/* There is room on the disk, and not too many answers are kept already: those are all removed,
** which readers that have them open do not notice. */
static bool make_room(int folder, uint64_t size) {
  struct statvfs disk;
  size_t count = 0;
  if (fstatvfs(folder, &disk) != 0 || disk.f_bavail < (size / disk.f_frsize + 1) * 8) return false;
  int again = dup(folder);
  DIR *list = again >= 0 ? fdopendir(again) : NULL;
  if (!list) {
    if (again >= 0) close(again);
    return false;
  }
  rewinddir(list);
  while (readdir(list)) count++;
  if (count > 2 * KEPT_MOST) {
    rewinddir(list);
    for (struct dirent *entry; (entry = readdir(list));) {
      if (entry->d_name[0] != '.') unlinkat(folder, entry->d_name, 0);
    }
  }
  closedir(list);
  return true;
}

void store_save(const OmniSource *source, const CallsAnswer *answer, int fd) {
  char name[NAME_SIZE];
  struct stat st;
  Text sites = {0};
  if (fstat(fd, &st) != 0 || (uint64_t)st.st_size > rows_largest) return;
  int folder = open_folder(source, true);
  if (folder < 0) return;
  const RowsSource rows = {fd, (uint64_t)st.st_size};
  put_sites(answer, &sites);
  if (!sites.oom && make_room(folder, rows.size + sites.length)) {
    bool ok = true;
    name_of(answer, "rows", name);
    if (answer->has_rows) ok = publish(folder, name, fill_rows, &rows);
    name_of(answer, "sites", name);
    if (ok) publish(folder, name, fill_sites, &sites);
  }
  text_finish(&sites);
  close(folder);
}
