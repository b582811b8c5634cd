/*
** Waiting for changes of far memory, without asking again and again: the paper's notify0 (a range
** changed), notify0d (with what it is now) and notifye (a word has become equal to something).
**
**   FarWatch watch = {.kind = FAR_CHANGED, .at = hits, .length = 8};
**   FarNotice notice;
**   far_watch(memory, &watch, &id, stop, fault);
**   far_notices(memory, wait_ns, &notice, 1, &n, stop, fault);    notice.watch is id, notice.word
**
** What may be relied on:
** - A notice is about a *state*: what is watched is now another one than this client was told
**   last, or, at the beginning, than it was when far_watch() read it. Each state that stays is
**   told at least once. States that come and go before anybody looks are not: several changes may
**   be one notice, and a change that was taken back none.
** - Nothing is told that is not so; the same state may be told twice.
** - Notices come while far_notices() is called, and wait until then. Usually they are there within
**   microseconds of the change; should one be lost on the way, it comes after some FAR_RECHECK ms.
** - A connection that was lost tells nothing. After far_revive() each watch goes on, with a notice
**   that has .gap set: there may have been states in between that will not be told.
** - Notices of a memory are numbered from 1 as they are delivered.
**
** A range is watched where it is: who watches an element of a structure that may move has to follow
** it (map_watch.h). Whether the range means what it meant before is the watcher's to know.
*/
#ifndef TENFOLD_REMOTE_WATCH_H
#define TENFOLD_REMOTE_WATCH_H

#include "remote/far.h"

typedef enum FarWatchKind {
  FAR_CHANGED,      /* the range */
  FAR_CHANGED_DATA, /* the range, and what it is comes along */
  FAR_EQUAL,        /* the word is `value`, and was not when it was last looked at */
  FAR_REACHED,      /* the word is `value` or more, counting round: (int64_t)(word - value) >= 0 */
  FAR_NWATCH_KINDS
} FarWatchKind;

enum {
  FAR_WATCHES = 256,      /* of one client at a time */
  FAR_WATCH_MOST = 65536, /* bytes of a range */
  FAR_WATCH_DATA = 4096   /* of one whose data comes along */
};

typedef struct FarWatch {
  FarWatchKind kind;
  bool once; /* it ends with its first notice */
  FarPointer at;
  uint32_t length; /* bytes, 1 and up; of words 8, and they are aligned to 8 */
  uint64_t value;
} FarWatch;

typedef struct FarNotice {
  uint64_t watch, number;
  bool gap;         /* the connection was lost meanwhile */
  uint64_t word;    /* of a range of 8 bytes that is aligned: what it is */
  const void *data; /* of FAR_CHANGED_DATA: `length` bytes, valid until the memory is asked again */
  uint32_t length;
} FarNotice;

/* Begins a watch. A round for ranges, which are read; none for words that are waited for: should
** it be so already, that is told at once. FAULT_LIMIT: there are FAR_WATCHES already, or the range
** is too long. */
bool far_watch(FarMemory *memory, const FarWatch *watch, uint64_t *out, Stop *stop, Fault *fault);

/* The same for a range of a word that the caller has read as `known`: no round. */
bool far_watch_word(FarMemory *memory, const FarWatch *watch, uint64_t known, uint64_t *out,
                    Fault *fault);

/* Ends it: no notice of it comes any more. False when there is no such watch. No round. */
bool far_unwatch(FarMemory *memory, uint64_t watch);

size_t far_watch_count(const FarMemory *memory);

/* What has come, `most` notices of different watches at most. When there is nothing, waits until
** something comes, or for so long. */
bool far_notices(FarMemory *memory, int64_t wait_ns, FarNotice *out, size_t most, size_t *out_n,
                 Stop *stop, Fault *fault);

/* Waits for this watch alone; what comes of others stays for far_notices(). */
bool far_notice_of(FarMemory *memory, uint64_t watch, int64_t wait_ns, bool *out_came, Stop *stop,
                   Fault *fault);

#endif
