/*
 * What arena.c, vmalloc.c and kstack.c share. Private to kernel/mm.
 */
#pragma once

#include "kernel/mm/arena.h"

void vmalloc_init(void);
void kstacks_init(void);
