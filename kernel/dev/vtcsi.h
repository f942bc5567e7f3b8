/*
 * Control sequences (CSI ... final byte). Private to kernel/dev/vt*.c.
 */
#pragma once

#include "kernel/dev/vtparse.h"

void vt_csi(struct vt_parser *parser, uint8_t final);
void vt_reply_attributes(struct vt_parser *parser); /* DA: a VT102 */
