/*
** The bits of a value, out of the pieces that it is in.
*/
#include <string.h>

#include "replay/dwarf_location.h"

enum { REGISTER_BYTES = 16 };

/* `count` bits from bit `from` of the bytes to bit `to` of out, whose bits there are 0. */
static void copy_bits(uint8_t *out, uint64_t to, const uint8_t *bytes, uint64_t from,
                      uint64_t count) {
  if (!(to % 8) && !(from % 8)) {
    memcpy(out + to / 8, bytes + from / 8, count / 8);
    uint64_t whole = count / 8 * 8;
    to += whole;
    from += whole;
    count -= whole;
  }
  for (uint64_t i = 0; i < count; i++) {
    uint64_t a = from + i, b = to + i;
    if (bytes[a / 8] >> a % 8 & 1) out[b / 8] |= (uint8_t)(1u << b % 8);
  }
}

static ValueState read_memory(const ValueSource *source, const Piece *piece, uint64_t skip,
                              uint64_t bits, uint8_t *out, uint64_t to) {
  uint64_t from = piece->bit_offset + skip, addr = piece->addr + from / 8;
  if (!(from % 8) && !(to % 8) && !(bits % 8))
    return source->read(source->ctx, addr, out + to / 8, bits / 8) ? VALUE_KNOWN : VALUE_UNREADABLE;
  /* A bit field, or a part of a register's worth. */
  uint8_t bytes[64];
  uint64_t size = (from % 8 + bits + 7) / 8;
  if (size > sizeof bytes) return VALUE_UNKNOWN;
  if (!source->read(source->ctx, addr, bytes, size)) return VALUE_UNREADABLE;
  copy_bits(out, to, bytes, from % 8, bits);
  return VALUE_KNOWN;
}

static ValueState read_register(const ValueSource *source, const Piece *piece, uint64_t skip,
                                uint64_t bits, uint8_t *out, uint64_t to) {
  uint8_t bytes[REGISTER_BYTES];
  uint64_t from = piece->bit_offset + skip, size = (from + bits + 7) / 8;
  bool wide = piece->reg >= 17 && piece->reg != 49;
  if (size > (wide ? REGISTER_BYTES : 8u)) return VALUE_UNKNOWN;
  if (!source->reg || !source->reg(source->ctx, piece->reg, bytes, size)) return VALUE_NOT_SAVED;
  copy_bits(out, to, bytes, from, bits);
  return VALUE_KNOWN;
}

static ValueState read_piece(const ValueSource *source, const Piece *piece, uint64_t skip,
                             uint64_t bits, uint8_t *out, uint64_t to) {
  switch (piece->kind) {
  case PIECE_MEMORY:
    return read_memory(source, piece, skip, bits, out, to);
  case PIECE_REGISTER:
    return read_register(source, piece, skip, bits, out, to);
  case PIECE_BYTES: {
    uint64_t from = piece->bit_offset + skip;
    if (from + bits > piece->bytes.size * 8) return VALUE_UNKNOWN;
    copy_bits(out, to, piece->bytes.bytes, from, bits);
    return VALUE_KNOWN;
  }
  case PIECE_POINTER:
    return VALUE_SYNTHETIC;
  default:
    return VALUE_OPTIMIZED_OUT;
  }
}

bool dwarf_read_bits(const ValueSource *source, const Location *location, uint64_t bit_offset,
                     uint64_t bit_size, void *out, ValueState *out_state, Fault *fault) {
  uint64_t at = 0, done = 0;
  *out_state = VALUE_KNOWN;
  if (bit_offset > UINT64_MAX / 4 || bit_size > UINT64_MAX / 4)
    return fault_set(fault, FAULT_LIMIT, "a value larger than the memory");
  memset(out, 0, (bit_size + 7) / 8);
  for (size_t i = 0; i < location->count && done < bit_size; i++) {
    const Piece *piece = &location->pieces[i];
    uint64_t end = piece->bit_size > UINT64_MAX / 2 ? UINT64_MAX / 2 : at + piece->bit_size;
    uint64_t from = bit_offset + done;
    if (from < end) {
      uint64_t bits = end - from < bit_size - done ? end - from : bit_size - done;
      *out_state = read_piece(source, piece, from - at, bits, out, done);
      if (*out_state != VALUE_KNOWN) return true;
      done += bits;
    }
    at = end;
  }
  /* Of what no piece covers nothing is known. */
  if (done < bit_size) *out_state = VALUE_OPTIMIZED_OUT;
  return true;
}
