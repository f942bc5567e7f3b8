/*
 * Relocation of the kernel image: see reloc.h.
 *
 * Each table is walked twice by the same code: with `apply` false it only checks, so that a bad image is left alone.
 */
#include "loader/core/reloc.h"

#include <linux/elf.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"

/* System V gABI: not in linux/elf.h. */
#define DT_RELRSZ  35
#define DT_RELR    36
#define DT_RELRENT 37

#define R_X86_64_RELATIVE 8

struct tables {
    uint64_t rela, rela_size;
    uint64_t relr, relr_size;
    uint64_t rel_size, plt_size;
};

static uint64_t read64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static void add64(uint8_t *at, uint64_t addend)
{
    uint64_t value = read64(at) + addend;

    memcpy(at, &value, sizeof(value));
}

/* True: [addr, addr + len) as linked lies in the image; then *ret_offset is where. */
static bool image_contains(const struct reloc_image *image, uint64_t addr, uint64_t len_bytes,
                           uint64_t *ret_offset)
{
    uint64_t offset = addr - image->link_base;

    if (len_bytes > image->size_bytes || offset > image->size_bytes - len_bytes) {
        return false;
    }
    *ret_offset = offset;
    return true;
}

static const char *dynamic_read(const struct reloc_image *image, struct tables *tables)
{
    if (image->dynamic_size_bytes > image->size_bytes ||
        image->dynamic_offset > image->size_bytes - image->dynamic_size_bytes) {
        return "dynamic section outside the image";
    }
    const uint8_t *at = image->base + image->dynamic_offset;

    for (uint64_t left = image->dynamic_size_bytes; left >= 16; left -= 16, at += 16) {
        uint64_t value = read64(at + 8);

        switch ((int64_t)read64(at)) {
        case DT_NULL:
            return NULL;
        case DT_RELA:
            tables->rela = value;
            break;
        case DT_RELASZ:
            tables->rela_size = value;
            break;
        case DT_RELR:
            tables->relr = value;
            break;
        case DT_RELRSZ:
            tables->relr_size = value;
            break;
        case DT_RELSZ:
            tables->rel_size = value;
            break;
        case DT_PLTRELSZ:
            tables->plt_size = value;
            break;
        default:
            break;
        }
    }
    return NULL;
}

static const char *rela_walk(const struct reloc_image *image, const struct tables *tables,
                             uint64_t slide, bool apply)
{
    uint64_t start;

    if (tables->rela_size == 0) {
        return NULL;
    }
    if (!image_contains(image, tables->rela, tables->rela_size, &start)) {
        return "relocation table outside the image";
    }
    const uint8_t *entry = image->base + start;
    for (uint64_t left = tables->rela_size; left >= 24; left -= 24, entry += 24) {
        uint64_t offset;

        if ((uint32_t)read64(entry + 8) != R_X86_64_RELATIVE) {
            return "relocation of a kind that a kernel must not have";
        }
        if (!image_contains(image, read64(entry), 8, &offset)) {
            return "relocation outside the image";
        }
        if (apply) {
            uint64_t value = read64(entry + 16) + slide;
            memcpy(image->base + offset, &value, sizeof(value));
        }
    }
    return NULL;
}

/* The words marked by one bitmap entry: bit i stands for the word (i - 1) after `where`. */
static const char *relr_bitmap(const struct reloc_image *image, uint64_t where, uint64_t bitmap,
                               uint64_t slide, bool apply)
{
    for (unsigned bit = 1; bit < 64; bit++) {
        uint64_t offset;

        if ((bitmap >> bit & 1) == 0) {
            continue;
        }
        if (!image_contains(image, where + (bit - 1) * 8, 8, &offset)) {
            return "relocation outside the image";
        }
        if (apply) {
            add64(image->base + offset, slide);
        }
    }
    return NULL;
}

static const char *relr_walk(const struct reloc_image *image, const struct tables *tables,
                             uint64_t slide, bool apply)
{
    uint64_t start, offset, where = 0;
    const char *reason = NULL;

    if (tables->relr_size == 0) {
        return NULL;
    }
    if (!image_contains(image, tables->relr, tables->relr_size, &start)) {
        return "relocation table outside the image";
    }
    const uint8_t *entry = image->base + start;
    for (uint64_t left = tables->relr_size; left >= 8 && reason == NULL; left -= 8, entry += 8) {
        uint64_t value = read64(entry);

        if ((value & 1) != 0) {
            reason = relr_bitmap(image, where, value, slide, apply);
            where += 63 * 8;
        } else if (!image_contains(image, value, 8, &offset)) {
            reason = "relocation outside the image";
        } else {
            if (apply) {
                add64(image->base + offset, slide);
            }
            where = value + 8;
        }
    }
    return reason;
}

static const char *tables_walk(const struct reloc_image *image, const struct tables *tables,
                               uint64_t slide, bool apply)
{
    const char *reason = rela_walk(image, tables, slide, apply);

    return reason != NULL ? reason : relr_walk(image, tables, slide, apply);
}

int reloc_apply(const struct reloc_image *image, uint64_t slide, const char **ret_reason)
{
    struct tables tables = {0};
    const char *reason = NULL;

    if (image->dynamic_size_bytes == 0) {
        return 0;
    }
    reason = dynamic_read(image, &tables);
    if (reason == NULL && (tables.rel_size != 0 || tables.plt_size != 0)) {
        reason = "relocations of a kind that a kernel must not have";
    }
    if (reason == NULL) {
        reason = tables_walk(image, &tables, slide, false);
    }
    if (reason != NULL) {
        *ret_reason = reason;
        return -ENOEXEC;
    }
    (void)tables_walk(image, &tables, slide, true);
    return 0;
}
