/*
 * The kernel's image. The file is read whole, judged by loader/core/elfplan, copied to 2 MiB
 * aligned memory, so that large pages can map it, and relocated to the address where it will run;
 * then the file's pages are given back.
 */
#include "loader/efi/image.h"

#include "kernel/abi/boot.h"
#include "loader/core/reloc.h"
#include "loader/efi/console.h"
#include "loader/efi/file.h"
#include "loader/efi/memory.h"

#define SLIDE_STEP     MIB(2)
#define MAX_FILE_BYTES MIB(256)
#define REASON_SIZE    160

/* A slide that keeps the image inside its range. */
static uint64_t choose_slide(const struct elfplan *plan, uint64_t random)
{
    uint64_t room = BOOT_IMAGE + BOOT_IMAGE_SIZE - plan->link_base - plan->size_bytes;

    return random % (room / SLIDE_STEP + 1) * SLIDE_STEP;
}

static EFI_STATUS place(const char *path, const void *file, uint64_t size_bytes,
                        struct image *image)
{
    char reason[REASON_SIZE];
    EFI_STATUS status;

    if (elfplan_make(file, size_bytes, &image->plan, reason, sizeof(reason)) < 0) {
        return console_fail(EFI_LOAD_ERROR, "%s: %s", path, reason);
    }
    status = memory_alloc(path, image->plan.size_bytes, SLIDE_STEP, MEMORY_ANYWHERE, &image->phys);
    if (EFI_ERROR(status)) {
        return status;
    }
    elfplan_load(&image->plan, file, (void *)(uintptr_t)image->phys);
    return EFI_SUCCESS;
}

/* Adjust the loaded image to where it will run. */
static EFI_STATUS relocate(const char *path, const struct image *image)
{
    const struct elfplan *plan = &image->plan;
    struct reloc_image reloc = {.base = (uint8_t *)(uintptr_t)image->phys,
                                .size_bytes = plan->size_bytes,
                                .link_base = plan->link_base,
                                .dynamic_offset = plan->dynamic_offset,
                                .dynamic_size_bytes = plan->dynamic_size_bytes};
    const char *reason = "";

    if (reloc_apply(&reloc, image->slide, &reason) < 0) {
        return console_fail(EFI_LOAD_ERROR, "%s: %s", path, reason);
    }
    return EFI_SUCCESS;
}

EFI_STATUS image_load(const char *path, bool slide, uint64_t random, struct image *ret_image)
{
    struct image image = {0};
    uint64_t size_bytes;
    paddr_t file;
    EFI_STATUS status = file_read(path, MAX_FILE_BYTES, &file, &size_bytes);

    if (!EFI_ERROR(status)) {
        status = place(path, (const void *)(uintptr_t)file, size_bytes, &image);
    }
    if (!EFI_ERROR(status)) {
        image.slide = slide ? choose_slide(&image.plan, random) : 0;
        image.virt = image.plan.link_base + image.slide;
        status = relocate(path, &image);
    }
    if (EFI_ERROR(status)) {
        return status;
    }
    memory_free(file);
    *ret_image = image;
    return EFI_SUCCESS;
}
