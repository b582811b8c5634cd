/*
** The files of a recording whose code was mapped, and the functions in them. For the helper: files
** of a recording may be hostile.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_CODE_H
#define TENFOLD_EXTENSIONS_OMNI_CODE_H

#include "replay/dwarf.h"
#include "replay/modules.h"
#include "replay/trace.h"

typedef struct CodeFile {
  uint32_t file; /* number in the recording */
  char *path;    /* as the program knew it; "" when it has none */
  bool has_code;
  uint64_t base;  /* where offset 0 of the file was mapped for its code ... */
  bool is_varied; /* ... unless that differs from process to process */
  bool looked, looked_for_dwarf;
  Module *module;             /* after code_open(); NULL: it is no ELF file */
  const Functions *functions; /* likewise */
  Dwarf *dwarf;               /* after code_dwarf(); NULL: it has no debug information */
} CodeFile;

typedef struct CodeFiles {
  Recording *recording; /* borrowed */
  Modules *modules;     /* ours; shared with stacks */
  CodeFile *list;
  size_t count, capacity;
} CodeFiles;

/* Reads the whole recording once. Finish it also after a failure. */
bool code_read(Recording *recording, CodeFiles *out, Fault *fault);
void code_finish(CodeFiles *files);
/* Reads its functions. */
bool code_open(const CodeFiles *files, CodeFile *file, Fault *fault);
/* Reads the index of its debug information, in itself or in the system's file for its build id. */
bool code_dwarf(const CodeFiles *files, CodeFile *file, Fault *fault);
/* The file of that number, NULL: none. */
CodeFile *code_find(const CodeFiles *files, uint32_t file);
/* The file that a module was opened from. */
CodeFile *code_of_module(const CodeFiles *files, const Module *module);

#endif
