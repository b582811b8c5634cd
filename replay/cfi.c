/*
** Finding the entries of .eh_frame: see cfi.h.
*/
#include "replay/cfi.h"

#include <inttypes.h>
#include <stdlib.h>

#include <elf.h>

#include "base/array.h"
#include "replay/cfi_read.h"

enum { ENCODING_SKIP = 0xff };

static bool corrupt(const Cfi *cfi, Fault *fault, const char *what, size_t at) {
  return fault_set(fault, FAULT_CORRUPT, "\"%s\": %s at byte %zu of .eh_frame", cfi->elf->path,
                   what, at);
}

/* ---- pointers */

/* Bytes of a pointer without its base; 0: not of fixed size. */
static unsigned pointer_size(uint8_t encoding) {
  switch (encoding & 0x0f) {
  case 0x00:
    return 8; /* absptr */
  case 0x02:
    return 2;
  case 0x03:
    return 4;
  case 0x04:
    return 8;
  case 0x0a:
    return 2;
  case 0x0b:
    return 4;
  case 0x0c:
    return 8;
  default:
    return 0;
  }
}

/* The number as it stands there, without its base. */
static bool read_number(Bytes *bytes, uint8_t encoding, uint64_t *out) {
  const unsigned size = pointer_size(encoding);
  const bool is_signed = encoding & 0x08;
  if (size) {
    *out = is_signed ? (uint64_t)bytes_signed(bytes_number(bytes, size), 8 * size)
                     : bytes_number(bytes, size);
  } else if ((encoding & 0x07) == 0x01) {
    *out = is_signed ? (uint64_t)bytes_sleb(bytes) : bytes_uleb(bytes);
  } else {
    return false;
  }
  return !bytes->bad;
}

/* A pointer relative to itself, or absolute. Nothing else occurs on this machine. */
static bool read_pointer(const Cfi *cfi, Bytes *bytes, uint8_t encoding, uint64_t *out) {
  const uint64_t place = cfi->addr + (uint64_t)(bytes->at - cfi->bytes);
  if (encoding == ENCODING_SKIP || (encoding & 0x80) || !read_number(bytes, encoding, out)) {
    return false;
  }
  if ((encoding & 0x70) == 0x10) *out += place;
  return (encoding & 0x70) == 0x10 || (encoding & 0x70) == 0;
}

/* ---- entries: a length, the distance to the CIE or 0 for a CIE itself, what it says */

typedef struct Entry {
  size_t at;        /* in the section */
  size_t id_at, id; /* where the distance stands, and what it is */
  Bytes bytes;      /* what follows */
} Entry;

/* Reads the entry at *at and moves *at behind it. *out_end: this was the last one. */
static bool next_entry(const Cfi *cfi, size_t *at, Entry *out, bool *out_end, Fault *fault) {
  Bytes bytes = {cfi->bytes + *at, cfi->bytes + cfi->size, false};
  *out_end = bytes_left(&bytes) < 4;
  if (*out_end) return true;
  uint64_t length = bytes_number(&bytes, 4);
  *out_end = length == 0;
  if (*out_end) return true;
  if (length == UINT32_MAX) length = bytes_number(&bytes, 8);
  if (bytes.bad || length < 4 || length > bytes_left(&bytes)) {
    return corrupt(cfi, fault, "an entry that ends outside", *at);
  }
  bytes.end = bytes.at + length;
  out->at = *at;
  out->id_at = (size_t)(bytes.at - cfi->bytes);
  out->id = (size_t)bytes_number(&bytes, 4);
  out->bytes = bytes;
  *at = (size_t)(bytes.end - cfi->bytes);
  return true;
}

static bool entry_at(const Cfi *cfi, size_t at, Entry *out, Fault *fault) {
  bool end;
  const size_t place = at;
  if (at >= cfi->size) return corrupt(cfi, fault, "no entry", place);
  return next_entry(cfi, &at, out, &end, fault) && (!end || corrupt(cfi, fault, "no entry", place));
}

/* "zPLRS" and the like say what the data of the CIE are. False: something else. */
static bool read_augmentation(const char *text, Bytes *bytes, CfiCommon *out) {
  if (!*text) return true;
  if (*text++ != 'z') return false;
  const uint64_t size = bytes_uleb(bytes);
  const uint8_t *start = bytes_take(bytes, size);
  if (!start) return false;
  Bytes data = {start, start + size, false};
  out->has_data = true;
  for (; *text; text++) {
    uint64_t ignored;
    uint8_t encoding;
    switch (*text) {
    case 'L':
      bytes_number(&data, 1);
      break;
    case 'R':
      out->encoding = (uint8_t)bytes_number(&data, 1);
      break;
    case 'S':
      out->is_signal = true;
      break;
    case 'P':
      encoding = (uint8_t)bytes_number(&data, 1);
      if (encoding == 0x50 || !read_number(&data, encoding, &ignored)) return false; /* aligned */
      break;
    default:
      return false;
    }
  }
  return !data.bad;
}

/* False without a fault: a kind of CIE that is not known. */
static bool parse_common(const Entry *entry, CfiCommon *out) {
  enum { LONGEST = 16 }; /* letters of an augmentation */
  Bytes bytes = entry->bytes;
  const uint64_t version = bytes_number(&bytes, 1);
  const char *text = (const char *)bytes.at;
  const size_t room = bytes_left(&bytes);
  const char *nul = memchr(text, 0, room < LONGEST ? room : LONGEST);
  if (entry->id != 0 || (version != 1 && version != 3) || !nul) return false;
  bytes_take(&bytes, (uint64_t)(nul - text) + 1);
  *out = (CfiCommon){0};
  out->code_align = bytes_uleb(&bytes);
  out->data_align = bytes_sleb(&bytes);
  out->return_register = version == 1 ? bytes_number(&bytes, 1) : bytes_uleb(&bytes);
  if (!read_augmentation(text, &bytes, out) || bytes.bad) return false;
  out->instructions = bytes;
  return out->return_register == CFI_RIP;
}

/* What an FDE is about. False: in an unknown way, or about nothing. */
static bool parse_range(const Cfi *cfi, const Entry *entry, const CfiCommon *common, Bytes *bytes,
                        uint64_t *lo, uint64_t *size) {
  *bytes = entry->bytes;
  if (!read_pointer(cfi, bytes, common->encoding, lo) ||
      !read_number(bytes, common->encoding & 0x0f, size)) {
    return false;
  }
  if (common->has_data) bytes_take(bytes, bytes_uleb(bytes));
  return !bytes->bad && *size && *lo + *size > *lo;
}

bool cfi_parse(const Cfi *cfi, const CfiRange *range, CfiCommon *out_common, Bytes *out,
               Fault *fault) {
  Entry entry, common;
  uint64_t lo, size;
  if (!entry_at(cfi, range->common, &common, fault) ||
      !entry_at(cfi, range->entry, &entry, fault)) {
    return false;
  }
  if (!parse_common(&common, out_common) ||
      !parse_range(cfi, &entry, out_common, out, &lo, &size)) {
    return fault_set(fault, FAULT_INTERNAL, "\"%s\": an entry of .eh_frame that changed",
                     cfi->elf->path);
  }
  if (bytes_left(out) > CFI_LONGEST || bytes_left(&out_common->instructions) > CFI_LONGEST) {
    return corrupt(cfi, fault, "an endless entry", range->entry);
  }
  return true;
}

/* ---- the list */

/* The section, or what the loader knows of it. */
static void find_section(Cfi *cfi) {
  const ElfFile *elf = cfi->elf;
  const ElfSection *section = elf_section(elf, ".eh_frame");
  if (section && section->bytes) {
    cfi->bytes = section->bytes;
    cfi->size = section->size;
    cfi->addr = section->addr;
    return;
  }
  for (size_t i = 0; i < elf->nsegments; i++) {
    if (elf->segments[i].type != PT_GNU_EH_FRAME) continue;
    const uint64_t at = elf->segments[i].addr;
    const uint8_t *head = elf_at(elf, at, 8);
    int32_t distance;
    if (!head || head[0] != 1 || head[1] != 0x1b) return; /* relative to itself, 4 bytes */
    memcpy(&distance, head + 4, sizeof distance);
    cfi->addr = at + 4 + (uint64_t)(int64_t)distance;
    cfi->bytes = elf_from(elf, cfi->addr, &cfi->size);
    if (!cfi->bytes) cfi->size = 0;
    return;
  }
}

static int by_lo(const void *a, const void *b) {
  const CfiRange *x = a, *y = b;
  if (x->lo != y->lo) return x->lo < y->lo ? -1 : 1;
  return (x->entry > y->entry) - (x->entry < y->entry);
}

/* Neighbours mostly share a CIE. */
typedef struct LastCommon {
  size_t at;
  bool is_read, is_known;
  CfiCommon common;
} LastCommon;

static bool list_entry(Cfi *cfi, const Entry *entry, LastCommon *last, Fault *fault) {
  const size_t at = entry->id_at - entry->id;
  if (entry->id > entry->id_at) return corrupt(cfi, fault, "an entry without its CIE", entry->at);
  if (!last->is_read || last->at != at) {
    Entry common;
    if (!entry_at(cfi, at, &common, fault)) return false;
    *last = (LastCommon){.at = at, .is_read = true};
    last->is_known = parse_common(&common, &last->common);
  }
  Bytes rest;
  uint64_t lo, size;
  if (!last->is_known || !parse_range(cfi, entry, &last->common, &rest, &lo, &size) ||
      !elf_is_code(cfi->elf, lo)) {
    return true;
  }
  if (!array_grow(cfi->ranges, cfi->capacity, cfi->count + 1)) return fault_oom(fault);
  cfi->ranges[cfi->count++] = (CfiRange){.lo = lo,
                                         .hi = lo + size,
                                         .entry = (uint32_t)entry->at,
                                         .common = (uint32_t)at,
                                         .is_signal = last->common.is_signal};
  return true;
}

static bool list_all(Cfi *cfi, Fault *fault) {
  LastCommon last = {0};
  Entry entry;
  bool end;
  if (!cfi->bytes) return true;
  if (cfi->size > UINT32_MAX) {
    return fault_set(fault, FAULT_LIMIT, "\"%s\": an .eh_frame of %" PRIu64 " bytes",
                     cfi->elf->path, cfi->size);
  }
  for (size_t at = 0;;) {
    if (!next_entry(cfi, &at, &entry, &end, fault)) return false;
    if (end) break;
    if (entry.id && !list_entry(cfi, &entry, &last, fault)) return false;
  }
  if (cfi->count) qsort(cfi->ranges, cfi->count, sizeof *cfi->ranges, by_lo);
  return true;
}

bool cfi_create(const ElfFile *elf, Cfi **out, Fault *fault) {
  Cfi *cfi = calloc(1, sizeof *cfi);
  if (!cfi) return fault_oom(fault);
  cfi->elf = elf;
  find_section(cfi);
  if (!list_all(cfi, fault)) {
    cfi_free(cfi);
    return false;
  }
  *out = cfi;
  return true;
}

void cfi_free(Cfi *cfi) {
  if (!cfi) return;
  free(cfi->ranges);
  free(cfi);
}

const CfiRange *cfi_ranges(const Cfi *cfi, size_t *out_count) {
  *out_count = cfi->count;
  return cfi->ranges;
}

const CfiRange *cfi_find(const Cfi *cfi, uint64_t addr) {
  size_t low = 0, high = cfi->count; /* the last one that begins at or before addr */
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (cfi->ranges[middle].lo <= addr) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const CfiRange *range = low ? &cfi->ranges[low - 1] : NULL;
  return range && addr < range->hi ? range : NULL;
}
