/*
** A node: this process as an owner of slices. All connections of the process that name the same
** coordinator and the same address share it; it has a thread that listens, one for each
** connection, and a *keeper*: the one who watches the coordinator, claims slices that nobody
** owns, and hands over those that another node should have.
**
** Nobody leads. What the best assignment is follows from the map and the members alone
** (assign.h): each node claims its own part of what is free, and each gives away its own surplus.
** Claims are compare-and-set, so that two who see different maps cannot both succeed.
**
** Without a coordinator a node owns everything and has no threads.
*/
#ifndef TENFOLD_REMOTE_OWNERS_NODE_H
#define TENFOLD_REMOTE_OWNERS_NODE_H

#include "base/stop.h"
#include "remote/owners/coordinator.h"
#include "remote/owners/table.h"

enum { OWN_ADDRESS = 200 };

typedef struct OwnNode OwnNode;

/* A node as others know it. `name` is its address, '#' and a number that is new for each start: who
** comes again at the same address is another one. */
typedef struct OwnMember {
  char name[OWN_ADDRESS + 20];
  char address[OWN_ADDRESS];
  bool alive;
} OwnMember;

/* Where a row's owner is. */
typedef struct OwnPlace {
  bool here;
  int member; /* OWN_NOBODY: not known yet */
  uint64_t epoch;
} OwnPlace;

typedef struct OwnNodeOptions {
  const char *coordinator; /* its address, which names the node together with the next */
  const char *address;     /* where to listen; "": owns nothing, and is asked nothing */
  const char *secret;
  /* Opens the coordinator; called once for a new node. */
  Coord *(*open)(const char *at, void *ctx, Fault *fault);
  void *ctx;
} OwnNodeOptions;

/* The node of these, made at the first call: own_node_close() as often. A node without a
** coordinator is the caller's alone. */
OwnNode *own_node_open(const OwnNodeOptions *options, Fault *fault);
void own_node_close(OwnNode *node);

/* The table of that name: made at first, with what is in `like` (name, type, write, loads, strict,
** nslices, store), of which the store is taken over if it was made (*out_made). Close as often. */
OwnTable *own_node_table(OwnNode *node, const OwnTable *like, bool *out_made, Fault *fault);
void own_node_table_close(OwnTable *table);

/* Another reference to a table by its name, for who was asked about it: NULL, there is none. */
OwnTable *own_node_find_table(OwnNode *node, const char *name, size_t length);

/* Rows of ours that are not in the database yet get there. Bits are set of the slices of which that
** is all: those that were here before and afterwards; room for OWN_MOST_SLICES. */
bool own_table_flush(OwnTable *table, uint64_t *out, Fault *fault);

/* Around what a thread of ours does with SQLite, whose locks a child of fork() would find taken for
** ever: fork() waits until nobody is in there. */
void own_gate_enter(void);
void own_gate_leave(void);

/* Are we surely a member still? */
bool own_node_sure(OwnNode *node);
bool own_node_inherited(const OwnNode *node); /* by fork(): not ours */

const char *own_node_address(const OwnNode *node);
const char *own_node_name(const OwnNode *node);
const char *own_node_secret(const OwnNode *node);

OwnPlace own_node_place(OwnTable *table, int slice);
/* The address there; "" when it is not known. Returns `out`. */
const char *own_place_address(const OwnTable *table, const OwnPlace *place, char out[OWN_ADDRESS]);
/* The map may be old: the keeper looks at once. */
void own_node_hurry(OwnNode *node);

/* Members that were ever seen: false, no such number. */
bool own_node_member(OwnNode *node, int number, OwnMember *out);

/* Hands a slice of ours over to the member at that address, and waits for it. */
bool own_node_move(OwnTable *table, int slice, const char *address, Stop *stop, Fault *fault);

/* A member's load, as it said last: millionths of a processor. */
uint64_t own_node_load(const OwnTable *table, int number);

typedef struct OwnNodeStats {
  uint64_t claims, moves_out, moves_in, refused, requests, bytes_in, bytes_out, flushed;
  int64_t longest_pause_ns; /* of a slice that was handed over, in which nobody could use it */
} OwnNodeStats;
/* What the keeper could not do the last time, in out; "" when all is well. */
void own_node_trouble(OwnNode *node, char out[FAULT_TEXT]);
void own_node_stats(OwnNode *node, OwnNodeStats *out);

#endif
