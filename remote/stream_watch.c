/*
** Watches by way of a server, which looks, and sends notices.
*/
#include <poll.h>
#include <string.h>

#include "remote/stream.h"

static const int64_t millisecond = 1000000;

bool far_stream_watch(FarMemory *memory, const FarLook *look, Fault *fault) {
  FarWireBuffer *out = &memory->stream->out;
  if (!far_stream_begin(memory, NULL, fault)) return false;
  if (!far_wire_begin(out, WIRE_WATCH) || !far_wire_put_watch(out, look)) return fault_oom(fault);
  return far_stream_send(memory, fault);
}

static bool say(FarMemory *memory, FarWireKind kind, uint64_t word, Fault *fault) {
  FarWireBuffer *out = &memory->stream->out;
  if (!far_stream_begin(memory, NULL, fault)) return false;
  if (!far_wire_begin(out, kind) || !far_wire_add(out, &word, sizeof word)) return fault_oom(fault);
  return far_stream_send(memory, fault);
}

/* If it cannot be said, there is no connection any more, or soon. */
void far_stream_unwatch(FarMemory *memory, const FarLook *look) {
  if (memory->fd >= 0) say(memory, WIRE_UNWATCH, look->id, NULL);
}

bool far_stream_notice(FarMemory *memory, const unsigned char *body, size_t length, Fault *fault) {
  const unsigned char *at = body + 8, *end = body + length;
  FarWireNotice notice;
  uint64_t number;
  if (length < sizeof number) return far_stream_lost(memory, "a notice is no notice", fault);
  if (far_notice_lost(memory)) return true;
  memcpy(&number, body, sizeof number);
  while (at < end) {
    if (!far_wire_take_notice(&at, end, &notice))
      return far_stream_lost(memory, "a notice is no notice", fault);
    FarLook *look = far_looks_get(&memory->looks, notice.id);
    if (!look) continue; /* it ended meanwhile */
    if (notice.length != (look->data ? look->what.length : 0))
      return far_stream_lost(memory, "a notice does not fit its watch", fault);
    far_told(memory, look, notice.known, notice.word, notice.data);
  }
  memory->stream->heard = number;
  return true;
}

/* So that the next notice comes; or, when nothing came for a while, perhaps the last one again. */
static bool say_heard(FarMemory *memory, Fault *fault) {
  FarStream *stream = memory->stream;
  const int64_t now = clock_now();
  if (stream->said == stream->heard) {
    if (now - stream->said_at < FAR_RECHECK * millisecond) return true;
    if (!far_stream_idle(memory, fault)) return false; /* perhaps it is there */
  }
  stream->said = stream->heard;
  stream->said_at = now;
  return say(memory, WIRE_HEARD, stream->heard, fault);
}

bool far_stream_hear(FarMemory *memory, int64_t ns, Fault *fault) {
  if (memory->fd < 0) return far_stream_lost(memory, "the connection was lost", fault);
  if (memory->looks.count && !say_heard(memory, fault)) return false;
  if (ns > 0) {
    struct pollfd wanted = {.fd = memory->fd, .events = POLLIN};
    poll(&wanted, 1, (int)((ns + millisecond - 1) / millisecond));
  }
  return far_stream_idle(memory, fault);
}
