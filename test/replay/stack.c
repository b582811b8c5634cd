/*
** Stacks in what is played: subjects/stack.c, recorded while it writes from known functions, stands
** in them again when its events are played. It is compiled here, so that no sanitizer stands
** between.
*/
#define _GNU_SOURCE
#include <assert.h>
#include <stdlib.h>

#include "replay/play.h"
#include "replay/record.h"
#include "replay/stack.h"

#include "test/base/check.h"
#include "test/replay/scratch.h"

enum { WRITES = 7 };

static void must(bool ok, const Fault *fault) {
  if (ok) return;
  printf("# %s\n", fault->text);
  abort();
}

/* "main;...stack_middle (n + 1 times);stack_inner;write" at the end of a folded stack. */
static bool ends_as_written(const char *folded, int n) {
  char expected[1024] = "main";
  for (int i = 0; i <= n; i++) strcat(expected, ";stack_middle");
  strcat(expected, ";stack_inner;write");
  const size_t length = strlen(folded), wanted = strlen(expected);
  return length > wanted && strcmp(folded + length - wanted, expected) == 0 &&
         strncmp(folded, "_start;", 7) == 0;
}

typedef struct Seen {
  int writes, wrong, events, complete, loading, inside;
} Seen;

static void look(Player *player, Recording *recording, Stacks *stacks, StackMemory *memory,
                 Seen *seen) {
  Fault fault = {0};
  PlayView view;
  uint64_t registers[CFI_REGISTERS], at[256];
  UnwindEnd end;
  Text folded = {0};
  if (!player_view(player, 0, &view, &fault)) return; /* the event ended it */
  must(stacks_maps(stacks, view.maps, stack_recorded_file,
                   (void *)(uintptr_t)recording_dir(recording), &fault) &&
           stack_copy(memory, view.tracee->space, view.regs.rsp, &fault),
       &fault);
  unwind_registers(&view.regs, registers);
  const size_t count =
      unwind_pcs(stacks_unwinder(stacks), &memory->memory, registers, UINT32_MAX, at, 256, &end);
  stacks_fold(stacks, at, count, &folded);
  const char *text = text_get(&folded);
  seen->events++;
  /* Nothing is said about the loader's own beginning. */
  const bool in_loader = end == UNWIND_NO_RULES && strncmp(text, "[ld-linux", 9) == 0;
  seen->loading += in_loader;
  seen->complete += end == UNWIND_OUTERMOST;
  if (end != UNWIND_OUTERMOST && !in_loader) printf("# %s: %s\n", unwind_end_text(end), text);
  if (strstr(text, ";stack_inner;write")) { /* not in the loader on its way there */
    seen->inside++;
    if (ends_as_written(text, seen->writes)) {
      seen->writes++;
    } else {
      printf("# %s\n", text);
      seen->wrong++;
    }
  }
  text_finish(&folded);
}

int main(void) {
  char place[256], dir[300], program[300], compile[512];
  scratch_make(place, sizeof place);
  snprintf(dir, sizeof dir, "%s/r", place);
  snprintf(program, sizeof program, "%s/stack", place);
  snprintf(compile, sizeof compile, "cc -O2 -o %s test/replay/subjects/stack.c", program);
  const int compiled = system(compile);
  assert(compiled == 0);

  char *command[] = {program, NULL};
  const RecordOptions options = {.dir = dir, .argv = command, .hash_every = 1};
  RecordSummary summary;
  Fault fault = {0};
  must(record_run(&options, NULL, &summary, &fault), &fault);
  check(summary.status == 0, "recorded");

  Recording *recording;
  Player *player;
  Modules *modules;
  Stacks *stacks;
  StackMemory memory = {0};
  Seen seen = {0};
  uint64_t first, last;
  const PlayOptions play = {.hashes = true};
  must(recording_open(dir, &recording, &fault) && trace_range(recording, &first, &last, &fault) &&
           player_open(recording, &play, &player, &fault) &&
           modules_create(NULL, &modules, &fault) && stacks_create(modules, &stacks, &fault),
       &fault);
  for (uint64_t ev = first; ev <= last; ev++) {
    PlayEnd end;
    must(player_run(player, ev, &end, &fault), &fault);
    if (end.kind == PLAY_END) break;
    if (end.ev == ev) look(player, recording, stacks, &memory, &seen);
  }
  printf("# %d events, %d complete, %d in stack_inner\n", seen.events, seen.complete, seen.inside);
  check(seen.writes == WRITES && !seen.wrong, "each write is made by the functions that made it");
  check(seen.complete + seen.loading == seen.events && seen.complete >= WRITES,
        "each stack is complete");
  stack_memory_finish(&memory);
  stacks_free(stacks);
  modules_free(modules);
  player_close(player);
  recording_close(recording);
  scratch_remove(place);
  return checks_end();
}
