/*
** The debug sections of an ELF file, unpacked. What a section claims to unpack to is believed up to
** what its packed size can possibly give.
*/
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "replay/dwarf_inner.h"

static const char *const section_names[SECTION_COUNT] = {
    [SECTION_INFO] = "info",         [SECTION_ABBREV] = "abbrev",
    [SECTION_STR] = "str",           [SECTION_LINE] = "line",
    [SECTION_LINE_STR] = "line_str", [SECTION_ADDR] = "addr",
    [SECTION_RANGES] = "ranges",     [SECTION_STR_OFFSETS] = "str_offsets",
    [SECTION_RNGLISTS] = "rnglists", [SECTION_LOC] = "loc",
    [SECTION_LOCLISTS] = "loclists", [SECTION_TYPES] = "types",
};

/* Deflate packs 1032 to 1 at best. */
enum { MOST_PACKED = 1100 };

static bool unpack(Elf_Scn *scn, const char *name, Fault *fault) {
  GElf_Shdr header;
  GElf_Chdr packed;
  if (!gelf_getshdr(scn, &header)) return false;
  if (!(header.sh_flags & SHF_COMPRESSED)) return true;
  if (!gelf_getchdr(scn, &packed) || packed.ch_size / MOST_PACKED > header.sh_size)
    return fault_set(fault, FAULT_CORRUPT, "section %s: cannot be unpacked", name);
  if (elf_compress(scn, 0, 0) < 0)
    return fault_set(fault, FAULT_CORRUPT, "section %s: %s", name, elf_errmsg(-1));
  return true;
}

static bool load(DwarfFile *file, Elf_Scn *scn, const char *name, DwarfSection which,
                 Fault *fault) {
  if (!unpack(scn, name, fault)) return false;
  Elf_Data *data = elf_rawdata(scn, NULL);
  if (!data || !data->d_buf) return true;
  Span *span = &file->sections[which];
  *span = (Span){data->d_buf, data->d_size};
  /* Every offset in a text section shall be a text. */
  if (which == SECTION_STR || which == SECTION_LINE_STR)
    while (span->size && span->bytes[span->size - 1]) span->size--;
  return true;
}

static bool load_sections(DwarfFile *file, Fault *fault) {
  GElf_Ehdr header;
  size_t names;
  if (elf_kind(file->elf) != ELF_K_ELF || !gelf_getehdr(file->elf, &header) ||
      elf_getshdrstrndx(file->elf, &names))
    return fault_set(fault, FAULT_CORRUPT, "not an ELF file");
  if (header.e_machine != EM_X86_64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_type == ET_REL)
    return fault_set(fault, FAULT_UNSUPPORTED, "not a program or library for x86-64");
  for (Elf_Scn *scn = NULL; (scn = elf_nextscn(file->elf, scn));) {
    GElf_Shdr section;
    const char *name;
    if (!gelf_getshdr(scn, &section) || section.sh_type == SHT_NOBITS ||
        !(name = elf_strptr(file->elf, names, section.sh_name)) || strncmp(name, ".debug_", 7))
      continue;
    for (int i = 0; i < SECTION_COUNT; i++)
      if (!strcmp(name + 7, section_names[i]) && !file->sections[i].size &&
          !load(file, scn, name, (DwarfSection)i, fault))
        return false;
  }
  return true;
}

/* Type units of DWARF 4 have a section of their own. Put behind the others, they are found by
** offset like everything else. */
static bool append_types(DwarfFile *file, Fault *fault) {
  Span *info = &file->sections[SECTION_INFO], *types = &file->sections[SECTION_TYPES];
  if (!types->size) return true;
  uint8_t *both = malloc(info->size + types->size);
  if (!both) return fault_oom(fault);
  memcpy(both, info->bytes, info->size);
  memcpy(both + info->size, types->bytes, types->size);
  file->owned = both;
  file->types = info->size;
  *info = (Span){both, info->size + types->size};
  return true;
}

static bool open_elf(DwarfFile *file, Fault *fault) {
  file->types = UINT64_MAX;
  if (!file->elf) return fault_set(fault, FAULT_CORRUPT, "%s", elf_errmsg(-1));
  return load_sections(file, fault) && append_types(file, fault);
}

bool dwarf_file_open(const char *path, DwarfFile *out, Fault *fault) {
  *out = (DwarfFile){.fd = -1};
  elf_version(EV_CURRENT);
  out->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (out->fd < 0) return fault_set(fault, FAULT_IO, "%s: %s", path, strerror(errno));
  out->elf = elf_begin(out->fd, ELF_C_READ_MMAP, NULL);
  if (open_elf(out, fault)) return true;
  fault_prefix(fault, "%s: ", path);
  dwarf_file_close(out);
  return false;
}

bool dwarf_file_open_memory(void *bytes, size_t size, DwarfFile *out, Fault *fault) {
  *out = (DwarfFile){.fd = -1};
  elf_version(EV_CURRENT);
  out->elf = elf_memory(bytes, size);
  if (open_elf(out, fault)) return true;
  dwarf_file_close(out);
  return false;
}

const char *dwarf_file_common(const DwarfFile *file) {
  size_t names;
  if (elf_getshdrstrndx(file->elf, &names)) return NULL;
  for (Elf_Scn *scn = NULL; (scn = elf_nextscn(file->elf, scn));) {
    GElf_Shdr section;
    const char *name =
        gelf_getshdr(scn, &section) ? elf_strptr(file->elf, names, section.sh_name) : NULL;
    if (!name || strcmp(name, ".gnu_debugaltlink")) continue;
    Elf_Data *data = elf_rawdata(scn, NULL);
    return data && data->d_buf && memchr(data->d_buf, 0, data->d_size) ? data->d_buf : NULL;
  }
  return NULL;
}

void dwarf_file_close(DwarfFile *file) {
  free(file->owned);
  elf_end(file->elf);
  if (file->fd >= 0) close(file->fd);
  *file = (DwarfFile){.fd = -1};
}
