# modules: dm-mod loop
# programs: /usr/sbin/dmsetup
# A mapped device pins dm_mod twice, and the disk under it once.
modprobe dm-mod && modprobe loop || fail modprobe
dd if=/dev/zero of=/tmp/image bs=1M count=4 2>/dev/null
losetup /dev/loop0 /tmp/image
echo "0 2048 linear /dev/loop0 0" | dmsetup create l1 --noudevsync || fail dmsetup
why dm_mod 2 2
says "target linear"
says "dmsetup remove l1"
why loop 2 2
says "/dev/dm-0, built on it"
why dm_mod 2 2
follow
why loop 1 1
freed loop
gone dm_mod
