/*
** Texts of the program: arrays of characters, and what pointers to characters point to.
*/
#include <string.h>

#include "replay/value_inner.h"

enum { MOST_HOPS = 32, CHUNK = 256 };

bool value_text_width(const DwarfType *type, TextWidth *out, Fault *fault) {
  *out = WIDTH_NONE;
  for (int hops = 0; hops < MOST_HOPS; hops++) {
    bool wide = type->kind == TYPE_TYPEDEF && type->name && !strcmp(type->name, "wchar_t");
    if (type->kind < TYPE_TYPEDEF || type->kind > TYPE_ATOMIC) break;
    if (wide) {
      *out = WIDTH_32;
      return true;
    }
    if (!(type = dwarf_type_target(type, fault))) return false;
  }
  if (dwarf_type_is_char(type)) *out = WIDTH_8;
  if (type->kind == TYPE_UTF && (type->size == 1 || type->size == 2 || type->size == 4))
    *out = (TextWidth)type->size;
  return true;
}

static void add_utf8(uint32_t c, Text *out) {
  char bytes[4];
  size_t count = 0;
  if (c < 0x80) {
    bytes[count++] = (char)c;
  } else {
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    bytes[count++] = (char)(0xffu << (7 - more) | c >> (6 * more));
    while (more--) bytes[count++] = (char)(0x80 | (c >> (6 * more) & 0x3f));
  }
  text_addn(out, bytes, count);
}

static bool is_high(uint32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
static bool is_low(uint32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

bool value_add_units(const uint8_t *bytes, size_t count, TextWidth width, Text *out) {
  if (width == WIDTH_8) {
    text_addn(out, (const char *)bytes, count);
    return true;
  }
  for (size_t i = 0; i < count; i++) {
    uint32_t unit = 0, next = 0;
    memcpy(&unit, bytes + i * width, width);
    if (width == WIDTH_16 && i + 1 < count) memcpy(&next, bytes + (i + 1) * width, width);
    if (is_high(unit) && is_low(next)) {
      unit = 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00);
      i++;
    }
    if (unit > 0x10ffff || is_high(unit) || is_low(unit)) return false;
    add_utf8(unit, out);
  }
  return true;
}

void value_add_quoted(const char *bytes, size_t size, Text *out) {
  text_addc(out, '"');
  for (size_t i = 0; i < size;) {
    uint8_t byte = (uint8_t)bytes[i];
    size_t length = text_utf8_length(bytes + i, size - i);
    if (!length)
      text_addf(out, "\\udc%02x", byte);
    else if (byte == '"' || byte == '\\')
      text_addf(out, "\\%c", byte);
    else if (byte < 0x20)
      text_addf(out, "\\u%04x", byte);
    else
      text_addn(out, bytes + i, length);
    i += length ? length : 1;
  }
  text_addc(out, '"');
}

/* Reads up to the end of the page at a time: the text may end just before memory that is not
** there. */
bool value_text_at(const ValueSource *source, uint64_t addr, TextWidth width, size_t limit,
                   Text *out, bool *out_whole, ValueState *out_state, Fault *fault) {
  uint8_t bytes[CHUNK];
  *out_whole = false;
  *out_state = VALUE_KNOWN;
  Text units = {0};
  while (units.length / width < limit && !*out_whole) {
    size_t size = CHUNK - addr % CHUNK, left = (limit - units.length / width) * width, kept = 0;
    if (size > left) size = left;
    if (size < width) size = width; /* a unit across the border */
    size -= size % width;
    if (!source->read(source->ctx, addr, bytes, size)) {
      *out_state = VALUE_UNREADABLE;
      break;
    }
    static const uint8_t nul[4] = {0};
    while (kept < size && memcmp(bytes + kept, nul, width)) kept += width;
    text_addn(&units, (const char *)bytes, kept);
    if (units.oom) break;
    *out_whole = kept < size;
    addr += size;
  }
  if (!value_add_units((const uint8_t *)text_get(&units), units.length / width, width, out))
    *out_state = VALUE_UNKNOWN;
  bool ok = !units.oom && !out->oom;
  text_finish(&units);
  return ok || fault_oom(fault);
}
