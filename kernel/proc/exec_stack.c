/*
 * The initial stack (System V ABI, x86-64 psABI 3.4.1 "Initial Stack and Register State"), from high to low addresses:
 *
 *     8 zero bytes | file name | environment strings | argument strings | "x86_64" | 16 random bytes | auxiliary vector |
 *     NULL, envp[] | NULL, argv[] | argc <- stack pointer, 16-byte aligned
 *
 * It is put together in a kernel buffer and written in one go.
 */
#include <linux/auxvec.h>

#include "kernel/base/string.h"
#include "kernel/core/random.h"
#include "kernel/machine/cpu.h"
#include "kernel/mm/arena.h"
#include "kernel/proc/exec.h"

#define STACK_FIRST_BYTES KIB(132) /* mapped at once; it grows down from there */
#define USER_HZ           100
#define RANDOM_BYTES      16

static const char platform[] = "x86_64";

/* Addresses of the parts, in the new space. */
struct layout {
    uint64_t top, execfn, strings, platform, random, sp;
};

/* Up to 8 KiB of shift, so that stacks do not all start in the same cache lines, nor where an attacker expects them. */
static struct layout layout_make(uint64_t top, const struct exec_args *args, size_t execfn_bytes,
                                 bool randomize)
{
    struct layout at = {.top = top};
    size_t words = 1 + args->argc + 1 + args->envc + 1 + ARRAY_SIZE(((struct vmspace *)0)->auxv);

    at.execfn = top - sizeof(uint64_t) - execfn_bytes;
    at.strings = at.execfn - args->used;
    at.platform = at.strings - sizeof(platform);
    if (randomize) {
        at.platform -= random_below(8192);
    }
    at.random = ALIGN_DOWN(at.platform - RANDOM_BYTES, 16);
    at.sp = ALIGN_DOWN(at.random - words * sizeof(uint64_t), 16);
    return at;
}

/* Returns the number of pairs. */
static unsigned auxv_fill(uint64_t *auxv, const struct exec_image *image,
                          const struct elf_program *program, const struct layout *at,
                          const struct exec_identity *identity)
{
    const struct cred *cred = identity->cred;
    const uint64_t pairs[][2] = {
        {AT_SYSINFO_EHDR, image->vm->vdso_base},
        {AT_HWCAP, cpu_hwcap()},
        {AT_PAGESZ, PAGE_SIZE},
        {AT_CLKTCK, USER_HZ},
        {AT_PHDR, program->phdr_vaddr == 0 ? 0 : image->bias + program->phdr_vaddr},
        {AT_PHENT, sizeof(Elf64_Phdr)},
        {AT_PHNUM, program->nphdrs},
        {AT_BASE, image->interp_base},
        {AT_FLAGS, 0},
        {AT_ENTRY, image->bias + program->entry},
        {AT_UID, cred->uid},
        {AT_EUID, cred->euid},
        {AT_GID, cred->gid},
        {AT_EGID, cred->egid},
        {AT_SECURE, identity->secure},
        {AT_RANDOM, at->random},
        {AT_HWCAP2, cpu_hwcap2()},
        {AT_EXECFN, at->execfn},
        {AT_PLATFORM, at->platform},
        {AT_MINSIGSTKSZ, cpu_min_signal_stack()},
        {AT_NULL, 0},
    };

    _Static_assert(sizeof(pairs) <= sizeof(image->vm->auxv), "room in struct vmspace");
    memcpy(auxv, pairs, sizeof(pairs));
    return ARRAY_SIZE(pairs);
}

/* Write pointers to `n` strings and a NULL; returns the text behind the last one. */
static const char *pointers_fill(uint64_t **words, unsigned n, const char *text, uint64_t *va)
{
    for (unsigned i = 0; i < n; i++) {
        size_t len = strlen(text) + 1;
        *(*words)++ = *va;
        text += len;
        *va += len;
    }
    *(*words)++ = 0;
    return text;
}

static void image_fill(uint8_t *buf, const struct layout *at, struct exec_image *image,
                       const struct elf_program *program, const struct exec_args *args,
                       const char *filename, const struct exec_identity *identity)
{
    struct vmspace *vm = image->vm;
    uint64_t *words = (uint64_t *)(void *)buf;
    uint64_t va = at->strings;

    *words++ = args->argc;
    const char *text = pointers_fill(&words, args->argc, args->buf, &va);
    (void)pointers_fill(&words, args->envc, text, &va);
    vm->nauxv = auxv_fill(words, image, program, at, identity);
    memcpy(vm->auxv, words, vm->nauxv * 2 * sizeof(uint64_t));
    random_bytes(buf + (at->random - at->sp), RANDOM_BYTES);
    memcpy(buf + (at->platform - at->sp), platform, sizeof(platform));
    memcpy(buf + (at->strings - at->sp), args->buf, args->used);
    memcpy(buf + (at->execfn - at->sp), filename, strlen(filename) + 1);
    memset(buf + (at->top - sizeof(uint64_t) - at->sp), 0, sizeof(uint64_t));
    vm->arg_start = at->strings;
    vm->arg_end = vm->env_start = at->strings + args->arg_bytes;
    vm->env_end = at->strings + args->used;
}

/* The parts between which nothing is written are cleared: no kernel memory leaks. */
static void gaps_clear(uint8_t *buf, const struct layout *at, const struct exec_args *args,
                       unsigned nauxv)
{
    size_t words = (size_t)(1 + args->argc + 1 + args->envc + 1 + 2 * nauxv) * sizeof(uint64_t);
    size_t random = at->random - at->sp, text = at->platform - at->sp;

    memset(buf + words, 0, random - words);
    memset(buf + random + RANDOM_BYTES, 0, text - random - RANDOM_BYTES);
    memset(buf + text + sizeof(platform), 0, at->strings - at->platform - sizeof(platform));
}

int exec_stack_build(struct exec_image *image, const struct elf_program *program,
                     const struct exec_args *args, const char *filename,
                     const struct exec_identity *identity, bool randomize, uint64_t *ret_sp)
{
    struct vmspace *vm = image->vm;
    struct layout at = layout_make(vm->stack_top, args, strlen(filename) + 1, randomize);
    size_t size = at.top - at.sp;
    uint64_t mapped = ALIGN_UP(size + STACK_FIRST_BYTES, PAGE_SIZE);
    uint32_t flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_GROWSDOWN |
                     VM_STACK | (program->exec_stack ? VM_EXEC : 0);
    int64_t base =
        vmspace_map(vm, vm->stack_top - mapped, mapped, flags, VMMAP_FIXED, NULL, 0, "[stack]");

    if (base < 0) {
        return (int)base;
    }
    uint8_t *buf = kvmalloc(size);
    if (buf == NULL) {
        return -ENOMEM;
    }
    image_fill(buf, &at, image, program, args, filename, identity);
    gaps_clear(buf, &at, args, vm->nauxv);
    ssize_t n = vmspace_access(vm, at.sp, buf, size, true, false);
    kvfree(buf);
    if (n != (ssize_t)size) {
        return -ENOMEM;
    }
    *ret_sp = at.sp;
    return 0;
}
