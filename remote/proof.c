#define _GNU_SOURCE /* getrandom */
#include "remote/proof.h"

#include <sodium.h>
#include <string.h>
#include <sys/random.h>

bool proof_nonce(unsigned char out[WIRE_NONCE]) {
  return getrandom(out, WIRE_NONCE, 0) == WIRE_NONCE;
}

void proof_make(const char *secret, bool server, const unsigned char client_nonce[WIRE_NONCE],
                const unsigned char server_nonce[WIRE_NONCE], unsigned char out[WIRE_PROOF]) {
  static const char *const sides[] = {"tenfold far memory, the client's proof",
                                      "tenfold far memory, the server's proof"};
  unsigned char key[crypto_generichash_KEYBYTES] = {0};
  crypto_generichash_state state;
  /* A secret of any length becomes a key. */
  crypto_generichash(key, sizeof key, (const unsigned char *)secret, strlen(secret), NULL, 0);
  crypto_generichash_init(&state, key, sizeof key, WIRE_PROOF);
  crypto_generichash_update(&state, (const unsigned char *)sides[server], strlen(sides[server]));
  crypto_generichash_update(&state, client_nonce, WIRE_NONCE);
  crypto_generichash_update(&state, server_nonce, WIRE_NONCE);
  crypto_generichash_final(&state, out, WIRE_PROOF);
  sodium_memzero(key, sizeof key);
}

bool proof_same(const unsigned char a[WIRE_PROOF], const unsigned char b[WIRE_PROOF]) {
  return sodium_memcmp(a, b, WIRE_PROOF) == 0;
}
