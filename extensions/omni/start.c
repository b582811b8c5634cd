/*
** omni.so is a shared object and a program: the kernel finds an interpreter and an entry point in
** it, as in libc.so.6. The host's helper and the command line are this one file, so that there is
** nothing to install beside it and never two versions of it.
**
** Nothing of SQLite may be called in the program: nobody has handed over its functions.
*/
#if !defined(SQLITE_CORE)

#include <stdlib.h>

#include "extensions/omni/program.h"

__attribute__((used, section(".interp"))) static const char interpreter[] =
    "/lib64/ld-linux-x86-64.so.2";

/* Where the dynamic loader jumps to, with argc, argv and the environment on the stack. Libraries
** are initialized by then; libc does without its __libc_start_main. */
__asm__(".text\n"
        ".globl omni_start\n"
        ".hidden omni_start\n"
        ".type omni_start, @function\n"
        "omni_start:\n"
        "  xor %ebp, %ebp\n"
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call omni_started\n"
        "  hlt\n"
        ".size omni_start, .-omni_start\n");

__attribute__((used, noreturn, visibility("hidden"))) void omni_started(long *stack);

void omni_started(long *stack) { exit(omni_main((int)stack[0], (char **)(stack + 1))); }

#endif
