/*
** Prints the comments of an Ogg Vorbis file, with stb_vorbis as Debian 12 has it (libstb-dev). That
** multiplies the number of comments by the size of a pointer and allocates as many bytes as fit
** into an int (CVE-2023-45681).
*/
#include <stb/stb_vorbis.h>
#include <stdio.h>

int main(int argc, char **argv) {
  int error = 0;
  stb_vorbis *song = argc > 1 ? stb_vorbis_open_filename(argv[1], &error, NULL) : NULL;
  if (!song) return fprintf(stderr, "songinfo: error %d\n", error), 1;
  stb_vorbis_comment comments = stb_vorbis_get_comment(song);
  for (int i = 0; i < comments.comment_list_length; i++) puts(comments.comment_list[i]);
  stb_vorbis_close(song);
  return 0;
}
