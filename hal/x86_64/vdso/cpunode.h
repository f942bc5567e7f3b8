/*
 * The segment descriptor whose limit tells a user program its CPU and node: the LSL instruction reads it on every x86-64 CPU.
 */
#pragma once

#define CPUNODE_SELECTOR   0x7bu /* GDT entry 15, RPL 3 */
#define CPUNODE_CPU_MASK   0xfffu
#define CPUNODE_NODE_SHIFT 12
