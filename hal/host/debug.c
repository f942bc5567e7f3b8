/*
 * What debuggers ask of the host machine: the general registers of a thread's user frame. There is no user mode to step in, and no FPU state but
 * zeros.
 */
#include "kernel/machine/debug.h"

#include <elf.h>
#include <linux/audit.h>
#include <string.h>

#include "kernel/base/errno.h"
#include "kernel/machine/entry.h"

#define GENERAL_BYTES (27 * 8)

struct trapframe *thread_trapframe(struct thread *thread);

size_t cpu_regset_size(unsigned type)
{
    return type == NT_PRSTATUS ? GENERAL_BYTES : type == NT_PRFPREG ? 512 : 0;
}

void cpu_regset_get(struct thread *thread, unsigned type, void *buf)
{
    memset(buf, 0, cpu_regset_size(type));
    if (type == NT_PRSTATUS) {
        memcpy(buf, thread_trapframe(thread), sizeof(struct trapframe));
    }
}

int cpu_regset_set(struct thread *thread, unsigned type, const void *buf, size_t len)
{
    if (type == NT_PRSTATUS) {
        memcpy(thread_trapframe(thread), buf,
               len < sizeof(struct trapframe) ? len : sizeof(struct trapframe));
    }
    return 0;
}

int cpu_user_area_get(struct thread *thread, uint64_t offset, uint64_t *ret)
{
    (void)thread, (void)offset, (void)ret;
    return -EIO;
}

int cpu_user_area_set(struct thread *thread, uint64_t offset, uint64_t value)
{
    (void)thread, (void)offset, (void)value;
    return -EIO;
}

int cpu_arch_prctl_other(struct thread *thread, int code, vaddr_t addr)
{
    (void)thread, (void)code, (void)addr;
    return -EINVAL;
}

void cpu_step_set(struct thread *thread, bool on)
{
    (void)thread, (void)on;
}

uint32_t cpu_audit_arch(void)
{
    return AUDIT_ARCH_X86_64;
}
