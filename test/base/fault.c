/*
** Faults: the first one wins, long texts are cut between characters, prefixes.
*/
#include "base/fault.h"

#include <stdint.h>
#include <stdlib.h>

#include "test/base/check.h"

/* An independent judge of well-formed UTF-8, by the table of RFC 3629. */
static bool valid_utf8(const char *text) {
  const unsigned char *s = (const unsigned char *)text;
  while (*s) {
    uint32_t code = *s;
    int more = code < 0x80       ? 0
               : code >> 5 == 6  ? 1
               : code >> 4 == 14 ? 2
               : code >> 3 == 30 ? 3
                                 : -1;
    if (more < 0) return false;
    code &= more == 0 ? 0x7f : more == 1 ? 0x1f : more == 2 ? 0x0f : 0x07;
    for (s++; more > 0; more--, s++) {
      if (*s >> 6 != 2) return false;
      code = code << 6 | (*s & 0x3f);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  }
  return true;
}

static void test_set(void) {
  Fault fault = {0};
  check(!fault_set(&fault, FAULT_INVALID, "node \"%s\": %d GiB", "a7", 16), "set answers false");
  check(fault.code == FAULT_INVALID, "the code is kept");
  check_text(fault.text, "node \"a7\": 16 GiB", "and the formatted text");
  fault_set(&fault, FAULT_IO, "later");
  check(fault.code == FAULT_INVALID, "the first fault wins");
  check(!fault_oom(&fault) && fault.code == FAULT_INVALID, "over out of memory too");
  fault_clear(&fault);
  check(fault.code == FAULT_NONE && fault.text[0] == '\0', "clear forgets both");
  fault_clear(NULL);
  check(!fault_set(NULL, FAULT_INVALID, "x") && !fault_oom(NULL), "NULL is ignored");
  fault_oom(&fault);
  check(fault.code == FAULT_NOMEM, "oom sets its code");
  check_text(fault.text, "out of memory", "and text");
}

/* Messages quote anything. */
static void test_bytes(void) {
  Fault fault = {0};
  fault_set(&fault, FAULT_INVALID, "not '%s'",
            "\xff\xc3\xa9\xed\xa0\x80\xc0\xaf"
            "a\xe2\x82");
  check_text(fault.text, "not '?\xc3\xa9?\?\?\?\?a?\?'", "bytes that are no UTF-8 become ?");
  bool valid = true;
  unsigned state = 1;
  for (int round = 0; round < 3000; round++) {
    char text[FAULT_TEXT + 40] = "";
    size_t length = (size_t)round % (sizeof text - 1);
    for (size_t i = 0; i < length; i++) {
      state = state * 1103515245 + 12345;
      text[i] = (char)(state >> 16 & 3 ? 0x80 + (state >> 20) % 0x80 : 1 + (state >> 20) % 0x7f);
    }
    fault = (Fault){0};
    fault_set(&fault, FAULT_INVALID, "%s", text);
    valid &= valid_utf8(fault.text);
    fault_prefix(&fault, "%s: ", text + length / 2);
    valid &= valid_utf8(fault.text);
  }
  check(valid, "whatever is quoted, messages are UTF-8");
}

/* Texts of every length around the limit, of characters of every width. */
static void test_cut(void) {
  static const char *const characters[] = {"x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
  bool valid = true, fits = true, full = true, prefixed = true;
  for (size_t c = 0; c < 4; c++) {
    size_t width = strlen(characters[c]);
    for (size_t lead = 0; lead < 8; lead++) {
      char text[2 * FAULT_TEXT] = "";
      memset(text, '.', lead);
      while (strlen(text) + width < sizeof text) strcat(text, characters[c]);
      Fault fault = {0};
      fault_set(&fault, FAULT_LIMIT, "%s", text);
      size_t length = strlen(fault.text);
      valid = valid && valid_utf8(fault.text);
      fits = fits && length < FAULT_TEXT && strncmp(fault.text, text, length) == 0;
      full = full && length + width >= FAULT_TEXT;
      for (int i = 0; i < 5; i++) fault_prefix(&fault, "%*s: ", i, "v");
      prefixed = prefixed && valid_utf8(fault.text) && strlen(fault.text) < FAULT_TEXT;
    }
  }
  check(valid, "a long text is cut between characters");
  check(fits, "and is a beginning of the whole");
  check(full, "and no character more is lost");
  check(prefixed, "prefixes cut likewise");
}

static void test_prefix(void) {
  Fault fault = {0};
  fault_set(&fault, FAULT_NOTFOUND, "no such column: x");
  check(!fault_prefix(&fault, "view %s: ", "r_capacity"), "prefix answers false");
  check_text(fault.text, "view r_capacity: no such column: x", "and goes before the text");
  check(fault.code == FAULT_NOTFOUND, "the code stays");
  fault_prefix(&fault, "weave: ");
  check_text(fault.text, "weave: view r_capacity: no such column: x", "prefixes pile up");
  check(!fault_prefix(NULL, "x"), "NULL is ignored");
  char large[2 * FAULT_TEXT];
  memset(large, 'y', sizeof large - 1);
  large[sizeof large - 1] = '\0';
  fault_prefix(&fault, "%s", large);
  check(strlen(fault.text) == FAULT_TEXT - 1, "a prefix that leaves no room cuts the text");
}

int main(void) {
  test_set();
  test_bytes();
  test_cut();
  test_prefix();
  return checks_end();
}
