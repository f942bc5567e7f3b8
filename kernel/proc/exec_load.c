/*
 * Mapping a program and its interpreter into a fresh address space, which nobody runs in yet: a failure here costs nothing.
 */
#include "kernel/core/random.h"
#include "kernel/machine/cpu.h"
#include "kernel/proc/exec.h"

/* Where position-independent programs go: two thirds up, far from the heap of others and from the mappings below the stack. */
#define PIE_BASE         (USER_WINDOW / 3 * 2)
#define PIE_RANDOM_PAGES (1ull << 28)
#define RIGHTS_ALL       (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

static uint32_t segment_flags(const struct elf_segment *segment)
{
    return (segment->read ? VM_READ : 0) | (segment->write ? VM_WRITE : 0) |
           (segment->exec ? VM_EXEC : 0) | RIGHTS_ALL;
}

/* The zeroes from the end of the file's bytes to the end of their page. */
static int clear_tail(struct vmspace *vm, uint64_t from, uint64_t end)
{
    static const uint8_t zeroes[PAGE_SIZE];
    uint64_t to = MIN(ALIGN_UP(from, PAGE_SIZE), end);

    if (from == to) {
        return 0;
    }
    /* The rest of the page belongs to nobody else's bytes: clear it whole, as programs expect of the page of their bss. */
    to = ALIGN_UP(to, PAGE_SIZE);
    ssize_t n = vmspace_access(vm, from, (void *)(uintptr_t)zeroes, to - from, true, true);
    return n == (ssize_t)(to - from) ? 0 : -EFAULT;
}

static int map_segment(struct vmspace *vm, struct file *file, const struct elf_segment *segment,
                       uint64_t bias)
{
    uint64_t start = ALIGN_DOWN(bias + segment->vaddr, PAGE_SIZE);
    uint64_t file_end = bias + segment->vaddr + segment->file_bytes;
    uint64_t mem_end = bias + segment->vaddr + segment->mem_bytes;
    uint32_t flags = segment_flags(segment);

    if (segment->file_bytes > 0) {
        struct vm_source *source;
        int err = file->fops->mmap == NULL ? -ENOEXEC : file->fops->mmap(file, flags, &source);
        if (err < 0) {
            return err;
        }
        int64_t at = vmspace_map(vm, start, ALIGN_UP(file_end, PAGE_SIZE) - start, flags,
                                 VMMAP_FIXED, source, segment->offset >> PAGE_SHIFT, NULL);
        if (at < 0) {
            return (int)at;
        }
        start = ALIGN_UP(file_end, PAGE_SIZE);
    }
    if (mem_end > start) {
        int64_t at = vmspace_map(vm, start, ALIGN_UP(mem_end, PAGE_SIZE) - start, flags,
                                 VMMAP_FIXED, NULL, 0, NULL);
        if (at < 0) {
            return (int)at;
        }
    }
    return segment->file_bytes > 0 && mem_end > file_end ? clear_tail(vm, file_end, mem_end) : 0;
}

static int map_segments(struct vmspace *vm, struct file *file, const struct elf_program *program,
                        uint64_t bias)
{
    for (unsigned i = 0; i < program->nsegments; i++) {
        int err = map_segment(vm, file, &program->segments[i], bias);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* Load bias of the main program. -ENOEXEC: its fixed addresses are not a user's. */
static int choose_bias(const struct elf_program *program, bool randomize, uint64_t *ret_bias)
{
    if (!program->relocatable) {
        *ret_bias = 0;
        return program->start < USER_MIN ? -ENOEXEC : 0;
    }
    uint64_t base = PIE_BASE;
    if (randomize) {
        base += random_below(PIE_RANDOM_PAGES) << PAGE_SHIFT;
    }
    base = ALIGN_DOWN(base, program->align);
    if (program->end - program->start > USER_TOP - base) {
        return -ENOMEM;
    }
    *ret_bias = base - program->start;
    return 0;
}

/* The interpreter goes where vm finds room for all of it. */
static int map_interpreter(struct vmspace *vm, struct file *file, const struct elf_program *interp,
                           uint64_t *ret_bias)
{
    uint64_t len = interp->end - interp->start;

    if (!interp->relocatable) {
        *ret_bias = 0;
        return interp->start < USER_MIN ? -ENOEXEC : map_segments(vm, file, interp, 0);
    }
    int64_t base = vmspace_map(vm, 0, len, RIGHTS_ALL, 0, NULL, 0, NULL);
    if (base < 0) {
        return (int)base;
    }
    int err = vmspace_unmap(vm, (uint64_t)base, len);
    if (err < 0) {
        return err;
    }
    *ret_bias = (uint64_t)base - interp->start;
    return map_segments(vm, file, interp, *ret_bias);
}

/* What /proc/PID/stat tells, and the heap behind the last segment. */
static void set_layout(struct vmspace *vm, const struct elf_program *program, uint64_t bias,
                       bool randomize)
{
    bool code = false;

    for (unsigned i = 0; i < program->nsegments; i++) {
        const struct elf_segment *segment = &program->segments[i];
        uint64_t start = bias + segment->vaddr;
        if (segment->exec) {
            vm->code_start = code ? vm->code_start : start;
            vm->code_end = start + segment->file_bytes;
            code = true;
        }
        vm->data_start = start; /* of the last segment */
        vm->data_end = start + segment->file_bytes;
    }
    vmspace_set_brk(vm, bias + program->end, randomize);
}

int exec_load(struct exec_image *image, struct file *file, const struct elf_program *program,
              struct file *interp_file, const struct elf_program *interp, bool randomize)
{
    struct vmspace *vm = image->vm;
    uint64_t interp_bias;
    int err = choose_bias(program, randomize, &image->bias);

    if (err == 0) {
        err = map_segments(vm, file, program, image->bias);
    }
    if (err < 0) {
        return err;
    }
    set_layout(vm, program, image->bias, randomize);
    image->entry = image->bias + program->entry;
    image->interp_base = 0;
    if (interp_file != NULL) {
        err = map_interpreter(vm, interp_file, interp, &interp_bias);
        if (err < 0) {
            return err;
        }
        image->interp_base = interp_bias;
        image->entry = interp_bias + interp->entry;
    }
    return vmspace_map_vdso(vm, randomize, &vm->vdso_base);
}
