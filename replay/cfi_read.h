/*
** What cfi.c hands to cfi_row.c: the entries of .eh_frame, taken apart.
*/
#ifndef TENFOLD_REPLAY_CFI_READ_H
#define TENFOLD_REPLAY_CFI_READ_H

#include "replay/cfi.h"
#include "replay/dwarf_bytes.h"

struct Cfi {
  const ElfFile *elf;
  const uint8_t *bytes; /* of the section, which is loaded at addr */
  uint64_t size, addr;
  CfiRange *ranges;
  size_t count, capacity;
};

/* Of a CIE, all that matters. */
typedef struct CfiCommon {
  uint64_t code_align;
  int64_t data_align;
  uint64_t return_register;
  uint8_t encoding; /* of the addresses in FDEs */
  bool is_signal, has_data;
  Bytes instructions;
} CfiCommon;

/* The instructions of a range, and its CIE. */
bool cfi_parse(const Cfi *cfi, const CfiRange *range, CfiCommon *out_common, Bytes *out,
               Fault *fault);

#endif
