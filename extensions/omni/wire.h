/*
** Messages between host and helper: framed, checked on both sides.
**
** A message is a head and a payload of numbers and texts in a fixed order, over a socket that keeps
** messages apart (SOCK_SEQPACKET). Neither side trusts the other: a message that is too short, too
** long, or not the one that is due is a fault, never more. The host asks, the helper answers with
** any number of WIRE_NEWS and WIRE_ROWS, then WIRE_DONE or WIRE_FAULT. While it works it looks for
** WIRE_STOP, and for the end of the socket.
*/
#ifndef TENFOLD_EXTENSIONS_OMNI_WIRE_H
#define TENFOLD_EXTENSIONS_OMNI_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "base/fault.h"
#include "base/text.h"

enum {
  WIRE_VERSION = 1,    /* of what is said; helper and host are one file, unless it was replaced */
  WIRE_SOCKET = 3,     /* the helper's end */
  WIRE_LIMIT = 1 << 16 /* bytes of a message with its head */
};

typedef enum WireKind {
  WIRE_NONE,
  /* the helper's */
  WIRE_HELLO, /* first of all: u32 WIRE_VERSION, text VT_VERSION */
  WIRE_NEWS,  /* how far it is: what it means belongs to the question */
  WIRE_ROWS,  /* part of a long answer */
  WIRE_DONE,  /* the answer */
  WIRE_FAULT, /* u32 FaultCode, text */
  /* the host's */
  WIRE_STOP,   /* answer at once, with a fault of FAULT_INTERRUPT */
  WIRE_RECORD, /* text dir, u64 hash_every, u64 chaos, texts: stdin, stdout, stderr ("": not
               ** redirected), u32 n, n texts: the command. Answer: see RecordAnswer in ask.h */
  WIRE_VERIFY, /* text dir. Answer: u64 events, u64 hashes */
  WIRE_CALLS,  /* see ask.h */
  /* With a descriptor of an empty file for cells (cells.h). All begin with text dir; answer:
  ** WIRE_NEWS at once, then u64 rows. `moment` and `terms` are as listing.h puts them. */
  WIRE_FUNCTIONS,   /* terms */
  WIRE_REGISTERS,   /* moment */
  WIRE_MEMORY,      /* moment, u64 addr, u64 size */
  WIRE_STACK,       /* moment */
  WIRE_VARIABLES,   /* moment, u64 frames */
  WIRE_EXPRESSIONS, /* moment, u64 frame, text */
  WIRE_GLOBALS,     /* terms, as those that follow */
  WIRE_TYPES,
  WIRE_PARAMETERS,
  WIRE_LINES,
  WIRE_PROBE, /* u32 number, of each expression u32 ProbeWant, text; then u32 1, moment, for any
              ** number of moments; u32 0 */
  /* terms, u64 lowest and u64 highest line or address, u64 last event */
  WIRE_PASSES,
  WIRE_INSTRUCTIONS,
  WIRE_FOLDED, /* terms, u64 last event */
  WIRE_WRITES, /* text: a global, or ""; u64 addr, u64 size, u32 are moments wanted, u64 last event
                */
  WIRE_KINDS
} WireKind;

typedef struct WireHead {
  uint32_t magic; /* "OMNI" */
  uint16_t kind, reserved;
  uint32_t size; /* of the payload */
} WireHead;

/* A message being written, or one that was read. All zero is valid and empty. */
typedef struct Wire {
  WireKind kind;
  size_t size, at; /* of the payload; where reading is */
  bool failed;     /* it did not fit, or something was read that is not there */
  int fd;          /* that came along + 1; 0: none */
  _Alignas(8) uint8_t bytes[WIRE_LIMIT - sizeof(WireHead)];
} Wire;

void wire_begin(Wire *wire, WireKind kind);
void wire_put_u32(Wire *wire, uint32_t value);
void wire_put_u64(Wire *wire, uint64_t value);
void wire_put_text(Wire *wire, const char *text);
void wire_put_bytes(Wire *wire, const void *bytes, size_t size);

/* Zero or "" once something was wrong; ask wire_end() at the end. A text is valid as long as the
** message and has its NUL; one with a NUL inside is wrong. */
uint32_t wire_get_u32(Wire *wire);
uint64_t wire_get_u64(Wire *wire);
const char *wire_get_text(Wire *wire);
const void *wire_get_bytes(Wire *wire, size_t *out_size);
/* Was everything there, and nothing more? */
bool wire_end(const Wire *wire, Fault *fault);

/* Sends the message, and a descriptor with it (-1: none). FAULT_LIMIT: it is too long;
** FAULT_NOTFOUND: the other side is gone. Blocks while the socket is full. */
bool wire_send(int socket, const Wire *wire, int fd, Fault *fault);
/* Receives one; waits at most `timeout` ms (-1: for ever). wire->kind is WIRE_NONE when nothing
** came in that time. FAULT_NOTFOUND: the other side is gone; FAULT_CORRUPT: what came is no
** message. A descriptor that came along belongs to the caller. */
bool wire_receive(int socket, int timeout, Wire *wire, Fault *fault);

#endif
