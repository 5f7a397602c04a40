# modules: ext4 loop crc32c_generic sctp
# programs: /usr/sbin/mke2fs
# kptr_restrict=2: the inventory still answers.
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
echo 2 >/proc/sys/kernel/kptr_restrict
why live_misc 1 1
says "depth: inventory"
says "kptr_restrict=2"
says "(hold)"
run 2 lkm unload --force --yes live_misc
drop
modprobe ext4 && modprobe loop || fail modprobe
image
mount -t ext4 -o loop /tmp/image /mnt || fail mount
why ext4 1 1
says "mounted on /mnt"
umount /mnt
echo 0 >/proc/sys/kernel/kptr_restrict
gone ext4
gone live_misc
