/*
** libFuzzer: whatever the helper's bytes, the host reads rows and messages of them or refuses them,
** and what it has been given lies within what was sent.
*/
#define _GNU_SOURCE /* memfd_create */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "extensions/omni/cells.h"
#include "extensions/omni/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t touched;

static void touch(const void *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) touched += ((const uint8_t *)bytes)[i];
}

/* The first two bytes say how many cells a row has, and how many rows there are to be. */
static void read_cells(const uint8_t *data, size_t size) {
  if (size < 2) return;
  CellReader reader = {0};
  Fault fault = {0};
  bool more = true;
  const int width = 1 + data[0] % CELLS_MOST, fd = memfd_create("fuzz", MFD_CLOEXEC);
  if (fd < 0 || write(fd, data + 2, size - 2) != (ssize_t)(size - 2)) abort();
  cells_open(&reader, fd, width, data[1]);
  while (cells_next(&reader, &more, &fault) && more) {
    for (int i = 0; i < width; i++) {
      const Cell *cell = &reader.cells[i];
      if (cell->kind != CELL_TEXT && cell->kind != CELL_BLOB) continue;
      assert(cell->size <= size);
      touch(cell->bytes, cell->size);
      if (cell->kind == CELL_TEXT) assert(cell->bytes[cell->size] == '\0');
    }
  }
  assert(!more || fault.code);
  cells_close(&reader);
}

/* A message in which the first byte chooses what is asked for, and in which order. */
static void read_message(const uint8_t *data, size_t size) {
  static Wire wire;
  Fault fault = {0};
  if (size < 1 || size - 1 > sizeof wire.bytes) return;
  wire = (Wire){.kind = WIRE_ROWS, .size = size - 1};
  memcpy(wire.bytes, data + 1, size - 1);
  for (unsigned turn = 0, order = data[0]; turn < 64 && !wire.failed;
       turn++, order = order * 5 + 1) {
    size_t length;
    switch (order >> 2 & 3) {
    case 0:
      touched += wire_get_u32(&wire);
      break;
    case 1:
      touched += wire_get_u64(&wire);
      break;
    case 2: {
      const char *text = wire_get_text(&wire);
      touch(text, strlen(text) + 1);
      break;
    }
    default: {
      const void *bytes = wire_get_bytes(&wire, &length);
      assert(length <= size);
      touch(bytes, length);
    }
    }
    assert(wire.at <= wire.size);
  }
  assert(wire_end(&wire, &fault) || fault.code);
}

/* The same over a socket, with a head that the fuzzer makes as well. */
static void receive(const uint8_t *data, size_t size) {
  static Wire wire;
  int ends[2];
  Fault fault = {0};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) abort();
  if (size && send(ends[0], data, size, 0) == (ssize_t)size) {
    if (wire_receive(ends[1], 0, &wire, &fault)) {
      assert(wire.size <= sizeof wire.bytes);
      touch(wire.bytes, wire.size);
    } else {
      assert(fault.code);
    }
    if (wire.fd > 0) close(wire.fd - 1);
  }
  close(ends[0]);
  close(ends[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  read_cells(data, size);
  read_message(data, size);
  receive(data, size);
  return 0;
}
