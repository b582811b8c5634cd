/*
** A moment of a recording for gdb: see stub.h.
*/
#include "extensions/omni/stub.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "extensions/omni/stub_registers.h"

enum { THREADS = 4096 };

/* ---- texts ----------------------------------------------------------------------------------- */

void stub_refuse(Stub *stub) {
  text_clear(&stub->answer);
  text_add(&stub->answer, "E01");
}

uint64_t stub_hex(const char **text) {
  uint64_t value = 0;
  for (;; ++*text) {
    const char c = **text;
    const unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                           : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                           : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                  : 16;
    if (digit == 16) return value;
    value = value << 4 | digit;
  }
}

void stub_add_hex(Text *out, const void *bytes, size_t size) {
  static const char digits[] = "0123456789abcdef";
  const unsigned char *at = bytes;
  for (size_t i = 0; i < size; i++) {
    text_addc(out, digits[at[i] >> 4]);
    text_addc(out, digits[at[i] & 15]);
  }
}

void stub_add_thread(const Stub *stub, Text *out, int32_t tid) {
  if (stub->multiprocess) text_addf(out, "p%x.", (unsigned)stub->pid);
  text_addf(out, "%x", (unsigned)tid);
}

int32_t stub_read_thread(const char **text) {
  if (**text == 'p') {
    ++*text;
    stub_hex(text);
    if (**text == '.') ++*text;
  }
  if (**text == '-') return 0;
  const uint64_t tid = stub_hex(text);
  return tid <= INT32_MAX ? (int32_t)tid : -1;
}

/* ---- what there is --------------------------------------------------------------------------- */

static bool view(Stub *stub, PlayView *out) {
  Fault ignored = {0};
  return player_view(stub->played.player, stub->tid, out, &ignored);
}

bool stub_is_thread(Stub *stub, int32_t tid) {
  Fault ignored = {0};
  PlayView seen;
  return tid > 0 && player_view(stub->played.player, tid, &seen, &ignored) && seen.pid == stub->pid;
}

void stub_say(Stub *stub, const char *line) {
  Text text = {0};
  text_addc(&text, 'O');
  stub_add_hex(&text, "omni: ", 6);
  stub_add_hex(&text, line, strlen(line));
  stub_add_hex(&text, "\n", 1);
  if (!text.oom) stub_link_send(&stub->link, text.data, text.length);
  text_finish(&text);
}

static void list_threads(Stub *stub) {
  int32_t list[THREADS];
  const size_t count = player_threads(stub->played.player, stub->pid, list, countof(list));
  text_add(&stub->answer, count ? "m" : "l");
  for (size_t i = 0; i < count; i++) {
    if (i) text_addc(&stub->answer, ',');
    stub_add_thread(stub, &stub->answer, list[i]);
  }
}

/* ---- registers and memory -------------------------------------------------------------------- */

static void all_registers(Stub *stub, const char *rest) {
  (void)rest;
  PlayView seen;
  StubRegisters registers;
  if (!view(stub, &seen)) return stub_refuse(stub);
  stub_registers_read(&seen, &registers);
  stub_registers_all(&registers, &stub->answer);
}

static void one_register(Stub *stub, const char *rest) {
  PlayView seen;
  StubRegisters registers;
  if (!view(stub, &seen)) return stub_refuse(stub);
  stub_registers_read(&seen, &registers);
  const uint64_t n = stub_hex(&rest);
  if (!stub_registers_one(&registers, n, &stub->answer)) stub_refuse(stub);
}

/* "ADDR,SIZE": as many bytes as there are. */
static void memory(Stub *stub, const char *rest) {
  PlayView seen;
  const uint64_t addr = stub_hex(&rest);
  if (*rest == ',') rest++;
  uint64_t size = stub_hex(&rest);
  if (size > (STUB_PACKET - 16) / 2) size = (STUB_PACKET - 16) / 2;
  if (size > UINT64_MAX - addr) size = UINT64_MAX - addr;
  uint8_t *bytes = malloc(size + 1);
  const size_t got =
      bytes && view(stub, &seen) ? played_read(&stub->played, &seen, addr, bytes, size) : 0;
  stub_add_hex(&stub->answer, bytes, got);
  if (!got && size) stub_refuse(stub);
  free(bytes);
}

/* ---- documents: qXfer:OBJECT:read:ANNEX:OFFSET,SIZE ------------------------------------------ */

static void describe_target(Stub *stub, Text *out) {
  PlayView seen;
  StubRegisters registers = {0};
  if (view(stub, &seen)) stub_registers_read(&seen, &registers);
  stub_registers_describe(&registers, out);
}

static void name_program(Stub *stub, Text *out) {
  if (stub->program.path) text_add(out, stub->program.path);
}

static void add_auxv(Stub *stub, Text *out) {
  text_addn(out, text_get(&stub->program.auxv), stub->program.auxv.length);
}

static const struct {
  const char *name;
  void (*make)(Stub *stub, Text *out);
} documents[] = {
    {"features:read:target.xml", describe_target},
    {"exec-file:read:", name_program},
    {"auxv:read:", add_auxv},
};

/* Made when its beginning is asked for. */
static void read_document(Stub *stub, const char *rest) {
  for (size_t i = 0; i < countof(documents); i++) {
    const size_t length = strlen(documents[i].name);
    if (strncmp(rest, documents[i].name, length) != 0) continue;
    const char *range = strrchr(rest, ':') + 1;
    const uint64_t at = stub_hex(&range);
    if (*range == ',') range++;
    uint64_t size = stub_hex(&range);
    if (at == 0 || strcmp(stub->document_name, documents[i].name) != 0) {
      text_clear(&stub->document);
      documents[i].make(stub, &stub->document);
      strncpy(stub->document_name, documents[i].name, sizeof stub->document_name - 1);
    }
    const uint64_t left = at < stub->document.length ? stub->document.length - at : 0;
    if (size > STUB_PACKET / 2) size = STUB_PACKET / 2;
    text_addc(&stub->answer, left > size ? 'm' : 'l');
    if (left) text_addn(&stub->answer, stub->document.data + at, left > size ? size : left);
    return;
  }
  text_add(&stub->answer, "E00");
}

/* ---- questions ------------------------------------------------------------------------------- */

static void ask_supported(Stub *stub, const char *rest) {
  stub->multiprocess = strstr(rest, "multiprocess+") != NULL;
  text_addf(&stub->answer,
            "PacketSize=%x;QStartNoAckMode+;multiprocess+;vContSupported+;swbreak+;hwbreak+;"
            "ReverseStep+;ReverseContinue+;QPassSignals+;"
            "qXfer:features:read+;qXfer:exec-file:read+;qXfer:auxv:read+",
            (unsigned)STUB_PACKET);
}

static void ask_thread(Stub *stub, const char *rest) {
  if (*rest) return; /* another question that begins so */
  text_add(&stub->answer, "QC");
  stub_add_thread(stub, &stub->answer, stub->tid);
}

static void ask_first(Stub *stub, const char *rest) {
  (void)rest;
  list_threads(stub);
}

static void ask_more(Stub *stub, const char *rest) {
  (void)rest;
  text_addc(&stub->answer, 'l');
}

/* It was there before gdb came, and stays when gdb leaves. */
static void ask_attached(Stub *stub, const char *rest) {
  (void)rest;
  text_addc(&stub->answer, '1');
}

static void start_no_acks(Stub *stub, const char *rest) {
  (void)rest;
  text_add(&stub->answer, "OK");
}

/* `monitor moment`: what it is called in SQL. */
static void monitor(Stub *stub, const char *rest) {
  static const char word[] = "6d6f6d656e74"; /* moment */
  char text[FAULT_TEXT + 80];
  Moment moment;
  Fault fault = {0};
  if (strcmp(rest, word) != 0) {
    snprintf(text, sizeof text, "there is: monitor moment (what it is called in SQL)\n");
  } else if (!walk_moment(stub->walk, &moment, &fault)) {
    snprintf(text, sizeof text, "%s\n", fault.text);
  } else if (moment.hit) {
    snprintf(text, sizeof text, "%" PRIu64 ":%d:0x%" PRIx64 ":%" PRIu64 "\n", moment.ev,
             (int)moment.tid, moment.addr, moment.hit);
  } else {
    snprintf(text, sizeof text, "%" PRIu64 ":%d\n", moment.ev, (int)moment.tid);
  }
  stub_add_hex(&stub->answer, text, strlen(text));
}

static const struct {
  const char *name;
  void (*serve)(Stub *stub, const char *rest);
} questions[] = {
    {"qSupported", ask_supported},
    {"qXfer:", read_document},
    {"qfThreadInfo", ask_first},
    {"qsThreadInfo", ask_more},
    {"qC", ask_thread},
    {"qAttached", ask_attached},
    {"QStartNoAckMode", start_no_acks},
    {"qRcmd,", monitor},
    {"QPassSignals", stub_pass_signals},
    {"vCont", stub_resume},
    {"vFile:", stub_file},
};

/* ---- requests -------------------------------------------------------------------------------- */

/* "Hg" and "Hc": all that follows is about this thread. */
static void choose_thread(Stub *stub, const char *rest) {
  const char *text = rest + 1;
  if (!*rest) return stub_refuse(stub);
  const int32_t tid = stub_read_thread(&text);
  if (tid && !stub_is_thread(stub, tid)) return stub_refuse(stub);
  if (tid && *rest == 'g') stub->tid = tid;
  if (tid && *rest == 'c') stub->step_tid = tid;
  text_add(&stub->answer, "OK");
}

static void ask_alive(Stub *stub, const char *rest) {
  if (!stub_is_thread(stub, stub_read_thread(&rest))) return stub_refuse(stub);
  text_add(&stub->answer, "OK");
}

static void ask_why(Stub *stub, const char *rest) {
  (void)rest;
  const WalkStop stop = {.kind = WALK_STEPPED};
  stub_say_stopped(stub, &stop);
}

/* What would change the program. */
static void refuse(Stub *stub, const char *rest) {
  (void)rest;
  stub_refuse(stub);
}

static const struct {
  char letter;
  void (*serve)(Stub *stub, const char *rest);
} requests[] = {
    {'?', ask_why},       {'g', all_registers}, {'p', one_register},   {'m', memory},
    {'H', choose_thread}, {'T', ask_alive},     {'G', refuse},         {'P', refuse},
    {'M', refuse},        {'X', refuse},        {'c', stub_continue},  {'s', stub_step},
    {'C', stub_continue}, {'S', stub_step},     {'b', stub_backwards}, {'Z', stub_insert},
    {'z', stub_remove},
};

/* False: gdb leaves. */
static bool serve(Stub *stub) {
  const char *packet = stub->link.packet;
  text_clear(&stub->answer);
  if (*packet == 'D') text_add(&stub->answer, "OK");
  const bool leaves = *packet == 'D' || *packet == 'k' || strncmp(packet, "vKill", 5) == 0;
  if (strncmp(packet, "vKill", 5) == 0) text_add(&stub->answer, "OK");
  for (size_t i = 0; i < countof(requests); i++) {
    if (requests[i].letter == *packet) requests[i].serve(stub, packet + 1);
  }
  for (size_t i = 0; i < countof(questions); i++) {
    const size_t length = strlen(questions[i].name);
    if (strncmp(packet, questions[i].name, length) != 0) continue;
    questions[i].serve(stub, packet + length);
    break;
  }
  if (stub->answer.oom) return false;
  if (*packet != 'k') {
    stub_link_send(&stub->link, text_get(&stub->answer), stub->answer.length);
  }
  if (strcmp(packet, "QStartNoAckMode") == 0) stub->link.no_acks = true;
  return !leaves && !stub->ended;
}

static bool is_stopped(void *ctx) { return stub_link_stops(ctx); }

static bool open_stub(Stub *stub, const char *dir, const Moment *moment, Fault *fault) {
  PlayView seen;
  stub->at = *moment;
  if (!played_open(&stub->played, dir, fault) || !played_code(&stub->played, fault) ||
      !played_goto(&stub->played, &stub->stop, &stub->at, &seen, fault)) {
    return false;
  }
  stub->pid = seen.pid;
  stub->tid = stub->step_tid = seen.tid;
  return walk_open(stub->played.recording, stub->played.player, &stub->at, &stub->walk, fault) &&
         stub_program_read(stub->played.recording, seen.pid, stub->at.ev, &stub->program, fault);
}

bool stub_run(const char *dir, const Moment *moment, int in, int out, Fault *fault) {
  Stub *stub = calloc(1, sizeof *stub);
  if (!stub) return fault_oom(fault);
  stub->link.in = in;
  stub->link.out = out;
  stub->stop = (Stop){.asked = is_stopped, .ctx = &stub->link};
  signal(SIGPIPE, SIG_IGN);
  signal(SIGINT, SIG_IGN); /* it is gdb's, which says what it means */
  const bool ok = open_stub(stub, dir, moment, fault);
  while (ok && stub_link_receive(&stub->link) && serve(stub)) continue;
  stub_files_close(stub);
  stub_program_finish(&stub->program);
  walk_close(stub->walk);
  played_close(&stub->played);
  stub_link_finish(&stub->link);
  text_finish(&stub->answer);
  text_finish(&stub->document);
  free(stub);
  return ok;
}
