/*
** Noise of counts that are read again and again while rows come and go.
**
** Chan, Shi and Song, "Private and Continual Release of Statistics" (2011), the hybrid mechanism.
** Ticks are cut into segments [2^k, 2^(k+1)), each of which is a binary tree. A count at tick T is
** the sum of all whole segments before T's, and of the few largest nodes of T's own segment that
** hold its ticks up to T. A node gets its noise once, when its last tick has come, so what is
** released never changes: it is drawn from a keyed pseudorandom function of the node, and need not
** be kept. The nonce of its last tick is part of the node: ticks that a rollback, a copy or a
** restored backup made anew are other nodes.
**
** A tick is in one whole segment and in k nodes below it. Of the budget, the segment gets 2 shares
** of k + 2 and each level below it one: a read adds up all segments, but few nodes. (The paper
** gives each half; at 5,000 ticks that is 1.6 times the noise.) A unit has up to `most` ticks that
** count for it and as many that take back, each by one, in one group; so with 2 * most * (k + 2) /
** epsilon as the scale of a share, all that is ever released about all groups changes in
** probability by no more than e^epsilon when the unit is taken out.
**
** The noise is discrete Laplace, drawn in integers alone: Canonne, Kamath and Steinke, "The
** Discrete Gaussian for Differential Privacy" (2020), algorithms 1 and 2. Mironov (CCS 2012) shows
** what the rounding of floating-point noise gives away.
*/
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "extensions/multiverse/count.h"

enum { SEGMENT_SHARES = 2, BLOCK_WORDS = 8, WORD_BYTES = 8 };

/* ---- nodes ----------------------------------------------------------------------------------- */

int noise_nodes(sqlite3_int64 tick, NoiseNode nodes[MOST_NODES]) {
  int n = 0, k = 0;
  for (; k < 62 && tick >= (sqlite3_int64)1 << (k + 1); k++) {
    nodes[n++] = (NoiseNode){k, ((sqlite3_int64)1 << (k + 1)) - 1, k, true, {0}};
  }
  sqlite3_int64 at = (sqlite3_int64)1 << k; /* the first tick of its segment */
  const sqlite3_int64 held = tick - at + 1;
  if (held == at) {
    nodes[n++] = (NoiseNode){k, tick, k, true, {0}};
    return n;
  }
  for (int level = k - 1; level >= 0; level--) {
    if (!(held >> level & 1)) continue;
    at += (sqlite3_int64)1 << level;
    nodes[n++] = (NoiseNode){level, at - 1, k, false, {0}};
  }
  return n;
}

/* ---- a stream of random words ---------------------------------------------------------------- */

typedef struct Stream { /* BLAKE2b under the secret, of the message and the number of the block */
  const unsigned char *secret;
  unsigned char *message; /* with room for that number behind it */
  size_t length;
  uint64_t block;
  unsigned char bytes[BLOCK_WORDS * WORD_BYTES];
  int left; /* words of the block */
} Stream;

static void put_word(unsigned char *out, uint64_t word) {
  for (int i = 0; i < WORD_BYTES; i++) out[i] = (unsigned char)(word >> 8 * i);
}

static uint64_t next_word(Stream *stream) {
  if (!stream->left) {
    put_word(stream->message + stream->length, stream->block++);
    crypto_generichash(stream->bytes, sizeof stream->bytes, stream->message,
                       stream->length + WORD_BYTES, stream->secret, SECRET_BYTES);
    stream->left = BLOCK_WORDS;
  }
  const unsigned char *at = stream->bytes + (BLOCK_WORDS - stream->left--) * WORD_BYTES;
  uint64_t word = 0;
  for (int i = WORD_BYTES - 1; i >= 0; i--) word = word << 8 | at[i];
  return word;
}

/* From 0 to n - 1, each as likely as the others. */
static uint64_t uniform(Stream *stream, uint64_t n) {
  const uint64_t most = UINT64_MAX - (UINT64_MAX % n + 1) % n; /* n divides most + 1 */
  uint64_t word;
  do word = next_word(stream);
  while (word > most);
  return word % n;
}

/* ---- discrete Laplace ------------------------------------------------------------------------ */

/* True with the probability exp(-p / q), for p <= q. The loop goes on beyond k with a probability
** of 1 / k!, so that q * k stays small. */
static bool bernoulli_exp(Stream *stream, uint64_t p, uint64_t q) {
  uint64_t k = 1;
  while (uniform(stream, q * k) < p) k++;
  return k % 2 == 1;
}

/* With the scale t / s: y with a probability in proportion to exp(-|y| * s / t). */
static sqlite3_int64 laplace(Stream *stream, uint64_t t, uint64_t s) {
  for (;;) {
    const uint64_t u = uniform(stream, t);
    if (!bernoulli_exp(stream, u, t)) continue;
    uint64_t v = 0;
    while (bernoulli_exp(stream, 1, 1)) v++;
    const sqlite3_int64 y = (sqlite3_int64)((u + t * v) / s);
    const bool negative = next_word(stream) & 1;
    if (!negative || y) return negative ? -y : y;
  }
}

static sqlite3_int64 draw_node(const Noise *noise, const NoiseNode *node, Stream *stream) {
  unsigned char *at = stream->message + stream->length - NONCE_BYTES - 2 * WORD_BYTES;
  put_word(at, (uint64_t)node->level);
  put_word(at + WORD_BYTES, (uint64_t)node->end);
  memcpy(at + 2 * WORD_BYTES, node->nonce, NONCE_BYTES);
  stream->block = 0;
  stream->left = 0;
  const uint64_t t =
      (uint64_t)(2 * noise->most * EPSILON_ONE) * (uint64_t)(node->levels + SEGMENT_SHARES);
  return laplace(stream, t, (uint64_t)noise->epsilon * (node->whole ? SEGMENT_SHARES : 1));
}

bool noise_draw(const Noise *noise, const void *key, size_t length, sqlite3_int64 *out) {
  Stream stream = {.secret = noise->secret, .length = length + 2 * WORD_BYTES + NONCE_BYTES};
  stream.message = malloc(stream.length + WORD_BYTES);
  if (!stream.message) return false;
  if (length) memcpy(stream.message, key, length);
  *out = 0;
  for (int i = 0; i < noise->nnodes; i++) *out += draw_node(noise, &noise->nodes[i], &stream);
  free(stream.message);
  return true;
}

bool noise_secret(unsigned char secret[SECRET_BYTES], Fault *fault) {
  if (sodium_init() < 0) return fault_set(fault, FAULT_INTERNAL, "libsodium: no randomness");
  randombytes_buf(secret, SECRET_BYTES);
  return true;
}
