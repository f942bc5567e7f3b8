/*
 * The firmware's tables (UEFI 2.10, chapters 4, 7 and 8).
 */
#include "loader/efi/firmware.h"

#include "kernel/base/string.h"
#include "loader/core/civil.h"

EFI_HANDLE firmware_image;
EFI_SYSTEM_TABLE *firmware_table;
EFI_BOOT_SERVICES *firmware_boot;

void firmware_init(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    firmware_image = image;
    firmware_table = table;
    firmware_boot = table->BootServices;
    /* A menu may stay on the screen longer than the five minutes that the watchdog allows. */
    (void)firmware_boot->SetWatchdogTimer(0, 0, 0, NULL);
}

void *firmware_protocol(EFI_HANDLE handle, const EFI_GUID *guid)
{
    EFI_GUID id = *guid; /* the headers' prototypes know no const */
    void *interface = NULL;

    return EFI_ERROR(firmware_boot->HandleProtocol(handle, &id, &interface)) ? NULL : interface;
}

void *firmware_locate(const EFI_GUID *guid)
{
    EFI_GUID id = *guid;
    void *interface = NULL;

    return EFI_ERROR(firmware_boot->LocateProtocol(&id, NULL, &interface)) ? NULL : interface;
}

paddr_t firmware_config_table(const EFI_GUID *guid)
{
    for (UINTN i = 0; i < firmware_table->NumberOfTableEntries; i++) {
        const EFI_CONFIGURATION_TABLE *entry = &firmware_table->ConfigurationTable[i];
        if (memcmp(&entry->VendorGuid, guid, sizeof(*guid)) == 0) {
            return (paddr_t)(uintptr_t)entry->VendorTable;
        }
    }
    return 0;
}

const char *firmware_status_text(EFI_STATUS status)
{
    static const struct {
        EFI_STATUS status;
        const char *text;
    } names[] = {
        {EFI_LOAD_ERROR, "Load Error"},
        {EFI_INVALID_PARAMETER, "Invalid Parameter"},
        {EFI_UNSUPPORTED, "Unsupported"},
        {EFI_BAD_BUFFER_SIZE, "Bad Buffer Size"},
        {EFI_BUFFER_TOO_SMALL, "Buffer Too Small"},
        {EFI_NOT_READY, "Not Ready"},
        {EFI_DEVICE_ERROR, "Device Error"},
        {EFI_OUT_OF_RESOURCES, "Out of Resources"},
        {EFI_VOLUME_CORRUPTED, "Volume Corrupted"},
        {EFI_NO_MEDIA, "No Media"},
        {EFI_MEDIA_CHANGED, "Media Changed"},
        {EFI_NOT_FOUND, "Not Found"},
        {EFI_ACCESS_DENIED, "Access Denied"},
        {EFI_TIMEOUT, "Timeout"},
        {EFI_ABORTED, "Aborted"},
        {EFI_SECURITY_VIOLATION, "Security Violation"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].status == status) {
            return names[i].text;
        }
    }
    return "unknown firmware error";
}

uint64_t firmware_unix_time(void)
{
    EFI_TIME now;
    struct civil civil;

    if (EFI_ERROR(firmware_table->RuntimeServices->GetTime(&now, NULL))) {
        return 0;
    }
    civil = (struct civil){.year = now.Year,
                           .month = now.Month,
                           .day = now.Day,
                           .hour = now.Hour,
                           .minute = now.Minute,
                           .second = now.Second,
                           .timezone_minutes = now.TimeZone};
    return civil_to_unix(&civil);
}
