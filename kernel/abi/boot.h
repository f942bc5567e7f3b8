/*
 * Boot handoff: what a loader (UEFI or PVH) gives the kernel. One versioned, checksummed struct.
 *
 * State of the CPU at kernel_entry(handoff): 64-bit mode, interrupts off, paging on with the tables described below,
 * %rdi = address of this struct in the direct map, a stack of at least 16 KiB in the direct map, direction flag clear.
 *
 * Address space built by the loader:
 *   BOOT_DIRECT_MAP + p      every byte of RAM in the memory map and the first 4 GiB, writable, not executable, largest
 *                            pages the CPU has; the framebuffer inside it write-combining (PAT entry 4 = WC)
 *   kernel_virt              the kernel's segments with the rights of their program headers; no page both W and X
 * Nothing else is mapped (but for one identity page that the jump itself needs).
 *
 * All addresses in the struct are physical unless a name ends in _virt. Every block the handoff points at lies in
 * memory of type BOOT_MEM_LOADER, which the kernel frees once it has copied what it keeps.
 */
#pragma once

#include <stdint.h>

#define BOOT_MAGIC   0x544f4f4254454e4eull /* "NNETBOOT" read as little-endian text */
#define BOOT_VERSION 1u

/* Virtual address-space layout, the same with 4 and 5 levels (the 4-level half lies inside the 5-level one). */
#define BOOT_DIRECT_MAP      0xffff800000000000ull /* 64 TiB: all physical memory */
#define BOOT_DIRECT_MAP_SIZE 0x0000400000000000ull
#define BOOT_PAGE_ARRAY      0xffffc00000000000ull /* 2 TiB: struct page of every frame */
#define BOOT_ARENA                                                                                 \
    0xffffd00000000000ull /* 16 TiB: kernel arenas: stacks, device mappings, large buffers */
#define BOOT_ARENA_SIZE 0x0000100000000000ull
/* 16 TiB: the address sanitizer's shadow of the kernel half, a byte for each 8; not the loader's business. */
#define BOOT_SHADOW     0xffffe00000000000ull
#define BOOT_IMAGE      0xffffffff80000000ull /* the kernel image, slid upwards by 2 MiB steps */
#define BOOT_IMAGE_SIZE 0x0000000040000000ull /* 1 GiB for image and slide */
/* Code that comes after boot, within reach of the image; the last 16 MiB are nobody's. The kernel's, not the loader's. */
#define BOOT_MODULES      0xffffffffc0000000ull
#define BOOT_MODULES_SIZE 0x000000003f000000ull

enum boot_mem_type {
    BOOT_MEM_USABLE = 1,
    BOOT_MEM_RESERVED,
    BOOT_MEM_ACPI_RECLAIM, /* usable once the ACPI tables have been read */
    BOOT_MEM_ACPI_NVS,
    BOOT_MEM_BAD,
    BOOT_MEM_LOADER, /* this handoff, page tables, boot stack: usable after the kernel has copied it */
    BOOT_MEM_KERNEL, /* the kernel image */
    BOOT_MEM_INITRAMFS,
    BOOT_MEM_EFI_RUNTIME, /* EFI runtime services code and data: keep */
    BOOT_MEM_MMIO,
    BOOT_MEM_PERSISTENT,
    BOOT_MEM_NTYPES,
};

/* Sorted by base, page aligned, no overlaps, neighbours of one type merged. */
struct boot_mem {
    uint64_t base;
    uint64_t length_bytes;
    uint32_t type;     /* enum boot_mem_type */
    uint32_t efi_type; /* EFI_MEMORY_TYPE for the log, or ~0 */
};

/* Linear framebuffer; base 0: none. Each channel is `size` bits at bit `shift` of a little-endian pixel. */
struct boot_framebuffer {
    uint64_t base;
    uint64_t size_bytes;
    uint32_t width;
    uint32_t height;
    uint32_t pitch_bytes;
    uint32_t bits_per_pixel; /* 32, 24 or 16 */
    uint8_t red_shift, red_size;
    uint8_t green_shift, green_size;
    uint8_t blue_shift, blue_size;
    uint8_t reserved[2];
    uint8_t edid[128]; /* base EDID block of the display, all zero when unknown */
};

#define BOOT_FLAG_EFI       (1u << 0) /* booted by UEFI; efi_system_table is valid */
#define BOOT_FLAG_LA57      (1u << 1) /* 5-level paging is on */
#define BOOT_FLAG_SEED_GOOD (1u << 2) /* `seed` came from a hardware or firmware generator */

struct boot_handoff {
    uint64_t magic;
    uint32_t version;
    uint32_t size_bytes; /* sizeof(struct boot_handoff) */
    uint32_t checksum;   /* CRC-32 of the struct with this field 0 */
    uint32_t flags;      /* BOOT_FLAG_* */

    uint64_t mem; /* struct boot_mem[nmem] */
    uint64_t nmem;
    struct boot_framebuffer framebuffer;

    uint64_t rsdp;         /* 0: none */
    uint64_t smbios;       /* entry point structure, 0: none */
    uint32_t smbios_major; /* 3 or 2 */
    uint32_t reserved0;

    uint64_t kernel_phys; /* image in memory: physically contiguous */
    uint64_t kernel_virt;
    uint64_t kernel_size_bytes;
    uint64_t kernel_slide; /* kernel_virt - BOOT_IMAGE's link address */

    uint64_t initramfs; /* 0: none */
    uint64_t initramfs_size_bytes;
    uint64_t cmdline;            /* NUL-terminated UTF-8, 0: none */
    uint64_t cmdline_size_bytes; /* with the NUL */

    uint8_t seed[64]; /* entropy for the kernel's generator and stack canaries; wiped after use */
    uint64_t page_table_root; /* what CR3 points at */

    uint64_t efi_system_table; /* 0: none */
    uint64_t efi_memory_map;   /* raw descriptors, for SetVirtualAddressMap */
    uint64_t efi_memory_map_size_bytes;
    uint64_t efi_descriptor_size_bytes;

    uint64_t unix_time_s; /* wall clock at handoff in UTC from GetTime, 0: unknown */
    uint64_t tsc_loader;  /* TSC when the loader started, 0: unknown */
    uint64_t tsc_handoff; /* TSC just before the jump */
    char loader_name[32]; /* "linnet-efi 1", "linnet-pvh 1" */
};

_Static_assert(sizeof(struct boot_mem) == 24, "boot ABI");
_Static_assert(sizeof(struct boot_framebuffer) == 168, "boot ABI");
_Static_assert(sizeof(struct boot_handoff) == 456, "boot ABI");
