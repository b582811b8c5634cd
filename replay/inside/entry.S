/*
** The way from a rewritten `syscall` into C and back. On entry rcx holds the address behind the
** program's syscall and r11 the address of a `syscall` that is done where this one was; all other
** registers are the program's, and stay so. A syscall changes only rax, rcx and r11.
**
** The stack is our own: not a byte of the program's is touched.
*/
#include "replay/inside/abi.h"

        .section .text.entry, "ax"

        .org INSIDE_KERNEL
        .globl inside_kernel_site
inside_kernel_site:
        syscall
        ret

        .org INSIDE_ENTRY
        jmp enter

        .org INSIDE_LEFT
        mov %rax, inside_words + WORDS_RAX(%rip)
        mov $INSIDE_STOP, %eax
        syscall
        .org INSIDE_LEFT_END
        .org INSIDE_GO
        jmp *inside_words + WORDS_BACK(%rip)

        .org INSIDE_ABANDON
        mov inside_words + WORDS_FRAME(%rip), %rsp
        jmp outside

enter:
        mov %rsp, inside_words + WORDS_RSP(%rip)
        lea inside_stack_top(%rip), %rsp
        pushfq
        push %r11
        push %rcx
        push %rax
        push %rdi
        push %rsi
        push %rdx
        push %r10
        push %r8
        push %r9
        push %rbx
        push %rbp
        push %r12
        push %r13
        push %r14
        push %r15
        mov %rsp, inside_words + WORDS_FRAME(%rip)
        mov %r11, inside_words + WORDS_BACK(%rip)
        cld
        mov %rsp, %rdi
        call inside_call
        test %al, %al
        jz outside
        addq $2, inside_words + WORDS_BACK(%rip)

        .macro restore
        pop %r15
        pop %r14
        pop %r13
        pop %r12
        pop %rbp
        pop %rbx
        pop %r9
        pop %r8
        pop %r10
        pop %rdx
        pop %rsi
        pop %rdi
        pop %rax
        pop %rcx
        mov 8(%rsp), %r11
        lea 8(%rsp), %rsp
        popfq
        mov inside_words + WORDS_RSP(%rip), %rsp
        .endm

        restore
        jmp *inside_words + WORDS_EXIT(%rip)

outside:
        restore
        jmp *inside_words + WORDS_BACK(%rip)

        .globl inside_kernel
/* long inside_kernel(long nr, a, b, c, d, e, f on the stack) */
inside_kernel:
        mov %rdi, %rax
        mov %rsi, %rdi
        mov %rdx, %rsi
        mov %rcx, %rdx
        mov %r8, %r10
        mov %r9, %r8
        mov 8(%rsp), %r9
        jmp inside_kernel_site

        .section .note.GNU-stack, "", @progbits
