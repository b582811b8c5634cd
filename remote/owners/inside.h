/*
** What the files of a node share; nobody else includes it.
*/
#ifndef TENFOLD_REMOTE_OWNERS_INSIDE_H
#define TENFOLD_REMOTE_OWNERS_INSIDE_H

#include "remote/owners/peer.h"

enum { OWN_TOUCHED = 64 };

/* A table in use by a thread: with a clerk of its own, once it needs one. */
typedef struct OwnUse {
  struct OwnUse *next;
  OwnTable *table;
  void *clerk;
} OwnUse;

typedef struct OwnConn { /* from another node */
  struct OwnConn *next;
  OwnNode *node;
  pthread_t thread;
  int fd;
  atomic_bool ended;
  FarWireBuffer in, out;
  OwnUse *uses;
  OwnObject **rows; /* of a slice that is being read in pages */
  size_t nrows;
  OwnTable *touched; /* load.c: what the last request was about, and some of its slices */
  int slices[OWN_TOUCHED];
  size_t nslices;
  int64_t cpu_ns; /* of this thread, at the end of the request before */
} OwnConn;

typedef struct OwnMove { /* that somebody waits for */
  struct OwnMove *next;
  OwnTable *table;
  int slice;
  char address[OWN_ADDRESS];
  bool done, ok;
  Fault fault;
} OwnMove;

struct OwnNode {
  OwnNode *next; /* all of the process */
  int refs;
  bool inherited, private, keeping, listening;
  char *coordinator, *address, *secret;
  char name[OWN_ADDRESS + 20];
  Coord *coord;
  pthread_t keeper, listener;
  int listen_fd, wake_fd;
  atomic_bool stopping, hurry;

  pthread_mutex_t lock; /* of what follows */
  pthread_cond_t news;
  OwnTable *tables;
  bool tables_changed;
  OwnMember members[OWN_MEMBERS];
  int nmembers;
  OwnConn *conns;
  OwnMove *moves;
  OwnNodeStats stats;
  char trouble[FAULT_TEXT]; /* of the keeper, the last time; "": none */
};

/* Sockets that a child of a fork() closes (fork.c): it sets *fd to -1. */
void own_socket_add(int *fd);
void own_socket_remove(int *fd); /* and closes it */
void own_socket_shut(int *fd);   /* whoever reads from it sees its end */
/* Nodes, of which a child has none. `guard` is held. */
extern pthread_mutex_t own_guard;
extern OwnNode *own_nodes;

/* answer.c: what a request in conn->in is answered, in conn->out. NULL, or why she is sent away. */
const char *own_answer(OwnConn *conn, uint32_t kind);
const char *own_answer_fault(OwnConn *conn, const Fault *fault);

/* load.c: a request concerns a slice; it has been answered, and has cost what it has. */
void own_load_touch(OwnConn *conn, OwnTable *table, int slice);
void own_load_charge(OwnConn *conn);
/* What the slices cost now. True: the others should be told. */
bool own_load_weigh(OwnTable *table);
void own_load_carry(OwnTable *table, int slice, uint64_t load); /* it came with so much */
uint64_t own_load_of(OwnTable *table, int slice);

/* serve.c */
bool own_listen(OwnNode *node, Fault *fault);
void own_listen_end(OwnNode *node);

/* keeper.c */
typedef struct OwnKeeper {
  OwnNode *node;
  OwnUse *uses;
  CoordItem *items;
  size_t nitems;
  OwnPeer *peer; /* to whom slices were given last */
  char peer_name[OWN_ADDRESS + 20];
  int64_t flushed;
} OwnKeeper;
/* claims.c: from it->items, which was just read. */
void own_read_members(OwnKeeper *it);
bool own_apply_map(OwnKeeper *it, OwnTable *table, Fault *fault);
/* targets[slice]: the member who should have it, not us when `leaving`. How many others there are.
** */
int own_assign_table(OwnKeeper *it, OwnTable *table, bool leaving, int *owners, int *targets);
/* The same for slices of ours that are given away to even out loads: how many. */
int own_even_table(OwnKeeper *it, OwnTable *table, int *owners, int *targets);
bool own_claim(OwnKeeper *it, OwnTable *table, const int *owners, const int *targets, Fault *fault);
/* Says that slices which the map has as ours are nobody's. */
bool own_release(OwnKeeper *it, OwnTable *table, Fault *fault);
void own_fence_later(OwnKeeper *it, OwnTable *table);
void own_slice_key(const OwnTable *table, int slice, char out[COORD_KEY]);
/* copies.c. Slices that become ours, and are not begun yet: their copies are taken over, or said to
** be none. */
bool own_copies_adopt(OwnKeeper *it, OwnTable *table, const int *numbers, size_t n, Fault *fault);
/* Tells the coordinator of copies that have become whole, or are not to be believed any more. */
bool own_copies_say(OwnKeeper *it, OwnTable *table, Fault *fault);
/* Before a slice of ours becomes another's, and when nobody changes it: the generation of its copy
** when that is whole (0: there is none). True: *out has to go along, which says that it is not. */
bool own_copy_part(OwnTable *table, int number, char key[COORD_KEY], uint64_t *out_generation,
                   CoordChange *out);
enum { OWN_COPY_VALUE = 20 };
void own_copy_key(const OwnTable *table, int slice, char out[COORD_KEY]);
void own_copy_value(uint64_t generation, char out[OWN_COPY_VALUE]);
/* handover.c: a slice of ours becomes that member's. */
bool own_hand_over(OwnKeeper *it, OwnTable *table, int slice, int to, Fault *fault);
bool own_keep(OwnNode *node, Fault *fault);
void own_keep_end(OwnNode *node);
int own_member_number(OwnNode *node, const char *name); /* claims.c; lock is held */

/* node.c: a reference more, a reference less. */
OwnUse *own_use(OwnUse **uses, OwnTable *table, Fault *fault); /* takes over the reference */
bool own_use_clerk(OwnUse *use, Fault *fault);
void own_uses_end(OwnUse **uses);
OwnTable *own_table_keep(OwnTable *table);
void own_table_release(OwnTable *table);

/* Loads a row after a miss, and keeps it if nothing happened meanwhile: like own_table_find(). */
OwnAnswer own_use_find(OwnUse *use, const OwnKey *key, OwnObject **out, Fault *fault);

/* Rows that are not in the database yet get there. Bits are set of slices of which that cannot be
** now, because an old copy of them may be believed in. */
bool own_use_flush(OwnUse *use, uint64_t *out_left, uint64_t *count, Fault *fault);
bool own_use_flush_here(OwnUse *use, uint64_t *out, Fault *fault);

void own_pause(int64_t ns);

#endif
