/*
 * The boot handoff: checked, and told to the log. The loader's side of the seal is
 * loader/core/handoff.c.
 */
#include "kernel/core/handoff.h"

#include <arch/page.h>

#include "kernel/base/checksum.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"

__init const char *handoff_fault(const struct boot_handoff *handoff)
{
    struct boot_handoff copy;

    if (handoff->magic != BOOT_MAGIC) {
        return "the loader's handoff has the wrong magic number";
    }
    if (handoff->version != BOOT_VERSION) {
        return "the loader's handoff is of another version: loader and kernel do not belong "
               "together";
    }
    if (handoff->size_bytes != sizeof(*handoff)) {
        return "the loader's handoff has the wrong size";
    }
    copy = *handoff;
    copy.checksum = 0;
    if (crc32(0, &copy, sizeof(copy)) != handoff->checksum) {
        return "the loader's handoff is damaged (wrong checksum)";
    }
    return NULL;
}

__init void handoff_check(const struct boot_handoff *handoff)
{
    const char *fault = handoff_fault(handoff);

    if (fault != NULL) {
        panic("%s", fault);
    }
}

const char *boot_mem_type_text(uint32_t type)
{
    static const char *const names[BOOT_MEM_NTYPES] = {
        [BOOT_MEM_USABLE] = "usable",
        [BOOT_MEM_RESERVED] = "reserved",
        [BOOT_MEM_ACPI_RECLAIM] = "ACPI tables",
        [BOOT_MEM_ACPI_NVS] = "ACPI NVS",
        [BOOT_MEM_BAD] = "bad",
        [BOOT_MEM_LOADER] = "loader",
        [BOOT_MEM_KERNEL] = "kernel",
        [BOOT_MEM_INITRAMFS] = "initramfs",
        [BOOT_MEM_EFI_RUNTIME] = "EFI runtime",
        [BOOT_MEM_MMIO] = "MMIO",
        [BOOT_MEM_PERSISTENT] = "persistent",
    };

    return type < BOOT_MEM_NTYPES && names[type] != NULL ? names[type] : "unknown";
}

__init static void log_memory(const struct boot_handoff *handoff)
{
    const struct boot_mem *mem = phys_to_virt(handoff->mem);

    for (uint64_t i = 0; i < handoff->nmem; i++) {
        log_info("boot: memory 0x%016lx-0x%016lx %9lu KiB %s", mem[i].base,
                 mem[i].base + mem[i].length_bytes - 1, mem[i].length_bytes / 1024,
                 boot_mem_type_text(mem[i].type));
    }
}

__init static void log_framebuffer(const struct boot_framebuffer *fb)
{
    if (fb->base == 0) {
        log_info("boot: no framebuffer");
        return;
    }
    log_info("boot: framebuffer %ux%u, %u bits a pixel, %u bytes a row, at %#lx", fb->width,
             fb->height, fb->bits_per_pixel, fb->pitch_bytes, fb->base);
}

__init void handoff_log(const struct boot_handoff *handoff)
{
    log_info("boot: by %.*s in %lu thousand TSC ticks%s%s", (int)sizeof(handoff->loader_name),
             handoff->loader_name, (handoff->tsc_handoff - handoff->tsc_loader) / 1000,
             (handoff->flags & BOOT_FLAG_EFI) != 0 ? ", from UEFI" : "",
             (handoff->flags & BOOT_FLAG_LA57) != 0 ? ", 5-level paging" : "");
    log_info("boot: command line: %s",
             handoff->cmdline == 0 ? "" : (const char *)phys_to_virt(handoff->cmdline));
    log_info("boot: kernel %lu KiB at %#lx runs at %#lx (slide %#lx)",
             handoff->kernel_size_bytes / 1024, handoff->kernel_phys, handoff->kernel_virt,
             handoff->kernel_slide);
    log_info("boot: initramfs %lu KiB at %#lx", handoff->initramfs_size_bytes / 1024,
             handoff->initramfs);
    log_info("boot: ACPI RSDP %#lx, SMBIOS %u %#lx, EFI system table %#lx", handoff->rsdp,
             handoff->smbios_major, handoff->smbios, handoff->efi_system_table);
    log_memory(handoff);
    log_framebuffer(&handoff->framebuffer);
    if ((handoff->flags & BOOT_FLAG_SEED_GOOD) == 0) {
        log_warn("boot: the loader had no good source of random numbers");
    }
}
