/* What the CPU keeps in each struct thread. */
#pragma once

#include "kernel/base/types.h"

struct x86_debug;

struct arch_thread {
    uintptr_t sp;     /* kernel stack pointer while switched out */
    uint64_t fs_base; /* user segment bases while switched out */
    uint64_t gs_base;
    void *fpu;               /* save area (XSAVE or FXSAVE format), NULL for kernel threads */
    uint32_t fpu_cpu;        /* CPU whose registers held the state last; ~0: none */
    uint32_t pkru;           /* rights by protection key while switched out */
    struct x86_debug *debug; /* debug registers; NULL: none were ever set */
    bool tf_forced;          /* a debugger has set the trap flag in the user frame */
    uint32_t selectors;      /* user DS, ES, FS, GS while switched out, a byte each (regs.h) */
};
