# A kernel without types of its own: the inventory answers, and force does not.
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
mount -t tmpfs tmpfs /sys/kernel/btf || fail mount
why live_misc 1 1
says "depth: inventory"
says "/sys/kernel/btf/vmlinux"
run 2 lkm unload --force --yes live_misc
run 1 lkm unload --force live_misc --emit /tmp/none
umount /sys/kernel/btf
drop
gone live_misc
