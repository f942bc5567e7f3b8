#include "kernel/sync/report.h"

#include "kernel/base/printf.h"

void (*sync_report_hook)(const char *text, bool backtrace);

void sync_report(bool backtrace, const char *fmt, ...)
{
    char text[200];
    va_list args;

    if (sync_report_hook == NULL) {
        return;
    }
    va_start(args, fmt);
    (void)kvsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    sync_report_hook(text, backtrace);
}
