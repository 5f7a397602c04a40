# modules: zram
# Swap on zram.
modprobe zram || fail modprobe
echo 16M >/sys/block/zram0/disksize
mkswap /dev/zram0 >/dev/null && swapon /dev/zram0 || fail swapon
COUNT=$(cat /sys/module/zram/refcnt)
why zram "$COUNT" "$COUNT"
says "swapoff /dev/zram0"
freed zram
