# modules: dummy bridge
# programs: /usr/sbin/ip
# What does not pin, but goes or breaks.
modprobe dummy numdummies=0 && modprobe bridge || fail modprobe
/bin/ip link add d1 type dummy && /bin/ip link set d1 up || fail ip
/bin/ip link add br0 type bridge && /bin/ip link set br0 up || fail ip
why dummy 0 0
says "interface d1: disappears, with its addresses and routes: it is up"
why bridge 0 0
says "interface br0: disappears, with its addresses and routes: it is up"
insmod /x/live-unpinned.ko || fail insmod
why live_unpinned 0 0
says "irq 7 (live_unpinned)"
says "timer live_unpinned_timer → live_unpinned_tick"
says "timer live_unpinned_hrtimer → live_unpinned_alarm"
says "notifier reboot_notifier_list: live_unpinned_nb → live_unpinned_reboot"
gone live_unpinned
/bin/ip link del br0
/bin/ip link del d1
gone bridge
