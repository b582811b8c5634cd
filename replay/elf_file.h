/*
** An ELF file of this machine (64 bit, little endian, x86-64): sections, segments, symbols, stubs
** of the procedure linkage table, and where its debug information is.
**
** (Not elf.h: that name is the system's.) The file is mapped read-only and everything handed out
** points into the mapping, which lives until elf_close(). All of it is hostile until checked: what
** is out of bounds is FAULT_CORRUPT; files for other machines are FAULT_UNSUPPORTED. Addresses
** are those the file was linked for; add the place where it is loaded. A file that somebody
** shortens while it is mapped gives SIGBUS: map copies, or files that only the administrator
** changes.
*/
#ifndef TENFOLD_REPLAY_ELF_FILE_H
#define TENFOLD_REPLAY_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"

typedef struct ElfSection {
  const char *name;
  uint32_t type, link; /* SHT_*, number of the section it refers to */
  uint64_t flags, addr;
  uint64_t size;        /* in the file; 0 for SHT_NOBITS (of a debug file: what was stripped) */
  const uint8_t *bytes; /* NULL without bytes in the file. SHF_COMPRESSED ones are as they are */
  uint64_t offset, memory_size, entry_size;
} ElfSection;

typedef struct ElfSegment {
  uint32_t type, flags; /* PT_*, PF_* */
  uint64_t addr, memory_size, align;
  uint64_t offset, size; /* in the file */
} ElfSegment;

typedef struct ElfFile {
  const char *path; /* for messages */
  const uint8_t *bytes;
  size_t size;
  uint16_t type; /* ET_EXEC, ET_DYN ... */
  uint64_t entry;
  ElfSection *sections; /* [0] is the empty one, if there are any */
  size_t nsections;
  ElfSegment *segments; /* in the order of the file */
  size_t nsegments;
  const uint8_t *build_id; /* NULL: none */
  size_t build_id_size;
} ElfFile;

/* Maps `path`. FAULT_IO, FAULT_NOTFOUND (no such file), FAULT_UNSUPPORTED, FAULT_CORRUPT. */
bool elf_open(const char *path, ElfFile **out, Fault *fault);
/* The same of bytes that the caller keeps; `name` is for messages. */
bool elf_of_bytes(const void *bytes, size_t size, const char *name, ElfFile **out, Fault *fault);
void elf_close(ElfFile *elf);

/* The first section of this name, or NULL. */
const ElfSection *elf_section(const ElfFile *elf, const char *name);
/* `size` bytes of the loaded image as the file has them, or NULL when not all are in the file. */
const uint8_t *elf_at(const ElfFile *elf, uint64_t addr, uint64_t size);
/* As many as there are from addr on to the end of its segment; NULL: none. */
const uint8_t *elf_from(const ElfFile *elf, uint64_t addr, uint64_t *out_size);
/* A loaded address as an offset in the file, and back. False: there is no such place. */
bool elf_offset(const ElfFile *elf, uint64_t addr, uint64_t *out);
bool elf_addr(const ElfFile *elf, uint64_t offset, uint64_t *out);
bool elf_is_code(const ElfFile *elf, uint64_t addr); /* in an executable segment */

/* How many of the bytes are texts that end: up to and with the last NUL. */
uint64_t elf_names_end(const uint8_t *bytes, uint64_t size);

/* "ab01..." of the build id; "" without one. `out` holds 2 * build_id_size + 1, cut at size. */
void elf_build_id_text(const ElfFile *elf, char *out, size_t size);
/* The file with its debug information: ROOT/.build-id/ab/cdef.debug, `root` NULL being
** /usr/lib/debug. *out is NULL when there is none or it is of another build. Its sections are good,
** its segments (what is loaded) are not: use those of the file itself. */
bool elf_open_debug(const ElfFile *elf, const char *root, ElfFile **out, Fault *fault);

/* ---- symbols */

typedef struct ElfSymbol {
  const char *name;
  const char *version; /* "GLIBC_2.14"; NULL: none */
  bool is_default;     /* name@@version: what linking with the name alone gives */
  bool is_defined;
  uint8_t type, binding; /* STT_*, STB_* */
  uint16_t section;
  uint64_t addr, size;
} ElfSymbol;

typedef struct ElfVersion {
  const char *name; /* NULL: there is none of this number */
  bool is_own;      /* defined here, not asked of another file */
} ElfVersion;

/* A table of symbols. Also read without sections, by what the loader reads. */
typedef struct ElfSymbols {
  const ElfFile *elf;
  const uint8_t *entries;
  size_t count; /* with the empty one at 0 */
  const char *names;
  uint64_t names_size;       /* up to and with the last NUL */
  const uint8_t *versions;   /* u16 of each; NULL: none */
  ElfVersion *version_names; /* by number */
  size_t nversions;
} ElfSymbols;

typedef enum ElfTable { ELF_SYMTAB, ELF_DYNSYM } ElfTable;

/* A table that is not there has a count of 0. Release it with elf_symbols_finish(). */
bool elf_symbols(const ElfFile *elf, ElfTable table, ElfSymbols *out, Fault *fault);
/* False: the entry's name is outside of the table of names. O(1). */
bool elf_symbol(const ElfSymbols *symbols, size_t i, ElfSymbol *out);
void elf_symbols_finish(ElfSymbols *symbols);

/* ---- stubs of the procedure linkage table (.plt, .plt.sec, .plt.got) */

typedef struct ElfStub {
  uint64_t addr, size;
  const char *name;  /* of the function it jumps to; NULL: unknown, or an ifunc of this file */
  uint64_t resolver; /* of an ifunc of this file; 0: none */
} ElfStub;

/* Sorted by address, malloc'ed; files without sections have none. */
bool elf_stubs(const ElfFile *elf, const ElfSymbols *dynamic, ElfStub **out, size_t *out_count,
               Fault *fault);

#endif
