# The oops text of the live log.
dmesg -c >/dev/null
insmod /x/live-exit-oops.ko fixed=0 || fail insmod
/sbin/rmmod live_exit_oops && fail "no oops"
dmesg | lkm explain - >/tmp/why
cat /tmp/why
says "live_exit_oops"
says "live_exit_oops, GOING (Unloading)"
says "Cause [oops]"
says "it happened inside exit"
