/*
** Changes that a fuzzer's input makes to a file that begins as a good one.
*/
#ifndef TENFOLD_TEST_REPLAY_CHANGE_H
#define TENFOLD_TEST_REPLAY_CHANGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A change: u16 where, u8 how many bytes, u8 spare, the bytes. */
static inline void change_bytes(uint8_t *bytes, size_t size, const uint8_t *data, size_t left) {
  while (left >= 4) {
    uint16_t at;
    memcpy(&at, data, sizeof at);
    size_t count = 1 + data[2] % 8;
    data += 4;
    left -= 4;
    if (count > left) count = left;
    if (at <= size && count <= size - at) memcpy(bytes + at, data, count);
    data += count;
    left -= count;
  }
}

#endif
