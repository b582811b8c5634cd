/*
** The function around an address, by the unwind information of the file it is from.
*/
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "replay/cfi.h"
#include "replay/play_inner.h"
#include "replay/probe_code.h"

enum { BODY_MOST = 1 << 20 };

/* A file without, or one that makes no sense, has no functions: that only costs time. */
static void look(Player *player, uint32_t number) {
  PlayFile *file = &player->files[number];
  char path[4352];
  if (file->looked) return;
  file->looked = true;
  if (snprintf(path, sizeof path, "%s/files/%" PRIu32, recording_dir(player->recording), number) >=
      (int)sizeof path) {
    return;
  }
  if (elf_open(path, &file->elf, NULL)) cfi_create(file->elf, &file->cfi, NULL);
}

bool bodies_find(Player *player, const PlaySpace *space, uint64_t addr, CodeRange *out,
                 Fault *fault) {
  const MapRange *range = maps_find(&space->maps, addr);
  uint64_t at;
  *out = (CodeRange){0};
  if (!range || !(range->prot & PROT_EXEC)) {
    return fault_set(fault, FAULT_NOTFOUND, "player: there is no code at 0x%" PRIx64, addr);
  }
  if (!range->file || range->file - 1 >= player->nfiles) return true;
  PlayFile *file = &player->files[range->file - 1];
  look(player, range->file - 1);
  if (!file->cfi || !elf_addr(file->elf, addr - range->start + range->offset, &at)) return true;
  const CfiRange *body = cfi_find(file->cfi, at);
  if (!body || at - body->lo > addr - range->start || body->hi - at > range->end - addr) {
    return true;
  }
  *out = (CodeRange){addr - (at - body->lo), addr + (body->hi - at)};
  return true;
}

size_t player_code(Player *player, int32_t tid, uint64_t addr, uint64_t *out, size_t most) {
  PlayView view;
  CodeRange body;
  Insn insn;
  Fault ignored = {0};
  size_t count = 0;
  const PlayThread *thread = child_find(player, tid);
  if (!thread || !bodies_find(player, thread->space, addr, &body, &ignored) ||
      body.hi - body.lo > BODY_MOST || !player_view(player, tid, &view, &ignored)) {
    return 0;
  }
  uint8_t *code = malloc(body.hi - body.lo + 1);
  bool ok = code && player_read(player, &view, body.lo, code, body.hi - body.lo, &ignored);
  for (uint64_t at = body.lo; ok && at < body.hi; at += insn.length) {
    if (count < most) out[count] = at;
    count++;
    ok = insn_decode(code + (at - body.lo), body.hi - at, at, &insn);
  }
  free(code);
  return count;
}

void bodies_close(PlayFile *file) {
  cfi_free(file->cfi);
  elf_close(file->elf);
}
