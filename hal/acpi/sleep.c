/*
 * The soft-off values without an AML interpreter: find the bytes of Name (_S5, Package () {a, b, ...}) in a DSDT.
 *
 * AML (ACPI 6.5, chapter 20): NameOp 0x08, an optional root prefix '\', the four characters "_S5_", PackageOp 0x12, PkgLength
 * (top two bits of its first byte say how many bytes follow), NumElements, then the elements: ZeroOp 0x00, OneOp 0x01,
 * BytePrefix 0x0a + 1, WordPrefix 0x0b + 2, DWordPrefix 0x0c + 4 bytes. The first two are SLP_TYPa and SLP_TYPb (7.4.2), of
 * three bits each. Firmware writes them as constants, since they are needed before a method could run.
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"

#define AML_ZERO    0x00
#define AML_ONE     0x01
#define AML_NAME    0x08
#define AML_BYTE    0x0a
#define AML_WORD    0x0b
#define AML_DWORD   0x0c
#define AML_PACKAGE 0x12
#define SLP_TYP_MAX 7u

struct aml_cursor {
    const uint8_t *bytes;
    uint32_t at, end; /* at <= end */
};

/* One integer constant. False: something else, or cut off. */
static bool aml_integer(struct aml_cursor *cursor, uint32_t *ret_value)
{
    uint32_t nbytes, value = 0;

    if (cursor->at == cursor->end) {
        return false;
    }
    switch (cursor->bytes[cursor->at++]) {
    case AML_ZERO:
        *ret_value = 0;
        return true;
    case AML_ONE:
        *ret_value = 1;
        return true;
    case AML_BYTE:
        nbytes = 1;
        break;
    case AML_WORD:
        nbytes = 2;
        break;
    case AML_DWORD:
        nbytes = 4;
        break;
    default:
        return false;
    }
    if (cursor->end - cursor->at < nbytes) {
        return false;
    }
    for (uint32_t i = 0; i < nbytes; i++) {
        value |= (uint32_t)cursor->bytes[cursor->at + i] << (8 * i);
    }
    cursor->at += nbytes;
    *ret_value = value;
    return true;
}

/* The package behind the name: 0 and the two values, or -EINVAL. */
static int s5_package(struct aml_cursor *cursor, uint8_t *ret_a, uint8_t *ret_b)
{
    uint32_t a, b = 0;

    if (cursor->end - cursor->at < 3 || cursor->bytes[cursor->at] != AML_PACKAGE) {
        return -EINVAL;
    }
    uint32_t length_bytes = 1 + (cursor->bytes[cursor->at + 1] >> 6);
    if (cursor->end - cursor->at < 1 + length_bytes + 1) {
        return -EINVAL;
    }
    uint8_t nelements = cursor->bytes[cursor->at + 1 + length_bytes];
    cursor->at += 1 + length_bytes + 1;
    if (nelements == 0 || !aml_integer(cursor, &a) || a > SLP_TYP_MAX) {
        return -EINVAL;
    }
    if (nelements > 1 && (!aml_integer(cursor, &b) || b > SLP_TYP_MAX)) {
        return -EINVAL;
    }
    *ret_a = (uint8_t)a;
    *ret_b = (uint8_t)b;
    return 0;
}

int acpi_find_s5(const void *dsdt, uint32_t len_bytes, uint8_t *ret_slp_typ_a,
                 uint8_t *ret_slp_typ_b)
{
    const uint8_t *bytes = dsdt;
    uint32_t end = acpi_table_extent(dsdt, len_bytes, "DSDT", ACPI_HEADER_BYTES);

    for (uint32_t at = ACPI_HEADER_BYTES + 2; end >= 4 && at <= end - 4; at++) {
        if (bytes[at] != '_' || memcmp(bytes + at, "_S5_", 4) != 0) {
            continue;
        }
        if (bytes[at - 1] != AML_NAME && !(bytes[at - 1] == '\\' && bytes[at - 2] == AML_NAME)) {
            continue;
        }
        struct aml_cursor cursor = {.bytes = bytes, .at = at + 4, .end = end};
        if (s5_package(&cursor, ret_slp_typ_a, ret_slp_typ_b) == 0) {
            return 0;
        }
    }
    return -ENOENT;
}
