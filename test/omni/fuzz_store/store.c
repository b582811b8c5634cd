/*
** store.c, and how its files are forged.
*/
#include "extensions/omni/store.c"

#include "test/omni/fuzz_store.h"

static bool put_file(int folder, const CallsAnswer *answer, const char *suffix, const void *bytes,
                     size_t size) {
  char name[NAME_SIZE];
  name_of(answer, suffix, name);
  const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  const bool ok = fd >= 0 && write(fd, bytes, size) == (ssize_t)size;
  if (fd >= 0) close(fd);
  return ok;
}

static bool put_rows(int folder, const CallsAnswer *answer, int from, StoreHead *head) {
  uint8_t bytes[1 << 15];
  Packed rows;
  Fault fault = {0};
  const ssize_t size = pread(from, bytes, sizeof bytes, 0);
  if (size <= 0 || !put_file(folder, answer, "rows", bytes, (size_t)size)) return false;
  if (!packed_open(from, &rows, &fault)) return true;
  head->rows = rows.rows;
  head->rows_digest = packed_digest(&rows);
  packed_close(&rows);
  return true;
}

bool fuzz_store_put(const OmniSource *source, const CallsAnswer *answer, uint32_t nsites,
                    const uint8_t *sites, size_t size, int row_file) {
  Text text = {0};
  StoreHead head = {
      .version = STORE_VERSION, .nsites = nsites, .question_size = answer->question.length};
  const int folder = open_folder(source, true);
  memcpy(head.magic, magic, sizeof magic);
  bool ok = folder >= 0 && put_rows(folder, answer, row_file, &head);
  text_addn(&text, (const char *)&head, sizeof head);
  text_addn(&text, answer->question.data, answer->question.length);
  text_addn(&text, (const char *)sites, size);
  ok = ok && !text.oom;
  if (ok) {
    head.size = text.length;
    memcpy(text.data, &head, sizeof head);
    head.digest = hash_bytes(text.data, text.length, STORE_VERSION);
    memcpy(text.data, &head, sizeof head);
    ok = put_file(folder, answer, "sites", text.data, text.length);
  }
  text_finish(&text);
  if (folder >= 0) close(folder);
  return ok;
}
