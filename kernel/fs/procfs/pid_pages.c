/*
 * /proc/PID/{pagemap,clear_refs}: a process' memory page by page (Documentation/admin-guide/mm/pagemap.rst; proc(5)).
 *
 * pagemap is a file of 64-bit words, one for each page of the address space: bits 0 to 54 the frame number, or of what is swapped out bits
 * 0 to 4 the area and 5 to 54 the slot; bit 56: shown by this entry alone; bit 61: a page of a file or of shared memory; bit 62:
 * swapped out; bit 63: present. Bits 55 (soft-dirty) and 57 (write-protected by userfaultfd) are of what there is not. Where in
 * memory something is, is told only to who opened the file with CAP_SYS_ADMIN (rowhammer).
 */
#include <linux/capability.h>

#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/page.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/usage.h"

#define PM_EXCLUSIVE      BIT(56)
#define PM_FILE           BIT(61)
#define PM_SWAPPED        BIT(62)
#define PM_PRESENT        BIT(63)
#define PM_FRAME_MASK     (BIT(55) - 1)
#define PM_SWAP_AREA_BITS 5

#define CHUNK_WORDS 512u

/* ---- pagemap ---- */

struct pagemap {
    uint64_t *words; /* of the pages from `start` on */
    uint64_t start;
    bool frames; /* told */
};

static uint64_t swap_place(swap_entry_t entry)
{
    return swap_entry_area(entry) | swap_entry_slot(entry) << PM_SWAP_AREA_BITS;
}

static bool pagemap_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    const struct pagemap *map = arg;
    uint64_t *word = map->words + ((va - map->start) >> PAGE_SHIFT);
    uint64_t pfn = pa >> PAGE_SHIFT;

    if ((flags & MMU_SOFT) != 0) { /* one page, and where a frame would stand an entry */
        *word = PM_SWAPPED | (map->frames ? swap_place((swap_entry_t)pfn) : 0);
        return true;
    }
    for (uint64_t i = 0; i < npages; i++, pfn++) {
        uint64_t value = PM_PRESENT;
        if ((flags & MMU_SPECIAL) == 0) {
            const struct page *page = pfn_to_page(pfn);
            value |= page->kind != PAGE_ANON ? PM_FILE : 0;
            value |= atomic_load_relaxed(&page->mapcount) == 1 ? PM_EXCLUSIVE : 0;
        }
        word[i] = value | (map->frames ? pfn & PM_FRAME_MASK : 0);
    }
    return true;
}

static void pagemap_chunk(struct vmspace *vm, struct pagemap *map, uint64_t start, size_t nwords)
{
    memset(map->words, 0, nwords * sizeof(map->words[0]));
    map->start = start;
    rwsem_lock_read(&vm->lock);
    (void)vmspace_walk(vm, start, start + nwords * PAGE_SIZE, pagemap_leaf, map);
    rwsem_unlock_read(&vm->lock);
}

/* Words from *pos on; both it and the count are multiples of a word. */
static ssize_t pagemap_copy(struct vmspace *vm, struct pagemap *map, struct iov_iter *to,
                            loff_t *pos)
{
    ssize_t done = 0;

    while (to->count > 0 && (uint64_t)*pos < USER_TOP / PAGE_SIZE * sizeof(uint64_t)) {
        uint64_t start = (uint64_t)*pos / sizeof(uint64_t) * PAGE_SIZE;
        size_t nwords = MIN(to->count / sizeof(uint64_t), (size_t)CHUNK_WORDS);
        nwords = MIN(nwords, (USER_TOP - start) / PAGE_SIZE);
        pagemap_chunk(vm, map, start, nwords);
        size_t n = iov_copy_to(to, map->words, nwords * sizeof(uint64_t));
        done += (ssize_t)n;
        *pos += (loff_t)n;
        if (n < nwords * sizeof(uint64_t)) {
            return done > 0 ? done : -EFAULT;
        }
        if (thread_signal_pending(current_thread())) {
            break;
        }
    }
    return done;
}

static ssize_t pagemap_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct pagemap map = {.frames = cred_has_cap(file->cred, CAP_SYS_ADMIN)};
    struct proc_target target;
    struct vmspace *vm;
    ssize_t n;

    if (*pos < 0 || *pos % sizeof(uint64_t) != 0 || to->count % sizeof(uint64_t) != 0) {
        return -EINVAL;
    }
    int err = proc_target_get_checked(file->inode, &target);
    if (err < 0) {
        return err;
    }
    vm = proc_target_vm(&target);
    proc_target_put(&target);
    if (vm == NULL) {
        return 0;
    }
    map.words = kmalloc(CHUNK_WORDS * sizeof(uint64_t));
    n = map.words == NULL ? -ENOMEM : pagemap_copy(vm, &map, to, pos);
    kfree(map.words);
    vmspace_put(vm);
    return n;
}

static int pagemap_open(struct inode *inode, struct file *file)
{
    struct proc_target target;
    int err = proc_target_get_checked(inode, &target);

    (void)file;
    if (err == 0) {
        proc_target_put(&target);
    }
    return err;
}

static const struct file_ops pagemap_fops = {
    .open = pagemap_open, .read = pagemap_read, .llseek = text_llseek};

/* ---- clear_refs ---- */

enum { CLEAR_ALL = 1, CLEAR_ANON = 2, CLEAR_MAPPED = 3, CLEAR_PEAK = 5 };

static int clear_refs_write(const struct proc_target *target, char *value, size_t len)
{
    struct vmspace *vm;
    int64_t what;

    (void)len;
    if (str_to_i64(value, 10, &what) < 0 || what < CLEAR_ALL || what > CLEAR_PEAK ||
        (what > CLEAR_MAPPED && what < CLEAR_PEAK)) {
        return -EINVAL; /* 4, soft-dirty bits: there are none to clear */
    }
    vm = thread_vm_get(target->thread);
    if (vm == NULL) {
        return 0;
    }
    if (what == CLEAR_PEAK) {
        vmspace_reset_peak(vm);
        vmspace_put(vm);
        return 0;
    }
    rwsem_lock_read(&vm->lock);
    for (struct vm_region *at = vmspace_first(vm); at != NULL; at = vm_region_next(at)) {
        bool anon = at->source == NULL;
        if (what == CLEAR_ALL || anon == (what == CLEAR_ANON)) {
            vm_region_clear_referenced(at);
        }
    }
    rwsem_unlock_read(&vm->lock);
    vmspace_put(vm);
    return 0;
}

PROC_PID_FILE(pagemap) = {
    .name = "pagemap", .mode = S_IFREG | 0400, .flags = PROC_PID_TASK, .fops = &pagemap_fops};
PROC_PID_FILE(clear_refs) = {.name = "clear_refs",
                             .mode = S_IFREG | 0200,
                             .flags = PROC_PID_TASK,
                             .write = clear_refs_write};
