/*
 * Graphics Output Protocol and EDID (UEFI 2.10, 12.9 and 12.10).
 *
 * A machine may have several GOP instances: one per display and a virtual one that mirrors them.
 * The one with an EDID is a real display and wins; else the first that has a linear framebuffer.
 */
#include "loader/efi/display.h"

#include "kernel/base/string.h"
#include "loader/core/edid.h"
#include "loader/core/gopmode.h"
#include "loader/efi/console.h"

#define MAX_MODES 128

typedef EFI_GRAPHICS_OUTPUT_PROTOCOL gop_t;
typedef EFI_GRAPHICS_OUTPUT_MODE_INFORMATION gop_info_t;

/*
 * The EDID of a display, NULL: none. The active one may be what the user put in the place of the
 * discovered one.
 */
static const uint8_t *handle_edid(EFI_HANDLE handle, size_t *ret_size_bytes)
{
    static const EFI_GUID active_guid = EFI_EDID_ACTIVE_PROTOCOL_GUID;
    static const EFI_GUID discovered_guid = EFI_EDID_DISCOVERED_PROTOCOL_GUID;
    EFI_EDID_ACTIVE_PROTOCOL *active = firmware_protocol(handle, &active_guid);
    EFI_EDID_DISCOVERED_PROTOCOL *discovered = firmware_protocol(handle, &discovered_guid);

    if (active != NULL && active->Edid != NULL && edid_is_valid(active->Edid, active->SizeOfEdid)) {
        *ret_size_bytes = active->SizeOfEdid;
        return active->Edid;
    }
    if (discovered != NULL && discovered->Edid != NULL &&
        edid_is_valid(discovered->Edid, discovered->SizeOfEdid)) {
        *ret_size_bytes = discovered->SizeOfEdid;
        return discovered->Edid;
    }
    return NULL;
}

/* The best instance, NULL: none. *ret_edid may be NULL. */
static gop_t *find_gop(const uint8_t **ret_edid, size_t *ret_edid_size_bytes)
{
    static const EFI_GUID gop_guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    EFI_GUID id = gop_guid;
    EFI_HANDLE *handles = NULL;
    UINTN nhandles = 0;
    gop_t *best = NULL;

    if (EFI_ERROR(firmware_boot->LocateHandleBuffer(ByProtocol, &id, NULL, &nhandles, &handles))) {
        return NULL;
    }
    *ret_edid = NULL;
    for (UINTN i = 0; i < nhandles && *ret_edid == NULL; i++) {
        gop_t *gop = firmware_protocol(handles[i], &gop_guid);

        if (gop == NULL || gop->Mode == NULL) {
            continue;
        }
        *ret_edid = handle_edid(handles[i], ret_edid_size_bytes);
        if (*ret_edid != NULL || best == NULL || best->Mode->FrameBufferBase == 0) {
            best = gop;
        }
    }
    (void)firmware_boot->FreePool(handles);
    return best;
}

static bool format_is_linear(const gop_info_t *info)
{
    return info->PixelFormat == PixelRedGreenBlueReserved8BitPerColor ||
           info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor ||
           info->PixelFormat == PixelBitMask;
}

static unsigned list_modes(gop_t *gop, struct gopmode *modes, unsigned max)
{
    unsigned nmodes = MIN(gop->Mode->MaxMode, max);

    for (unsigned i = 0; i < nmodes; i++) {
        gop_info_t *info = NULL;
        UINTN size = 0;

        modes[i] = (struct gopmode){0};
        if (EFI_ERROR(gop->QueryMode(gop, i, &size, &info)) || info == NULL) {
            continue;
        }
        modes[i].width = info->HorizontalResolution;
        modes[i].height = info->VerticalResolution;
        modes[i].usable = format_is_linear(info);
        (void)firmware_boot->FreePool(info);
    }
    return nmodes;
}

/* Where the colours lie in a pixel (12.9.2.1). False: not in whole bytes of 16, 24 or 32 bits. */
static bool describe_pixel(const gop_info_t *info, struct boot_framebuffer *fb)
{
    const EFI_PIXEL_BITMASK *mask = &info->PixelInformation;
    bool blue_first = info->PixelFormat == PixelBlueGreenRedReserved8BitPerColor;

    if (info->PixelFormat != PixelBitMask) {
        fb->bits_per_pixel = 32;
        fb->red_shift = blue_first ? 16 : 0;
        fb->green_shift = 8;
        fb->blue_shift = blue_first ? 0 : 16;
        fb->red_size = fb->green_size = fb->blue_size = 8;
        return true;
    }
    fb->bits_per_pixel =
        gopmode_pixel_bits(mask->RedMask | mask->GreenMask | mask->BlueMask | mask->ReservedMask);
    return fb->bits_per_pixel != 0 &&
           gopmode_channel(mask->RedMask, &fb->red_shift, &fb->red_size) &&
           gopmode_channel(mask->GreenMask, &fb->green_shift, &fb->green_size) &&
           gopmode_channel(mask->BlueMask, &fb->blue_shift, &fb->blue_size);
}

static bool describe(const gop_t *gop, struct boot_framebuffer *ret_framebuffer)
{
    const gop_info_t *info = gop->Mode->Info;
    struct boot_framebuffer fb = {.base = gop->Mode->FrameBufferBase,
                                  .size_bytes = gop->Mode->FrameBufferSize,
                                  .width = info->HorizontalResolution,
                                  .height = info->VerticalResolution};

    if (fb.base == 0 || !format_is_linear(info) || !describe_pixel(info, &fb) || fb.width == 0 ||
        fb.height == 0 || info->PixelsPerScanLine < fb.width || info->PixelsPerScanLine > 65536) {
        return false;
    }
    fb.pitch_bytes = info->PixelsPerScanLine * (fb.bits_per_pixel / 8);
    fb.size_bytes = MAX(fb.size_bytes, (uint64_t)fb.pitch_bytes * fb.height);
    *ret_framebuffer = fb;
    return true;
}

void display_setup(const char *forced, struct boot_framebuffer *ret_framebuffer)
{
    static struct gopmode modes[MAX_MODES];
    struct gopmode_wish wish = {.current = ~0u};
    const uint8_t *edid = NULL;
    size_t edid_size_bytes = 0;
    gop_t *gop = find_gop(&edid, &edid_size_bytes);
    unsigned nmodes;
    int mode;

    memset(ret_framebuffer, 0, sizeof(*ret_framebuffer));
    if (gop == NULL) {
        console_print("linnet: no display\n");
        return;
    }
    if (forced[0] != '\0' && !gopmode_parse(forced, &wish.forced_width, &wish.forced_height)) {
        console_print("linnet: video=%s is not WIDTHxHEIGHT: ignored\n", forced);
    }
    if (edid != NULL) {
        (void)edid_preferred_mode(edid, edid_size_bytes, &wish.edid_width, &wish.edid_height);
    }
    wish.current = gop->Mode->Mode;
    nmodes = list_modes(gop, modes, MAX_MODES);
    mode = gopmode_choose(modes, nmodes, &wish);
    if (mode >= 0 && (unsigned)mode != gop->Mode->Mode) {
        (void)gop->SetMode(gop, (UINT32)mode); /* on failure the current mode stays */
    }
    if (!describe(gop, ret_framebuffer)) {
        console_print("linnet: the display has no linear framebuffer\n");
        return;
    }
    if (edid != NULL) {
        memcpy(ret_framebuffer->edid, edid, sizeof(ret_framebuffer->edid));
    }
}
