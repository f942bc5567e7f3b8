/*
 * Finding the tables: RSDP -> XSDT or RSDT -> a list of tables that are whole.
 *
 * Everything here comes from firmware and is checked before it is followed: checksums, lengths against sane bounds, no
 * arithmetic that could wrap. A damaged table is named in the log and left out; a damaged root falls back (XSDT to RSDT).
 *
 * RSDP (ACPI 6.5, 5.2.5.3):  0 "RSD PTR "  8 checksum of bytes 0-19  15 revision  16 RSDT (32 bit)  20 length
 *                            24 XSDT (64 bit)  32 checksum of all bytes
 * Header (5.2.6):            0 signature  4 length  8 revision  9 checksum of the table  10 OEM ids ... 36 body
 * RSDT/XSDT (5.2.7, 5.2.8):  header, then physical addresses of 32 or 64 bits
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"

#define RSDP_V1_BYTES  20u
#define RSDP_V2_BYTES  36u
#define RSDP_MAX_BYTES 256u
#define TABLE_MAX_BYTES                                                                            \
    (16u << 20) /* larger than any DSDT seen; a wild length must not cost the whole memory */
#define PADDR_LIMIT (1ull << 52)

static uint8_t bytes_sum(const uint8_t *bytes, uint32_t len_bytes)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < len_bytes; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum;
}

static const uint8_t *memory_map(const struct acpi_memory *memory, paddr_t pa, uint64_t len_bytes)
{
    if (pa == 0 || pa >= PADDR_LIMIT - len_bytes) {
        return NULL;
    }
    return memory->map(memory->arg, pa, len_bytes);
}

static void memory_unmap(const struct acpi_memory *memory, const void *va, uint64_t len_bytes)
{
    if (memory->unmap != NULL) {
        memory->unmap(memory->arg, va, len_bytes);
    }
}

uint32_t acpi_table_extent(const void *table, uint32_t len_bytes, const char *signature,
                           uint32_t min_bytes)
{
    const uint8_t *bytes = table;

    if (len_bytes < ACPI_HEADER_BYTES || memcmp(bytes, signature, 4) != 0) {
        return 0;
    }
    uint32_t extent = MIN(len_bytes, acpi_get32(bytes + 4));
    return extent < min_bytes ? 0 : extent;
}

/* Signatures are four printable characters; firmware that has none there points at something else. */
static bool signature_copy(char dst[5], const uint8_t *src)
{
    for (unsigned i = 0; i < 4; i++) {
        if (src[i] < 0x20 || src[i] > 0x7e) {
            return false;
        }
        dst[i] = (char)src[i];
    }
    dst[4] = '\0';
    return true;
}

/*
 * Check the table at `pa` whole and describe it. -EFAULT: not readable; -EINVAL: no signature, or a length out of bounds;
 * -EILSEQ: checksum. The FACS has no checksum (5.2.10) and is not reached from the root.
 */
static int table_check(const struct acpi_memory *memory, paddr_t pa, struct acpi_table_ref *ret_ref)
{
    struct acpi_table_ref ref = {.pa = pa};
    const uint8_t *header = memory_map(memory, pa, ACPI_HEADER_BYTES);
    if (header == NULL) {
        return -EFAULT;
    }
    bool named = signature_copy(ref.signature, header);
    ref.len_bytes = acpi_get32(header + 4);
    memory_unmap(memory, header, ACPI_HEADER_BYTES);
    if (!named || ref.len_bytes < ACPI_HEADER_BYTES || ref.len_bytes > TABLE_MAX_BYTES) {
        return -EINVAL;
    }
    const uint8_t *whole = memory_map(memory, pa, ref.len_bytes);
    if (whole == NULL) {
        return -EFAULT;
    }
    uint8_t sum = bytes_sum(whole, ref.len_bytes);
    memory_unmap(memory, whole, ref.len_bytes);
    if (sum != 0) {
        memcpy(ret_ref->signature, ref.signature, sizeof(ref.signature));
        return -EILSEQ;
    }
    *ret_ref = ref;
    return 0;
}

static void table_add(struct acpi_tables *tables, paddr_t pa)
{
    struct acpi_table_ref ref = {.signature = "????"};

    if (pa == 0) {
        return; /* an empty slot, which some firmware leaves */
    }
    int err = table_check(tables->memory, pa, &ref);
    if (err == -EILSEQ) {
        log_warn("acpi: table %s at %#llx: bad checksum, skipped", ref.signature,
                 (unsigned long long)pa);
        return;
    }
    if (err < 0) {
        log_warn("acpi: table at %#llx: %s, skipped", (unsigned long long)pa,
                 err == -EFAULT ? "not readable" : "damaged header");
        return;
    }
    if (tables->count == ACPI_MAX_TABLES) {
        log_warn("acpi: more than %d tables: %s skipped", ACPI_MAX_TABLES, ref.signature);
        return;
    }
    tables->table[tables->count++] = ref;
}

/* Take in all tables that the XSDT (entries of 8 bytes) or RSDT (of 4) at `pa` names. */
static int root_load(struct acpi_tables *tables, paddr_t pa, const char *signature,
                     uint32_t entry_bytes)
{
    struct acpi_table_ref root;
    int err = table_check(tables->memory, pa, &root);
    if (err < 0 || memcmp(root.signature, signature, 4) != 0) {
        log_warn("acpi: %s at %#llx: damaged", signature, (unsigned long long)pa);
        return -EINVAL;
    }
    const uint8_t *bytes = memory_map(tables->memory, pa, root.len_bytes);
    if (bytes == NULL) {
        return -EFAULT;
    }
    for (uint32_t at = ACPI_HEADER_BYTES; root.len_bytes - at >= entry_bytes; at += entry_bytes) {
        table_add(tables, entry_bytes == 8 ? acpi_get64(bytes + at) : acpi_get32(bytes + at));
    }
    memory_unmap(tables->memory, bytes, root.len_bytes);
    return 0;
}

/* Read what the RSDP says. *ret_xsdt is 0 for revision 0, or when the extension's checksum is wrong. */
static int rsdp_read(const struct acpi_memory *memory, paddr_t pa, unsigned *ret_revision,
                     paddr_t *ret_rsdt, paddr_t *ret_xsdt)
{
    const uint8_t *rsdp = memory_map(memory, pa, RSDP_V1_BYTES);
    if (rsdp == NULL) {
        return -ENODEV;
    }
    bool valid = memcmp(rsdp, "RSD PTR ", 8) == 0 && bytes_sum(rsdp, RSDP_V1_BYTES) == 0;
    unsigned revision = rsdp[15];
    paddr_t rsdt = acpi_get32(rsdp + 16);
    memory_unmap(memory, rsdp, RSDP_V1_BYTES);
    if (!valid) {
        log_warn("acpi: no valid RSDP at %#llx", (unsigned long long)pa);
        return -ENODEV;
    }
    paddr_t xsdt = 0;
    if (revision >= 2 && (rsdp = memory_map(memory, pa, RSDP_V2_BYTES)) != NULL) {
        uint32_t len_bytes = acpi_get32(rsdp + 20);
        paddr_t candidate = acpi_get64(rsdp + 24);
        memory_unmap(memory, rsdp, RSDP_V2_BYTES);
        if (len_bytes >= RSDP_V2_BYTES && len_bytes <= RSDP_MAX_BYTES &&
            (rsdp = memory_map(memory, pa, len_bytes)) != NULL) {
            xsdt = bytes_sum(rsdp, len_bytes) == 0 ? candidate : 0;
            memory_unmap(memory, rsdp, len_bytes);
        }
        if (xsdt == 0) {
            log_warn("acpi: RSDP extension damaged, using the RSDT");
        }
    }
    *ret_revision = revision;
    *ret_rsdt = rsdt;
    *ret_xsdt = xsdt;
    return 0;
}

int acpi_tables_load(struct acpi_tables *tables, const struct acpi_memory *memory, paddr_t rsdp)
{
    paddr_t rsdt, xsdt;

    tables->memory = memory;
    tables->revision = 0;
    tables->count = 0;
    int err = rsdp_read(memory, rsdp, &tables->revision, &rsdt, &xsdt);
    if (err < 0) {
        return err;
    }
    if (xsdt != 0 && root_load(tables, xsdt, "XSDT", 8) == 0) {
        return 0;
    }
    return root_load(tables, rsdt, "RSDT", 4) == 0 ? 0 : -ENODEV;
}

const struct acpi_table_ref *acpi_table_find(const struct acpi_tables *tables,
                                             const char *signature)
{
    for (unsigned i = 0; i < tables->count; i++) {
        if (memcmp(tables->table[i].signature, signature, 4) == 0) {
            return &tables->table[i];
        }
    }
    return NULL;
}
