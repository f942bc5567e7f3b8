/* On the host a kernel thread is a ucontext on its own stack. */
#pragma once

#include "kernel/base/types.h"

struct arch_thread {
    void *context; /* ucontext_t, owned by hal/host */
};
