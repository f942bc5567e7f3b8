/*
 * Looking into address spaces from outside: execve writing a new stack, debuggers, /proc/PID/mem; and faulting ranges in.
 */
#include "kernel/mm/frame.h"
#include "kernel/vm/fault.h"
#include "kernel/vm/iov.h"

#define RETRIES                                                                                    \
    8 /* a page that is found and lost again so often belongs to somebody who truncates in a loop */

/*
 * May the page that an entry shows be accessed through the direct map? `page` has a reference of ours. A forced write wants a page that is the
 * space's own.
 */
static bool page_suits(const struct page *page, unsigned mmu_flags, bool write, bool force)
{
    if (!write) {
        return force || (mmu_flags & (MMU_READ | MMU_WRITE | MMU_EXEC)) != 0;
    }
    if ((mmu_flags & MMU_WRITE) != 0) {
        return true;
    }
    return force && page->kind == PAGE_ANON && atomic_load_acquire(&page->refs) == 2;
}

/*
 * The page at va, referenced; NULL: a fault has to bring it. Of what is not counted (MMU_SPECIAL) the zero page and the vDSO live for
 * ever and may be read without a reference: *ret_counted is false then. Device memory is nobody's to look at.
 */
static struct page *page_peek(struct vmspace *vm, uint64_t va, bool write, bool force,
                              bool *ret_counted)
{
    struct page *page = NULL;
    paddr_t pa;
    unsigned flags;

    spin_lock(&vm->locks.shape);
    vm_table_lock(vm, va);
    if (mmu_query(&vm->mmu, va, &pa, &flags)) {
        *ret_counted = (flags & MMU_SPECIAL) == 0;
        if (*ret_counted) {
            page = phys_to_page(pa);
            page_get(page);
        } else if (!write && pfn_valid(pa >> PAGE_SHIFT)) {
            page = phys_to_page(pa);
        }
    }
    vm_table_unlock(vm, va);
    spin_unlock(&vm->locks.shape);
    if (page != NULL && *ret_counted && !page_suits(page, flags, write, force)) {
        page_put(page);
        page = NULL;
    }
    return page;
}

bool vm_query_outside(struct vmspace *vm, uint64_t va, paddr_t *ret_pa, unsigned *ret_flags)
{
    spin_lock(&vm->locks.shape);
    bool found = mmu_query(&vm->mmu, va, ret_pa, ret_flags);
    spin_unlock(&vm->locks.shape);
    return found;
}

static struct page *page_bring(struct vmspace *vm, uint64_t va, bool write, bool force,
                               bool *ret_counted)
{
    for (unsigned i = 0; i < RETRIES; i++) {
        struct page *page = page_peek(vm, va, write, force, ret_counted);
        if (page != NULL) {
            return page;
        }
        paddr_t pa;
        unsigned mmu_flags;
        unsigned flags = (write ? FAULT_WRITE : 0) | (force ? FAULT_FORCE : 0);
        if (vm_query_outside(vm, va, &pa, &mmu_flags)) {
            flags |= FAULT_PRESENT;
        }
        if (vmspace_fault(vm, va, flags) < 0) {
            return NULL;
        }
    }
    return NULL;
}

ssize_t vmspace_access_iter(struct vmspace *vm, uint64_t addr, size_t len_bytes,
                            struct iov_iter *iter, bool write, bool force)
{
    size_t done = 0;

    if (addr >= USER_TOP) {
        return -EFAULT;
    }
    len_bytes = MIN(len_bytes, iter->count);
    len_bytes = MIN(len_bytes, (size_t)(USER_TOP - addr));
    while (done < len_bytes) {
        uint64_t va = addr + done;
        size_t offset = va % PAGE_SIZE;
        size_t n = MIN(len_bytes - done, (size_t)PAGE_SIZE - offset);
        bool counted;
        struct page *page = page_bring(vm, va - offset, write, force, &counted);
        if (page == NULL) {
            break;
        }
        uint8_t *data = (uint8_t *)page_to_virt(page) + offset;
        size_t moved = write ? iov_copy_from(iter, data, n) : iov_copy_to(iter, data, n);
        if (counted) {
            page_put(page);
        }
        done += moved;
        if (moved < n) {
            break;
        }
    }
    return done > 0 || len_bytes == 0 ? (ssize_t)done : -EFAULT;
}

ssize_t vmspace_access(struct vmspace *vm, uint64_t addr, void *buf, size_t len_bytes, bool write,
                       bool force)
{
    struct iov_iter iter;

    iov_init_kernel(&iter, buf, len_bytes);
    return vmspace_access_iter(vm, addr, len_bytes, &iter, write, force);
}

/* The end of the region at va, or of the hole; whether writes should be faulted in rather than reads; false: nothing to do here. */
static bool populate_piece(struct vmspace *vm, uint64_t va, uint64_t *ret_end, bool *ret_write)
{
    rwsem_lock_read(&vm->lock);
    struct vm_region *region = vmspace_find(vm, va);
    bool inside = region != NULL && region->start <= va;

    *ret_end = region == NULL ? USER_TOP : (inside ? region->end : region->start);
    *ret_write = inside && (region->flags & VM_WRITE) != 0 &&
                 (region->source == NULL || (region->flags & VM_SHARED) == 0);
    bool wanted = inside && (region->flags & (VM_READ | VM_WRITE | VM_EXEC)) != 0 &&
                  (region->source == NULL || region->source->cache != NULL);
    rwsem_unlock_read(&vm->lock);
    return wanted;
}

int vm_populate_for(struct vmspace *vm, uint64_t start, uint64_t end, int want_write)
{
    int err = 0;

    while (start < end && err == 0) {
        uint64_t piece_end;
        bool write;
        bool wanted = populate_piece(vm, start, &piece_end, &write);
        piece_end = MIN(piece_end, end);
        if (want_write >= 0) {
            write = want_write > 0;
        }
        for (; wanted && start < piece_end && err == 0; start += PAGE_SIZE) {
            paddr_t pa;
            unsigned flags;
            bool present = vm_query_outside(vm, start, &pa, &flags);
            if (!present || (write && (flags & MMU_WRITE) == 0)) {
                err = vmspace_fault(vm, start,
                                    (write ? FAULT_WRITE : 0) | (present ? FAULT_PRESENT : 0));
            }
        }
        start = wanted && err < 0 ? start : piece_end;
    }
    return err;
}

int vm_populate(struct vmspace *vm, uint64_t start, uint64_t end)
{
    return vm_populate_for(vm, start, end, -1);
}
