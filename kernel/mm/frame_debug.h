/*
 * Free page frames under watch in debug builds: a freed frame is filled with FRAME_POISON, and whoever gets it next looks whether somebody wrote to it
 * meanwhile. Private to kernel/mm. The address sanitizer needs none of it, on the host or in the kernel.
 */
#pragma once

#include "kernel/mm/page.h"

#if defined(CONFIG_DEBUG) && !defined(CONFIG_KASAN) && !defined(HOST_BUILD)
/* 2^order frames become free; nobody else knows them. Any context. */
void frame_debug_free(struct page *page, unsigned order);
/* They are about to be handed out. Tells a write after free as a defect. Any context. */
void frame_debug_alloc(struct page *page, unsigned order);
#else
#define frame_debug_free(page, order)  ((void)(page), (void)(order))
#define frame_debug_alloc(page, order) ((void)(page), (void)(order))
#endif
