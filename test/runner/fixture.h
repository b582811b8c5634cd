/*
** Fixtures and their goldens: text in sections, each beginning with `-- case: NAME`.
*/
#ifndef TENFOLD_TEST_RUNNER_FIXTURE_H
#define TENFOLD_TEST_RUNNER_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Section {
  const char *name;
  const char *text; /* up to the next section */
} Section;

typedef struct Fixture {
  char *content;        /* what the rest points into */
  const char *preamble; /* before the first section, "" when there is none */
  Section *sections;
  size_t count, capacity;
} Fixture;

/* Split the file. False when it cannot be read; then the fixture is empty but valid. */
bool fixture_open(Fixture *fixture, const char *path);
const Section *fixture_find(const Fixture *fixture, const char *name); /* NULL: none */
void fixture_close(Fixture *fixture);

/* Run a .sql fixture against the .expected beside it, a TAP result per case and mode. */
typedef struct FixtureOptions {
  const char *folder; /* of the extensions */
  unsigned modes;     /* 1 << Mode each */
  unsigned seed;      /* of the sample of allocations that are refused */
  bool every;         /* refuse every allocation, however long it takes */
  bool update;        /* write the goldens instead of comparing */
} FixtureOptions;

void fixture_run(const char *path, const FixtureOptions *options);

/* Likewise a page of documentation: its ```sql blocks, run in order in one database, must answer
** what the ```text block right behind each says; without one they must not fail. */
void markdown_run(const char *path, const FixtureOptions *options);

#endif
