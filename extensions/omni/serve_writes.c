/*
** Writes to memory, for the host.
*/
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
#include "extensions/omni/places.h"
#include "extensions/omni/probing.h"
#include "extensions/omni/serve.h"
#include "extensions/omni/watching.h"

enum { WRITES_MOST = 200000, PASSES_MOST = 5000000 };

typedef struct Write {
  PlayWrite at;
  CodeFile *code; /* of its instruction; NULL: unknown, or the kernel */
  uint64_t addr;  /* of the instruction in the file */
  uint64_t hit;   /* 0: not known */
} Write;

typedef struct Writes {
  Service *service;
  Watching watching;
  Write *list;
  size_t count, capacity;
  /* the second time, to count the passes of the instructions */
  Places places;
  Rows passes;
  size_t again;
} Writes;

/* ---- the first time: which writes there are */

static bool keep(void *ctx, const PlayWrite *at, Fault *fault) {
  Writes *writes = ctx;
  Played *played = &writes->service->played;
  PlayView view;
  if (writes->count == WRITES_MOST) {
    return fault_set(fault, FAULT_LIMIT, "more than %d writes until event %" PRIu64 "; say ev < N",
                     WRITES_MOST, at->ev);
  }
  if (!array_grow(writes->list, writes->capacity, writes->count + 1)) return fault_oom(fault);
  Write *write = &writes->list[writes->count++];
  *write = (Write){.at = *at};
  if (at->by_kernel) return true;
  if (!player_view(writes->watching.player, at->tid, &view, fault) ||
      !played_maps(played, &view, fault)) {
    return false;
  }
  StackPlace place;
  stacks_place(played->stacks, at->pc, &place);
  write->code = code_of_module(&played->code, place.file);
  write->addr = place.addr;
  return true;
}

static bool play(Writes *writes, const Places *places, int fd, Fault *fault) {
  const PlayOptions options = {.hashes = true, .stop = &writes->service->stop};
  Watching *watching = &writes->watching;
  int set;
  bool ok = player_open(watching->recording, &options, &watching->player, fault);
  if (ok && places) {
    const ProbeSpec spec = {.columns = 1u << ROW_EV | 1u << ROW_TID | 1u << ROW_HIT,
                            .limit = PASSES_MOST,
                            .functions = places->functions,
                            .nfunctions = places->count};
    ok = player_probe(watching->player, &spec, fd, NULL, 0, &set, fault) &&
         rows_open(fd, &writes->passes, fault);
  }
  ok = ok && watching_run(watching, fault);
  player_close(watching->player);
  watching->player = NULL;
  return ok;
}

/* ---- the second time: how often their instructions had come by */

static int site_of(const Places *places, const Write *write) {
  for (size_t i = 0; i < places->count; i++) {
    uint64_t offset;
    if (places->list[i].file == write->code &&
        elf_offset(write->code->module->elf, write->addr, &offset) &&
        places->list[i].offset == offset) {
      return (int)i;
    }
  }
  return -1;
}

/* The last pass of its instruction by its thread. */
static bool count_hit(void *ctx, const PlayWrite *at, Fault *fault) {
  Writes *writes = ctx;
  const Rows *rows = &writes->passes;
  uint64_t count;
  RowState state;
  if (writes->again == writes->count) {
    return fault_set(fault, FAULT_CORRUPT, "played again, there are more writes");
  }
  Write *write = &writes->list[writes->again++];
  if (write->at.ev != at->ev || write->at.pc != at->pc || write->at.addr != at->addr) {
    return fault_set(fault, FAULT_CORRUPT, "played again, write %zu is another one", writes->again);
  }
  const int site = write->code ? site_of(&writes->places, write) : -1;
  if (site < 0) return true;
  if (!rows_count(&writes->passes, &count, &state, fault)) return false;
  while (count > 0) {
    const uint64_t *row = rows_at(rows, --count);
    if (row_site(row[0]) != (uint64_t)site || (int32_t)row[rows->layout.word[ROW_TID]] != at->tid) {
      continue;
    }
    if (row[rows->layout.word[ROW_EV]] == at->ev) write->hit = row[rows->layout.word[ROW_HIT]];
    return true;
  }
  return true;
}

static bool find_places(Writes *writes, Fault *fault) {
  for (size_t i = 0; i < writes->count; i++) {
    const Write *write = &writes->list[i];
    Fault why = {0};
    if (write->code && !code_open(&writes->service->played.code, write->code, fault)) return false;
    if (!write->code || !write->code->functions || write->code->is_varied ||
        site_of(&writes->places, write) >= 0) {
      continue;
    }
    if (!places_add(&writes->places, write->code, write->addr, NULL, 0, &why) &&
        why.code != FAULT_UNSUPPORTED) {
      return fault_set(fault, why.code, "%s", why.text);
    }
  }
  return true;
}

static bool count_hits(Writes *writes, Fault *fault) {
  if (!find_places(writes, fault)) return false;
  if (!writes->places.count) return true;
  int fd = memfd_create("omni passes", MFD_CLOEXEC);
  if (fd < 0) return fault_set(fault, FAULT_IO, "rows: %s", strerror(errno));
  writes->watching.written = count_hit;
  bool ok = play(writes, &writes->places, fd, fault);
  if (writes->passes.map) rows_close(&writes->passes);
  close(fd);
  if (ok && writes->again < writes->count) {
    return fault_set(fault, FAULT_CORRUPT, "played again, there are fewer writes");
  }
  return ok;
}

/* ---- the answer */

static void put_place(const Write *write, CellWriter *out) {
  const Function *function = write->code && write->code->functions
                                 ? functions_at(write->code->functions, write->addr)
                                 : NULL;
  cell_text(out, function ? function->name : NULL);
  serve_put_line(out, write->code, write->addr);
}

static bool put_write(const Writes *writes, size_t i, CellWriter *out) {
  const Write *write = &writes->list[i];
  const PlayWrite *at = &write->at;
  uint64_t offset;
  cell_integer(out, (int64_t)i + 1);
  cell_integer(out, (int64_t)at->ev);
  cell_integer(out, at->pid);
  cell_integer(out, at->tid);
  cell_integer(out, (int64_t)at->addr);
  cell_integer(out, (int64_t)at->size);
  global_cell(&writes->watching.what, at->addr, at->size, at->before, out);
  global_cell(&writes->watching.what, at->addr, at->size, at->after, out);
  cell_text(out, at->by_kernel ? "kernel" : "program");
  put_place(write, out);
  if (at->by_kernel) {
    cell_null(out);
  } else {
    cell_integer(out, (int64_t)at->pc);
  }
  if (write->hit && elf_offset(write->code->module->elf, write->addr, &offset)) {
    probing_moment(out, write->code, offset, at->ev, (uint64_t)at->tid, write->hit);
  } else {
    cell_null(out);
  }
  return cells_row(out);
}

static bool find_what(Service *service, Global *out, bool *out_moments, uint64_t *out_last,
                      Fault *fault) {
  Wire *wire = &service->wire;
  const char *dir = wire_get_text(wire), *name = wire_get_text(wire);
  *out = (Global){.addr = wire_get_u64(wire)};
  out->size = wire_get_u64(wire);
  *out_moments = wire_get_u32(wire) != 0;
  *out_last = wire_get_u64(wire);
  if (!wire_end(wire, fault) || !played_open(&service->played, dir, fault) ||
      !played_code(&service->played, fault)) {
    return false;
  }
  played_stop(&service->played);
  return !*name || global_find(&service->played.code, name, out, fault);
}

bool serve_writes(Service *service, CellWriter *out, Fault *fault) {
  Writes writes = {.service = service};
  bool moments;
  if (!find_what(service, &writes.watching.what, &moments, &writes.watching.last, fault)) {
    return false;
  }
  writes.watching.recording = service->played.recording;
  writes.watching.written = keep;
  writes.watching.ctx = &writes;
  bool ok = play(&writes, NULL, -1, fault) && (!moments || count_hits(&writes, fault));
  for (size_t i = 0; ok && i < writes.count; i++) {
    CodeFile *code = writes.list[i].code;
    ok = !code || code_dwarf(&service->played.code, code, fault);
    if (ok && !put_write(&writes, i, out)) break;
  }
  places_finish(&writes.places);
  free(writes.list);
  return ok;
}
