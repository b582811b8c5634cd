/*
** A moment of a recording for gdb: the far side of its `target remote`.
**
**   gdb -ex 'target remote | omni.so shell gzip.omni --gdb 1204:1:0x401a30:17'
**
** gdb sees one process of the recording, stopped. Nothing of it can be changed, for the program has
** run already. What gdb reads of files (programs, libraries) comes out of the recording.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_STUB_H
#define TENFOLD_EXTENSIONS_OMNI_STUB_H

#include "extensions/omni/played.h"
#include "extensions/omni/stub_link.h"

enum { STUB_FILES = 16 };

/* What a process runs, at an event. */
typedef struct StubProgram {
  char *path;
  Text auxv;
} StubProgram;

typedef struct Stub {
  StubLink link;
  Played played;
  Stop stop;
  Moment at; /* where it stands */
  int32_t pid;
  int32_t tid; /* whose registers are asked for */
  bool multiprocess;
  StubProgram program;
  Text answer, document;
  char document_name[32]; /* of the qXfer object in hand */
  int files[STUB_FILES];  /* descriptors + 1 */
} Stub;

/* Stands at the moment, and answers until gdb has gone. */
bool stub_run(const char *dir, const Moment *moment, int in, int out, Fault *fault);

/* ---- what its files share */

/* "E01". */
void stub_refuse(Stub *stub);
/* Hexadecimal digits, up to something else; *text is moved behind them. */
uint64_t stub_hex(const char **text);
void stub_add_hex(Text *out, const void *bytes, size_t size);

/* ---- stub_files.c */

bool stub_program_read(Recording *recording, int32_t pid, uint64_t ev, StubProgram *out,
                       Fault *fault);
void stub_program_finish(StubProgram *program);
/* Behind "vFile:". */
void stub_file(Stub *stub, const char *request);
void stub_files_close(Stub *stub);

#endif
