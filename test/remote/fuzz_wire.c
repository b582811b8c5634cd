/*
** What a server is sent, what a client is answered, what a dead client leaves behind, watches and
** notices: any bytes. The first byte says which.
*/
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "remote/client.h"
#include "remote/execute.h"
#include "remote/log.h"
#include "remote/looks.h"
#include "remote/wire.h"

enum { SIZE = 6 << 20, REGION = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static FarMapped memory;
static FarHeader header;

static void prepare(void) {
  if (!memory.base) memory.base = aligned_alloc(FAR_PAGE, SIZE);
  assert(memory.base);
  memset(memory.base, 0, SIZE);
  memory.size = SIZE;
  memory.board = (FarBoard *)(void *)(memory.base + FAR_BOARD_AT);
  memory.region = header.region = REGION;
  header.incarnation = 1;
  assert(far_plan(&header, SIZE));
  far_format(&memory, &header);
}

static void differ(void *ctx, FarLook *look) {
  unsigned char copy[FAR_WATCH_DATA];
  (void)ctx;
  look->known = far_look(&memory, &look->what, look->what.length <= sizeof copy ? copy : NULL);
}

/* What a peer may watch is looked at; what a server may say of it is taken. */
static void watch(const uint8_t *data, size_t size) {
  static FarLooks looks;
  FarClient *client = (FarClient *)(void *)(memory.base + header.clients);
  const unsigned char *at = data, *end = data + size;
  FarWireNotice notice;
  FarLook look;
  for (size_t i = 0; i + 48 <= size && i < 480; i += 48) {
    if (!far_wire_take_watch(data + i, 48, &look)) continue;
    if (i % 96) look.what.at = far_pointer(REGION, 0, look.what.at % SIZE);
    if (far_watch_fault(&look.what, REGION, SIZE)) continue;
    assert(far_looks_add(&looks, &look));
    far_looks_pin(&looks, &memory, client, &look);
  }
  far_looks_check(&looks, &memory, true, differ, NULL);
  far_board_leave_all(&memory, client);
  far_looks_finish(&looks);
  while (at < end && far_wire_take_notice(&at, end, &notice)) {
    unsigned char copy[FAR_WATCH_DATA];
    memcpy(copy, notice.data, notice.length);
  }
}

/* Bytes that are executed where they fit: offsets are made small so that many of them do. */
static void serve(const uint8_t *data, size_t size) {
  static FarWireRound round;
  FarWireBuffer answer = {0};
  FarTray tray;
  Fault fault = {0};
  bool skip = false;
  if (far_wire_take_round(&round, data, size)) return;
  for (size_t i = 0; i < round.n; i++) {
    if (i % 2) round.ops[i].at = far_pointer(REGION, 0, round.ops[i].at % SIZE / 8 * 8);
  }
  if (!far_wire_make_answer(&round, &answer, &tray)) abort();
  if (far_execute_onto(&memory, round.ops, round.n, &tray, &skip, &fault)) {
    far_wire_finish_answer(&round, &answer);
    assert(answer.bytes + answer.length >= tray.at && answer.length <= round.answer);
  }
  far_wire_free(&answer);
}

static void answer(const uint8_t *data, size_t size) {
  static unsigned char local[4096];
  const FarSearch search = {.shape = {FAR_KEY_TEXT, 24, 64, 16}, .wanted = 48};
  const unsigned char *at = data, *end = data + size;
  for (int i = 0; i < FAR_NCODES; i++) {
    FarOp op = {.code = (FarCode)i, .search = &search, .local = local, .length = 200};
    if (!far_wire_take_result(&at, end, &op)) break;
  }
  Fault fault = {0};
  far_wire_take_fault(data, size, &fault);
}

static void bury(const uint8_t *data, size_t size) {
  FarClient *client = (FarClient *)(void *)(memory.base + header.clients);
  const size_t room = size < sizeof *client ? size : sizeof *client;
  Fault fault = {0};
  memcpy(client, data, room);
  memcpy(memory.base + header.data, data, size < FAR_EXTENT ? size : FAR_EXTENT);
  client->state = FAR_CLIENT_OPEN;
  if (size > 2 && data[1] & 1) client->log = far_pointer(REGION, 0, header.data);
  if (size > 2 && data[1] & 2) client->split[0] = far_pointer(REGION, 0, header.data + 64);
  if (size > 2 && data[1] & 4) client->split[1] = far_pointer(REGION, 0, header.data + 4096);
  far_bury(&memory, 0, &fault);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (!size) return 0;
  if (!memory.base || data[0] % 4 == 2) prepare();
  /* A copy of its own: what is read behind its end is found. */
  const size_t length = (size - 1) / 8 * 8;
  uint8_t *copy = malloc(length + 1);
  assert(copy);
  memcpy(copy, data + 1, length);
  if (data[0] % 4 == 0) serve(copy, length);
  if (data[0] % 4 == 1) answer(copy, length);
  if (data[0] % 4 == 2) bury(copy, length);
  if (data[0] % 4 == 3) watch(copy, length);
  free(copy);
  return 0;
}
