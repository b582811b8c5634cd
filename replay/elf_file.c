/*
** Mapping an ELF file and checking what its tables say: see elf_file.h.
*/
#define _GNU_SOURCE
#include "replay/elf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <elf.h>

#include "base/array.h"

enum { MOST_SEGMENTS = 4096 }; /* usual are 10; they are searched one by one */

/* elf_of_bytes() leaves the bytes to the caller. */
typedef struct MappedFile {
  ElfFile elf;
  bool mapped;
  char path[];
} MappedFile;

static bool corrupt(const ElfFile *elf, Fault *fault, const char *what, uint64_t at) {
  return fault_set(fault, FAULT_CORRUPT, "\"%s\": %s at byte %" PRIu64 " of %zu", elf->path, what,
                   at, elf->size);
}

static bool in_file(const ElfFile *elf, uint64_t offset, uint64_t size) {
  return offset <= elf->size && size <= elf->size - offset;
}

/* ---- tables of the header */

static bool check_header(const ElfFile *elf, Elf64_Ehdr *out, Fault *fault) {
  if (elf->size < sizeof *out || memcmp(elf->bytes, ELFMAG, SELFMAG) != 0) {
    return fault_set(fault, FAULT_CORRUPT, "\"%s\": no ELF file", elf->path);
  }
  memcpy(out, elf->bytes, sizeof *out);
  if (out->e_ident[EI_CLASS] != ELFCLASS64 || out->e_ident[EI_DATA] != ELFDATA2LSB ||
      out->e_machine != EM_X86_64) {
    return fault_set(fault, FAULT_UNSUPPORTED, "\"%s\": a program for another machine (%u)",
                     elf->path, out->e_machine);
  }
  return true;
}

/* Numbers too large for the header stand in the first section. */
static bool read_counts(const ElfFile *elf, const Elf64_Ehdr *head, uint64_t *sections,
                        uint64_t *segments, uint64_t *names, Fault *fault) {
  *sections = head->e_shoff ? head->e_shnum : 0;
  *segments = head->e_phoff ? head->e_phnum : 0;
  *names = head->e_shstrndx;
  if (head->e_shoff && (!head->e_shnum || *segments == PN_XNUM || *names == SHN_XINDEX)) {
    Elf64_Shdr first;
    if (!in_file(elf, head->e_shoff, sizeof first)) {
      return corrupt(elf, fault, "no sections", head->e_shoff);
    }
    memcpy(&first, elf->bytes + head->e_shoff, sizeof first);
    if (!head->e_shnum) *sections = first.sh_size;
    if (*segments == PN_XNUM) *segments = first.sh_info;
    if (*names == SHN_XINDEX) *names = first.sh_link;
  }
  if (*sections &&
      (head->e_shentsize != sizeof(Elf64_Shdr) || *sections > elf->size / sizeof(Elf64_Shdr) ||
       !in_file(elf, head->e_shoff, *sections * sizeof(Elf64_Shdr)))) {
    return corrupt(elf, fault, "a table of sections that is not there", head->e_shoff);
  }
  if (*segments && (head->e_phentsize != sizeof(Elf64_Phdr) || *segments > MOST_SEGMENTS ||
                    !in_file(elf, head->e_phoff, *segments * sizeof(Elf64_Phdr)))) {
    return corrupt(elf, fault, "a table of segments that is not there", head->e_phoff);
  }
  return true;
}

static bool read_segments(ElfFile *elf, uint64_t offset, size_t count, Fault *fault) {
  elf->segments = calloc(count + 1, sizeof *elf->segments);
  if (!elf->segments) return fault_oom(fault);
  for (size_t i = 0; i < count; i++) {
    Elf64_Phdr head;
    memcpy(&head, elf->bytes + offset + i * sizeof head, sizeof head);
    ElfSegment *segment = &elf->segments[elf->nsegments++];
    *segment = (ElfSegment){.type = head.p_type,
                            .flags = head.p_flags,
                            .addr = head.p_vaddr,
                            .memory_size = head.p_memsz,
                            .align = head.p_align,
                            .offset = head.p_offset,
                            .size = head.p_filesz};
    if (head.p_vaddr + head.p_memsz < head.p_vaddr) {
      return corrupt(elf, fault, "a segment beyond all addresses", offset + i * sizeof head);
    }
    /* Of a debug file, segments name what was stripped. */
    if (!in_file(elf, head.p_offset, head.p_filesz)) segment->offset = segment->size = 0;
  }
  return true;
}

static bool read_sections(ElfFile *elf, uint64_t offset, size_t count, Fault *fault) {
  elf->sections = calloc(count + 1, sizeof *elf->sections);
  if (!elf->sections) return fault_oom(fault);
  for (size_t i = 0; i < count; i++) {
    Elf64_Shdr head;
    const uint64_t at = offset + i * sizeof head;
    memcpy(&head, elf->bytes + at, sizeof head);
    ElfSection *section = &elf->sections[elf->nsections++];
    *section = (ElfSection){.name = "",
                            .type = head.sh_type,
                            .link = head.sh_link,
                            .flags = head.sh_flags,
                            .addr = head.sh_addr,
                            .offset = head.sh_offset,
                            .memory_size = head.sh_size,
                            .entry_size = head.sh_entsize};
    if (head.sh_type == SHT_NULL || head.sh_type == SHT_NOBITS) continue;
    if (!in_file(elf, head.sh_offset, head.sh_size)) {
      return corrupt(elf, fault, "a section that ends outside", at);
    }
    section->size = head.sh_size;
    section->bytes = elf->bytes + head.sh_offset;
  }
  return true;
}

uint64_t elf_names_end(const uint8_t *bytes, uint64_t size) {
  const uint8_t *last = size ? memrchr(bytes, 0, size) : NULL;
  return last ? (uint64_t)(last - bytes) + 1 : 0;
}

static bool name_sections(ElfFile *elf, uint64_t header, uint64_t table, Fault *fault) {
  if (!elf->nsections || table == SHN_UNDEF) return true;
  if (table >= elf->nsections) return corrupt(elf, fault, "no names of sections", header);
  const ElfSection *names = &elf->sections[table];
  const uint64_t end = elf_names_end(names->bytes, names->size);
  for (size_t i = 0; i < elf->nsections; i++) {
    Elf64_Word name;
    const uint64_t at = header + i * sizeof(Elf64_Shdr);
    memcpy(&name, elf->bytes + at + offsetof(Elf64_Shdr, sh_name), sizeof name);
    if (name >= end) {
      return corrupt(elf, fault, "a section whose name is outside", at);
    }
    elf->sections[i].name = (const char *)names->bytes + name;
  }
  return true;
}

/* ---- notes */

static bool scan_notes(ElfFile *elf, const uint8_t *bytes, uint64_t size) {
  Elf64_Nhdr head;
  for (uint64_t at = 0; size - at >= sizeof head;) {
    memcpy(&head, bytes + at, sizeof head);
    at += sizeof head;
    const uint64_t name_size = ((uint64_t)head.n_namesz + 3) & ~(uint64_t)3,
                   data_size = ((uint64_t)head.n_descsz + 3) & ~(uint64_t)3;
    if (name_size > size - at || head.n_descsz > size - at - name_size) return false;
    if (head.n_type == NT_GNU_BUILD_ID && head.n_namesz == 4 && head.n_descsz &&
        memcmp(bytes + at, ELF_NOTE_GNU, 4) == 0) {
      elf->build_id = bytes + at + name_size;
      elf->build_id_size = head.n_descsz;
      return true;
    }
    at += name_size;
    if (data_size > size - at) return false;
    at += data_size;
  }
  return false;
}

static void find_build_id(ElfFile *elf) {
  for (size_t i = 0; i < elf->nsections; i++) {
    const ElfSection *section = &elf->sections[i];
    if (section->type == SHT_NOTE && scan_notes(elf, section->bytes, section->size)) return;
  }
  for (size_t i = 0; i < elf->nsegments && !elf->nsections; i++) {
    const ElfSegment *segment = &elf->segments[i];
    if (segment->type == PT_NOTE && scan_notes(elf, elf->bytes + segment->offset, segment->size)) {
      return;
    }
  }
}

/* ---- opening */

static bool read_tables(ElfFile *elf, Fault *fault) {
  Elf64_Ehdr head;
  uint64_t sections, segments, names;
  if (!check_header(elf, &head, fault) ||
      !read_counts(elf, &head, &sections, &segments, &names, fault) ||
      !read_segments(elf, head.e_phoff, segments, fault) ||
      !read_sections(elf, head.e_shoff, sections, fault) ||
      !name_sections(elf, head.e_shoff, names, fault)) {
    return false;
  }
  elf->type = head.e_type;
  elf->entry = head.e_entry;
  find_build_id(elf);
  return true;
}

/* Takes over the mapping, also when it fails. */
static bool create(const void *bytes, size_t size, const char *path, bool mapped, ElfFile **out,
                   Fault *fault) {
  const size_t length = strlen(path) + 1;
  MappedFile *file = calloc(1, sizeof *file + length);
  if (!file) {
    if (mapped) munmap((void *)(uintptr_t)bytes, size);
    return fault_oom(fault);
  }
  memcpy(file->path, path, length);
  file->mapped = mapped;
  file->elf = (ElfFile){.path = file->path, .bytes = bytes, .size = size};
  if (!read_tables(&file->elf, fault)) {
    elf_close(&file->elf);
    return false;
  }
  *out = &file->elf;
  return true;
}

bool elf_of_bytes(const void *bytes, size_t size, const char *name, ElfFile **out, Fault *fault) {
  return create(bytes, size, name, false, out, fault);
}

bool elf_open(const char *path, ElfFile **out, Fault *fault) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 || fstat(fd, &st) != 0) {
    const FaultCode code = errno == ENOENT || errno == ENOTDIR ? FAULT_NOTFOUND : FAULT_IO;
    fault_set(fault, code, "\"%s\": %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return false;
  }
  void *bytes = MAP_FAILED;
  const size_t size = (size_t)st.st_size;
  const bool right = S_ISREG(st.st_mode) && size > 0;
  if (right) bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (!right) return fault_set(fault, FAULT_CORRUPT, "\"%s\": no ELF file", path);
  if (bytes == MAP_FAILED) return fault_set(fault, FAULT_IO, "\"%s\": %s", path, strerror(errno));
  return create(bytes, size, path, true, out, fault);
}

void elf_close(ElfFile *elf) {
  if (!elf) return;
  MappedFile *file = (MappedFile *)elf; /* its first member */
  if (file->mapped) munmap((void *)(uintptr_t)elf->bytes, elf->size);
  free(elf->sections);
  free(elf->segments);
  free(file);
}

/* ---- asking */

const ElfSection *elf_section(const ElfFile *elf, const char *name) {
  for (size_t i = 1; i < elf->nsections; i++) {
    if (strcmp(elf->sections[i].name, name) == 0) return &elf->sections[i];
  }
  return NULL;
}

const uint8_t *elf_from(const ElfFile *elf, uint64_t addr, uint64_t *out_size) {
  for (size_t i = 0; i < elf->nsegments; i++) {
    const ElfSegment *segment = &elf->segments[i];
    if (segment->type != PT_LOAD || addr < segment->addr || addr - segment->addr >= segment->size) {
      continue;
    }
    *out_size = segment->size - (addr - segment->addr);
    return elf->bytes + segment->offset + (addr - segment->addr);
  }
  return NULL;
}

const uint8_t *elf_at(const ElfFile *elf, uint64_t addr, uint64_t size) {
  uint64_t there;
  const uint8_t *bytes = elf_from(elf, addr, &there);
  return bytes && size <= there ? bytes : NULL;
}

bool elf_offset(const ElfFile *elf, uint64_t addr, uint64_t *out) {
  uint64_t there;
  const uint8_t *bytes = elf_from(elf, addr, &there);
  if (bytes) *out = (uint64_t)(bytes - elf->bytes);
  return bytes != NULL;
}

bool elf_addr(const ElfFile *elf, uint64_t offset, uint64_t *out) {
  for (size_t i = 0; i < elf->nsegments; i++) {
    const ElfSegment *segment = &elf->segments[i];
    if (segment->type != PT_LOAD || offset < segment->offset ||
        offset - segment->offset >= segment->size) {
      continue;
    }
    *out = segment->addr + (offset - segment->offset);
    return true;
  }
  return false;
}

bool elf_is_code(const ElfFile *elf, uint64_t addr) {
  for (size_t i = 0; i < elf->nsegments; i++) {
    const ElfSegment *segment = &elf->segments[i];
    if (segment->type == PT_LOAD && (segment->flags & PF_X) && addr >= segment->addr &&
        addr - segment->addr < segment->memory_size) {
      return true;
    }
  }
  return false;
}

/* ---- debug files */

void elf_build_id_text(const ElfFile *elf, char *out, size_t size) {
  if (size) *out = '\0';
  for (size_t i = 0; i < elf->build_id_size && 2 * i + 3 <= size; i++) {
    snprintf(out + 2 * i, 3, "%02x", elf->build_id[i]);
  }
}

bool elf_open_debug(const ElfFile *elf, const char *root, ElfFile **out, Fault *fault) {
  enum { LONGEST = 64 }; /* bytes of a build id; usual are 20 */
  char id[2 * LONGEST + 1], path[4096];
  *out = NULL;
  if (elf->build_id_size < 2 || elf->build_id_size > LONGEST) return true;
  elf_build_id_text(elf, id, sizeof id);
  const int length = snprintf(path, sizeof path, "%s/.build-id/%.2s/%s.debug",
                              root ? root : "/usr/lib/debug", id, id + 2);
  if (length < 0 || (size_t)length >= sizeof path || access(path, R_OK) != 0) return true;
  ElfFile *debug;
  if (!elf_open(path, &debug, fault)) return false;
  if (debug->build_id_size == elf->build_id_size &&
      memcmp(debug->build_id, elf->build_id, elf->build_id_size) == 0) {
    *out = debug;
  } else {
    elf_close(debug);
  }
  return true;
}
