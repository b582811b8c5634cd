/*
** The bytes that a system call carried: what was read, written, sent or received.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_PAYLOAD_H
#define TENFOLD_EXTENSIONS_OMNI_PAYLOAD_H

#include "extensions/omni/omni.h"

typedef enum Direction { DIRECTION_NONE, DIRECTION_READ, DIRECTION_WRITE } Direction;

typedef struct Payload {
  bool there; /* the recording has the bytes */
  const uint8_t *bytes;
  size_t size;
} Payload;

/* Whether the call moves data through a descriptor, by its number. Several messages in one call
** (sendmmsg, recvmmsg) and moves inside the kernel (sendfile, splice) are not told. */
Direction payload_direction(int nr);

/* Of a finished system call. Those with a direction carry exactly the bytes that `ret` counts;
** others what the program gave, or else what the kernel answered. Several pieces are joined in the
** arena, one is where the event is. False: no memory. */
bool payload_of(const Event *event, Arena *arena, Payload *out);

#endif
