#!/bin/sh
# Make a folder that holds links to the Linux user-space ABI headers alone (linux/, asm/, asm-generic/, drm/), wherever the
# distribution keeps them, so that the kernel's include path shows nothing of the C library.
set -eu
dest=$1
mkdir -p "$dest"
for dir in linux asm-generic drm; do
    [ -d "/usr/include/$dir" ] && ln -sfn "/usr/include/$dir" "$dest/$dir"
done
for asm in "/usr/include/$(uname -m)-linux-gnu/asm" /usr/include/asm; do
    [ -d "$asm" ] && ln -sfn "$asm" "$dest/asm" && break
done
: >"$dest/unistd.h" # linux/shm.h asks for it, for a page size that is not used
[ -e "$dest/linux/errno.h" ] && [ -e "$dest/asm/errno.h" ] || {
    echo "link-uapi: Linux ABI headers not found (Debian: linux-libc-dev)" >&2
    exit 1
}
