/*
** The bytes of the code that is put into traced programs.
*/
#include "replay/inside_inner.h"

static const uint8_t code[] = {
#include "replay/inside_blob.h"
};

const uint8_t *inside_code(size_t *out_size) {
  *out_size = sizeof code;
  return code;
}
