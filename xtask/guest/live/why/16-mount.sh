# modules: ext4 loop crc32c_generic
# programs: /usr/sbin/mke2fs
# A mount, in our namespace, in another, and lazily unmounted; and the loop under it.
modprobe ext4 && modprobe loop || fail modprobe
image
mount -t ext4 -o loop /tmp/image /mnt || fail mount
why loop 2 2
says "/dev/loop0 on /tmp/image"
says "ext4 file system"
why ext4 1 1
says "mounted on /mnt"
says "umount /mnt"
freed ext4
modprobe ext4
mount -t ext4 -o loop /tmp/image /mnt || fail mount
unshare -m sh -c 'exec sleep 1000' &
OTHER=$!
sleep 0.5
umount /mnt
why ext4 1 1
says "mounted on /mnt for pid $OTHER (sleep) in another mnt namespace"
freed ext4
kill $OTHER
modprobe ext4
mount -t ext4 -o loop /tmp/image /mnt || fail mount
(cd /mnt && exec sleep 1000) &
INSIDE=$!
sleep 0.5
umount -l /mnt
why ext4 1 1
says "lazy-unmount"
says "pid $INSIDE (sleep) (working directory)"
freed ext4
losetup /dev/loop1 /tmp/image
why loop 1 1
says "losetup -d /dev/loop1"
freed loop
