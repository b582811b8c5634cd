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

typedef struct Finder {
  const ElfFile *elf;
  const Cfi *cfi;
  const ElfSegment *segment;
  const uint8_t *bytes; /* of the segment */
  CodeImage image;      /* made when there is something to find */
} Finder;

static size_t read_file(void *ctx, uint64_t addr, void *out, size_t size) {
  uint64_t there = 0;
  const uint8_t *bytes = elf_from(ctx, addr, &there);
  if (!bytes) return 0;
  if (size > there) size = (size_t)there;
  memcpy(out, bytes, size);
  return size;
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

static bool add_of_function(const Finder *finder, const CfiRange *range, InsideSites *out,
                            Fault *fault) {
  Body body;
  bool ok = true;
  if (!body_create(&body, &finder->image, range->lo, range->hi, read_file,
                   (void *)(uintptr_t)finder->elf)) {
    return fault_oom(fault);
  }
  for (size_t i = 0; ok && i < body.count; i++) {
    const Insn *insn = &body.insns[i];
    Window window;
    if (insn->length != 2 || insn->bytes[0] != 0x0f || insn->bytes[1] != 0x05) continue;
    if (!window_of(&body, i, &window)) continue;
    ok = array_grow(out->list, out->capacity, out->count + 1) || fault_oom(fault);
    if (!ok) break;
    InsideSite *site = &out->list[out->count++];
    *site = (InsideSite){.offset = insn->at - finder->segment->addr + finder->segment->offset,
                         .size = (uint8_t)(window.end - insn->at)};
    memcpy(site->bytes, finder->bytes + (insn->at - finder->segment->addr), site->size);
  }
  body_finish(&body);
  return ok;
}

static bool find_in(Finder *finder, InsideSites *out, Fault *fault) {
  const ElfSegment *segment = finder->segment;
  const uint8_t *at = finder->bytes, *end = at + segment->size;
  uint64_t done = 0; /* functions below this address are */
  for (; end - at >= 2 && (at = memchr(at, 0x0f, (size_t)(end - at) - 1)); at++) {
    const uint64_t addr = segment->addr + (uint64_t)(at - finder->bytes);
    if (at[1] != 0x05 || addr < done) continue;
    const CfiRange *range = cfi_find(finder->cfi, addr);
    if (!range || range->is_signal) continue;
    if (!finder->image.targets &&
        !image_create(&finder->image, segment->addr, finder->bytes, (size_t)segment->size)) {
      return fault_oom(fault);
    }
    done = range->hi;
    if (!add_of_function(finder, range, out, fault)) return false;
  }
  return true;
}

bool inside_find(const char *path, InsideSites *out, Fault *fault) {
  ElfFile *elf;
  Cfi *cfi = NULL;
  Fault own = {0};
  if (!elf_open(path, &elf, &own)) {
    return own.code != FAULT_NOMEM || fault_oom(fault); /* no program, nothing to find */
  }
  bool ok = cfi_create(elf, &cfi, &own);
  for (size_t i = 0; ok && i < elf->nsegments; i++) {
    Finder finder = {.elf = elf, .cfi = cfi, .segment = &elf->segments[i]};
    const ElfSegment *segment = finder.segment;
    if (segment->type != PT_LOAD || !(segment->flags & PF_X)) continue;
    finder.bytes = elf_at(elf, segment->addr, segment->size);
    if (!finder.bytes) continue;
    ok = find_in(&finder, out, &own);
    image_finish(&finder.image);
  }
  cfi_free(cfi);
  elf_close(elf);
  return ok || own.code != FAULT_NOMEM || fault_oom(fault);
}
