/*
** A moment of a recording for gdb: the far side of its `target remote`.
**
**   gdb -ex 'target remote | omni.so shell gzip.omni --gdb 1204:1:0x401a30:17'
**
** gdb sees one process of the recording, and goes forwards and backwards in what it did. Nothing
** of it can be changed, for the program has run already. What gdb reads of files (programs,
** libraries) comes out of the recording.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_STUB_H
#define TENFOLD_EXTENSIONS_OMNI_STUB_H

#include "extensions/omni/played.h"
#include "extensions/omni/stub_link.h"
#include "replay/walk.h"

enum { STUB_FILES = 16, STUB_POINTS = 1024, STUB_WATCH = 1 << 15 };

/* What a process runs, at an event. */
typedef struct StubProgram {
  char *path;
  Text auxv;
} StubProgram;

typedef struct Stub {
  StubLink link;
  Played played;
  Stop stop;
  Moment at; /* where it began */
  Walk *walk;
  int32_t pid;
  int32_t tid, step_tid; /* whose registers are asked for / who is to step */
  bool multiprocess, ended;
  uint64_t breaks[STUB_POINTS];
  size_t nbreaks;
  WalkWatch watches[STUB_POINTS];
  size_t nwatches;
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
/* "pPID.TID" or "TID". Read: 0 for any, -1 for one that cannot be. */
void stub_add_thread(const Stub *stub, Text *out, int32_t tid);
int32_t stub_read_thread(const char **text);
bool stub_is_thread(Stub *stub, int32_t tid);
/* A line for the user, while gdb waits for a stop. */
void stub_say(Stub *stub, const char *line);

/* ---- stub_run.c */

void stub_say_stopped(Stub *stub, const WalkStop *stop);
void stub_insert(Stub *stub, const char *rest);
void stub_remove(Stub *stub, const char *rest);
void stub_pass_signals(Stub *stub, const char *rest);
void stub_continue(Stub *stub, const char *rest);
void stub_step(Stub *stub, const char *rest);
void stub_backwards(Stub *stub, const char *rest);
void stub_resume(Stub *stub, const char *rest);

/* ---- stub_files.c */

bool stub_program_read(Recording *recording, int32_t pid, uint64_t ev, StubProgram *out,
                       Fault *fault);
void stub_program_finish(StubProgram *program);
/* Behind "vFile:". */
void stub_file(Stub *stub, const char *request);
void stub_files_close(Stub *stub);

#endif
