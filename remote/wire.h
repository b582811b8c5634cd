/*
** Rounds as bytes, between a client and a server (stream.c, server.c). All integers little-endian;
** everything is padded to 8 bytes.
**
**   frame     length of what follows (4), kind (4), body
**   ROUND     operations: code (1), guard (1), 0 (2), length (4), at, index, value, expected, shape
**             (8 each); then what is written. FIND and RANGE: instead of index how many cells are
**             followed (4) and which bounds there are (1, 2; 4), then owner, wanted, shape (8
**             each), the cells, the bounds; FIND: the key. For the same search as the operation
**             before it: code, guard, 1 (1), 0 (1), length (4), at (8); FIND: the key
**   DONE      for each operation: old (8), status (4), length (4); then what was read
**   FAULT     code (4), text
**   NOTICE    its number (8); then for each watch: its id, what is known of it now, the word (8
**             each), length (8), and so many bytes of data
**
** A connection begins with HELLO (a number of the client's choice) and CHALLENGE (a number of the
** server's); then PROVE, which shows that the client knows the secret, and WELCOME: the server's
** proof, the client's id, its lease, the memory's header. What comes from the other side is not
** trusted.
**
** Notices come when something has changed, between answers. There is one on its way at a time: the
** next one comes when the client has said HEARD. A client that waits says so now and then, with the
** last number that it knows: if that is another one than was sent, it is sent again.
*/
#ifndef TENFOLD_REMOTE_WIRE_H
#define TENFOLD_REMOTE_WIRE_H

#include "remote/looks.h"

enum {
  WIRE_VERSION = 4,
  WIRE_MOST = 16 << 20, /* bytes of a frame's body */
  WIRE_OP = 48,         /* bytes of an operation without what follows it */
  WIRE_LIKE = 16,       /* … of a FIND like the one before it */
  WIRE_RESULT = 16,
  WIRE_NONCE = 32,
  WIRE_PROOF = 32
};

typedef enum FarWireKind {
  WIRE_HELLO = 1, /* version (8), nonce */
  WIRE_CHALLENGE, /* nonce */
  WIRE_PROVE,     /* proof */
  WIRE_WELCOME,   /* proof, client id (8), lease in ns (8; 0: none), FarHeader */
  WIRE_ROUND,
  WIRE_DONE,
  WIRE_FAULT,
  WIRE_RESERVE, /* at, length (8 each) */
  WIRE_BURY,    /* client id (8); DONE: is it alive (8) */
  WIRE_DOUBTS,  /* DONE: id (8) and mark of each prepared transaction of a dead client */
  WIRE_SETTLE,  /* id (8), mark, FarDecision (8); DONE: was it (8) */
  WIRE_QUEUES,  /* nothing; DONE: a token (8), with which it may have queues (verbs.h) */
  WIRE_ALIVE,   /* nothing: the client lives. This and what follows has no answer */
  WIRE_WATCH,   /* id, kind (4), once (4), at, length, value, known (8 each) */
  WIRE_UNWATCH, /* id */
  WIRE_HEARD,   /* number of a notice */
  WIRE_WROTE,   /* a bit for each slot of the notice board: the client's card wrote there */
  WIRE_NOTICE   /* the server's */
} FarWireKind;

/* A growing frame. All zero is a valid, empty one. */
typedef struct FarWireBuffer {
  unsigned char *bytes;
  size_t length, capacity;
} FarWireBuffer;

void far_wire_free(FarWireBuffer *buffer);
/* Room for n bytes more, zeroed; NULL: no memory. Padded to 8. */
unsigned char *far_wire_more(FarWireBuffer *buffer, size_t n);
bool far_wire_add(FarWireBuffer *buffer, const void *bytes, size_t n);

/* Begins a frame, and says how long it has become. */
bool far_wire_begin(FarWireBuffer *buffer, FarWireKind kind);
void far_wire_end(FarWireBuffer *buffer, size_t from);

/* Bytes that an operation takes in a request, and in its answer at most. */
size_t far_wire_request_size(const FarOp *op);
size_t far_wire_answer_size(const FarOp *op);

/* `before`: the operation that was put there before it, NULL: none. */
bool far_wire_put_op(FarWireBuffer *buffer, const FarOp *op, const FarOp *before);
/* The answer to it: false when that is not what such an operation is answered. */
bool far_wire_take_result(const unsigned char **at, const unsigned char *end, FarOp *op);

/* What a server makes of a request: keys, and what is written, are the request's. NULL, or what is
** wrong with it. */
typedef struct FarWireRound {
  FarOp *ops;
  FarSearch *searches;
  size_t n, capacity, nsearches, searches_capacity;
  size_t answer; /* bytes, at most */
} FarWireRound;
const char *far_wire_take_round(FarWireRound *round, const unsigned char *body, size_t length);
/* After far_wire_take_round: where in the answer to carry it out. False: no memory. */
bool far_wire_make_answer(const FarWireRound *round, FarWireBuffer *answer, FarTray *out);
/* After it was. */
void far_wire_finish_answer(const FarWireRound *round, FarWireBuffer *answer);
void far_wire_round_free(FarWireRound *round);

bool far_wire_put_fault(FarWireBuffer *buffer, const Fault *fault);
void far_wire_take_fault(const unsigned char *body, size_t length, Fault *out);

/* Watches, and notices of them. False: no memory, or not what it should be. */
bool far_wire_put_watch(FarWireBuffer *buffer, const FarLook *look);
bool far_wire_take_watch(const unsigned char *body, size_t length, FarLook *out);

typedef struct FarWireNotice {
  uint64_t id, known, word;
  const unsigned char *data;
  uint32_t length; /* of data */
} FarWireNotice;

bool far_wire_put_notice(FarWireBuffer *buffer, const FarWireNotice *notice);
bool far_wire_take_notice(const unsigned char **at, const unsigned char *end, FarWireNotice *out);

#endif
