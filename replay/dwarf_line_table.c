/*
** The head of a line table: the files that a unit was made of, by number.
*/
#include <stdlib.h>
#include <string.h>

#include "replay/dwarf_lines.h"

enum { MOST_FORMATS = 16 };

typedef struct Format {
  uint16_t content, form;
} Format;

/* One field of an entry of DWARF 5's directories or files. */
typedef struct Field {
  uint64_t number;
  const char *text;
} Field;

static bool text_at(Span section, uint64_t offset, Field *out) {
  if (offset >= section.size) return false;
  out->text = (const char *)section.bytes + offset;
  return true;
}

/* `size` is that of offsets in this table, which may differ from the unit's. */
static bool read_field(const DwarfUnit *unit, Bytes *in, uint16_t form, unsigned size, Field *out) {
  const DwarfFile *file = unit->file;
  switch (form) {
  case DW_FORM_string:
    out->text = bytes_text(in);
    return true;
  case DW_FORM_line_strp:
    return text_at(file->sections[SECTION_LINE_STR], bytes_number(in, size), out);
  case DW_FORM_strp:
    return text_at(file->sections[SECTION_STR], bytes_number(in, size), out);
  case DW_FORM_strp_sup:
    return text_at(unit->dwarf->common.sections[SECTION_STR], bytes_number(in, size), out);
  case DW_FORM_udata:
    out->number = bytes_uleb(in);
    return true;
  case DW_FORM_data1:
    out->number = bytes_u8(in);
    return true;
  case DW_FORM_data2:
    out->number = bytes_u16(in);
    return true;
  case DW_FORM_data4:
    out->number = bytes_u32(in);
    return true;
  case DW_FORM_data8:
    out->number = bytes_u64(in);
    return true;
  case DW_FORM_data16:
    bytes_take(in, 16);
    return true;
  case DW_FORM_block:
    bytes_take(in, bytes_uleb(in));
    return true;
  default:
    return false;
  }
}

/* "a/./b//../c" is "a/c": one name for one file, however the compiler was called. */
static void tidy(char *path) {
  char *to = path, *const root = path + (*path == '/');
  for (const char *at = path; *at;) {
    size_t length = strcspn(at, "/");
    if (length == 0 || (length == 1 && at[0] == '.')) {
      /* nothing */
    } else {
      char *last = to;
      while (last > root && last[-1] != '/') last--;
      bool up = length == 2 && at[0] == '.' && at[1] == '.';
      if (up && to > root && strncmp(last, "..", 2)) {
        to = last > root ? last - 1 : root;
      } else if (!up || *path != '/' || to > root) {
        if (to > root) *to++ = '/';
        memmove(to, at, length);
        to += length;
      }
    }
    at += length + (at[length] == '/');
    if (to < root) to = root;
  }
  *to = 0;
}

static const char *join(const DwarfUnit *unit, const char *folder, const char *name) {
  Arena *arena = &unit->dwarf->arena;
  char *path;
  if (*name == '/')
    path = arena_strdup(arena, name);
  else if (*folder == '/' || !*unit->directory)
    path = arena_printf(arena, "%s%s%s", folder, *folder ? "/" : "", name);
  else
    path = arena_printf(arena, "%s/%s/%s", unit->directory, folder, name);
  if (path) tidy(path);
  return path;
}

typedef struct Names {
  const char **names;
  size_t count, capacity;
} Names;

static bool names_add(Names *names, const char *name) {
  if (!name || !array_grow(names->names, names->capacity, names->count + 1)) return false;
  names->names[names->count++] = name;
  return true;
}

/* Directories or files of DWARF 5; files are joined with their directory. */
static bool read_list5(const DwarfUnit *unit, Bytes *in, unsigned size, const Names *folders,
                       Names *out) {
  Format formats[MOST_FORMATS];
  unsigned nformats = bytes_u8(in);
  if (nformats > MOST_FORMATS) return false;
  for (unsigned i = 0; i < nformats; i++) {
    uint64_t content = bytes_uleb(in), form = bytes_uleb(in);
    if (content > UINT16_MAX || form > UINT16_MAX) return false;
    formats[i] = (Format){(uint16_t)content, (uint16_t)form};
  }
  uint64_t count = bytes_uleb(in);
  if (in->bad || count > bytes_left(in)) return false;
  for (uint64_t k = 0; k < count; k++) {
    Field path = {.text = ""}, folder = {0};
    for (unsigned i = 0; i < nformats; i++) {
      Field other = {0}, *field = &other;
      if (formats[i].content == DW_LNCT_path) field = &path;
      if (formats[i].content == DW_LNCT_directory_index) field = &folder;
      if (!read_field(unit, in, formats[i].form, size, field) || in->bad) return false;
    }
    const char *text = path.text;
    if (text && folders)
      text = join(unit, folder.number < folders->count ? folders->names[folder.number] : "", text);
    if (!names_add(out, text)) return false;
  }
  return true;
}

/* Before DWARF 5 number 0 is the unit's own folder, or no file. */
static bool read_lists2(const DwarfUnit *unit, Bytes *in, Names *folders, Names *out) {
  if (!names_add(folders, unit->directory) || !names_add(out, "")) return false;
  while (!in->bad) {
    const char *folder = bytes_text(in);
    if (!*folder) break;
    if (!names_add(folders, folder)) return false;
  }
  while (!in->bad) {
    const char *name = bytes_text(in);
    if (!*name) break;
    uint64_t folder = bytes_uleb(in);
    bytes_uleb(in);
    bytes_uleb(in);
    if (!names_add(out, join(unit, folder < folders->count ? folders->names[folder] : "", name)))
      return false;
  }
  return !in->bad;
}

static bool read_head(const DwarfUnit *unit, Bytes in, LineTable *table) {
  bool wide;
  bytes_enter(&in, &wide);
  table->version = bytes_u16(&in);
  if (table->version < 2 || table->version > 5) return false;
  if (table->version == 5) bytes_u16(&in); /* sizes of addresses and selectors */
  uint64_t length = bytes_number(&in, wide ? 8 : 4);
  if (in.bad || length > bytes_left(&in)) return false;
  table->program = (Span){in.at + length, bytes_left(&in) - length};
  table->least = bytes_u8(&in);
  if (table->version >= 4) bytes_u8(&in); /* operations of an instruction word */
  table->is_stmt = bytes_u8(&in) != 0;
  table->line_base = (int8_t)bytes_u8(&in);
  table->line_range = bytes_u8(&in);
  table->opcode_base = bytes_u8(&in);
  table->lengths = bytes_take(&in, table->opcode_base ? table->opcode_base - 1u : 0);
  if (in.bad || !table->line_range || !table->opcode_base) return false;
  Names folders = {0}, files = {0};
  bool ok = table->version == 5 ? read_list5(unit, &in, wide ? 8 : 4, NULL, &folders) &&
                                      read_list5(unit, &in, wide ? 8 : 4, &folders, &files)
                                : read_lists2(unit, &in, &folders, &files);
  free(folders.names);
  table->files = files.names;
  table->nfiles = files.count;
  return ok;
}

/* A unit whose table is broken gets an empty one. */
LineTable *dwarf_line_table(const DwarfUnit *unit) {
  Dwarf *dwarf = unit->dwarf;
  if (!unit->has_lines) return NULL;
  uint64_t key[2] = {unit->file->base, unit->lines};
  const int64_t *known = map_get(&dwarf->line_tables, key, sizeof key);
  if (known) return (LineTable *)(uintptr_t)*known;
  LineTable *table = arena_alloc(&dwarf->arena, sizeof *table);
  if (!table || !map_put(&dwarf->line_tables, key, sizeof key, (int64_t)(uintptr_t)table, NULL))
    return NULL;
  table->next = dwarf->tables;
  dwarf->tables = table;
  table->address_size = unit->address_size;
  if (!read_head(unit, bytes_from(unit->file->sections[SECTION_LINE], unit->lines), table))
    table->program = (Span){0};
  return table;
}

const char *dwarf_file_name(const DwarfUnit *unit, uint64_t number) {
  const LineTable *table = dwarf_line_table(unit);
  return table && number < table->nfiles ? table->files[number] : "";
}

LineTable *dwarf_line_table_free(LineTable *table) {
  free(table->files);
  return table->next;
}
