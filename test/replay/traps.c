/*
** Instructions that must trap: found where objdump finds them, replaced by what faults, carried
** out.
*/
#include "replay/traps.h"

#include <assert.h>
#include <cpuid.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replay/elf_file.h"

/* Their addresses, as the disassembler of binutils has them. */
static size_t ask_objdump(const char *path, uint64_t *out, size_t max) {
  char command[512], line[512];
  size_t n = 0;
  snprintf(
      command, sizeof command,
      "objdump -d --no-show-raw-insn '%s' | grep -E '\\s(rdtscp?|rdrand|rdseed|cpuid|xsavec?)\\b'",
      path);
  FILE *pipe = popen(command, "r");
  assert(pipe);
  while (fgets(line, sizeof line, pipe) && n < max) out[n++] = strtoull(line, NULL, 16);
  pclose(pipe);
  return n;
}

static void test_file(const char *path, size_t least) {
  static uint64_t expected[4096];
  TrapSites sites = {0};
  ElfFile *elf;
  Fault fault = {0};
  size_t n = ask_objdump(path, expected, 4096);
  assert(traps_find(path, &sites, &fault) && elf_open(path, &elf, &fault));
  printf("%s: %zu, by objdump %zu\n", path, sites.count, n);
  assert(n == sites.count && n >= least);
  for (size_t i = 0; i < n; i++) {
    uint64_t addr;
    assert(elf_addr(elf, sites.list[i].offset, &addr));
    assert(addr == expected[i] || addr == expected[i] + 1); /* behind a REX */
  }
  elf_close(elf);
  free(sites.list);
}

static void test_decode(void) {
  static const struct {
    uint8_t bytes[8], size;
    TrapKind kind;
    int length, number;
  } cases[] = {
      {{0x0f, 0x31}, 2, TRAP_RDTSC, 2, 0},
      {{0x0f, 0x32}, 2, TRAP_RDTSC, 2, 0},
      {{0x0f, 0xa2}, 2, TRAP_CPUID, 2, 0},
      {{0x0f, 0x08}, 2, TRAP_CPUID, 2, 0},
      {{0x0f, 0xc7, 0x64, 0x24, 0x40}, 5, TRAP_XSAVE, 5, 0},
      {{0x0f, 0x01, 0x54, 0x24, 0x40}, 5, TRAP_XSAVE, 5, 0},
      {{0x48, 0x0f, 0xae, 0x27}, 4, TRAP_XSAVE, 4, 0},
      {{0x0f, 0x01, 0xf9}, 3, TRAP_RDTSCP, 3, 0},
      {{0x0f, 0x01, 0xf8}, 3, TRAP_RDTSCP, 3, 0},
      {{0x0f, 0xc7, 0xf1}, 3, TRAP_RDRAND, 3, 1},
      {{0x49, 0x0f, 0x20, 0xc2}, 4, TRAP_RDRAND, 4, 10},
      {{0x49, 0x0f, 0x20, 0xd2}, 4, TRAP_RDSEED, 4, 10},
      {{0x48, 0x0f, 0xc7, 0xf8}, 4, TRAP_RDSEED, 4, 0},
  };
  TrapKind kind;
  int length, number;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert(trap_decode(cases[i].bytes, cases[i].size, &kind, &length, &number));
    assert(kind == cases[i].kind && length == cases[i].length && number == cases[i].number);
    assert(!trap_decode(cases[i].bytes, 1, &kind, &length, &number));
  }
  assert(!trap_decode((const uint8_t[]){0x0f, 0xc7, 0x08}, 3, &kind, &length, &number));
  assert(!trap_decode((const uint8_t[]){0x0f, 0x01, 0xd0}, 3, &kind, &length, &number));
}

static void test_carry_out(void) {
  struct user_regs_struct regs = {.rip = 100, .rax = 1, .rdx = 1, .r10 = 7}, later = regs;
  trap_carry_out(TRAP_RDTSC, 2, 0, &regs);
  trap_carry_out(TRAP_RDTSC, 2, 0, &later);
  assert(regs.rip == 102 && (later.rdx << 32 | later.rax) > (regs.rdx << 32 | regs.rax));
  regs.eflags = 0x46;
  trap_carry_out(TRAP_RDRAND, 4, 10, &regs);
  assert(regs.r10 != 7 && regs.eflags == 0x3 && regs.rip == 106);
}

static void test_cpuid(void) {
  struct user_regs_struct regs = {.rip = 100, .rax = 0xffffffff00000000, .rcx = 0};
  uint32_t a, b, c, d;
  __cpuid_count(0, 0, a, b, c, d);
  trap_carry_out(TRAP_CPUID, 2, 0, &regs);
  assert(regs.rax == a && regs.rbx == b && regs.rcx == c && regs.rdx == d && regs.rip == 102);
}

int main(void) {
  test_decode();
  test_carry_out();
  test_cpuid();
  test_file("/lib64/ld-linux-x86-64.so.2", 1);
  test_file("/lib/x86_64-linux-gnu/libc.so.6", 1);
  test_file("/usr/bin/dash", 0);
  return 0;
}
