/*
** Knowing a secret without saying it: who is asked shows a code of a number that the other side
** chose, and of his own. What follows on the connection is neither hidden nor sealed: a network
** that is not trusted needs a tunnel.
*/
#ifndef TENFOLD_REMOTE_PROOF_H
#define TENFOLD_REMOTE_PROOF_H

#include "remote/wire.h"

bool proof_nonce(unsigned char out[WIRE_NONCE]);

/* The client's proof and the server's differ by `server`. An empty secret proves nothing, and both
** sides may have it. */
void proof_make(const char *secret, bool server, const unsigned char client_nonce[WIRE_NONCE],
                const unsigned char server_nonce[WIRE_NONCE], unsigned char out[WIRE_PROOF]);
bool proof_same(const unsigned char a[WIRE_PROOF], const unsigned char b[WIRE_PROOF]);

#endif
