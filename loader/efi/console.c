/*
 * The loader's console (UEFI 2.10, chapter 12).
 *
 * The firmware mirrors its console to a serial port when its variable ConOut names one (3.3); then
 * nothing is written to COM1 here, or every line would come twice. Without such a port COM1 gets
 * the same text, so that a machine without a screen is not mute.
 */
#include "loader/efi/console.h"

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "loader/core/devpath.h"
#include "loader/efi/serial.h"

#define LINE_SIZE       512
#define FAILURE_WAIT_MS 10000
#define UNITS_PER_MS    10000 /* SetTimer counts 100 ns */

static bool on_com1; /* COM1 gets a copy */

static bool firmware_uses_serial(void)
{
    static const EFI_GUID global = EFI_GLOBAL_VARIABLE;
    static uint8_t paths[2048];
    EFI_GUID id = global;
    UINTN size = sizeof(paths);

    if (EFI_ERROR(
            firmware_table->RuntimeServices->GetVariable(L"ConOut", &id, NULL, &size, paths))) {
        return false;
    }
    return devpath_has_uart(paths, size);
}

void console_init(void)
{
    on_com1 = !firmware_uses_serial() && serial_init();
}

/* Text to the firmware's screen, in pieces, with its idea of a line's end. */
static void screen_write(const char *text)
{
    CHAR16 wide[128];
    size_t n = 0;

    if (firmware_table->ConOut == NULL) {
        return;
    }
    for (; *text != '\0'; text++) {
        if (n + 3 > ARRAY_SIZE(wide)) {
            wide[n] = 0;
            (void)firmware_table->ConOut->OutputString(firmware_table->ConOut, wide);
            n = 0;
        }
        if (*text == '\n') {
            wide[n++] = '\r';
        }
        wide[n++] = (unsigned char)*text < 0x80 ? (CHAR16)*text : '?';
    }
    wide[n] = 0;
    (void)firmware_table->ConOut->OutputString(firmware_table->ConOut, wide);
}

static void write_everywhere(const char *text)
{
    screen_write(text);
    if (on_com1) {
        serial_write(text);
    }
}

void console_print(const char *fmt, ...)
{
    char line[LINE_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)kvsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    write_everywhere(line);
}

EFI_STATUS console_fail(EFI_STATUS status, const char *fmt, ...)
{
    char line[LINE_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)kvsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    write_everywhere("linnet: ");
    write_everywhere(line);
    write_everywhere("\n");
    return status;
}

/* Look once; false: no key waits. */
static bool read_key(EFI_INPUT_KEY *ret_key)
{
    return !EFI_ERROR(firmware_table->ConIn->ReadKeyStroke(firmware_table->ConIn, ret_key));
}

bool console_key(uint32_t timeout_ms, EFI_INPUT_KEY *ret_key)
{
    EFI_EVENT events[2] = {NULL, NULL};
    UINTN nevents = 0, index = 0;
    bool got = false;

    if (firmware_table->ConIn == NULL) {
        if (timeout_ms != 0) {
            (void)firmware_boot->Stall((UINTN)MIN(timeout_ms, 3600000u) * 1000);
        }
        return false;
    }
    if (read_key(ret_key)) {
        return true;
    }
    if (timeout_ms == 0) {
        return false;
    }
    events[nevents++] = firmware_table->ConIn->WaitForKey;
    if (timeout_ms != CONSOLE_FOREVER) {
        if (EFI_ERROR(
                firmware_boot->CreateEvent(EVT_TIMER, TPL_CALLBACK, NULL, NULL, &events[1]))) {
            return false;
        }
        nevents++;
        (void)firmware_boot->SetTimer(events[1], TimerRelative, (UINT64)timeout_ms * UNITS_PER_MS);
    }
    /*
     * WaitForKey may be signalled by a key that ReadKeyStroke does not deliver, such as a lone
     * shift: wait on.
     */
    do {
        if (EFI_ERROR(firmware_boot->WaitForEvent(nevents, events, &index))) {
            break;
        }
        got = index == 0 && read_key(ret_key);
    } while (!got && index == 0);
    if (events[1] != NULL) {
        (void)firmware_boot->CloseEvent(events[1]);
    }
    return got;
}

void console_wait_after_failure(void)
{
    EFI_INPUT_KEY key;

    while (console_key(0, &key)) {
        /* keys pressed before the sentence came do not count */
    }
    console_print("linnet: back to the firmware in 10 s, or at once with any key\n");
    (void)console_key(FAILURE_WAIT_MS, &key);
}

void console_size(unsigned *ret_columns, unsigned *ret_rows)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware_table->ConOut;
    UINTN columns = 80, rows = 25;

    if (out == NULL || EFI_ERROR(out->QueryMode(out, (UINTN)out->Mode->Mode, &columns, &rows)) ||
        columns < 40 || rows < 10) {
        columns = 80;
        rows = 25;
    }
    *ret_columns = (unsigned)columns;
    *ret_rows = (unsigned)rows;
}

void console_clear(void)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware_table->ConOut;

    if (out != NULL) {
        (void)out->SetAttribute(out, EFI_LIGHTGRAY | EFI_BACKGROUND_BLACK);
        (void)out->ClearScreen(out);
    }
}

void console_put(unsigned column, unsigned row, unsigned attribute, const char *text)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware_table->ConOut;

    if (out == NULL) {
        return;
    }
    (void)out->SetCursorPosition(out, column, row);
    (void)out->SetAttribute(out, attribute);
    screen_write(text);
    (void)out->SetAttribute(out, EFI_LIGHTGRAY | EFI_BACKGROUND_BLACK);
}

void console_show_cursor(unsigned column, unsigned row, bool visible)
{
    SIMPLE_TEXT_OUTPUT_INTERFACE *out = firmware_table->ConOut;

    if (out != NULL) {
        (void)out->SetCursorPosition(out, column, row);
        (void)out->EnableCursor(out, visible);
    }
}
