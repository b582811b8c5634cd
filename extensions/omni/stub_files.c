/*
** Files for gdb: which program a process runs, and the copies of files in the recording, by the
** names that they had.
*/
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/stub.h"
#include "replay/syscalls.h"

/* ---- the program ----------------------------------------------------------------------------- */

/* The IMAGE that the process runs after event `ev`: its own, or that of whom it was forked from. */
static bool find_image(Recording *recording, int32_t pid, uint64_t ev, uint64_t *out,
                       Fault *fault) {
  TraceCursor *cursor;
  const Event *event;
  Map images = {0};
  if (!trace_open(recording, &cursor, fault)) return false;
  bool ok;
  while ((ok = trace_next(cursor, &event, fault)) && event && event->ev <= ev) {
    const CallInfo *info = event->kind == EVENT_SYSCALL ? call_info(event->nr) : NULL;
    const bool spawns = info && info->class == CALL_SPAWN && event->ret > 0;
    if (event->kind != EVENT_IMAGE && !spawns) continue;
    const int32_t born = spawns ? (int32_t)event->ret : event->pid;
    const int64_t *parent = spawns ? map_get(&images, &event->pid, sizeof event->pid) : NULL;
    const int64_t image = spawns ? (parent ? *parent : 0) : (int64_t)event->ev;
    int64_t *place = map_put(&images, &born, sizeof born, image, NULL);
    if (!place) {
      ok = fault_oom(fault);
      break;
    }
    *place = image;
  }
  const int64_t *found = ok ? map_get(&images, &pid, sizeof pid) : NULL;
  *out = found ? (uint64_t)*found : 0;
  map_finish(&images);
  trace_close(cursor);
  return ok;
}

/* The memory that the program begins with; what no chunk gives is zero. */
typedef struct ImageReader {
  const Event *image;
  const Chunk *chunk; /* the one that had the last word */
  uint64_t budget;    /* of chunks to look at: a hostile recording has many */
} ImageReader;

static bool holds(const Chunk *chunk, uint64_t addr) {
  return chunk && chunk->size >= 8 && addr - chunk->addr <= chunk->size - 8;
}

static uint64_t word_at(ImageReader *reader, uint64_t addr) {
  uint64_t word = 0;
  for (int i = 0; !holds(reader->chunk, addr) && i < reader->image->nchunks; i++) {
    if (!reader->budget) return 0;
    reader->budget--;
    const Chunk *chunk = &reader->image->chunks[i];
    if (chunk->kind == CHUNK_OUT && holds(chunk, addr)) reader->chunk = chunk;
  }
  if (!holds(reader->chunk, addr)) return 0;
  memcpy(&word, reader->chunk->bytes + (addr - reader->chunk->addr), sizeof word);
  return word;
}

/* On the stack: argc, arguments, NULL, environment, NULL, pairs up to AT_NULL. */
static void read_auxv(const Event *image, Text *out) {
  enum { WORDS = 1 << 20, PAIRS = 64, CHUNKS = 1 << 24 };
  ImageReader reader = {.image = image, .budget = CHUNKS};
  uint64_t at = image->regs.rsp + 8;
  int nulls = 0;
  for (int i = 0; i < WORDS && nulls < 2; i++, at += 8) nulls += word_at(&reader, at) == 0;
  for (int i = 0; nulls == 2 && i < PAIRS; i++, at += 16) {
    const uint64_t pair[2] = {word_at(&reader, at), word_at(&reader, at + 8)};
    text_addn(out, (const char *)pair, sizeof pair);
    if (pair[0] == AT_NULL) return;
  }
  text_clear(out);
}

static uint64_t entry_of(const Text *auxv) {
  uint64_t pair[2];
  for (size_t i = 0; i + sizeof pair <= auxv->length; i += sizeof pair) {
    memcpy(pair, auxv->data + i, sizeof pair);
    if (pair[0] == AT_ENTRY) return pair[1];
  }
  return 0;
}

/* The file that is mapped around the program's entry. */
static char *program_path(const Event *image, uint64_t entry) {
  for (int i = 0; i < image->nchunks; i++) {
    const Chunk *chunk = &image->chunks[i];
    TraceMap map;
    if (chunk->kind != CHUNK_MAP || chunk->size < sizeof map) continue;
    memcpy(&map, chunk->bytes, sizeof map);
    if (entry < map.start || entry >= map.end) continue;
    return strndup((const char *)chunk->bytes + sizeof map, chunk->size - sizeof map);
  }
  return NULL;
}

bool stub_program_read(Recording *recording, int32_t pid, uint64_t ev, StubProgram *out,
                       Fault *fault) {
  uint64_t image;
  TraceCursor *cursor;
  const Event *event = NULL;
  if (!find_image(recording, pid, ev, &image, fault)) return false;
  if (!image || !trace_open(recording, &cursor, fault)) return !image;
  bool ok = trace_seek(cursor, image, fault) && trace_next(cursor, &event, fault);
  if (ok && event && event->kind == EVENT_IMAGE) {
    stub_program_finish(out);
    read_auxv(event, &out->auxv);
    out->path = program_path(event, entry_of(&out->auxv));
    if (out->auxv.oom) ok = fault_oom(fault);
  }
  trace_close(cursor);
  return ok;
}

void stub_program_finish(StubProgram *program) {
  free(program->path);
  program->path = NULL;
  text_finish(&program->auxv);
}

/* ---- names ----------------------------------------------------------------------------------- */

static const char *base_name(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

/* How well a recorded path fits the one that gdb asks for: /lib is /usr/lib by a link that is not
** in the recording; a name alone counts least. */
static int fit(const char *recorded, const char *wanted) {
  if (strcmp(recorded, wanted) == 0) return 3;
  if (strncmp(recorded, "/usr", 4) == 0 && strcmp(recorded + 4, wanted) == 0) return 2;
  return strcmp(base_name(recorded), base_name(wanted)) == 0;
}

/* Of files that fit as well, the one that is mapped now. */
static const CodeFile *find_file(const Stub *stub, const PlayView *view, const char *path) {
  const CodeFile *best = NULL;
  int best_fit = 0;
  for (size_t i = 0; i < stub->played.code.count; i++) {
    const CodeFile *file = &stub->played.code.list[i];
    int fits = fit(file->path, path) * 2;
    if (!fits || !*file->path) continue;
    for (size_t k = 0; view && k < view->maps->count; k++) {
      if (view->maps->ranges[k].file == file->file + 1) {
        fits++;
        break;
      }
    }
    if (fits > best_fit) {
      best = file;
      best_fit = fits;
    }
  }
  return best;
}

/* ---- what gdb does with files ---------------------------------------------------------------- */

/* The numbers of the protocol's own errno. */
enum { REMOTE_ENOENT = 2, REMOTE_EBADF = 9, REMOTE_EINVAL = 22, REMOTE_EROFS = 30 };

static void file_fails(Stub *stub, int number) {
  text_clear(&stub->answer);
  text_addf(&stub->answer, "F-1,%x", (unsigned)number);
}

/* "4142,FLAGS,MODE" */
static void file_open(Stub *stub, const char *request) {
  enum { WRITES = 3 }; /* of the flags: O_WRONLY, O_RDWR */
  char path[4096], copy[4400];
  size_t n = 0;
  PlayView view;
  Fault ignored = {0};
  for (unsigned byte; n < sizeof path - 1 && sscanf(request, "%2x", &byte) == 1; request += 2) {
    path[n++] = (char)byte;
    if (!request[1] || request[1] == ',') break;
  }
  path[n] = '\0';
  request = strchr(request, ',');
  if (!request) return file_fails(stub, REMOTE_EINVAL);
  request++;
  if (stub_hex(&request) & WRITES) return file_fails(stub, REMOTE_EROFS);
  int slot = 0;
  while (slot < STUB_FILES && stub->files[slot]) slot++;
  const bool seen = player_view(stub->played.player, stub->tid, &view, &ignored);
  const CodeFile *file = find_file(stub, seen ? &view : NULL, path);
  if (!file || slot == STUB_FILES) return file_fails(stub, REMOTE_ENOENT);
  if (snprintf(copy, sizeof copy, "%s/files/%u", stub->played.dir, file->file) >=
      (int)sizeof copy) {
    return file_fails(stub, REMOTE_ENOENT);
  }
  const int fd = open(copy, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    if (fd >= 0) close(fd);
    return file_fails(stub, REMOTE_ENOENT);
  }
  stub->files[slot] = fd + 1;
  text_addf(&stub->answer, "F%x", (unsigned)slot);
}

static int *slot_of(Stub *stub, const char **request) {
  const uint64_t slot = stub_hex(request);
  return slot < STUB_FILES && stub->files[slot] ? &stub->files[slot] : NULL;
}

/* "FD,COUNT,OFFSET" */
static void file_read(Stub *stub, const char *request) {
  const int *slot = slot_of(stub, &request);
  if (!slot) return file_fails(stub, REMOTE_EBADF);
  if (*request == ',') request++;
  uint64_t size = stub_hex(&request);
  if (*request == ',') request++;
  const uint64_t offset = stub_hex(&request);
  char *bytes = malloc(STUB_PACKET / 2);
  if (size > STUB_PACKET / 2 - 32) size = STUB_PACKET / 2 - 32;
  const ssize_t got =
      bytes && offset <= INT64_MAX ? pread(*slot - 1, bytes, size, (off_t)offset) : -1;
  if (got < 0) {
    file_fails(stub, REMOTE_EINVAL);
  } else {
    text_addf(&stub->answer, "F%zx;", (size_t)got);
    text_addn(&stub->answer, bytes, (size_t)got);
  }
  free(bytes);
}

static void add_number(Text *out, uint64_t value, int bytes) {
  while (bytes-- > 0) text_addc(out, (char)(value >> (8 * bytes)));
}

static void file_stat(Stub *stub, const char *request) {
  const int *slot = slot_of(stub, &request);
  struct stat st;
  if (!slot || fstat(*slot - 1, &st) != 0) return file_fails(stub, REMOTE_EBADF);
  Text *out = &stub->answer;
  text_add(out, "F40;");
  add_number(out, (uint64_t)st.st_dev, 4);
  add_number(out, st.st_ino, 4);
  add_number(out, 0100444, 4);
  for (int i = 0; i < 4; i++) add_number(out, 0, 4); /* links, user, group, device */
  add_number(out, (uint64_t)st.st_size, 8);
  add_number(out, 4096, 8);
  add_number(out, ((uint64_t)st.st_size + 511) / 512, 8);
  for (int i = 0; i < 3; i++) add_number(out, (uint64_t)st.st_mtime, 4);
}

static void file_close(Stub *stub, const char *request) {
  int *slot = slot_of(stub, &request);
  if (!slot) return file_fails(stub, REMOTE_EBADF);
  close(*slot - 1);
  *slot = 0;
  text_add(&stub->answer, "F0");
}

void stub_file(Stub *stub, const char *request) {
  static const struct {
    const char *name;
    void (*serve)(Stub *stub, const char *request);
  } requests[] = {
      {"open:", file_open}, {"pread:", file_read}, {"fstat:", file_stat}, {"close:", file_close}};
  if (strncmp(request, "setfs:", 6) == 0) {
    text_add(&stub->answer, "F0");
    return;
  }
  for (size_t i = 0; i < countof(requests); i++) {
    const size_t length = strlen(requests[i].name);
    if (strncmp(request, requests[i].name, length) == 0) {
      requests[i].serve(stub, request + length);
      return;
    }
  }
  if (strncmp(request, "pwrite:", 7) == 0 || strncmp(request, "unlink:", 7) == 0) {
    file_fails(stub, REMOTE_EROFS);
  }
}

void stub_files_close(Stub *stub) {
  for (int i = 0; i < STUB_FILES; i++) {
    if (stub->files[i]) close(stub->files[i] - 1);
  }
}
