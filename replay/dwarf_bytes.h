/*
** Reading little-endian bytes that nobody vouches for: past the end every read gives 0 and sets
** `bad`, so that a decoder checks once, at the end of a piece.
*/
#ifndef TENFOLD_REPLAY_DWARF_BYTES_H
#define TENFOLD_REPLAY_DWARF_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Span {
  const uint8_t *bytes; /* borrowed */
  size_t size;
} Span;

typedef struct Bytes {
  const uint8_t *at, *end;
  bool bad;
} Bytes;

/* The part of the span from `offset` on; one that begins outside is bad. */
static inline Bytes bytes_from(Span span, uint64_t offset) {
  if (offset > span.size) return (Bytes){.bad = true};
  if (!span.bytes) return (Bytes){.bad = false};
  return (Bytes){span.bytes + offset, span.bytes + span.size, false};
}

static inline size_t bytes_left(const Bytes *in) { return (size_t)(in->end - in->at); }

static inline const uint8_t *bytes_take(Bytes *in, uint64_t count) {
  if (count > bytes_left(in)) {
    in->at = in->end;
    in->bad = true;
    return NULL;
  }
  const uint8_t *taken = in->at;
  in->at += count;
  return taken;
}

/* An unsigned number of 1 to 8 bytes. */
static inline uint64_t bytes_number(Bytes *in, unsigned size) {
  const uint8_t *taken = bytes_take(in, size);
  uint64_t number = 0;
  if (taken) memcpy(&number, taken, size < 8 ? size : 8);
  return number;
}

static inline uint8_t bytes_u8(Bytes *in) { return (uint8_t)bytes_number(in, 1); }
static inline uint16_t bytes_u16(Bytes *in) { return (uint16_t)bytes_number(in, 2); }
static inline uint32_t bytes_u32(Bytes *in) { return (uint32_t)bytes_number(in, 4); }
static inline uint64_t bytes_u64(Bytes *in) { return bytes_number(in, 8); }

/* The number's lowest `bits` bits as a signed number; bits is 1 to 64. */
static inline int64_t bytes_signed(uint64_t number, unsigned bits) {
  if (bits >= 64) return (int64_t)number;
  uint64_t sign = UINT64_C(1) << (bits - 1);
  return (int64_t)(((number & (sign * 2 - 1)) ^ sign) - sign);
}

/* LEB128; what does not fit in 64 bits is cut. */
static inline uint64_t bytes_uleb(Bytes *in) {
  uint64_t number = 0;
  for (unsigned shift = 0; in->at < in->end; shift += 7) {
    uint8_t byte = *in->at++;
    if (shift < 64) number |= (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return number;
  }
  in->bad = true;
  return 0;
}

static inline int64_t bytes_sleb(Bytes *in) {
  uint64_t number = 0;
  for (unsigned shift = 0; in->at < in->end; shift += 7) {
    uint8_t byte = *in->at++;
    if (shift < 64) number |= (uint64_t)(byte & 0x7f) << shift;
    if (byte & 0x80) continue;
    return shift < 57 ? bytes_signed(number, shift + 7) : (int64_t)number;
  }
  in->bad = true;
  return 0;
}

/* A text with its NUL. "" when there is none. */
static inline const char *bytes_text(Bytes *in) {
  const uint8_t *nul = in->at < in->end ? memchr(in->at, 0, bytes_left(in)) : NULL;
  if (!nul) {
    in->at = in->end;
    in->bad = true;
    return "";
  }
  const char *text = (const char *)in->at;
  in->at = nul + 1;
  return text;
}

/* DWARF's "initial length": sets *out_wide for the 64-bit format, narrows `in` to the content, and
** gives where the next one begins. */
static inline const uint8_t *bytes_enter(Bytes *in, bool *out_wide) {
  uint64_t length = bytes_u32(in);
  *out_wide = length == 0xffffffff;
  if (*out_wide) length = bytes_u64(in);
  if (in->bad || length > bytes_left(in)) {
    in->bad = true;
    return in->end;
  }
  return in->end = in->at + length;
}

#endif
