/*
** A far memory from inside: what a transport does, and what all of them share.
*/
#ifndef TENFOLD_REMOTE_MEMORY_H
#define TENFOLD_REMOTE_MEMORY_H

#include "remote/looks.h"
#include "remote/txn.h"

/* Operations that go in one round, one after the other. */
typedef struct FarSegment {
  FarOp *ops;
  size_t n;
} FarSegment;

typedef struct FarTransport {
  const char *scheme;                                              /* "shm:" */
  bool (*open)(FarMemory *memory, const char *name, Fault *fault); /* fills head and client */
  void (*close)(FarMemory *memory);                                /* also after a failed open */
  bool (*revive)(FarMemory *memory, Stop *stop, Fault *fault);     /* when fd < 0 */
  bool (*round)(FarMemory *memory, const FarSegment *segments, int n, Stop *stop, Fault *fault);
  bool counts; /* what its rounds take, itself: they may be several */
  /* Makes sure that there is memory behind a range that was never used. */
  bool (*reserve)(FarMemory *memory, uint64_t at, uint64_t length, Fault *fault);
  /* This client is gone, and what it left is cleaned up; or it lives. */
  bool (*bury)(FarMemory *memory, uint64_t client, bool *out_alive, Fault *fault);
  bool (*settle)(FarMemory *memory, FarDecide *decide, void *ctx, int *out_settled, Fault *fault);
  /* Watches (watch.c): one begins; one ends; what has come is taken (far_told), after at most `ns`
  ** in which nothing did. */
  bool (*watch)(FarMemory *memory, const FarLook *look, Fault *fault);
  void (*unwatch)(FarMemory *memory, const FarLook *look);
  bool (*hear)(FarMemory *memory, int64_t ns, Fault *fault);
} FarTransport;

enum { FAR_MOST_FREED = 64 };

struct FarMemory {
  const FarTransport *transport;
  char *at;
  FarOptions options;
  FarHeader head; /* as it was at the opening: offsets, region, incarnation */
  uint64_t client;
  FarCounts counts;
  bool inherited; /* by fork(): not ours */
  FarInjection injection;

  /* Blocks taken from the memory (alloc.c): what is in the client's record, and what has to be
  ** written there with the next round, before anything points to the block. */
  FarPool pools[FAR_CLASSES];
  uint64_t dirty[(FAR_CLASSES + 63) / 64];
  FarOp freed[FAR_MOST_FREED]; /* of blocks that nothing points to any more: with the next round */
  int nfreed;

  FarPointer log; /* our client's (commit.c) */
  uint64_t log_room;
  bool log_known; /* the two are what stands in the client's record */

  FarLooks looks;       /* watches */
  uint64_t last_watch;  /* number of the last one that was begun */
  uint64_t last_told;   /* … of the last notice that was delivered */
  uint64_t last_chance; /* counts what injection decides about notices */
  void *spent;          /* data of notices that were delivered, and whose watches have ended */

  /* The transports' own. */
  uint64_t held[FAR_CLIENTS / 64]; /* shm.c: clients that live in this open file */
  FarMapped mapped;                /* shm.c */
  int64_t looked;                  /* shm.c: when all that is watched was last looked at */
  struct FarStream *stream;        /* stream.c */
  struct Nic *nic;                 /* verbs.c */
  struct Chain *chain;             /* verbs.c */
  char *secret;
  int fd;
  FarMemory *next; /* open ones, for fork() */
};

extern const FarTransport far_shm, far_file, far_unix, far_tcp, far_verbs;

/* Another question to a server, beside those of a transport: one word is answered (stream.c). */
bool far_stream_word(FarMemory *memory, int kind, uint64_t *out, Fault *fault);

/* From now on no other program maps this memory; FAULT_BUSY: another one has (shm.c). */
bool far_mapped_alone(FarMemory *memory, Fault *fault);

/* Further clients of a mapped memory, for who serves it (shm.c): they live until they are ended, or
** until this process dies. */
bool far_mapped_begin_client(FarMemory *memory, uint64_t *out, Fault *fault);
bool far_mapped_end_client(FarMemory *memory, uint64_t client, Fault *fault);

/* What is open, for fork(): a child closes what it has inherited. */
void far_enlist(FarMemory *memory);
void far_delist(FarMemory *memory);
/* Each of them, while none comes or goes. */
void far_each(void (*act)(FarMemory *memory, void *ctx), void *ctx);

/* For transports: this look has to be told about; its state, its word when it is one, its data when
** they come along. */
void far_told(FarMemory *memory, FarLook *look, uint64_t state, uint64_t word, const void *data);
/* For tests: whether what comes now is lost (FarInjection). */
bool far_notice_lost(FarMemory *memory);
/* After the connection was made anew: the watches go on, each with a gap. */
bool far_watch_again(FarMemory *memory, Fault *fault);
void far_watch_finish(FarMemory *memory);

static inline FarPointer far_here(const FarMemory *memory, uint64_t offset) {
  return far_pointer((unsigned)memory->head.region, 0, offset);
}

static inline FarOp far_read_op(FarPointer at, void *local, size_t length) {
  return (FarOp){.code = FAR_READ, .at = at, .local = local, .length = (uint32_t)length};
}

static inline FarOp far_write_op(FarPointer at, const void *local, size_t length) {
  return (FarOp){.code = FAR_WRITE, .at = at, .local = (void *)local, .length = (uint32_t)length};
}

/* Where a field of our client's record stands. */
FarPointer far_client_field(const FarMemory *memory, size_t field);

#endif
