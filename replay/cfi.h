/*
** Call frame information (.eh_frame): which code belongs together, and how to leave it.
**
** It is there in stripped files too, since C++ and the loader need it. A CfiRange is a function or
** a part of one; a CfiRow says for the instructions from lo to hi where the registers of the
** caller are. Addresses are those of the file. Hostile tables are FAULT_CORRUPT; whatever they
** say, an answer costs no more than CFI_LONGEST bytes read.
*/
#ifndef TENFOLD_REPLAY_CFI_H
#define TENFOLD_REPLAY_CFI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "replay/elf_file.h"

/* Numbers of registers as DWARF has them; CFI_RIP is where the return address goes. */
enum {
  CFI_RAX,
  CFI_RDX,
  CFI_RCX,
  CFI_RBX,
  CFI_RSI,
  CFI_RDI,
  CFI_RBP,
  CFI_RSP,
  CFI_R8,
  CFI_R9,
  CFI_R10,
  CFI_R11,
  CFI_R12,
  CFI_R13,
  CFI_R14,
  CFI_R15,
  CFI_RIP,
  CFI_REGISTERS
};

enum { CFI_LONGEST = 1 << 16 }; /* bytes of instructions for one range; usual are 30 */

typedef struct CfiRange {
  uint64_t lo, hi;
  uint32_t entry, common; /* where its FDE and CIE stand in the section */
  bool is_signal;         /* returns from a signal: what it leads to was interrupted, not calling */
} CfiRange;

typedef enum CfiHow {
  CFI_UNSAID,        /* as it was if a callee has to keep it, else unknown */
  CFI_UNDEFINED,     /* lost; of CFI_RIP: there is no caller */
  CFI_SAME,          /* as it was */
  CFI_AT,            /* in memory at CFA + value */
  CFI_IS,            /* CFA + value */
  CFI_REGISTER,      /* in register `value` */
  CFI_AT_EXPRESSION, /* in memory at what `expression` gives */
  CFI_IS_EXPRESSION  /* what it gives */
} CfiHow;

typedef struct CfiRule {
  CfiHow how;
  int64_t value;
  const uint8_t *expression; /* DWARF, with the CFA on the stack first (but see `cfa`) */
  size_t size;
} CfiRule;

typedef struct CfiRow {
  uint64_t lo, hi; /* where it holds */
  bool is_signal;
  /* The caller's rsp. CFI_REGISTER: register cfa.value + cfa_offset. CFI_IS_EXPRESSION: with
  ** nothing on the stack first. */
  CfiRule cfa;
  int64_t cfa_offset;
  CfiRule registers[CFI_REGISTERS];
} CfiRow;

typedef struct Cfi Cfi;

/* Points into `elf`, which must live as long. A file without .eh_frame has no ranges. About 30 ns a
** range. */
bool cfi_create(const ElfFile *elf, Cfi **out, Fault *fault);
void cfi_free(Cfi *cfi);

/* Sorted by lo. */
const CfiRange *cfi_ranges(const Cfi *cfi, size_t *out_count);
/* The range around addr, or NULL. O(log n). */
const CfiRange *cfi_find(const Cfi *cfi, uint64_t addr);
/* FAULT_NOTFOUND: nothing is said about addr. FAULT_UNSUPPORTED: in a way unknown here. */
bool cfi_row(const Cfi *cfi, uint64_t addr, CfiRow *out, Fault *fault);
/* What range->lo begins with is what a call has just left: the return address on top of the stack
** and nothing saved. A part that is jumped to is not like that, mostly. */
bool cfi_is_entry(const Cfi *cfi, const CfiRange *range);

/* What an expression gives. */
typedef struct CfiContext {
  const uint64_t *registers;
  uint32_t known;                                                 /* 1 << number: those that are */
  bool (*read)(void *ctx, uint64_t addr, void *out, size_t size); /* of the program's memory */
  void *ctx;
} CfiContext;
/* False: it needs what is not known, or makes no sense. */
bool cfi_evaluate(const CfiRule *rule, const CfiContext *context, const uint64_t *first,
                  uint64_t *out);

#endif
