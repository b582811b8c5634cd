/*
** The state of the program at a moment, for the host: registers, memory, stack.
*/
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "base/array.h"
#include "extensions/omni/serve.h"

bool serve_stand(Service *service, Moment *out_moment, PlayView *out, Fault *fault) {
  const char *dir = wire_get_text(&service->wire);
  *out_moment = serve_get_moment(&service->wire);
  return !service->wire.failed && played_open(&service->played, dir, fault) &&
         played_goto(&service->played, &service->stop, out_moment, out, fault);
}

/* ---- registers ------------------------------------------------------------------------------- */

bool serve_registers(Service *service, CellWriter *out, Fault *fault) {
  static const struct {
    const char *name;
    size_t offset;
  } names[] = {
#define REGISTER(name) {#name, offsetof(struct user_regs_struct, name)}
      REGISTER(rip), REGISTER(rsp), REGISTER(rbp),    REGISTER(rax),     REGISTER(rbx),
      REGISTER(rcx), REGISTER(rdx), REGISTER(rsi),    REGISTER(rdi),     REGISTER(r8),
      REGISTER(r9),  REGISTER(r10), REGISTER(r11),    REGISTER(r12),     REGISTER(r13),
      REGISTER(r14), REGISTER(r15), REGISTER(eflags), REGISTER(fs_base), REGISTER(gs_base),
#undef REGISTER
  };
  Moment moment;
  PlayView view;
  struct user_fpregs_struct vectors;
  if (!serve_stand(service, &moment, &view, fault)) return false;
  for (size_t i = 0; i < countof(names); i++) {
    uint64_t value;
    memcpy(&value, (const char *)&view.regs + names[i].offset, sizeof value);
    cell_text(out, names[i].name);
    cell_integer(out, (int64_t)value);
    cells_row(out);
  }
  if (ptrace(PTRACE_GETFPREGS, view.tracee->tid, 0, &vectors) != 0) return true;
  for (int i = 0; i < 16; i++) {
    char name[8];
    snprintf(name, sizeof name, "xmm%d", i);
    cell_text(out, name);
    cell_bytes(out, CELL_BLOB, (const char *)vectors.xmm_space + (size_t)i * 16, 16);
    cells_row(out);
  }
  return true;
}

/* ---- memory ---------------------------------------------------------------------------------- */

bool serve_memory(Service *service, CellWriter *out, Fault *fault) {
  Moment moment;
  PlayView view;
  if (!serve_stand(service, &moment, &view, fault)) return false;
  const uint64_t addr = wire_get_u64(&service->wire), size = wire_get_u64(&service->wire);
  if (!wire_end(&service->wire, fault)) return false;
  uint8_t *bytes = malloc(size + 1);
  if (!bytes) return fault_oom(fault);
  size_t done = played_read(&service->played, &view, addr, bytes, size);
  if (done) {
    uint64_t value = 0;
    memcpy(&value, bytes, done < sizeof value ? done : sizeof value);
    cell_integer(out, (int64_t)addr);
    cell_integer(out, (int64_t)done);
    cell_bytes(out, CELL_BLOB, bytes, done);
    if (done <= sizeof value) {
      cell_integer(out, (int64_t)value);
    } else {
      cell_null(out);
    }
    cells_row(out);
  }
  free(bytes);
  return true;
}

/* ---- stack ----------------------------------------------------------------------------------- */

enum { FRAMES = 10000 };

void serve_put_line(CellWriter *out, const CodeFile *code, uint64_t addr) {
  Fault ignored = {0};
  DwarfLine line;
  size_t i;
  if (code && code->dwarf && dwarf_line_at(code->dwarf, addr, &i, &ignored) &&
      dwarf_line_get(code->dwarf, i, &line, &ignored) && line.line) {
    cell_text(out, line.file);
    cell_integer(out, line.line);
    return;
  }
  cell_null(out);
  cell_null(out);
}

static bool put_frame(Service *service, CellWriter *out, const Frame *frame, size_t depth,
                      Fault *fault) {
  Played *played = &service->played;
  StackPlace place;
  stacks_place(played->stacks, frame->at, &place);
  CodeFile *code = code_of_module(&played->code, place.file);
  if (code && !code_dwarf(&played->code, code, fault)) return false;
  cell_integer(out, (int64_t)depth);
  cell_text(out, place.function ? place.function->name : NULL);
  if (place.function) {
    cell_integer(out, place.offset);
  } else {
    cell_null(out);
  }
  cell_text(out, code ? code->path : place.module);
  serve_put_line(out, code, place.addr);
  cell_integer(out, (int64_t)frame->pc);
  if (frame->cfa) {
    cell_integer(out, (int64_t)frame->cfa);
  } else {
    cell_null(out);
  }
  cell_text(out, frame->is_trampoline ? "signal" : NULL);
  return true;
}

bool serve_stack(Service *service, CellWriter *out, Fault *fault) {
  Moment moment;
  PlayView view;
  PlayedFrames frames = {0};
  bool ok = serve_stand(service, &moment, &view, fault) && wire_end(&service->wire, fault) &&
            played_frames(&service->played, &view, FRAMES, &frames, fault);
  for (size_t i = 0; ok && i < frames.count; i++) {
    const Frame *frame = &frames.list[i];
    ok = put_frame(service, out, frame, i, fault);
    const bool broken = frame->end != UNWIND_NOT && frame->end != UNWIND_OUTERMOST;
    cell_text(out, broken && i + 1 == frames.count ? unwind_end_text(frame->end) : NULL);
    cells_row(out);
  }
  free(frames.list);
  return ok;
}
