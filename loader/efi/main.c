/*
 * BOOTX64.EFI: from the firmware to the kernel, in plain sight.
 *
 * boot() does everything up to the jump; it comes back only with a failure, whose sentence has been
 * said, or when the user left the menu. Then memory is given back and the firmware goes on to its
 * next boot option.
 */
#include "kernel/base/string.h"
#include "loader/core/bootparam.h"
#include "loader/core/handoff.h"
#include "loader/efi/block.h"
#include "loader/efi/console.h"
#include "loader/efi/cpu.h"
#include "loader/efi/display.h"
#include "loader/efi/file.h"
#include "loader/efi/image.h"
#include "loader/efi/menu.h"
#include "loader/efi/paging.h"
#include "loader/efi/seed.h"
#include "loader/efi/serial.h"

#define CONFIG_PATH         "\\linnet\\boot.conf"
#define LOADER_NAME         "linnet-efi 1"
#define MAX_INITRAMFS_BYTES GIB(2)

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

/* What boot() gathers. */
struct boot {
    uint64_t tsc_start;
    struct bootconf_entry *entry;
    struct image image;
    paddr_t initramfs;
    uint64_t initramfs_size_bytes; /* 0: none */
    bool la57;
    struct boot_framebuffer framebuffer;
    struct block block;
    paddr_t page_table_root;
    paddr_t jump_page;
};

static struct bootconf config;

static EFI_STATUS read_config(void)
{
    char reason[160];
    paddr_t text;
    uint64_t size_bytes;
    EFI_STATUS status = file_read(CONFIG_PATH, BOOTCONF_MAX_FILE_BYTES, &text, &size_bytes);

    if (EFI_ERROR(status)) {
        return status;
    }
    if (bootconf_parse((const char *)(uintptr_t)text, size_bytes, &config, reason, sizeof(reason)) <
        0) {
        return console_fail(EFI_LOAD_ERROR, CONFIG_PATH ": %s", reason);
    }
    memory_free(text);
    return EFI_SUCCESS;
}

/* The value of a kernel parameter of this boot, "" when absent or bare. True: it is there. */
static bool parameter(const struct boot *boot, const char *name, char *value, size_t size)
{
    value[0] = '\0';
    return bootparam_find(boot->entry->parameters, name, value, size);
}

static EFI_STATUS load_files(struct boot *boot)
{
    const struct bootconf_entry *entry = boot->entry;
    uint64_t random;
    char value[8];
    enum seed_source source = seed_fill(&random, sizeof(random));
    EFI_STATUS status = image_load(entry->kernel, !parameter(boot, "nokaslr", value, sizeof(value)),
                                   random, &boot->image);

    if (EFI_ERROR(status)) {
        return status;
    }
    console_print("linnet: %s: %llu KiB at %#llx, runs at %#llx; seed from %s\n", entry->kernel,
                  (unsigned long long)boot->image.plan.size_bytes / 1024,
                  (unsigned long long)boot->image.phys, (unsigned long long)boot->image.virt,
                  seed_source_text(source));
    if (entry->initramfs[0] == '\0') {
        return EFI_SUCCESS;
    }
    status = file_read(entry->initramfs, MAX_INITRAMFS_BYTES, &boot->initramfs,
                       &boot->initramfs_size_bytes);
    if (!EFI_ERROR(status)) {
        console_print("linnet: %s: %llu KiB\n", entry->initramfs,
                      (unsigned long long)boot->initramfs_size_bytes / 1024);
    }
    return status;
}

/* The firmware's tables that the kernel will look for: the newer kind of each first. */
static void find_tables(struct boot_handoff *handoff)
{
    static const EFI_GUID acpi2 = ACPI_20_TABLE_GUID, acpi1 = ACPI_TABLE_GUID;
    static const EFI_GUID smbios3 = SMBIOS3_TABLE_GUID, smbios2 = SMBIOS_TABLE_GUID;

    handoff->rsdp = firmware_config_table(&acpi2);
    if (handoff->rsdp == 0) {
        handoff->rsdp = firmware_config_table(&acpi1);
    }
    handoff->smbios = firmware_config_table(&smbios3);
    handoff->smbios_major = 3;
    if (handoff->smbios == 0) {
        handoff->smbios = firmware_config_table(&smbios2);
        handoff->smbios_major = handoff->smbios == 0 ? 0 : 2;
    }
    handoff->efi_system_table = (paddr_t)(uintptr_t)firmware_table;
}

static void fill_handoff(const struct boot *boot, struct boot_handoff *handoff)
{
    find_tables(handoff);
    handoff->flags = BOOT_FLAG_EFI | (boot->la57 ? BOOT_FLAG_LA57 : 0);
    handoff->framebuffer = boot->framebuffer;
    handoff->kernel_phys = boot->image.phys;
    handoff->kernel_virt = boot->image.virt;
    handoff->kernel_size_bytes = boot->image.plan.size_bytes;
    handoff->kernel_slide = boot->image.slide;
    handoff->initramfs = boot->initramfs;
    handoff->initramfs_size_bytes = boot->initramfs_size_bytes;
    handoff->page_table_root = boot->page_table_root;
    handoff->tsc_loader = boot->tsc_start;
    /* Right into its place: the kernel wipes it there, and there is no copy. */
    if (seed_fill(handoff->seed, sizeof(handoff->seed)) != SEED_CLOCK) {
        handoff->flags |= BOOT_FLAG_SEED_GOOD;
    }
    (void)str_copy(handoff->loader_name, LOADER_NAME, sizeof(handoff->loader_name));
}

/* Everything that needs the firmware, up to the point of no return. */
static EFI_STATUS prepare(struct boot *boot)
{
    char value[32];
    EFI_STATUS status;

    boot->la57 = parameter(boot, "la57", value, sizeof(value));
    if (boot->la57 && !cpu_has_la57()) {
        console_print("linnet: la57: the CPU has no 5-level paging: ignored\n");
        boot->la57 = false;
    }
    (void)parameter(boot, "video", value, sizeof(value));
    display_setup(value, &boot->framebuffer);
    status = memory_alloc_code("jump to the kernel", (uint64_t)(jump_end - jump_start),
                               &boot->jump_page);
    if (!EFI_ERROR(status)) {
        memcpy((void *)(uintptr_t)boot->jump_page, jump_start, (size_t)(jump_end - jump_start));
        status = block_create(boot->entry->parameters, &boot->block);
    }
    if (!EFI_ERROR(status)) {
        status = memory_map_read(&boot->block.raw);
        if (EFI_ERROR(status) || block_map(&boot->block, &boot->image, boot->initramfs,
                                           boot->initramfs_size_bytes) < 0) {
            status = console_fail(EFI_UNSUPPORTED, "the firmware's memory map makes no sense");
        }
    }
    if (!EFI_ERROR(status)) {
        status = paging_build(&boot->block, &boot->image, &boot->framebuffer, boot->jump_page,
                              boot->la57, &boot->page_table_root);
    }
    if (!EFI_ERROR(status)) {
        fill_handoff(boot, boot->block.handoff);
        boot->block.handoff->unix_time_s = firmware_unix_time();
    }
    return status;
}

/* Boot services are half gone: nobody to return to. Tell the wire, and start anew. */
static void __noreturn die(const char *sentence)
{
    (void)serial_init();
    serial_write("linnet: ");
    serial_write(sentence);
    serial_write(": resetting\n");
    firmware_table->RuntimeServices->ResetSystem(EfiResetCold, EFI_ABORTED, 0, NULL);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* Leave the firmware and enter the kernel. */
static void __noreturn leave(struct boot *boot)
{
    struct boot_handoff *handoff = boot->block.handoff;
    struct jump_args args = {.cr3 = boot->page_table_root,
                             .stack_top_virt = BOOT_DIRECT_MAP + boot->block.stack_top,
                             .entry_virt = boot->image.virt + boot->image.plan.entry_offset,
                             .handoff_virt = BOOT_DIRECT_MAP + (paddr_t)(uintptr_t)handoff,
                             .la57 = boot->la57};

    if (EFI_ERROR(memory_exit_boot_services(&boot->block.raw))) {
        die("the firmware does not let go of the machine");
    }
    if (block_map(&boot->block, &boot->image, boot->initramfs, boot->initramfs_size_bytes) < 0) {
        die("the firmware's last memory map makes no sense");
    }
    cpu_prepare_paging();
    handoff->tsc_handoff = cpu_tsc();
    handoff_seal(handoff);
    ((jump_fn *)(uintptr_t)boot->jump_page)(&args);
}

static EFI_STATUS boot(uint64_t tsc_start)
{
    static struct boot boot;
    EFI_STATUS status = volume_open();

    boot.tsc_start = tsc_start;
    if (!EFI_ERROR(status)) {
        status = read_config();
    }
    if (!EFI_ERROR(status) && !cpu_has_nx()) {
        status = console_fail(EFI_UNSUPPORTED,
                              "the CPU has no NX bit, or the firmware's setup has it switched off");
    }
    if (!EFI_ERROR(status) && !menu_choose(&config, &boot.entry)) {
        return EFI_ABORTED; /* Esc in the menu: no failure, nothing to say */
    }
    if (!EFI_ERROR(status)) {
        status = load_files(&boot);
    }
    if (!EFI_ERROR(status)) {
        status = prepare(&boot);
    }
    if (!EFI_ERROR(status)) {
        volume_close();
        leave(&boot);
    }
    console_wait_after_failure();
    return status;
}

EFI_STATUS EFIAPI efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    uint64_t tsc_start = cpu_tsc();
    EFI_STATUS status;

    firmware_init(image, table);
    console_init();
    console_print("linnet: loader on UEFI %u.%u\n", table->Hdr.Revision >> 16,
                  (table->Hdr.Revision & 0xffff) / 10);
    status = boot(tsc_start);
    volume_close();
    memory_free_all();
    return status;
}
