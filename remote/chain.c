#include "remote/chain.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/board.h"
#include "remote/bucket.h"

enum {
  SLICE = 1 << 20,    /* most bytes of a work */
  PATIENCE = 16,      /* reads of a bucket that somebody is changing */
  FIND_WORKS = 4,     /* version, head, the rest, version */
  SPIN_NS = 1000000,  /* a card answers in microseconds: until then it is asked all the time */
  PAUSE_NS = 50000,   /* and then so often */
  LATE_NS = 20000000, /* when it is nudged; then after twice as long, … */
  LOOKS = 64          /* at the card, for each at the clock */
};

/* What becomes of what a work brings. */
typedef enum PartKind {
  PART_NONE,   /* nothing */
  PART_BYTES,  /* some of what the operation reads */
  PART_WORD,   /* the operation's `old` */
  PART_BUCKET, /* the last of the works of a FIND */
  PART_BOARD   /* how many watch; of no operation */
} PartKind;

typedef struct Part { /* what a work is of */
  FarOp *op;
  PartKind kind;
  bool last;     /* the operation ends with it */
  uint32_t from; /* in the operation's bytes */
} Part;

struct Chain {
  Nic *nic;
  const char *at;
  unsigned region;
  uint64_t size;
  FarCounts *counts;
  int64_t deadline;
  Stop *stop;
  NicWork works[NIC_DEPTH];
  Part parts[NIC_DEPTH];
  size_t n, used; /* of works; of the card's room */
  bool reads;     /* something of it that a write might overtake */
  bool unsure;    /* a guard of it whose outcome is not known */
  bool finds;
  bool skip; /* a guard did not hold */
  bool lost;
  bool has_board;
  bool writes;                    /* something of it does */
  bool watched;                   /* of the round: somebody watches, */
  uint64_t wrote[FAR_BOARD / 64]; /* and where it wrote */
};

Chain *chain_open(Nic *nic, const char *at, unsigned region, uint64_t size, FarCounts *counts,
                  Fault *fault) {
  Chain *chain = calloc(1, sizeof *chain);
  if (!chain) {
    fault_oom(fault);
    return NULL;
  }
  chain->nic = nic;
  chain->at = at;
  chain->region = region;
  chain->size = size;
  chain->counts = counts;
  return chain;
}

void chain_close(Chain *chain) { free(chain); }

void chain_has_board(Chain *chain) { chain->has_board = true; }

const uint64_t *chain_wrote(const Chain *chain) { return chain->watched ? chain->wrote : NULL; }

/* ---- doing it -------------------------------------------------------------------------------- */

static bool lost(Chain *chain, FaultCode code, const char *what, Fault *fault) {
  chain->lost = true;
  return fault_set(fault, code, "%s: %s", chain->at, what);
}

static bool give_up(Chain *chain, int64_t now, Fault *fault) {
  if (chain->stop && stop_now(chain->stop))
    return lost(chain, FAULT_INTERRUPT, "interrupted", fault);
  if (now < chain->deadline) return true;
  chain->counts->timeouts++;
  return lost(chain, FAULT_IO, "the card is not done in time", fault);
}

static void count(FarCounts *counts, const NicWork *works, size_t n) {
  counts->rounds++;
  counts->messages += n;
  for (size_t i = 0; i < n; i++) {
    const NicWork *work = &works[i];
    counts->bytes_in += work->code == NIC_WRITE ? 0 : work->length;
    counts->bytes_out += work->code == NIC_READ ? 0 : work->code == NIC_WRITE ? work->length : 16;
  }
}

/* The works from this one on. */
static bool run(Chain *chain, size_t from, Fault *fault) {
  Nic *nic = chain->nic;
  const char *why = NULL;
  count(chain->counts, chain->works + from, chain->n - from);
  if (!nic->kind->post(nic, chain->works + from, chain->n - from, fault)) {
    chain->lost = true;
    return false;
  }
  const int64_t begun = clock_now();
  int nudges = 0;
  for (unsigned looks = 1;; looks++) {
    const NicState state = nic->kind->poll(nic, &why);
    if (state == NIC_DONE) return true;
    if (state == NIC_FAILED) return lost(chain, FAULT_IO, why, fault);
    if (looks % LOOKS) continue;
    const int64_t now = clock_now();
    if (!give_up(chain, now, fault)) return false;
    if (now - begun < SPIN_NS) continue;
    if (nudges < NIC_NUDGES && now - begun > (int64_t)LATE_NS << nudges) {
      nic->kind->nudge(nic);
      nudges++;
    }
    const struct timespec pause = {0, PAUSE_NS};
    nanosleep(&pause, NULL);
    looks = LOOKS - 1;
  }
}

/* ---- making works ---------------------------------------------------------------------------- */

static bool inside(const Chain *chain, FarPointer at, uint64_t length) {
  const uint64_t offset = far_offset(at);
  return far_region(at) == chain->region && offset <= chain->size && length <= chain->size - offset;
}

static size_t pad(size_t n) { return (n + 7) / 8 * 8; }

static bool fits(const Chain *chain, size_t works, size_t bytes) {
  const size_t most = chain->nic->depth < NIC_DEPTH ? chain->nic->depth : NIC_DEPTH;
  works += chain->has_board; /* for look_at_board() */
  return chain->n + works <= most && chain->used + pad(bytes) + 8 <= chain->nic->nroom;
}

static NicWork *add(Chain *chain, Part part, NicCode code, uint64_t at, uint32_t length) {
  NicWork *work = &chain->works[chain->n];
  *work = (NicWork){.code = code, .at = at, .local = (uint32_t)chain->used, .length = length};
  work->fence = code != NIC_READ && chain->reads;
  chain->reads = (chain->reads && !work->fence) || code != NIC_WRITE;
  if (code != NIC_READ && chain->has_board) {
    chain->writes = true;
    far_board_mark(chain->wrote, at, length);
  }
  chain->parts[chain->n++] = part;
  chain->used += pad(length);
  return work;
}

/* ---- what came of it ------------------------------------------------------------------------- */

/* Bytes of an operation from `from` on, to or from the card's room. */
static void copy(const FarOp *op, uint32_t from, unsigned char *room, uint32_t length, bool in) {
  const FarPiece whole = {op->local, op->length};
  const FarPiece *piece = op->npieces ? op->pieces : &whole;
  for (; length > 0; piece++) {
    if (from >= piece->length) {
      from -= piece->length;
      continue;
    }
    const uint32_t n = length < piece->length - from ? length : piece->length - from;
    unsigned char *here = (unsigned char *)piece->bytes + from;
    memcpy(in ? here : room, in ? room : here, n);
    room += n;
    length -= n;
    from = 0;
  }
}

static uint64_t word_of(const Chain *chain, size_t work) {
  uint64_t word;
  memcpy(&word, chain->nic->room + chain->works[work].local, sizeof word);
  return word;
}

/* The bucket of a FIND whose last work this is. False: somebody changed it meanwhile. The head was
** read before the slots it tells of, and all of it between two looks at the version. */
static bool found(const Chain *chain, size_t i, FarOp *op) {
  const FarShape *shape = &op->search->shape;
  const uint64_t version = word_of(chain, i - 3);
  if (version & 1 || word_of(chain, i) != version) return false;
  const unsigned char *bucket = chain->nic->room + chain->works[i - 2].local;
  const uint64_t used = ((const FarBucket *)(const void *)bucket)->used;
  if (op->code == FAR_RANGE) {
    bucket_range(op, shape, bucket, version, used);
  } else { /* for more see bring() */
    bucket_answer(op, shape, bucket, version, used, bucket_tag(shape, op->key));
  }
  return true;
}

static void end_op(Chain *chain, const FarOp *op) {
  chain->skip = chain->skip || (op->guard && op->status != FAR_DONE);
}

/* False: a FIND, which has to be done again. */
static bool settle(Chain *chain, size_t i) {
  const Part *part = &chain->parts[i];
  FarOp *op = part->op;
  if (part->kind == PART_BOARD) {
    chain->watched = chain->watched || word_of(chain, i);
    return true;
  }
  if (chain->skip) {
    op->status = FAR_SKIPPED;
    return true;
  }
  if (part->kind == PART_BUCKET && !found(chain, i, op)) return false;
  if (part->kind == PART_BYTES)
    copy(op, part->from, chain->nic->room + chain->works[i].local, chain->works[i].length, true);
  if (part->kind == PART_WORD) {
    op->old = word_of(chain, i);
    if ((op->code == FAR_CAS || op->code == FAR_EXPECT) && op->old != op->expected)
      op->status = FAR_DIFFERS;
  }
  if (part->last) end_op(chain, op);
  return true;
}

/* ---- what cells point to --------------------------------------------------------------------- */

/* Reads of what the cells of an element point to, as far_execute() has it, and of the version of
** its bucket: if that is another one then, what came is forgotten. The element is in op->local. */
static void follow(Chain *chain, FarOp *op) {
  unsigned char *out = op->local;
  uint64_t from = op->index;
  const unsigned char *element = out + FAR_FOUND;
  for (uint32_t i = 0; i < op->search->nfollow && op->length - from >= 8; i++) {
    const FarFollow *cell = &op->search->follow[i];
    uint64_t words[2], came = FAR_NONE;
    if (cell->at > op->search->wanted - sizeof words) continue;
    memcpy(words, element + cell->at, sizeof words);
    const uint64_t padded = pad(words[0]);
    if (words[0] > cell->room && words[0] <= op->length && padded <= op->length - from - 8 &&
        inside(chain, words[1], words[0])) {
      came = words[0];
      memset(out + from + padded, 0, 8);
      add(chain, (Part){op, PART_BYTES, false, (uint32_t)from + 8}, NIC_READ, far_offset(words[1]),
          (uint32_t)came);
    }
    memcpy(out + from, &came, 8);
    from += 8 + (came == FAR_NONE ? 0 : padded);
  }
  op->index = from;
  add(chain, (Part){op, PART_WORD, true, 0}, NIC_READ, far_offset(op->at), 8);
}

static bool take_followed(Chain *chain, Fault *fault) {
  if (chain->n && !run(chain, 0, fault)) return false;
  for (size_t i = 0; i < chain->n; i++) {
    const Part *part = &chain->parts[i];
    FarOp *op = part->op;
    if (part->kind == PART_BYTES) {
      copy(op, part->from, chain->nic->room + chain->works[i].local, chain->works[i].length, true);
    } else if (memcmp(op->local, chain->nic->room + chain->works[i].local, 8)) {
      op->index = FAR_FOUND + op->search->wanted;
    }
  }
  chain->n = chain->used = 0;
  return true;
}

/* Behind the trip that found them, one more for all elements of it. */
static bool bring(Chain *chain, Fault *fault) {
  FarOp *ops[NIC_DEPTH / FIND_WORKS];
  size_t n = 0;
  for (size_t i = 0; i < chain->n; i++) {
    FarOp *op = chain->parts[i].op;
    if (chain->parts[i].kind == PART_BUCKET && op->code == FAR_FIND && op->search->nfollow &&
        op->status == FAR_DONE && op->old != FAR_NONE)
      ops[n++] = op;
  }
  chain->n = chain->used = 0;
  for (size_t i = 0; i < n; i++) {
    const uint64_t most = ops[i]->length + 8;
    if ((!fits(chain, FAR_FOLLOWED + 1, most) && !take_followed(chain, fault))) return false;
    if (fits(chain, FAR_FOLLOWED + 1, most)) follow(chain, ops[i]);
  }
  return take_followed(chain, fault);
}

/* ---- a chain --------------------------------------------------------------------------------- */

/* Behind what was written, so that who began to watch before is counted, and who begins afterwards
** sees it. */
static void look_at_board(Chain *chain) {
  const uint64_t at = FAR_BOARD_AT + offsetof(FarBoard, all.watchers);
  if (chain->writes) add(chain, (Part){.kind = PART_BOARD}, NIC_READ, at, 8);
  chain->writes = false;
}

/* Behind a FIND that has to be done again there are only others, and the board. */
static bool flush(Chain *chain, Fault *fault) {
  size_t at = 0;
  look_at_board(chain);
  for (int tries = 0; at < chain->n;) {
    const size_t from = at;
    if (!run(chain, from, fault)) return false;
    while (at < chain->n && settle(chain, at)) at++;
    if (at == chain->n) break;
    FarOp *op = chain->parts[at].op;
    at -= FIND_WORKS - 1;
    tries = at > from ? 1 : tries + 1;
    chain->counts->retries++;
    if (tries < PATIENCE) continue;
    op->status = FAR_CHANGING;
    end_op(chain, op);
    for (at += FIND_WORKS; chain->skip && at < chain->n; at++) settle(chain, at);
    tries = 0;
  }
  const bool ok = !chain->finds || bring(chain, fault);
  chain->n = chain->used = 0;
  chain->reads = chain->unsure = chain->finds = false;
  return ok;
}

/* ---- operations as works --------------------------------------------------------------------- */

/* Makes sure that works can be added. Look at `skip` afterwards. */
static bool ready(Chain *chain, bool changes, size_t works, size_t bytes, Fault *fault) {
  const bool waits = chain->unsure || (chain->reads && !chain->nic->fences);
  return (fits(chain, works, bytes) && !(changes && waits)) || flush(chain, fault);
}

static bool skipped(const Chain *chain, FarOp *op) {
  if (chain->skip) op->status = FAR_SKIPPED;
  return chain->skip;
}

static bool move(Chain *chain, FarOp *op, uint64_t at, bool read, Fault *fault) {
  if (!op->length && chain->unsure && !flush(chain, fault)) return false;
  if (skipped(chain, op)) return true;
  for (uint32_t from = 0; from < op->length;) {
    const uint32_t left = op->length - from, n = left < SLICE ? left : SLICE;
    if (!ready(chain, !read, 1, n, fault)) return false;
    if (skipped(chain, op)) return true;
    const Part part = {op, read ? PART_BYTES : PART_NONE, n == left, from};
    const NicWork *work = add(chain, part, read ? NIC_READ : NIC_WRITE, at + from, n);
    if (!read) copy(op, from, chain->nic->room + work->local, n, false);
    from += n;
  }
  return true;
}

static bool word(Chain *chain, FarOp *op, NicCode code, FarPointer at, bool last, Fault *fault) {
  if (!ready(chain, code != NIC_READ, 1, 8, fault)) return false;
  if (skipped(chain, op)) return true;
  NicWork *work = add(chain, (Part){op, PART_WORD, last, 0}, code, far_offset(at), 8);
  work->value = op->value;
  work->expected = op->expected;
  chain->unsure = chain->unsure || (last && op->guard);
  return true;
}

static bool find(Chain *chain, FarOp *op, Fault *fault) {
  const FarShape *shape = &op->search->shape;
  const uint32_t head = sizeof(FarBucket), size = far_bucket_size(shape);
  const uint64_t at = far_offset(op->at);
  const Part nothing = {op, PART_NONE, false, 0};
  if (!ready(chain, false, FIND_WORKS, 16 + pad(size), fault)) return false;
  if (skipped(chain, op)) return true;
  add(chain, nothing, NIC_READ, at, 8);
  add(chain, nothing, NIC_READ, at, head);
  add(chain, nothing, NIC_READ, at + head, size - head);
  add(chain, (Part){op, PART_BUCKET, true, 0}, NIC_READ, at, 8);
  chain->finds = true;
  chain->unsure = chain->unsure || op->guard;
  return true;
}

/* ---- operations ------------------------------------------------------------------------------ */

static bool word_fits(const Chain *chain, FarPointer at) {
  return inside(chain, at, 8) && far_offset(at) % 8 == 0;
}

static const char *wrong_search(const Chain *chain, const FarOp *op) {
  const char *wrong = far_search_wrong(op);
  const uint32_t size = wrong ? 0 : far_bucket_size(&op->search->shape);
  if (wrong || (inside(chain, op->at, size) && far_offset(op->at) % 8 == 0)) return wrong;
  return "no bucket of this memory";
}

/* What is wrong with an operation in itself, or NULL. */
static const char *wrong_with(const Chain *chain, const FarOp *op) {
  switch (op->code) {
  case FAR_FIND:
  case FAR_RANGE:
    return wrong_search(chain, op);
  case FAR_READ:
  case FAR_WRITE:
    return inside(chain, op->at, op->length) ? NULL : "outside of this memory";
  case FAR_LOAD2:
  case FAR_STORE2:
  case FAR_ADD2:
    return word_fits(chain, op->at + op->index) ? NULL : "no word of this memory";
  case FAR_NCODES:
    return "no such operation";
  default:
    return (unsigned)op->code > FAR_NCODES ? "no such operation"
           : word_fits(chain, op->at)      ? NULL
                                           : "no word of this memory";
  }
}

static bool nowhere(Chain *chain, FarOp *op) {
  op->status = FAR_NOWHERE;
  end_op(chain, op);
  return true;
}

/* Through the pointer at `at`; `first` is the operation's first variant. */
static bool through(Chain *chain, FarOp *op, FarCode first, Fault *fault) {
  const unsigned way = op->code - first;
  const FarPointer at = way == 2 ? op->at + op->index : op->at;
  if (!word(chain, op, NIC_READ, at, false, fault) || !flush(chain, fault)) return false;
  if (skipped(chain, op)) return true;
  const FarPointer to = way == 1 && op->old ? op->old + op->index : op->old;
  if (first == FAR_ADD0)
    return word_fits(chain, to) ? word(chain, op, NIC_ADD, to, true, fault) : nowhere(chain, op);
  if (!inside(chain, to, op->length)) return nowhere(chain, op);
  return move(chain, op, far_offset(to), first == FAR_LOAD0, fault);
}

/* FAAI, SAAI: the pointer is moved on, and followed. */
static bool step(Chain *chain, FarOp *op, Fault *fault) {
  if (!word(chain, op, NIC_ADD, op->at, false, fault) || !flush(chain, fault)) return false;
  if (skipped(chain, op)) return true;
  if (!inside(chain, op->old, op->length)) return nowhere(chain, op);
  return move(chain, op, far_offset(op->old), op->code == FAR_FAAI, fault);
}

static bool do_op(Chain *chain, FarOp *op, Fault *fault) {
  const char *wrong = wrong_with(chain, op);
  if (((chain->finds && !far_op_searches(op)) || wrong) && !flush(chain, fault)) return false;
  if (skipped(chain, op)) return true;
  if (wrong) {
    return fault_set(fault, FAULT_INVALID, "%s: operation %d at far pointer %u:%llu, %u bytes: %s",
                     chain->at, (int)op->code, far_region(op->at),
                     (unsigned long long)far_offset(op->at), (unsigned)op->length, wrong);
  }
  op->status = FAR_DONE;
  switch (op->code) {
  case FAR_FIND:
  case FAR_RANGE:
    return find(chain, op, fault);
  case FAR_READ:
  case FAR_WRITE:
    return move(chain, op, far_offset(op->at), op->code == FAR_READ, fault);
  case FAR_CAS:
    return word(chain, op, NIC_CAS, op->at, true, fault);
  case FAR_EXPECT:
    return word(chain, op, NIC_READ, op->at, true, fault);
  case FAR_ADD:
    return word(chain, op, NIC_ADD, op->at, true, fault);
  case FAR_LOAD0:
  case FAR_LOAD1:
  case FAR_LOAD2:
    return through(chain, op, FAR_LOAD0, fault);
  case FAR_STORE0:
  case FAR_STORE1:
  case FAR_STORE2:
    return through(chain, op, FAR_STORE0, fault);
  case FAR_ADD0:
  case FAR_ADD1:
  case FAR_ADD2:
    return through(chain, op, FAR_ADD0, fault);
  default:
    return step(chain, op, fault);
  }
}

bool chain_round(Chain *chain, const FarSegment *segments, int n, int64_t deadline, Stop *stop,
                 bool *out_lost, Fault *fault) {
  chain->deadline = deadline;
  chain->stop = stop;
  chain->n = chain->used = 0;
  chain->reads = chain->unsure = chain->finds = chain->skip = false;
  chain->writes = chain->watched = false;
  memset(chain->wrote, 0, sizeof chain->wrote);
  bool ok = true;
  for (int i = 0; ok && i < n; i++) {
    for (size_t j = 0; ok && j < segments[i].n; j++) ok = do_op(chain, &segments[i].ops[j], fault);
  }
  ok = ok && flush(chain, fault);
  *out_lost = chain->lost;
  return ok;
}
