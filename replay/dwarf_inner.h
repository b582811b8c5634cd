/*
** Debug information as it lies in the file: sections, units, entries and their attributes. Shared
** by the files dwarf_*.c; who asks about a program includes dwarf.h.
**
** Everything here was made by somebody else and may be hostile: offsets are checked where they are
** followed, loops are bounded by `work`, recursion by DWARF_DEPTH.
*/
#ifndef TENFOLD_REPLAY_DWARF_INNER_H
#define TENFOLD_REPLAY_DWARF_INNER_H

#include <libdwarf/dwarf.h>
#include <libelf.h>

#include "base/arena.h"
#include "base/array.h"
#include "replay/dwarf.h"
#include "replay/dwarf_bytes.h"

enum { DWARF_DEPTH = 256 };

typedef enum DwarfSection {
  SECTION_INFO,
  SECTION_ABBREV,
  SECTION_STR,
  SECTION_LINE,
  SECTION_LINE_STR,
  SECTION_ADDR,
  SECTION_STR_OFFSETS,
  SECTION_RANGES,
  SECTION_RNGLISTS,
  SECTION_LOC,
  SECTION_LOCLISTS,
  SECTION_TYPES,
  SECTION_COUNT
} DwarfSection;

/* One file: the module's own, or the one that dwz put the common parts of several in. */
typedef struct DwarfFile {
  Elf *elf;
  int fd;        /* -1: from memory */
  uint64_t base; /* added to offsets in its .debug_info, so that those of two files differ */
  Span sections[SECTION_COUNT];
  void *owned;    /* .debug_info and .debug_types, when there are both */
  uint64_t types; /* offset of the latter */
} DwarfFile;

typedef struct AbbrevAttr {
  uint16_t name, form;
  int64_t constant; /* DW_FORM_implicit_const */
} AbbrevAttr;

typedef struct Abbrev {
  uint64_t code;
  uint32_t first, count; /* attributes */
  uint16_t tag;
  bool children;
} Abbrev;

typedef struct AbbrevTable {
  uint64_t offset;
  const DwarfFile *file;
  Abbrev *abbrevs; /* sorted by code */
  size_t count, capacity;
  bool dense; /* codes are 1, 2, 3 ... */
  AbbrevAttr *attrs;
  size_t nattrs, attrs_capacity;
  struct AbbrevTable *next;
} AbbrevTable;

typedef struct LineTable LineTable;

typedef struct DwarfUnit {
  Dwarf *dwarf;
  const DwarfFile *file;
  const AbbrevTable *abbrevs;
  uint64_t start, first, end; /* in the space of all offsets: header, first entry, end */
  uint8_t version, kind, address_size, offset_size;
  bool has_low, has_lines;
  uint64_t signature, type; /* of a type unit: the offset of its type */
  uint64_t low, addr_base, str_base, rnglists_base, loclists_base, lines;
  const char *name, *directory;
  uint16_t language;
} DwarfUnit;

typedef enum AttrClass {
  ATTR_ABSENT,
  ATTR_ADDRESS, /* number */
  ATTR_NUMBER,  /* number; whether it is signed hangs on the attribute: see `bits` */
  ATTR_SIGNED,  /* number, as int64_t */
  ATTR_BLOCK,
  ATTR_TEXT,
  ATTR_ENTRY,   /* number: the offset of another entry, in the space of all */
  ATTR_SECTION, /* number: an offset in a section */
  ATTR_INDEX,   /* number: of a list of ranges or locations */
  ATTR_FOREIGN  /* of a kind that is not read here */
} AttrClass;

typedef struct DieAttr {
  AttrClass class;
  uint16_t name, form;
  uint8_t bits; /* ATTR_NUMBER: how wide it was written, 0: any */
  uint64_t number;
  Span block;
  const char *text;
} DieAttr;

/* An entry. Cheap: nothing is decoded but its abbreviation. */
typedef struct Die {
  const DwarfUnit *unit;
  const Abbrev *abbrev;
  uint64_t offset, attrs; /* of the entry and of its attributes */
} Die;

struct Dwarf {
  DwarfFile own, common;
  DwarfUnit *units; /* sorted by start */
  size_t nunits, units_capacity;
  AbbrevTable *abbrevs; /* all, the newest first */
  Map abbrev_of;        /* (file, offset): the table */
  uint64_t abbrev_work; /* bytes of abbreviations that may still be decoded */
  Map signatures;       /* of type units: their number */
  Arena arena;          /* lives as long as this */
  size_t bad_units;
  struct DwarfIndex *index;
  struct DwarfLines *lines;
  Map types, scopes; /* by entry; in the arena */
  Map line_tables;   /* (file, offset): the table */
  LineTable *tables; /* all */
};

/* ---- dwarf_file.c */

bool dwarf_file_open(const char *path, DwarfFile *out, Fault *fault);
/* Borrowed, and not to be read by others meanwhile: libelf works on them. */
bool dwarf_file_open_memory(void *bytes, size_t size, DwarfFile *out, Fault *fault);
/* The path in .gnu_debugaltlink, or NULL. */
const char *dwarf_file_common(const DwarfFile *file);
void dwarf_file_close(DwarfFile *file);

/* ---- dwarf_unit.c */

bool dwarf_units_read(Dwarf *dwarf, DwarfFile *file, Fault *fault);
/* The unit that holds the entry at the offset, or NULL. */
const DwarfUnit *dwarf_unit_at(const Dwarf *dwarf, uint64_t offset);

/* ---- dwarf_abbrev.c */

/* NULL: no memory, or the table is broken. */
const AbbrevTable *dwarf_abbrevs_get(Dwarf *dwarf, const DwarfFile *file, uint64_t offset);
void dwarf_abbrevs_free(AbbrevTable *tables);
const Abbrev *dwarf_abbrev_find(const AbbrevTable *table, uint64_t code);

/* ---- dwarf_die.c */

/* Entries one behind the other, as they are written. */
typedef struct DieWalk {
  const DwarfUnit *unit;
  Bytes in;
  int depth; /* of the next entry; the unit's own is at 0 */
} DieWalk;

DieWalk die_walk(const DwarfUnit *unit, uint64_t offset);
/* The next entry, whose attributes must be read (die_next_attr) or skipped (die_skip) to go on.
** False: the end, or something broken (walk->in.bad). *out_depth is that of the entry. */
bool die_next(DieWalk *walk, Die *out, int *out_depth);
/* The attributes of the entry the walk stands at, in their order; i counts up from 0. */
bool die_next_attr(DieWalk *walk, const Die *die, uint32_t i, DieAttr *out);
bool die_skip(DieWalk *walk, const Die *die);

/* The entry at an offset in the space of all. False: there is none. */
bool die_at(const Dwarf *dwarf, uint64_t offset, Die *out);
/* ATTR_ABSENT when it has none of that name. */
DieAttr die_attr(const Die *die, uint16_t name);
/* The same, or else of the entry that this one completes (abstract origin, specification). */
DieAttr die_attr_deep(const Die *die, uint16_t name);
/* DW_AT_name and its like; NULL: none. */
const char *die_name(const Die *die);
bool die_flag(const Die *die, uint16_t name);
/* The entry that the attribute leads to. */
bool die_follow(const Die *die, uint16_t name, Die *out);
static inline uint16_t die_tag(const Die *die) { return die->abbrev->tag; }

/* Children, one by one. */
typedef struct DieChildren {
  DieWalk walk;
  bool any;
} DieChildren;
DieChildren die_children(const Die *die);
bool die_next_child(DieChildren *children, Die *out);

/* .debug_addr, by index. */
bool dwarf_address(const DwarfUnit *unit, uint64_t index, uint64_t *out);

/* ---- dwarf_find.c */

/* The path of the file that an entry was declared in, and the line; "" and 0: unknown. */
const char *dwarf_declared_at(const Die *die, uint32_t *out_line);

/* ---- dwarf_line_table.c */

/* NULL: the unit has none, or no memory. Broken: one without files and program. */
LineTable *dwarf_line_table(const DwarfUnit *unit);
/* The path of a file by its number in the unit; "" when there is none. */
const char *dwarf_file_name(const DwarfUnit *unit, uint64_t number);
/* What it holds; gives the next. */
LineTable *dwarf_line_table_free(LineTable *table);

/* ---- dwarf_lines.c, dwarf_index.c */

void dwarf_lines_free(Dwarf *dwarf);
void dwarf_index_free(Dwarf *dwarf);

/* ---- dwarf_ranges.c */

typedef struct AddrRanges {
  DwarfRange *ranges;
  size_t count, capacity;
} AddrRanges;

/* Appends where the code of the entry is, in the order written. False: broken, or no memory. */
bool die_ranges(const Die *die, AddrRanges *out);
/* The same out of attributes that were read before: DW_AT_ranges; DW_AT_low_pc and DW_AT_high_pc
** (false when they are no range). */
bool dwarf_ranges_read(const DwarfUnit *unit, const DieAttr *attr, AddrRanges *out);
bool dwarf_range_of(const DieAttr *low, const DieAttr *high, DwarfRange *out);

#endif
