/*
** far: tables in far memory. What a connection has, and what a table is.
*/
#ifndef TENFOLD_EXTENSIONS_FAR_FAR_H
#define TENFOLD_EXTENSIONS_FAR_FAR_H

#include "vtab/vt.h"

#include "base/array.h"
#include "remote/alloc.h"
#include "remote/histogram.h"
#include "remote/map_watch.h"
#include "remote/queue.h"
#include "remote/record.h"
#include "remote/scan.h"
#include "remote/txn.h"
#include "remote/vector.h"

/* ---- links (link.c) -------------------------------------------------------------------------- */

/* A far memory that the connection uses: one client, one transaction for all tables in it. Opened
** at the first use, closed with the connection. */
typedef struct FarLink {
  struct FarLink *next;
  FarMemory *memory;
  FarTxn *txn;         /* from the first write of a transaction on */
  uint64_t client;     /* who we were when the transaction began */
  bool happened;       /* it is done, whatever is said of it */
  bool synced;         /* it is prepared, or done */
  bool alone;          /* the transaction is one statement: nothing local is written with it */
  struct FarTab *tabs; /* that take part in it */
  size_t *marks;       /* of savepoints: how much of the transaction there was */
  int nmarks;
  size_t marks_capacity;
  Map words; /* counters and mutexes: name to FarPointer */
  struct FarWatchedMap *maps;
} FarLink;

typedef struct FarState {
  FarLink *links;
  struct FarTab *tabs; /* all that are connected */
  struct FarWatched *watched;
  int64_t last_watched, last_event; /* numbers */
} FarState;

/* The link to the memory at `at`; `options` count when it is opened here for the first time. */
FarLink *far_link(FarState *state, const char *at, const FarOptions *options, Fault *fault);
void far_links_close(FarState *state);

/* ---- decisions (decide.c) -------------------------------------------------------------------- */

/* A transaction that changes far memory and the database happens when the database says so: in the
** same transaction a row with its mark goes into the shadow table NAME_decided. */
int far_decided_create(struct FarTab *tab);
bool far_decided_stored(const struct FarTab *tab); /* the table lives in a file */
int far_decided_drop(struct FarTab *tab);
int far_decided_rename(struct FarTab *tab, const char *name);
/* *out_mark is all zero when the table lives in memory: then nothing is left to decide about. */
int far_decided_note(struct FarTab *tab, unsigned char out_mark[FAR_MARK]);
/* Ends what clients of this database had left prepared when they died. */
int far_decided_settle(struct FarTab *tab, int *out_settled);

/* Before anything is asked of it: a connection that was lost is made anew, unless a transaction is
** under way, which is lost with it. */
bool far_link_ready(FarLink *link, Stop *stop, Fault *fault);

/* A transaction, told by each table of it. */
bool far_link_begin(FarLink *link, struct FarTab *tab, Fault *fault);
void far_link_leave(FarLink *link, struct FarTab *tab);
bool far_link_savepoint(FarLink *link, int n, Fault *fault);
void far_link_release(FarLink *link, int n);
bool far_link_rollback_to(FarLink *link, int n, Fault *fault);
int far_link_sync(FarLink *link, struct FarTab *tab, Stop *stop);
void far_link_end(FarLink *link, bool happens);

/* The callbacks of their writers. */
int far_tab_begin(VtTab *base);
int far_tab_sync(VtTab *base);
void far_tab_commit(VtTab *base);
void far_tab_rollback(VtTab *base);
int far_tab_savepoint(VtTab *base, int n);
int far_tab_release(VtTab *base, int n);
int far_tab_rollback_to(VtTab *base, int n);
#define FAR_TAB_TRANSACTION                                                                        \
  .begin = far_tab_begin, .sync = far_tab_sync, .commit = far_tab_commit,                          \
  .rollback = far_tab_rollback, .savepoint = far_tab_savepoint, .release = far_tab_release,        \
  .rollback_to = far_tab_rollback_to

/* ---- watching (watched.c) -------------------------------------------------------------------- */

/* Something that the connection watches, and what has come of it that no statement has read. */
typedef struct FarWatched {
  struct FarWatched *next;
  int64_t number;
  FarLink *link;
  char *name;                /* of the thing in far memory */
  FarPointer word;           /* a counter or mutex, or 0 */
  uint64_t id;               /* of the watch on it */
  struct FarWatchedMap *map; /* or a map, or NULL */
  FarMapWatch watch;
  bool noticed, gap_noticed; /* but not looked at: that failed */
  uint64_t told, stamp; /* of the element in the last event that was read; in the one that is */
  bool ended;           /* only the event is left */
  /* The event, if there is one. */
  bool has_event, read, gap;
  int64_t event; /* its number */
  FarMapEvent kind;
  uint64_t value; /* of a word */
} FarWatched;

/* A thing by its name in the memory at `at`; without that, by the name of a table of this
** connection, or in shm:default. `key`: NULL, or a value; an SQL NULL is none. *out_new: it was not
** watched before. */
bool far_watched_begin(FarState *state, const char *name, sqlite3_value *key, const char *at,
                       bool *out_new, Stop *stop, Fault *fault);
/* *out_was: it was watched. */
bool far_watched_end(FarState *state, const char *name, sqlite3_value *key, const char *at,
                     bool *out_was, Stop *stop, Fault *fault);
void far_watched_close(FarState *state);

/* Takes what has come, waiting so long until something has. */
bool far_watched_hear(FarState *state, int64_t wait_ns, Stop *stop, Fault *fault);
/* Events that nobody has read. */
int far_watched_unread(const FarState *state);
/* A statement has come past this event of this watch; what was read is forgotten; or it is as if it
** had not been read. */
void far_watched_read(FarState *state, int64_t number, int64_t event);
int far_watched_forget(FarState *state); /* how many */
void far_watched_keep(FarState *state);

/* ---- rows that are kept (kept.c) ------------------------------------------------------------- */

/* Of tables with stale_ms: rows by their keys, as they were read at most so long ago. */
typedef struct FarKept {
  int64_t ns; /* 0: nothing is kept */
  Map index;  /* key: number of the row */
  unsigned char *rows;
  size_t count, capacity; /* bytes */
  uint64_t client;        /* who we were then */
} FarKept;

struct FarTab;
/* The row under the key as it is kept: false when it is not. *out NULL: there was none. */
bool far_kept_get(struct FarTab *tab, const unsigned char *key, const unsigned char **out,
                  FarSeen *out_seen);
/* Keeps what was read, at a time not before `read_at`. What has no memory is not kept. */
void far_kept_put(struct FarTab *tab, const unsigned char *key, const unsigned char *element,
                  const FarSeen *seen, int64_t read_at);
void far_kept_clear(struct FarTab *tab);
/* Of all tables that show this map. */
void far_kept_clear_map(FarState *state, const FarLink *link, const char *far_name);

/* ---- tables ---------------------------------------------------------------------------------- */

/* A row as a statement that writes has read it: what is changed is what was read. */
typedef struct FarRead {
  FarSeen seen;
  unsigned char *element; /* NULL, unless the table has cells out of line */
} FarRead;

/* What was said when the table was made, beside its columns. */
typedef struct FarDeclared {
  unsigned leaf;
  uint64_t length;
  int64_t refresh_ns; /* -1: nothing is kept */
  FarHistogramPlan plan;
} FarDeclared;

typedef struct FarTab {
  VtTab base;
  struct FarTab *next_known; /* of the connection */
  FarKind kind;
  FarLink *link;
  FarMap *map; /* of maps and vectors; the others have one of these: */
  FarQueue *queue;
  FarHistogram *histogram;
  FarDeclared declared;
  FarRecord record;
  VtColumn *columns;
  VtOrder order;
  const char *far_name, *at, *secret; /* secret: of the server, from a file */
  const char *schema, *table;         /* where it was made */
  unsigned char noted[FAR_MARK];      /* the last mark in NAME_decided that is ours */
  bool has_blocks;                    /* cells may be out of line */
  uint32_t bring;                     /* bytes of them that a look-up has room for, 0: as usual */
  struct FarTab *next_tab;            /* of the transaction */
  struct FarRoom *room;               /* map_table.c: for the next cursor */
  int held;                           /* by so many */
  FarKept kept_rows;
  /* Since the transaction began here. */
  Map read_index; /* key: index in reads */
  FarRead *reads;
  size_t nreads, reads_capacity;
  FarPointer *stored; /* blocks that were written for it */
  size_t nstored, stored_capacity;
  Arena kept;
} FarTab;

/* The arguments of CREATE VIRTUAL TABLE (declare.c). */
int far_tab_declare(FarTab *tab, FarKind kind, const VtCreate *create, FarOptions *options);

/* The life of a table (tab.c): declares it, and opens the thing in far memory that it shows. */
int far_tab_connect(FarTab *tab, FarKind kind, const VtCreate *create);
void far_tab_disconnect(VtTab *base);
int far_tab_destroy(VtTab *base);
int far_tab_rename(VtTab *base, const char *name);
int far_tab_is_shadow(const char *suffix);

/* The table of this name and kind; connected when it was not yet. NULL: FAULT_NOTFOUND, or no
** memory. SQLite disconnects tables whenever it reads a schema anew, another one's as well: so it
** is good until any SQL is run, and longer when it is held. */
FarTab *far_tab_named(VtConn *conn, const char *name, FarKind kind, Fault *fault);

/* All zero holds nothing. What is held is neither disconnected nor dropped. */
typedef struct FarHold {
  FarTab *tab;
  sqlite3_stmt *statement; /* that names it */
} FarHold;
bool far_tab_hold(VtConn *conn, const char *name, FarKind kind, FarHold *out, Fault *fault);
void far_tab_let_go(VtConn *conn, FarHold *hold);

/* Connects the table of this name, if there is one. False: no memory. */
bool far_tab_wake(VtConn *conn, const char *name);
/* As far_tab_named() for functions, which run no SQL before they are done: NULL after
** func_fail(). */
FarTab *far_tab_find(sqlite3_context *ctx, sqlite3_value *name, FarKind kind);

/* ---- values (values.c) ----------------------------------------------------------------------- */

/* The key that equals the value, exactly; *out_none: there is none. */
void far_key_of_value(const FarRecord *record, sqlite3_value *value, unsigned char *out,
                      bool *out_none);

/* A value into a cell of an element in the making. A long one is written into a block first, which
** is noted in tab->stored. Codes: SQLITE_CONSTRAINT_DATATYPE, _NOTNULL, SQLITE_TOOBIG, FULL. */
int far_put_value(FarTab *tab, unsigned char *element, int column, sqlite3_value *value,
                  Stop *stop);

/* A cell as the result of a column; false: it may be out of line, or damaged. */
bool far_result_in_line(const FarRecord *record, const unsigned char *element, int column,
                        sqlite3_context *ctx);
/* A cell as the result of a column. `bytes`: what is out of line, when it is not NULL. */
int far_result(VtTab *tab, const FarRecord *record, const unsigned char *element, int column,
               const void *bytes, sqlite3_context *ctx);

/* What comes of rows that are looked for by their keys (brought.c): themselves, as far as columns
** are used, and what is out of line of those, as far as there is room for it. All zero is a valid,
** empty one. */
typedef struct FarBrought {
  struct FarTab *tab;
  unsigned char *bytes;
  uint32_t *lengths;
  size_t capacity, bytes_capacity;
  uint32_t each;                /* bytes for a row */
  uint32_t wanted;              /* bytes of an element */
  uint64_t used;                /* what the rest was made for, when there is a table */
  uint32_t prefix;              /* … up to the last of these columns */
  int columns[FAR_FOLLOWED], n; /* whose cells are asked for */
  FarFollow cells[FAR_FOLLOWED];
} FarBrought;

/* Bytes of an element, up to the last column that is used. */
uint32_t far_prefix_of(const FarRecord *record, uint64_t used);

/* Before far_map_find() of n keys: `used` are the columns that will be read. `whole`: all of the
** element is wanted none the less. Until far_map_bring(tab->map, 0, NULL, 0, 0). */
bool far_brought_begin(FarBrought *it, struct FarTab *tab, uint64_t used, bool whole, size_t n);
void far_brought_take(FarBrought *it, size_t row, const FarFound *found);
/* The bytes of a cell that is out of line and so long; NULL: they did not come. */
const void *far_brought(FarBrought *it, size_t row, int column, uint64_t length);
void far_brought_free(FarBrought *it);

/* Reads what column says is out of line: malloc'ed. *changed: the row is not what it was. */
bool far_read_block(FarTab *tab, FarPointer bucket, uint64_t version, FarPointer block,
                    uint64_t length, void **out, bool *changed, Stop *stop, Fault *fault);

/* ---- what was read and written (reads.c) ----------------------------------------------------- */

bool far_reads_add(FarTab *tab, const unsigned char *key, const FarSeen *seen,
                   const unsigned char *element, Fault *fault);
const FarRead *far_reads_get(const FarTab *tab, const unsigned char *key);

/* The transaction ended: blocks that nothing points to are given back, if we are still the client
** that took them. */
bool far_reads_end(FarTab *tab, bool happened, bool same);

extern const VtTable far_events_table, far_histogram_table, far_map_table, far_queue_table,
    far_stats_table, far_take_table, far_vector_table;
/* events.c */
void far_sql_watch(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_sql_unwatch(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_sql_wait(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_sql_pump(sqlite3_context *ctx, int argc, sqlite3_value **argv);
enum { FAR_NFUNCTIONS = 16 };
extern const VtFunction far_functions[FAR_NFUNCTIONS];
extern const VtWriter far_map_writer;

/* Functions on tables (tab_functions.c); functions.c describes them. */
void far_add_at(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_observe(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_pop(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_refresh(sqlite3_context *ctx, int argc, sqlite3_value **argv);
void far_turn(sqlite3_context *ctx, int argc, sqlite3_value **argv);
extern const VtArgument far_add_at_arguments[], far_observe_arguments[], far_pop_arguments[],
    far_refresh_arguments[], far_turn_arguments[];

/* An element of a queue as a result: the value of its only column, or a JSON object of all. */
int far_element_result(FarTab *tab, const unsigned char *element, sqlite3_context *ctx);

#endif
