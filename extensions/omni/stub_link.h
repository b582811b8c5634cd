/*
** gdb's remote serial protocol: packets over a pair of descriptors.
**
**   $PAYLOAD#xx   xx: the sum of the payload's bytes; + and - answer it until both sides agree to
**                 go without. A byte 0x03 between packets: stop what runs.
**
** Whatever comes is hostile: a packet is never longer than STUB_PACKET, one with a wrong sum is
** asked for again, and anything between packets is passed over.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_STUB_LINK_H
#define TENFOLD_EXTENSIONS_OMNI_STUB_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

enum { STUB_PACKET = 1 << 16 };

typedef struct StubLink {
  int in, out;
  bool no_acks, stop_asked;
  bool ended, broken; /* nothing more comes / can be said */
  size_t begin, end;  /* of what was read and not looked at */
  char bytes[1 << 14];
  char packet[STUB_PACKET + 1]; /* the payload in hand, NUL behind it; 0x7d escapes undone */
  size_t size;
  Text sent; /* the last packet, for one who did not get it */
} StubLink;

/* Waits for the next packet. False: the other side has gone, or does not make sense. */
bool stub_link_receive(StubLink *link);
/* Sends `size` bytes as one packet. */
void stub_link_send(StubLink *link, const char *bytes, size_t size);
/* Does the other side want that what runs stops, or has it gone? */
bool stub_link_stops(StubLink *link);
void stub_link_finish(StubLink *link);

#endif
