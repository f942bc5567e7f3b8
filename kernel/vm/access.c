/*
 * Looking into address spaces from outside: execve writing a new stack, debuggers, /proc/PID/mem; and faulting ranges in.
 */
#include "kernel/machine/cpu.h"
#include "kernel/mm/frame.h"
#include "kernel/vm/fault.h"
#include "kernel/vm/iov.h"
#include "kernel/vm/page_lock.h"
#include "kernel/vm/writeback.h"

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
    return force && page->kind == PAGE_ANON && atomic_load_acquire(&page->refs) == 2 &&
           (atomic_load_relaxed(&page->flags) & PAGE_FLAG_LAZY) == 0;
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

    read_lock(&vm->locks.shape);
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
    read_unlock(&vm->locks.shape);
    if (page != NULL && *ret_counted && !page_suits(page, flags, write, force)) {
        page_put(page);
        page = NULL;
    }
    return page;
}

bool vm_query_outside(struct vmspace *vm, uint64_t va, paddr_t *ret_pa, unsigned *ret_flags)
{
    read_lock(&vm->locks.shape);
    bool found = mmu_query(&vm->mmu, va, ret_pa, ret_flags);
    read_unlock(&vm->locks.shape);
    return found;
}

bool vmspace_page_exists(struct vmspace *vm, uint64_t va)
{
    read_lock(&vm->locks.shape);
    bool exists = vm_entry_exists_locked(vm, va);
    read_unlock(&vm->locks.shape);
    return exists;
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

/* The page of a file has been written to: writeback may have taken it, and made its entries read-only, after it was found writable. */
static void file_page_written(struct page *page)
{
    page_lock(page);
    struct pagecache *cache = page->owner;
    if (cache != NULL) {
        pagecache_mark_dirty(cache, page);
    }
    page_unlock(page, 0);
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
        if (write && unlikely(page->kind == PAGE_FILE)) {
            file_page_written(page);
        }
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

/*
 * What to do from va on: *ret_end is the end of the region there, or of the hole. 1: fault its pages in, writing if *ret_write; 0: nothing;
 * -EFAULT: nobody may access them.
 */
static int populate_piece(struct vmspace *vm, uint64_t va, enum populate how, uint64_t *ret_end,
                          bool *ret_write)
{
    int wanted = 1;

    rwsem_lock_read(&vm->lock);
    struct vm_region *region = vmspace_find(vm, va);
    bool inside = region != NULL && region->start <= va;

    *ret_end = region == NULL ? USER_TOP : (inside ? region->end : region->start);
    *ret_write = how == POPULATE_WRITE;
    if (!inside || (region->source != NULL && region->source->cache == NULL)) {
        wanted = 0;
    } else if (how == POPULATE_LOCKED || how == POPULATE_TRY) {
        *ret_write = (region->flags & VM_WRITE) != 0 &&
                     (region->source == NULL || (region->flags & VM_SHARED) == 0);
        if ((region->flags & VM_LOCKONFAULT) != 0) {
            wanted = 0;
        } else if ((region->flags & (VM_READ | VM_WRITE | VM_EXEC)) == 0) {
            wanted = -EFAULT;
        }
    }
    if (wanted > 0 && !cpu_pkey_allows(vm_region_pkey(region), *ret_write)) {
        wanted = -EFAULT;
    }
    rwsem_unlock_read(&vm->lock);
    return wanted;
}

static int populate_page(struct vmspace *vm, uint64_t va, bool write)
{
    paddr_t pa;
    unsigned flags;
    bool present = vm_query_outside(vm, va, &pa, &flags);

    if (present && (!write || (flags & MMU_WRITE) != 0)) {
        return 0;
    }
    return vmspace_fault(vm, va, (write ? FAULT_WRITE : 0) | (present ? FAULT_PRESENT : 0));
}

bool (*vm_ending_hook)(void);

static inline bool current_is_ending(void)
{
    return unlikely(thread_signal_pending(current_thread())) && vm_ending_hook != NULL &&
           vm_ending_hook();
}

int vm_populate(struct vmspace *vm, uint64_t start, uint64_t end, enum populate how)
{
    while (start < end) {
        uint64_t piece_end;
        bool write;
        int wanted = populate_piece(vm, start, how, &piece_end, &write);
        int err = MIN(wanted, 0);
        piece_end = MIN(piece_end, end);
        for (; wanted > 0 && err == 0 && start < piece_end; start += PAGE_SIZE) {
            err = current_is_ending() ? -EINTR : populate_page(vm, start, write);
        }
        if (err < 0 && (how != POPULATE_TRY || err == -EINTR)) {
            return err;
        }
        start = piece_end;
    }
    return 0;
}
