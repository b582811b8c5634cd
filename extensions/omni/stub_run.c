/*
** Going on for gdb, forwards and backwards: breakpoints, watches, and how it says why it stopped.
*/
#include <signal.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/stub.h"

/* ---- signals --------------------------------------------------------------------------------- */

/* gdb has numbers of its own: [Linux's] = gdb's. */
static const uint8_t signal_numbers[] = {
    [SIGHUP] = 1,   [SIGINT] = 2,    [SIGQUIT] = 3,  [SIGILL] = 4,   [SIGTRAP] = 5,
    [SIGABRT] = 6,  [SIGFPE] = 8,    [SIGKILL] = 9,  [SIGBUS] = 10,  [SIGSEGV] = 11,
    [SIGSYS] = 12,  [SIGPIPE] = 13,  [SIGALRM] = 14, [SIGTERM] = 15, [SIGURG] = 16,
    [SIGSTOP] = 17, [SIGTSTP] = 18,  [SIGCONT] = 19, [SIGCHLD] = 20, [SIGTTIN] = 21,
    [SIGTTOU] = 22, [SIGIO] = 23,    [SIGXCPU] = 24, [SIGXFSZ] = 25, [SIGVTALRM] = 26,
    [SIGPROF] = 27, [SIGWINCH] = 28, [SIGUSR1] = 30, [SIGUSR2] = 31, [SIGPWR] = 32,
};
enum { NUMBER_OF_34 = 46, NUMBER_OTHER = 143 /* "unknown" */ };

static unsigned number_for_gdb(int number) {
  if (number >= 34 && number < 64) return (unsigned)(NUMBER_OF_34 + number - 34);
  if (number <= 0 || number >= (int)countof(signal_numbers)) return NUMBER_OTHER;
  return signal_numbers[number] ? signal_numbers[number] : NUMBER_OTHER;
}

void stub_pass_signals(Stub *stub, const char *rest) {
  uint64_t mask = 0;
  if (*rest == ':') rest++;
  while (*rest) {
    const uint64_t wanted = stub_hex(&rest);
    for (int i = 1; i < 64; i++) {
      if (number_for_gdb(i) == wanted) mask |= (uint64_t)1 << i;
    }
    if (*rest) rest++;
  }
  walk_pass(stub->walk, mask);
  text_add(&stub->answer, "OK");
}

/* ---- breakpoints ----------------------------------------------------------------------------- */

/* "TYPE,ADDR,KIND": 0 and 1 are breakpoints, 2 is a write to KIND bytes. */
void stub_insert(Stub *stub, const char *rest) {
  const uint64_t type = stub_hex(&rest);
  if (*rest == ',') rest++;
  const uint64_t addr = stub_hex(&rest);
  if (*rest == ',') rest++;
  const uint64_t size = stub_hex(&rest);
  if (type > 2) return; /* not supported: an empty answer */
  if (type == 2) {
    if (!size || size > STUB_WATCH || addr > UINT64_MAX - size || stub->nwatches == STUB_POINTS) {
      return stub_refuse(stub);
    }
    stub->watches[stub->nwatches++] = (WalkWatch){addr, size};
  } else {
    if (stub->nbreaks == STUB_POINTS) return stub_refuse(stub);
    stub->breaks[stub->nbreaks++] = addr;
  }
  text_add(&stub->answer, "OK");
}

void stub_remove(Stub *stub, const char *rest) {
  const uint64_t type = stub_hex(&rest);
  if (*rest == ',') rest++;
  const uint64_t addr = stub_hex(&rest);
  if (*rest == ',') rest++;
  const uint64_t size = stub_hex(&rest);
  if (type > 2) return;
  for (size_t i = 0; type == 2 && i < stub->nwatches; i++) {
    if (stub->watches[i].addr != addr || stub->watches[i].size != size) continue;
    stub->watches[i] = stub->watches[--stub->nwatches];
    break;
  }
  for (size_t i = 0; type < 2 && i < stub->nbreaks; i++) {
    if (stub->breaks[i] != addr) continue;
    stub->breaks[i] = stub->breaks[--stub->nbreaks];
    break;
  }
  text_add(&stub->answer, "OK");
}

/* ---- stops ----------------------------------------------------------------------------------- */

void stub_say_stopped(Stub *stub, const WalkStop *stop) {
  Text *out = &stub->answer;
  if (stop->tid) stub->tid = stub->step_tid = stop->tid;
  text_addf(out, "T%02x", stop->kind == WALK_SIGNAL ? number_for_gdb(stop->signal) : 5u);
  switch (stop->kind) {
  case WALK_BREAK:
    text_add(out, "swbreak:;");
    break;
  case WALK_WRITE:
    text_addf(out, "watch:%llx;", (unsigned long long)stop->addr);
    break;
  case WALK_BEGIN:
    text_add(out, "replaylog:begin;");
    break;
  case WALK_END:
    text_add(out, "replaylog:end;");
    break;
  default:
    break;
  }
  text_add(out, "thread:");
  stub_add_thread(stub, out, stub->tid);
  text_addc(out, ';');
}

/* What went wrong is for the user's eyes; gdb gets a stop where it was last certain, or an
** error. */
static void say_failed(Stub *stub, Fault *fault) {
  Fault why = {0};
  const WalkStop stop = {.kind = WALK_STEPPED};
  const bool asked = fault->code == FAULT_INTERRUPT || fault->code == FAULT_TIMEOUT;
  stub->link.stop_asked = false;
  stub->stop = (Stop){.asked = stub->stop.asked, .ctx = stub->stop.ctx};
  if (!asked) stub_say(stub, fault->text);
  text_clear(&stub->answer);
  if (!walk_settle(stub->walk, &why)) {
    stub_say(stub, why.text);
    stub->ended = true;
    return stub_refuse(stub);
  }
  stub_say_stopped(stub, &stop);
  if (asked && stub->answer.length > 2) stub->answer.data[2] = '2'; /* as by Ctrl-C */
}

typedef enum Way { STEP, STEP_BACK, ON, BACK } Way;

static void go(Stub *stub, Way way, int32_t tid, uint64_t low, uint64_t high) {
  Fault fault = {0};
  WalkStop stop = {0};
  PlayView seen;
  Fault ignored = {0};
  stub->stop = (Stop){.asked = stub->stop.asked, .ctx = stub->stop.ctx};
  bool again, ok = walk_points(stub->walk, stub->breaks, stub->nbreaks, stub->watches,
                               stub->nwatches, &fault);
  do {
    switch (way) {
    case STEP:
      ok = ok && walk_step(stub->walk, tid, &stop, &fault);
      break;
    case STEP_BACK:
      ok = ok && walk_step_back(stub->walk, tid, &stop, &fault);
      break;
    case ON:
      ok = ok && walk_on(stub->walk, &stop, &fault);
      break;
    case BACK:
      ok = ok && walk_back(stub->walk, &stop, &fault);
      break;
    }
    /* A range is gone through as long as it is the thread's own doing. */
    again = ok && high && stop.kind == WALK_STEPPED && stop.tid == tid &&
            player_view(stub->played.player, tid, &seen, &ignored) && seen.regs.rip >= low &&
            seen.regs.rip < high;
    if (again && stop_now(&stub->stop)) {
      ok = fault_set(&fault, FAULT_INTERRUPT, "interrupted");
    }
  } while (ok && again);
  if (!ok) return say_failed(stub, &fault);
  stub_say_stopped(stub, &stop);
}

/* ---- requests -------------------------------------------------------------------------------- */

void stub_continue(Stub *stub, const char *rest) {
  (void)rest;
  go(stub, ON, 0, 0, 0);
}

void stub_step(Stub *stub, const char *rest) {
  (void)rest;
  go(stub, STEP, stub->step_tid, 0, 0);
}

void stub_backwards(Stub *stub, const char *rest) {
  if (*rest == 's') go(stub, STEP_BACK, stub->step_tid, 0, 0);
  if (*rest == 'c') go(stub, BACK, 0, 0, 0);
}

/* "?", or ";ACTION[:THREAD]" and more: the first that says to step is for its thread alone, and
** others go on. A signal to be delivered is none: the program has got those that it got. */
void stub_resume(Stub *stub, const char *rest) {
  if (*rest == '?') {
    text_add(&stub->answer, "vCont;c;C;s;S;r");
    return;
  }
  for (const char *at = rest; *at == ';';) {
    const char letter = *++at;
    const char *range = at + 1;
    const size_t length = strcspn(at, ";");
    const char *colon = memchr(at, ':', length);
    uint64_t low = 0, high = 0;
    int32_t tid = stub->step_tid;
    if (letter == 'r') {
      low = stub_hex(&range);
      if (*range == ',') range++;
      high = stub_hex(&range);
    }
    if (colon++) {
      const int32_t said = stub_read_thread(&colon);
      if (said) tid = said;
    }
    at += length;
    if (letter != 's' && letter != 'S' && letter != 'r') continue;
    if (!stub_is_thread(stub, tid)) return stub_refuse(stub);
    return go(stub, STEP, tid, low, high);
  }
  if (*rest != ';' || !strchr("cC", rest[1]) || !rest[1]) return stub_refuse(stub);
  go(stub, ON, 0, 0, 0);
}
