# modules: raid1 md-mod loop
# programs: /usr/sbin/mdadm
# An array pins its personality, and the disks under it.
modprobe raid1 && modprobe loop || fail modprobe
dd if=/dev/zero of=/tmp/a bs=1M count=8 2>/dev/null
cp /tmp/a /tmp/b
losetup /dev/loop0 /tmp/a && losetup /dev/loop1 /tmp/b || fail losetup
mdadm --build /dev/md0 --level=1 --raid-devices=2 --assume-clean /dev/loop0 /dev/loop1 || fail mdadm
why loop 4 4
says "/dev/md0, built on it"
why raid1 1 1
says "array md0, raid1"
says "mdadm --stop /dev/md0"
freed raid1
why loop 2 2
freed loop
