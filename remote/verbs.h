/*
** Far memory by verbs: the card of the server's machine reads and writes the memory, and the server
** does not notice. What a client of it has is a connection like tcp:'s (stream.c), for everything
** that takes a processor, and a pair of queues beside it (RC), for its rounds.
**
** The server gives a proved client a token over the connection; with the token the client asks for
** the queues, so that the server knows whose they are. When the client goes, whyever, its queues
** are destroyed first, and only then it is buried: nothing of it comes afterwards.
**
** Words: cards change them without keeping processors out, and processors without keeping cards out
** (IBV_ATOMIC_HCA, and no less is asked for). So as long as a memory is served by verbs its words
** are changed by the card alone: the server has a pair of queues to itself, and what it does for
** other clients (far_execute) or behind dead ones (bury.c) goes that way (FarMapped.words).
** Programs that map it are kept out (far_mapped_alone).
**
** The whole mapping is registered when serving begins, and that pins it: a memory served by verbs
** takes its size at once. One key is then good for every far pointer, whatever is made later.
**
** librdmacm and libibverbs are looked for when they are first needed; without them, and where their
** headers were missing when this was compiled, everything here is FAULT_UNSUPPORTED.
*/
#ifndef TENFOLD_REMOTE_VERBS_H
#define TENFOLD_REMOTE_VERBS_H

#include "base/stop.h"
#include "remote/execute.h"
#include "remote/nic.h"

/* ---- a client's queues ----------------------------------------------------------------------- */

/* Connects with the server at "verbs:HOST:PORT". `meanwhile` (NULL: nothing) is called again and
** again while it waits. */
Nic *verbs_connect(const char *at, uint64_t token, int64_t deadline, Stop *stop,
                   void (*meanwhile)(void *ctx), void *ctx, Fault *fault);

/* ---- a server's ------------------------------------------------------------------------------ */

typedef struct FarVerbs FarVerbs;

/* Listens at "verbs:HOST:PORT": HOST is an address of an RDMA device. From here on the words of the
** memory are changed by the card; `memory` outlives it, and belongs to nobody else. */
FarVerbs *far_verbs_open(FarMapped *memory, const char *at, Fault *fault);
void far_verbs_close(FarVerbs *verbs);

/* Readable when far_verbs_serve() has something to do, which does not wait. */
int far_verbs_fd(const FarVerbs *verbs);
void far_verbs_serve(FarVerbs *verbs);

/* A token for this client: one pair of queues. */
bool far_verbs_expect(FarVerbs *verbs, uint64_t client, uint64_t *out_token, Fault *fault);
/* Nothing of this client comes any more. */
void far_verbs_drop(FarVerbs *verbs, uint64_t client);

#endif
