/*
** What slices cost: the processor's time that requests about them take here (of the thread that
** answers them, system calls included), and a little for each row that is looked up or changed in
** this process. Rates are averages over a few periods of the table's: a moment does not count.
**
** A node tells its sum when that is another one by a tenth, or slices have come or gone, and not
** twice in half a period: when nothing changes, nothing is written.
*/
#include <time.h>

#include "remote/owners/assign.h"
#include "remote/owners/inside.h"

/* ns of a row here, and of a period when there is none; over how many of them is averaged */
enum { LOOK_UP = 1000, USUAL = 2000000000, PERIODS = 4 };

static int64_t thread_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Of more slices than there is room for, the last ones stand for all. */
void own_load_touch(OwnConn *conn, OwnTable *table, int slice) {
  if (conn->touched != table) conn->nslices = 0;
  conn->touched = table;
  conn->slices[conn->nslices++ % OWN_TOUCHED] = slice;
}

void own_load_charge(OwnConn *conn) {
  const int64_t now = thread_ns();
  const size_t n = conn->nslices < OWN_TOUCHED ? conn->nslices : OWN_TOUCHED;
  for (size_t i = 0; i < n; i++) {
    OwnSlice *slice = &conn->touched->slices[conn->slices[i]];
    atomic_fetch_add_explicit(&slice->busy, (uint64_t)(now - conn->cpu_ns) / n,
                              memory_order_relaxed);
  }
  conn->cpu_ns = now;
}

/* ---- rates ----------------------------------------------------------------------------------- */

static uint64_t weigh_slice(OwnSlice *slice, int64_t ns, int64_t period) {
  pthread_mutex_lock(&slice->lock);
  const uint64_t all = atomic_load_explicit(&slice->busy, memory_order_relaxed) +
                       (slice->reads + slice->writes) * LOOK_UP;
  const int64_t rate = (int64_t)((all - slice->counted) * 1000000 / (uint64_t)ns);
  const bool here = slice->state == OWN_HERE || slice->state == OWN_LEAVING;
  const int64_t before = (int64_t)slice->load;
  slice->load = here ? (uint64_t)(before + (rate - before) * ns / (ns + PERIODS * period)) : 0;
  slice->counted = all;
  const uint64_t load = slice->load;
  pthread_mutex_unlock(&slice->lock);
  return load;
}

bool own_load_weigh(OwnTable *table) {
  OwnBalance *balance = &table->balance;
  const int64_t period = balance->period_ns ? balance->period_ns : USUAL;
  const int64_t now = clock_now(), ns = now - balance->weighed_at;
  if (ns < period / 4) return false;
  balance->load = 0;
  for (int i = 0; i < table->nslices; i++)
    balance->load += weigh_slice(&table->slices[i], ns, period);
  balance->weighed_at = now;
  const uint64_t told = balance->told, part = told / 10;
  const uint64_t least = part > 8 * OWN_IDLE ? part : 8 * OWN_IDLE;
  const uint64_t change = balance->load > told ? balance->load - told : told - balance->load;
  if (!balance->period_ns || now - balance->told_at < period / 2) return false;
  if (change < least && !atomic_load(&balance->changed)) return false;
  atomic_store(&balance->changed, false);
  balance->told_at = now;
  return true;
}

void own_load_carry(OwnTable *table, int number, uint64_t load) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  slice->load = load < OWN_MOST_LOAD ? load : OWN_MOST_LOAD;
  pthread_mutex_unlock(&slice->lock);
  atomic_store(&table->balance.changed, true);
}

uint64_t own_load_of(OwnTable *table, int number) {
  OwnSlice *slice = &table->slices[number];
  pthread_mutex_lock(&slice->lock);
  const uint64_t load = slice->load;
  pthread_mutex_unlock(&slice->lock);
  return load;
}

uint64_t own_node_load(const OwnTable *table, int number) {
  return number >= 0 && number < OWN_MEMBERS ? atomic_load(&table->balance.of[number]) : 0;
}
