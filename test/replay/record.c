/*
** Recordings of real programs, read back: what the events say against what the program did.
**
**   record [DIR COMMAND [ARGUMENT...]]   records the command into DIR and prints its calls
*/
#define _GNU_SOURCE
#include "replay/record.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "replay/syscalls.h"
#include "replay/trace.h"
#include "test/replay/scratch.h"

static void print_event(const Event *event) {
  static const char *const kinds[] = {"",       "META",   "FILE", "IMAGE", "CALL", "TRAP",
                                      "SIGNAL", "SWITCH", "EXIT", "END",   "NOTE", "ENTER"};
  const char *name = call_name(event->nr);
  bool call = event->kind == EVENT_SYSCALL || event->kind == EVENT_ENTER;
  printf("%6llu %d/%d %s %s %d = %lld%s", (unsigned long long)event->ev, event->pid, event->tid,
         kinds[event->kind], call && name ? name : "", event->nr, (long long)event->ret,
         event->has_hash ? " hash" : "");
  for (int i = 0; i < event->nchunks && i < 6; i++) {
    const Chunk *chunk = &event->chunks[i];
    printf(" [%d %#llx+%zu]", chunk->kind, (unsigned long long)chunk->addr, chunk->size);
    if (chunk->kind == CHUNK_PATH)
      printf(" \"%.*s\"", (int)chunk->size, (const char *)chunk->bytes);
  }
  printf("\n");
}

static int record_one(const char *dir, char **argv) {
  RecordOptions options = {.dir = dir, .argv = argv};
  RecordSummary summary;
  Fault fault = {0};
  bool ok = record_run(&options, NULL, &summary, &fault);
  printf("%s: status %#x, %llu events, %llu bytes, %llu stored, %d threads, %d processes, %.3f s\n",
         ok ? "recorded" : fault.text, (unsigned)summary.status, (unsigned long long)summary.events,
         (unsigned long long)summary.raw, (unsigned long long)summary.stored, summary.threads,
         summary.processes, (double)summary.ns / 1e9);
  Recording *recording;
  TraceCursor *cursor;
  const Event *event;
  fault = (Fault){0};
  if (!recording_open(dir, &recording, &fault)) return puts(fault.text), 1;
  if (!trace_open(recording, &cursor, &fault)) return puts(fault.text), 1;
  while (trace_next(cursor, &event, &fault) && event) print_event(event);
  trace_close(cursor);
  recording_close(recording);
  return !ok;
}

/* ---- tests */

static char place[256], dir[300];

static RecordSummary record(char **argv, FaultCode code) {
  static int number;
  RecordOptions options = {.dir = dir, .argv = argv};
  RecordSummary summary;
  Fault fault = {0};
  snprintf(dir, sizeof dir, "%s/%d", place, number++);
  bool ok = record_run(&options, NULL, &summary, &fault);
  if (fault.code != code) fprintf(stderr, "%s: %s\n", argv[0], fault.text);
  assert(fault.code == code && ok == (code == FAULT_NONE));
  return summary;
}

/* The first event of this kind (and call), copied without its chunks; kind 0 when there is none. */
static Event find(EventKind kind, const char *call) {
  Recording *recording;
  TraceCursor *cursor;
  const Event *event;
  Event found = {0};
  Fault fault = {0};
  assert(recording_open(dir, &recording, &fault) && trace_open(recording, &cursor, &fault));
  while (trace_next(cursor, &event, &fault) && event && !found.kind) {
    if (event->kind == kind && (!call || event->nr == call_number(call))) found = *event;
  }
  assert(!fault.code);
  trace_close(cursor);
  recording_close(recording);
  return found;
}

static void test_ends(void) {
  RecordSummary summary = record((char *[]){"true", NULL}, FAULT_NONE);
  assert(WIFEXITED(summary.status) && WEXITSTATUS(summary.status) == 0);
  assert(summary.threads == 1 && summary.processes == 1 && summary.events > 20 && summary.stored);
  summary = record((char *[]){"dash", "-c", "exit 3", NULL}, FAULT_NONE);
  assert(WEXITSTATUS(summary.status) == 3);
  assert(WEXITSTATUS((int)find(EVENT_END, NULL).ret) == 3);
  assert(find(EVENT_EXIT, NULL).nr == 3 && find(EVENT_SYSCALL, "exit_group").args[0] == 3);
  summary = record((char *[]){"dash", "-c", "kill -9 $$", NULL}, FAULT_NONE);
  assert(WIFSIGNALED(summary.status) && WTERMSIG(summary.status) == 9);
  summary = record((char *[]){"/nowhere/program", NULL}, FAULT_NOTFOUND);
}

static void test_image(void) {
  record((char *[]){"true", NULL}, FAULT_NONE);
  Event meta = find(EVENT_META, NULL), image = find(EVENT_IMAGE, NULL);
  assert(meta.ev == 1 && image.kind && image.has_regs && image.regs.rip > 0x1000);
  assert(!find(EVENT_SYSCALL, "execve").kind && find(EVENT_FILE, NULL).ev == 2);
}

/* Events in order: what is made has been told of before it does anything; what waits has entered.
 */
static void test_processes(void) {
  RecordSummary summary =
      record((char *[]){"dash", "-c",
                        "echo a b | cat | wc -w > /dev/null; sleep 0.01 & wait; exit 4", NULL},
             FAULT_NONE);
  assert(WEXITSTATUS(summary.status) == 4 && summary.processes == 5);
  Recording *recording;
  TraceCursor *cursor;
  const Event *event;
  Fault fault = {0};
  int known[16] = {0}, nknown = 0, images = 0, ends = 0;
  assert(recording_open(dir, &recording, &fault) && trace_open(recording, &cursor, &fault));
  while (trace_next(cursor, &event, &fault) && event) {
    bool found = !event->tid;
    if (event->ev == 1) known[nknown++] = event->tid;
    for (int i = 0; i < nknown; i++) found |= known[i] == event->tid;
    assert(found);
    if (event->kind == EVENT_IMAGE) images++;
    if (event->kind == EVENT_END) ends++;
    if (event->kind != EVENT_SYSCALL || event->ret <= 0 || nknown == 16) continue;
    if (event->nr == call_number("clone") || event->nr == call_number("fork") ||
        event->nr == call_number("vfork")) {
      known[nknown++] = (int)event->ret;
    }
  }
  assert(!fault.code && images == 4 && ends == 5 && !recording_is_cut(recording));
  trace_close(cursor);
  recording_close(recording);
  assert(find(EVENT_ENTER, "wait4").kind);
}

int main(int argc, char **argv) {
  if (argc > 2) return record_one(argv[1], argv + 2);
  scratch_make(place, sizeof place);
  test_ends();
  test_image();
  test_processes();
  scratch_remove(place);
  return 0;
}
