/*
** What stands where in a far memory. Shared by clients, by the memory's own processor where it has
** one, and by those who clean up behind clients that died.
**
**   header | notice board | clients | names | extents | bitmaps | extent 0, extent 1, …
**
** The header is one page, the board three. Everything else is found through the header. All
** integers are 8 bytes, little-endian, unless they say otherwise. Nothing in a far memory is
** trusted by who reads it: every offset is checked before it is used (execute.c, or the transport's
** hardware).
*/
#ifndef TENFOLD_REMOTE_LAYOUT_H
#define TENFOLD_REMOTE_LAYOUT_H

#include "remote/far.h"

#define FAR_MAGIC "tenfold\1"

enum {
  FAR_LAYOUT = 4, /* version of all this */
  FAR_PAGE = 4096,
  FAR_EXTENT = 65536, /* bytes; allocated whole, or cut into blocks of one size */
  FAR_CLIENTS = 1024,
  FAR_NAMES = 1024,
  FAR_NAME = 64,  /* bytes of a name, with its NUL */
  FAR_SIZES = 36, /* sizes of blocks: alloc.c */
  FAR_CLASSES = 2 * FAR_SIZES,
  FAR_BITMAP = FAR_EXTENT / 64 / 8 /* bytes: a bit for each block of the smallest size */
};

/* ---- allocation (alloc.c) -------------------------------------------------------------------- */

typedef struct FarClass { /* blocks of one size */
  uint64_t head;          /* number + 1 of the first extent that had room, 0: none */
  uint64_t freed;         /* blocks since extents were last looked through for room */
} FarClass;

typedef struct FarExtent {
  uint32_t class; /* + 1; 0: free; FAR_LARGE: the first of `count` extents in a row */
  uint32_t next;  /* number + 1 of the next one of the class with room */
  uint64_t count;
} FarExtent;

#define FAR_LARGE UINT32_MAX

/* Blocks that a client has taken, but not used yet. */
typedef struct FarPool {
  uint64_t word; /* offset of a word of a bitmap */
  uint64_t mask; /* the client's blocks in it */
} FarPool;

/* ---- the notice board (board.h) -------------------------------------------------------------- */

/* Who waits for a change of some address watches the slot of its page; who changes something looks
** whether anybody does. Different pages may have the same slot: then it is looked for nothing. */
typedef struct FarBoardSlot {
  uint64_t watchers; /* clients that watch it. Too many of them cost time, nothing else */
  uint64_t
      changes; /* counts rounds that wrote here while it was watched; its lower half is a futex */
} FarBoardSlot;

enum { FAR_BOARD = 512 }; /* slots, a power of two */

typedef struct FarBoard {
  FarBoardSlot slots[FAR_BOARD];
  FarBoardSlot all; /* sums */
} FarBoard;

enum { FAR_BOARD_AT = FAR_PAGE };

/* ---- clients (client.h) ---------------------------------------------------------------------- */

typedef enum FarClientState {
  FAR_CLIENT_FREE,
  FAR_CLIENT_OPEN,
  FAR_CLIENT_DOUBT /* died between preparing a transaction and saying how it ended */
} FarClientState;

/* A lock is a word with the id of the client that holds it: generation << 16 | slot + 1. Ids are
** never used again, so a lock with an id that is no client's was left behind. */
typedef struct FarClient {
  uint64_t id;
  uint64_t state;
  uint64_t log;                     /* FarPointer: changes that are decided, log.h; 0: none */
  uint64_t log_room;                /* bytes there */
  uint64_t split[2];                /* FarPointers of the buckets of a split that is under way */
  uint64_t watches[FAR_BOARD / 64]; /* a bit for each slot of the board that counts it */
  uint64_t spare[2];
  FarPool pools[FAR_CLASSES];
} FarClient;

static inline unsigned far_client_slot(uint64_t id) { return (unsigned)(id & 0xffff) - 1; }

/* ---- names ----------------------------------------------------------------------------------- */

typedef enum FarKind {
  FAR_KIND_NONE,
  FAR_KIND_REMOVED,
  FAR_KIND_MAP,
  FAR_KIND_WORD,
  FAR_KIND_VECTOR,
  FAR_KIND_QUEUE,
  FAR_KIND_HISTOGRAM
} FarKind;

typedef struct FarName {
  uint64_t kind; /* FarKind; 0: free */
  FarPointer root;
  uint64_t schema; /* hash of what users must agree on */
  uint64_t spare;
  char name[FAR_NAME];
  uint64_t more[4];
} FarName;

/* ---- the header ------------------------------------------------------------------------------ */

typedef struct FarHeader {
  char magic[8];
  uint64_t layout;
  uint64_t size;
  uint64_t region;      /* 1 … 4095: in every pointer */
  uint64_t incarnation; /* random, another one whenever contents were lost */
  uint64_t clients, names, extents, bitmaps, data; /* offsets */
  uint64_t nextents;
  uint64_t next_extent;            /* extents from here on were never used */
  uint64_t serial;                 /* counts what is made */
  uint64_t alloc_lock, names_lock; /* clients */
  uint64_t free_extents;           /* how many before it are free again */
  FarClass classes[FAR_CLASSES];
} FarHeader;

/* ---- buckets --------------------------------------------------------------------------------- */

/*
** A bucket is a small hash table in one place, read in one round: a head, a tag for each slot (a
** byte of the key's hash), the slots. Which slots hold an element says one word, `used`, so that
** an element comes, goes or is replaced by another in one step: what is new is written into a slot
** that is not used, and then `used` changes. Whoever changes a bucket holds its lock.
**
** Readers take no lock. They read `version`, the bucket, and `version` again: a change of what a
** reader may have in hand is between two versions. A change of the head (bucket.c) takes several
** words, and `version` is odd meanwhile.
**
** A bucket holds the keys from `low` on, below `high` (FAR_LAST: all), and knows its neighbour to
** the right (as in Lehman and Yao's B-link trees, 1981): who looks for a key in a bucket that has
** been split since sees it, and where to go.
*/
typedef struct FarBucket {
  uint64_t version;
  uint64_t used;
  uint64_t lock;
  FarPointer right;
  uint64_t owner; /* the map's serial number: no two maps have the same, whenever they were */
  uint64_t shape; /* far_shape_word() of the map's: for who cleans up */
  uint64_t flags;
  uint64_t spare;
} FarBucket; /* then: tags[64], low, high; at the next multiple of 64 the slots */

enum { FAR_LAST = 1 }; /* flags: no bucket to the right */
enum { FAR_SLOTS = 64, FAR_MOST_STRIDE = 16384, FAR_MOST_KEY = 512 };

typedef enum FarKeyKind {
  FAR_KEY_INTEGER = 1, /* 8 bytes, signed */
  FAR_KEY_TEXT         /* length (2 bytes), then so many bytes; compared as by memcmp() */
} FarKeyKind;

/* What all buckets of a map have in common. */
typedef struct FarShape {
  FarKeyKind kind;
  uint32_t key;    /* room of a key: a multiple of 8 */
  uint32_t stride; /* room of an element: its stamp (8 bytes), its key, its value */
  uint32_t slots;  /* at most FAR_SLOTS */
} FarShape;

enum { FAR_FOLLOWED = 4 };

/* A cell that may point to a block (record.h): a word says how long it is, and if that is more than
** `room` the word behind it is a pointer. */
typedef struct FarFollow {
  uint32_t at; /* from the beginning of the element */
  uint32_t room;
} FarFollow;

/* How FAR_FIND looks for a key, and what comes of it. FAR_DONE: the bucket's version and its `used`
** (FAR_FOUND bytes), the wanted part of the element if there is one, and then what cells of that
** part point to, in their order: a word with the length, or FAR_NONE when nothing came (it is in
** the cell, there is no more room in op->length, it is outside of the memory), and the bytes,
** padded to 8. FAR_ELSEWHERE: the bucket is no more the owner's, or the key belongs right of it;
** its head, which says so.
** FAR_RANGE brings the bucket's fields, low and high, and then the wanted part of each element with
** a key between the bounds, in the order of their slots. */
typedef struct FarSearch {
  FarShape shape;
  uint64_t owner;  /* the map's serial number */
  uint32_t wanted; /* first bytes of the element: a multiple of 8, with stamp and key */
  uint32_t nfollow;
  FarFollow follow[FAR_FOLLOWED];
  const void *from, *to; /* RANGE: keys, themselves included; NULL: no bound */
} FarSearch;

enum { FAR_FOUND = 16, FAR_STAMP = 8 };

/* Where what stands, from the bucket's beginning. Blocks of memory begin at multiples of 64, and so
** do the fields, the tags and the slots: a key that is there is found by a line of each. */
static inline uint32_t far_tags_at(void) { return sizeof(FarBucket); }
static inline uint32_t far_low_at(void) { return far_tags_at() + FAR_SLOTS; }
static inline uint32_t far_high_at(const FarShape *shape) { return far_low_at() + shape->key; }
static inline uint32_t far_head_size(const FarShape *shape) {
  return far_high_at(shape) + shape->key;
}
static inline uint32_t far_slot_at(const FarShape *shape, unsigned slot) {
  return (far_head_size(shape) + 63) / 64 * 64 + slot * shape->stride;
}
static inline uint32_t far_bucket_size(const FarShape *shape) {
  return far_slot_at(shape, shape->slots);
}
static inline const unsigned char *far_high_of(const FarShape *shape, const FarBucket *bucket) {
  return (const unsigned char *)bucket + far_high_at(shape);
}
/* The least room that a FIND needs. */
static inline uint32_t far_find_room(const FarSearch *search) {
  const uint32_t head = far_head_size(&search->shape), found = FAR_FOUND + search->wanted;
  return head > found ? head : found;
}
static inline uint32_t far_range_head(const FarShape *shape) {
  return (uint32_t)sizeof(FarBucket) + 2 * shape->key;
}
static inline uint32_t far_range_room(const FarSearch *search) {
  return far_range_head(&search->shape) + search->shape.slots * search->wanted;
}

/* The bits of `used` that stand for slots; the others are not to be believed. */
static inline uint64_t far_all_slots(const FarShape *shape) {
  return shape->slots < 64 ? (UINT64_C(1) << shape->slots) - 1 : UINT64_MAX;
}

bool far_shape_valid(const FarShape *shape);
bool far_search_valid(const FarSearch *search);
/* What is wrong with a FIND or RANGE, but for where it is; NULL: nothing. */
const char *far_search_wrong(const FarOp *op);
uint64_t far_shape_word(const FarShape *shape);
void far_shape_of_word(uint64_t word, FarShape *out);

uint64_t far_key_hash(const FarShape *shape, const void *key);
static inline uint8_t far_key_tag(uint64_t hash) { return (uint8_t)(hash >> 56); }
int far_text_compare(const FarShape *shape, const void *a, const void *b);
static inline int far_key_compare(const FarShape *shape, const void *a, const void *b) {
  int64_t left, right;
  if (shape->kind != FAR_KEY_INTEGER) return far_text_compare(shape, a, b);
  __builtin_memcpy(&left, a, 8);
  __builtin_memcpy(&right, b, 8);
  return (left > right) - (left < right);
}

#endif
