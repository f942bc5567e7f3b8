/* The host has no I/O ports. */
#pragma once
