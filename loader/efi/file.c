/*
 * Files, by the Simple File System Protocol (UEFI 2.10, 13.4 and 13.5).
 */
#include "loader/efi/file.h"

#include "kernel/base/string.h"
#include "loader/efi/console.h"
#include "loader/efi/memory.h"

#define READ_STEP_BYTES MIB(4) /* some firmware fails with very large reads */
#define MAX_PATH        256

static EFI_FILE_HANDLE root;

EFI_STATUS volume_open(void)
{
    static const EFI_GUID image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    static const EFI_GUID volume_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
    EFI_LOADED_IMAGE *image = firmware_protocol(firmware_image, &image_guid);
    EFI_FILE_IO_INTERFACE *volume;
    EFI_STATUS status;

    if (image == NULL || image->DeviceHandle == NULL) {
        return console_fail(EFI_NOT_FOUND,
                            "the firmware does not say which device this loader came from");
    }
    volume = firmware_protocol(image->DeviceHandle, &volume_guid);
    if (volume == NULL) {
        return console_fail(EFI_UNSUPPORTED, "the device this loader came from has no file system");
    }
    status = volume->OpenVolume(volume, &root);
    if (EFI_ERROR(status)) {
        return console_fail(status, "cannot open the volume this loader came from: %s",
                            firmware_status_text(status));
    }
    return EFI_SUCCESS;
}

void volume_close(void)
{
    if (root != NULL) {
        (void)root->Close(root);
        root = NULL;
    }
}

static EFI_STATUS open_path(const char *path, EFI_FILE_HANDLE *ret_file)
{
    CHAR16 wide[MAX_PATH];
    size_t len = strnlen(path, MAX_PATH - 1);
    EFI_STATUS status;

    for (size_t i = 0; i < len; i++) {
        wide[i] = (unsigned char)path[i];
    }
    wide[len] = 0;
    status = root->Open(root, ret_file, wide, EFI_FILE_MODE_READ, 0);
    if (status == EFI_NOT_FOUND) {
        return console_fail(status, "%s: there is no such file on the volume this loader came from",
                            path);
    }
    if (EFI_ERROR(status)) {
        return console_fail(status, "%s: cannot open: %s", path, firmware_status_text(status));
    }
    return EFI_SUCCESS;
}

static EFI_STATUS file_size(const char *path, EFI_FILE_HANDLE file, uint64_t *ret_size_bytes)
{
    union {
        EFI_FILE_INFO info;
        uint8_t space[sizeof(EFI_FILE_INFO) + MAX_PATH * sizeof(CHAR16)]; /* with the file's name */
    } buffer;
    EFI_GUID id = EFI_FILE_INFO_ID;
    UINTN size = sizeof(buffer);
    EFI_STATUS status = file->GetInfo(file, &id, &size, &buffer);

    if (EFI_ERROR(status)) {
        return console_fail(status, "%s: cannot tell its size: %s", path,
                            firmware_status_text(status));
    }
    if ((buffer.info.Attribute & EFI_FILE_DIRECTORY) != 0) {
        return console_fail(EFI_NOT_FOUND, "%s: is a folder", path);
    }
    *ret_size_bytes = buffer.info.FileSize;
    return EFI_SUCCESS;
}

static EFI_STATUS read_all(const char *path, EFI_FILE_HANDLE file, void *dst, uint64_t size_bytes)
{
    uint64_t done = 0;

    while (done < size_bytes) {
        UINTN step = MIN(size_bytes - done, READ_STEP_BYTES);
        EFI_STATUS status = file->Read(file, &step, (char *)dst + done);

        if (EFI_ERROR(status)) {
            return console_fail(status, "%s: cannot read at byte %llu: %s", path,
                                (unsigned long long)done, firmware_status_text(status));
        }
        if (step == 0) {
            return console_fail(EFI_END_OF_FILE, "%s: ends at byte %llu of %llu", path,
                                (unsigned long long)done, (unsigned long long)size_bytes);
        }
        done += step;
    }
    return EFI_SUCCESS;
}

EFI_STATUS file_read(const char *path, uint64_t max_bytes, paddr_t *ret_addr,
                     uint64_t *ret_size_bytes)
{
    EFI_FILE_HANDLE file;
    uint64_t size_bytes = 0;
    paddr_t addr = 0;
    EFI_STATUS status = open_path(path, &file);

    if (EFI_ERROR(status)) {
        return status;
    }
    status = file_size(path, file, &size_bytes);
    if (!EFI_ERROR(status) && size_bytes == 0) {
        status = console_fail(EFI_END_OF_FILE, "%s: is empty", path);
    }
    if (!EFI_ERROR(status) && size_bytes > max_bytes) {
        status = console_fail(EFI_BAD_BUFFER_SIZE, "%s: %llu bytes are more than the %llu allowed",
                              path, (unsigned long long)size_bytes, (unsigned long long)max_bytes);
    }
    if (!EFI_ERROR(status)) {
        status = memory_alloc(path, size_bytes, 1, MEMORY_ANYWHERE, &addr);
    }
    if (!EFI_ERROR(status)) {
        status = read_all(path, file, (void *)(uintptr_t)addr, size_bytes);
    }
    (void)file->Close(file);
    if (EFI_ERROR(status)) {
        return status; /* memory_free_all() frees the pages */
    }
    *ret_addr = addr;
    *ret_size_bytes = size_bytes;
    return EFI_SUCCESS;
}
