# modules: msr
# A module that is stuck unloading.
insmod /x/live-exit-oops.ko || fail insmod
/sbin/rmmod live_exit_oops && fail "no oops"
run 1 lkm why live_exit_oops
says "stuck unloading"
says "live_exit_oops_exit+"
run 1 lkm unload --force live_exit_oops --yes
says "--cleanup 'misc_deregister(live_exit_misc)'"
says "pointers into the module are left"
run 0 lkm unload --force live_exit_oops --yes --cleanup 'misc_deregister(live_exit_misc)'
run 0 /sbin/insmod /x/live-exit-oops.ko fixed=1
gone live_exit_oops
