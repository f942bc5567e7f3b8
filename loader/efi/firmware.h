/*
 * What every file of loader/efi shares: the firmware's tables and a few conveniences over them.
 * Only headers of gnu-efi are used, nothing of its library.
 *
 * Functions here return EFI_STATUS, because the firmware is who gets it in the end; a function that
 * fails has already said why with console_fail(), unless its comment says that it is silent.
 */
#pragma once

#include <efi.h>

#include "kernel/base/types.h"

extern EFI_HANDLE firmware_image;
extern EFI_SYSTEM_TABLE *firmware_table;
extern EFI_BOOT_SERVICES *firmware_boot;

void firmware_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

/* A protocol on a handle, NULL: not there. Silent. */
void *firmware_protocol(EFI_HANDLE handle, const EFI_GUID *guid);
/* Any one instance of a protocol, NULL: none. Silent. */
void *firmware_locate(const EFI_GUID *guid);
/* The vendor's table of that GUID, 0: none. */
paddr_t firmware_config_table(const EFI_GUID *guid);
/* A name for a status: "Not Found". */
const char *firmware_status_text(EFI_STATUS status);
/* Wall clock in UTC, seconds since 1970; 0: unknown. */
uint64_t firmware_unix_time(void);
