# ---- mounts: left out where the Linux side may not mount ----
cd ..; mkdir -p mounts; cd mounts; mkdir a b
t mount -t tmpfs -o size=64k,mode=750 tour a; t stat -c '%a %F' a; p "grep ' $PWD/a ' | cut -d ' ' -f 1,5" mount; t dd if=/dev/zero of=a/big bs=1k count=100; t stat -c %s a/big; t rm a/big; p "tail -n 2 | cut -c 1-30 | sed 's/ .*//'" df -k a; t touch a/file; t mount -o remount,ro a; t touch a/other; t rm a/file; t mount -o remount,rw a; t touch a/other
t mount --bind a b; t ls b; t umount a; t ls a; t ls b; t umount b; t ls b; t umount b; t mount -t nothing x a; t mount -t tmpfs x nowhere; t mount -t proc proc a; t cat a/sys/kernel/ostype; cd a; t umount ../a; cd ..; t umount a; t umount -l nowhere
