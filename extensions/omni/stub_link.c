/*
** gdb's remote serial protocol: see stub_link.h.
*/
#include "extensions/omni/stub_link.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

enum { STOP_BYTE = 3, ESCAPE = 0x7d, ESCAPED_BY = 0x20 };

/* ---- bytes ----------------------------------------------------------------------------------- */

/* What there is, or, with `wait`, once there is something. */
static void fill(StubLink *link, bool wait) {
  if (link->begin == link->end) link->begin = link->end = 0;
  struct pollfd ready = {.fd = link->in, .events = POLLIN};
  while (!link->ended && link->end < sizeof link->bytes) {
    const int n = poll(&ready, 1, wait ? -1 : 0);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) return;
    const ssize_t got = read(link->in, link->bytes + link->end, sizeof link->bytes - link->end);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      link->ended = true;
      return;
    }
    link->end += (size_t)got;
    return;
  }
}

/* -1: the other side has gone. */
static int next_byte(StubLink *link) {
  if (link->begin == link->end) fill(link, true);
  return link->begin < link->end ? (unsigned char)link->bytes[link->begin++] : -1;
}

static void write_all(StubLink *link, const char *bytes, size_t size) {
  while (size && !link->broken) {
    const ssize_t n = write(link->out, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      link->broken = true;
      return;
    }
    bytes += n;
    size -= (size_t)n;
  }
}

/* ---- packets --------------------------------------------------------------------------------- */

static int hex_digit(int c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Behind a '$': the payload is in link->packet. False: its sum is wrong, it is too long, or it does
** not end. */
static bool read_packet(StubLink *link) {
  unsigned char sum = 0;
  bool escaped = false, fits = true;
  link->size = 0;
  for (int c; (c = next_byte(link)) != '#';) {
    if (c < 0) return false;
    if (c == '$') { /* one that began anew */
      sum = 0;
      link->size = 0;
      escaped = false;
      fits = true;
      continue;
    }
    sum = (unsigned char)(sum + c);
    if (c == ESCAPE && !escaped) {
      escaped = true;
      continue;
    }
    fits = fits && link->size < STUB_PACKET;
    if (fits) link->packet[link->size++] = (char)(escaped ? c ^ ESCAPED_BY : c);
    escaped = false;
  }
  link->packet[link->size] = '\0';
  const int high = hex_digit(next_byte(link)), low = hex_digit(next_byte(link));
  return fits && high >= 0 && low >= 0 && (link->no_acks || high * 16 + low == sum);
}

bool stub_link_receive(StubLink *link) {
  link->stop_asked = false;
  for (int c; (c = next_byte(link)) >= 0;) {
    if (c == '-' && !link->no_acks) write_all(link, text_get(&link->sent), link->sent.length);
    if (c != '$') continue; /* a stop byte too: nothing runs */
    const bool whole = read_packet(link);
    if (link->broken || (!whole && link->ended && link->begin == link->end)) return false;
    if (!link->no_acks) write_all(link, whole ? "+" : "-", 1);
    if (whole) return true;
  }
  return false;
}

void stub_link_send(StubLink *link, const char *bytes, size_t size) {
  Text *sent = &link->sent;
  unsigned char sum = 0;
  text_clear(sent);
  text_addc(sent, '$');
  for (size_t i = 0; i < size; i++) {
    const char c = bytes[i];
    const bool escape = c == '#' || c == '$' || c == '*' || c == ESCAPE;
    if (escape) text_addc(sent, ESCAPE);
    text_addc(sent, escape ? (char)(c ^ ESCAPED_BY) : c);
  }
  for (size_t i = 1; i < sent->length; i++)
    sum = (unsigned char)(sum + (unsigned char)sent->data[i]);
  text_addf(sent, "#%02x", sum);
  if (sent->oom) {
    link->broken = true;
    return;
  }
  write_all(link, sent->data, sent->length);
}

bool stub_link_stops(StubLink *link) {
  if (!link->ended) fill(link, false);
  while (link->begin < link->end && !link->stop_asked) {
    const char c = link->bytes[link->begin];
    if (c != STOP_BYTE && c != '+') break;
    link->stop_asked = c == STOP_BYTE;
    link->begin++;
  }
  return link->stop_asked || link->broken || (link->ended && link->begin == link->end);
}

void stub_link_finish(StubLink *link) { text_finish(&link->sent); }
