/*
 * Address-space calls: mmap(2) and family.
 */
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/mount.h>

#include "kernel/linux/syscall.h"
#include "kernel/proc/process.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/mount.h"
#include "kernel/vm/membarrier.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/vmspace.h"

static uint32_t vm_flags_of_prot(uint64_t prot)
{
    return ((prot & PROT_READ) ? VM_READ : 0) | ((prot & PROT_WRITE) ? VM_WRITE : 0) |
           ((prot & PROT_EXEC) ? VM_EXEC : 0);
}

/* What a file mapping may become, from how the file was opened (mmap(2), EACCES and EPERM). */
static int file_map_rights(struct file *file, uint64_t prot, bool shared, uint32_t *flags)
{
    if ((file->mode & FMODE_READ) == 0) {
        return -EACCES;
    }
    if (file->path.mount != NULL && (file->path.mount->flags & MS_NOEXEC) != 0) {
        if ((prot & PROT_EXEC) != 0) {
            return -EPERM;
        }
        *flags &= ~VM_MAYEXEC;
    }
    if (shared && (file->mode & FMODE_WRITE) == 0) {
        if ((prot & PROT_WRITE) != 0) {
            return -EACCES;
        }
        *flags &= ~VM_MAYWRITE;
    }
    return seals_check_map(file->inode, flags);
}

/* Files end below 2^63 bytes; what is no file of bytes may be mapped wherever it says. */
static bool offset_fits(const struct file *file, uint64_t len, uint64_t pgoff)
{
    uint64_t most = (uint64_t)INT64_MAX >> PAGE_SHIFT;

    return !inode_is_regular(file->inode) ||
           (pgoff <= most && DIV_ROUND_UP(len, PAGE_SIZE) <= most - pgoff);
}

/* The flags that mmap(2) has always known; MAP_SHARED_VALIDATE refuses all others. */
#define MAP_KNOWN                                                                                  \
    (MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_GROWSDOWN |       \
     MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |          \
     MAP_32BIT | (unsigned)MAP_HUGE_MASK << MAP_HUGE_SHIFT)

static int64_t map_open_file(struct file *file, uint64_t addr, uint64_t len, uint64_t prot,
                             uint64_t flags, uint32_t vm_flags, unsigned how, uint64_t pgoff)
{
    struct vm_source *source;

    if ((flags & MAP_HUGETLB) != 0 || len == 0) {
        return -EINVAL; /* it is not a file of huge pages */
    }
    if (!offset_fits(file, len, pgoff)) {
        return -EOVERFLOW;
    }
    if ((flags & MAP_TYPE) == MAP_SHARED_VALIDATE && (flags & ~(uint64_t)MAP_KNOWN) != 0) {
        return -EOPNOTSUPP; /* MAP_SYNC: no file is persistent memory */
    }
    int64_t result = file_map_rights(file, prot, (vm_flags & VM_SHARED) != 0, &vm_flags);
    if (result == 0 && file->fops->mmap == NULL) {
        result = -ENODEV;
    } else if (result == 0 && (vm_flags & VM_GROWSDOWN) != 0) {
        result = -EINVAL; /* where it begins says which pages it shows */
    }
    if (result == 0) {
        result = file->fops->mmap(file, vm_flags, &source);
    }
    if (result == 0) {
        result = vmspace_map(current_thread()->vm, addr, len, vm_flags, how, source, pgoff, NULL);
    }
    return result;
}

static int64_t map_file(uint64_t addr, uint64_t len, uint64_t prot, uint64_t flags,
                        uint32_t vm_flags, unsigned how, int fd, uint64_t pgoff)
{
    struct file *file = fd_file(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int64_t result = map_open_file(file, addr, len, prot, flags, vm_flags, how, pgoff);
    file_put(file);
    return result;
}

static int64_t map_shared_anonymous(uint64_t addr, uint64_t len, uint32_t flags, unsigned how)
{
    uint64_t npages = DIV_ROUND_UP(len, PAGE_SIZE);
    struct vm_source *source;

    if ((flags & VM_GROWSDOWN) != 0) {
        return -EINVAL; /* the same as for files */
    }
    int64_t result = (flags & VM_NORESERVE) != 0 ? vm_source_create_unpromised(npages, &source)
                                                 : vm_source_create_shared(npages, &source);
    if (result == 0) {
        result = vmspace_map(current_thread()->vm, addr, len, flags | VM_ANON_CACHE, how, source, 0,
                             NULL);
        source->ops->put(source);
    }
    return result;
}

/* The pool of huge pages that MAP_HUGETLB asks for is empty; but its page sizes, 2 MiB and 1 GiB, are known. */
static int map_from_huge_pool(uint64_t len, uint64_t flags)
{
    unsigned shift = (flags >> MAP_HUGE_SHIFT) & MAP_HUGE_MASK;

    return len == 0 || (shift != 0 && shift != 21 && shift != 30) ? -EINVAL : -ENOMEM;
}

static int64_t map_anonymous(uint64_t addr, uint64_t len, uint64_t flags, uint32_t vm_flags,
                             unsigned how)
{
    if ((flags & MAP_HUGETLB) != 0) {
        return map_from_huge_pool(len, flags);
    }
    if (len == 0 || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE) {
        return -EINVAL;
    }
    if (len > USER_TOP) {
        return -ENOMEM;
    }
    if ((vm_flags & VM_SHARED) != 0) {
        return map_shared_anonymous(addr, len, vm_flags, how);
    }
    return vmspace_map(current_thread()->vm, addr, len, vm_flags, how, NULL, 0, NULL);
}

/* MAP_* as the flags of a region, and as VMMAP_*. -EINVAL, -EPERM. */
static int map_flags(uint64_t flags, uint32_t *vm_flags, unsigned *how)
{
    uint64_t type = flags & MAP_TYPE;

    if (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE) {
        return -EINVAL;
    }
    if ((flags & MAP_LOCKED) != 0 && vmspace_may_lock(current_thread()->vm) < 0) {
        return -EPERM;
    }
    *vm_flags |= type != MAP_PRIVATE ? VM_SHARED : 0;
    *vm_flags |= (flags & MAP_GROWSDOWN) != 0 ? VM_GROWSDOWN : 0;
    if ((flags & MAP_NORESERVE) != 0 &&
        atomic_load_relaxed(&vm_tunables.overcommit_memory) != OVERCOMMIT_NEVER) {
        *vm_flags |= VM_NORESERVE;
    }
    *vm_flags |= (flags & MAP_LOCKED) != 0 ? VM_LOCKED : 0;
    *how |= (flags & MAP_FIXED) != 0 ? VMMAP_FIXED : 0;
    *how |= (flags & MAP_FIXED_NOREPLACE) != 0 ? VMMAP_NOREPLACE : 0;
    *how |= (flags & MAP_32BIT) != 0 ? VMMAP_32BIT : 0;
    *how |= (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE ? VMMAP_POPULATE : 0;
    return 0;
}

SYSCALL6(mmap, uint64_t, addr, uint64_t, len, uint64_t, prot, uint64_t, flags, int, fd, uint64_t,
         offset)
{
    uint32_t vm_flags = vm_flags_of_prot(prot) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
    unsigned how = 0;

    if (!IS_ALIGNED(offset, PAGE_SIZE)) {
        return -EINVAL;
    }
    int err = map_flags(flags, &vm_flags, &how);
    if (err < 0) {
        return err;
    }
    if ((flags & MAP_ANONYMOUS) == 0) {
        return map_file(addr, len, prot, flags, vm_flags, how, fd, offset >> PAGE_SHIFT);
    }
    return map_anonymous(addr, len, flags, vm_flags, how);
}

SYSCALL2(munmap, uint64_t, addr, uint64_t, len)
{
    return vmspace_unmap(current_thread()->vm, addr, len);
}

static int64_t change_rights(uint64_t addr, uint64_t len, uint64_t prot, int key)
{
    const uint64_t known = PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM | PROT_GROWSDOWN;

    if ((prot & ~known) != 0) {
        return -EINVAL; /* nothing grows upwards here, so nobody may ask with PROT_GROWSUP */
    }
    return vmspace_protect_key(
        current_thread()->vm, addr, len,
        vm_flags_of_prot(prot) | ((prot & PROT_GROWSDOWN) != 0 ? VM_GROWSDOWN : 0), key);
}

SYSCALL3(mprotect, uint64_t, addr, uint64_t, len, uint64_t, prot)
{
    return change_rights(addr, len, prot, -1);
}

/* ---- protection keys (pkeys(7)) ---- */

SYSCALL2(pkey_alloc, uint64_t, flags, uint64_t, rights)
{
    if (flags != 0 || (rights & ~(uint64_t)PKEY_ACCESS_MASK) != 0) {
        return -EINVAL;
    }
    return vmspace_pkey_alloc(current_thread()->vm, (unsigned)rights);
}

SYSCALL1(pkey_free, int, key)
{
    return vmspace_pkey_free(current_thread()->vm, key);
}

SYSCALL4(pkey_mprotect, uint64_t, addr, uint64_t, len, uint64_t, prot, int, key)
{
    return change_rights(addr, len, prot, key);
}

SYSCALL5(mremap, uint64_t, addr, uint64_t, old_len, uint64_t, new_len, unsigned, flags, uint64_t,
         new_addr)
{
    return vmspace_remap(current_thread()->vm, addr, old_len, new_len, flags, new_addr);
}

SYSCALL5(remap_file_pages, uint64_t, addr, uint64_t, len, uint64_t, prot, uint64_t, pgoff, uint64_t,
         flags)
{
    if (prot != 0) {
        return -EINVAL;
    }
    return vmspace_remap_pages(current_thread()->vm, addr, len, pgoff,
                               (flags & MAP_NONBLOCK) == 0 ? VMMAP_POPULATE : 0);
}

SYSCALL1(brk, uint64_t, brk)
{
    return (int64_t)vmspace_brk(current_thread()->vm, brk);
}

SYSCALL3(membarrier, int, command, unsigned, flags, int, cpu)
{
    return vmspace_membarrier(current_thread()->vm, command, flags, cpu);
}

SYSCALL3(madvise, uint64_t, addr, uint64_t, len, int, advice)
{
    return vmspace_advise(current_thread()->vm, addr, len, advice);
}

SYSCALL3(mincore, uint64_t, addr, uint64_t, len, uint8_t __user *, vec)
{
    return vmspace_mincore(current_thread()->vm, addr, len, vec);
}

SYSCALL3(msync, uint64_t, addr, uint64_t, len, int, flags)
{
    return vmspace_sync(current_thread()->vm, addr, len, flags);
}

SYSCALL2(mlock, uint64_t, addr, uint64_t, len)
{
    return vmspace_lock(current_thread()->vm, addr, len, false);
}

SYSCALL3(mlock2, uint64_t, addr, uint64_t, len, unsigned, flags)
{
    if ((flags & ~(unsigned)MLOCK_ONFAULT) != 0) {
        return -EINVAL;
    }
    return vmspace_lock(current_thread()->vm, addr, len, (flags & MLOCK_ONFAULT) != 0);
}

SYSCALL2(munlock, uint64_t, addr, uint64_t, len)
{
    return vmspace_unlock(current_thread()->vm, addr, len);
}

SYSCALL1(mlockall, unsigned, flags)
{
    if ((flags & ~(unsigned)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) != 0 || flags == 0 ||
        flags == MCL_ONFAULT) {
        return -EINVAL;
    }
    return vmspace_lock_all(current_thread()->vm, flags);
}

SYSCALL0(munlockall)
{
    vmspace_unlock_all(current_thread()->vm);
    return 0;
}

/* ---- files of memory ---- */

/* The name from user space: at most MEMFD_NAME_MAX bytes, -EINVAL for more (memfd_create(2)). */
static int memfd_name(char *name, size_t size, const char __user *uname)
{
    ssize_t len = strncpy_from_user(name, uname, size);

    return len == -ENAMETOOLONG ? -EINVAL : (int)MIN(len, (ssize_t)0);
}

SYSCALL2(memfd_create, const char __user *, uname, unsigned, flags)
{
    char name[MEMFD_NAME_MAX + 1];
    const unsigned known = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    struct file *file;

    if ((flags & MFD_HUGETLB) != 0) {
        return (flags & ~(known | MFD_HUGETLB | ((unsigned)MFD_HUGE_MASK << MFD_HUGE_SHIFT))) != 0
                   ? -EINVAL
                   : -ENOSYS;
    }
    if ((flags & ~known) != 0) {
        return -EINVAL;
    }
    int err = memfd_name(name, sizeof(name), uname);
    if (err == 0) {
        err = vfs_memfd_create(name, flags, &file);
    }
    if (err < 0) {
        return err;
    }
    int fd = fd_add(file, (flags & MFD_CLOEXEC) != 0);
    if (fd < 0) {
        file_put(file);
    }
    return fd;
}
