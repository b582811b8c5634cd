/*
** Where the code of a file makes system calls, and how many bytes can be overwritten there.
*/
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "replay/cfi.h"
#include "replay/inside_inner.h"
#include "replay/probe_body.h"
#include "replay/syscalls.h"

struct InsideFile {
  ElfFile *elf;
  Cfi *cfi;
  const ElfSegment *segment; /* of the image; NULL: none yet */
  CodeImage image;
};

static size_t read_file(void *ctx, uint64_t addr, void *out, size_t size) {
  uint64_t there = 0;
  const uint8_t *bytes = elf_from(ctx, addr, &there);
  if (!bytes) return 0;
  if (size > there) size = (size_t)there;
  memcpy(out, bytes, size);
  return size;
}

static bool is_syscall(const Insn *insn) {
  return insn->length == SYSCALL_BYTES && insn->bytes[0] == 0x0f && insn->bytes[1] == 0x05;
}

/* mov $15, %eax or %rax: the return from a signal, whose code debuggers and unwinders know. */
static bool is_sigreturn(const Insn *before) {
  static const uint8_t narrow[] = {0xb8, 15, 0, 0, 0}, wide[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0};
  return memcmp(before->bytes, narrow, sizeof narrow) == 0 ||
         memcmp(before->bytes, wide, sizeof wide) == 0;
}

/* A jump that leads behind the syscall would be taken for the call. */
static bool moves_plainly(const Body *body, const Window *window) {
  if (body_is_target(body, body->insns[window->first].at)) return false;
  for (size_t i = window->first; i <= window->last; i++) {
    const Insn *insn = &body->insns[i];
    if (insn_calls(insn) || insn->kind == INSN_LOOP) return false;
  }
  return true;
}

/* mov $nr, %eax right before it: calls that only the tracer makes are left alone. */
static bool is_useful(const Insn *before) {
  uint32_t nr;
  if (before->length != 5 || before->bytes[0] != 0xb8) return true;
  memcpy(&nr, before->bytes + 1, sizeof nr);
  const CallInfo *info = call_info((long)nr);
  return info && info->class == CALL_ANSWER;
}

/* Room for a jump behind the syscall at index i. */
static bool window_of(const Body *body, size_t i, Window *out) {
  if (i == 0 || i + 1 >= body->count) return false;
  if (is_sigreturn(&body->insns[i - 1]) || !is_useful(&body->insns[i - 1])) return false;
  return body_window_at(body, i + 1, false, out) && moves_plainly(body, out) &&
         out->end - body->insns[i].at <= INSIDE_WINDOW;
}

static bool site_in(const InsideFile *file, const CfiRange *range, uint64_t addr, InsideSite *out,
                    Fault *fault) {
  Body body;
  Window window;
  if (!body_create(&body, &file->image, range->lo, range->hi, read_file, file->elf)) {
    return fault_oom(fault);
  }
  const ptrdiff_t i = body_find(&body, addr);
  if (i >= 0 && is_syscall(&body.insns[i]) && window_of(&body, (size_t)i, &window)) {
    out->size = (uint8_t)(window.end - addr);
    out->single = window.first == window.last;
    memcpy(out->bytes, file->image.bytes + (addr - file->image.start), out->size);
  }
  body_finish(&body);
  return true;
}

/* The executable segment that has this offset. */
static const ElfSegment *segment_of(const ElfFile *elf, uint64_t offset) {
  for (size_t i = 0; i < elf->nsegments; i++) {
    const ElfSegment *segment = &elf->segments[i];
    if (segment->type != PT_LOAD || !(segment->flags & PF_X)) continue;
    if (offset >= segment->offset && offset - segment->offset < segment->size) return segment;
  }
  return NULL;
}

static bool make_image(InsideFile *file, const ElfSegment *segment, bool *out_ok, Fault *fault) {
  *out_ok = file->segment == segment;
  if (*out_ok) return true;
  const uint8_t *bytes = elf_at(file->elf, segment->addr, segment->size);
  if (!bytes) return true;
  image_finish(&file->image);
  file->segment = NULL;
  if (!image_create(&file->image, segment->addr, bytes, (size_t)segment->size)) {
    return fault_oom(fault);
  }
  file->segment = segment;
  return *out_ok = true;
}

bool inside_file_site(InsideFile *file, uint64_t offset, InsideSite *out, Fault *fault) {
  *out = (InsideSite){0};
  const ElfSegment *segment = file ? segment_of(file->elf, offset) : NULL;
  if (!segment) return true;
  const uint64_t addr = segment->addr + (offset - segment->offset);
  const CfiRange *range = cfi_find(file->cfi, addr);
  bool ok;
  if (!range || range->is_signal) return true;
  return make_image(file, segment, &ok, fault) && (!ok || site_in(file, range, addr, out, fault));
}

/* ---- a file */

bool inside_file_open(const char *path, InsideFile **out, Fault *fault) {
  Fault own = {0};
  InsideFile *file = calloc(1, sizeof *file);
  *out = NULL;
  if (!file) return fault_oom(fault);
  if (elf_open(path, &file->elf, &own) && cfi_create(file->elf, &file->cfi, &own)) {
    *out = file;
    return true;
  }
  inside_file_close(file);
  return own.code != FAULT_NOMEM || fault_oom(fault); /* no program, nothing to find */
}

void inside_file_close(InsideFile *file) {
  if (!file) return;
  image_finish(&file->image);
  cfi_free(file->cfi);
  elf_close(file->elf);
  free(file);
}
