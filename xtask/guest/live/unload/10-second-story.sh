# modules: msr
# A module that oopses in init: stuck for everybody else, freed, and its successor lives.
insmod /x/live-vms.ko && fail "no oops"
/sbin/rmmod live_vms && fail "rmmod"
/sbin/rmmod -f live_vms && fail "rmmod -f"
run 1 lkm why live_vms
says "stuck loading"
says "vms_init+"
says "lkm unload --force live_vms"
run 1 lkm unload live_vms
run 0 lkm unload --force --dry-run live_vms
says "dry run"
run 1 lkm unload --force live_vms
says "nobody can be asked here"
says "--yes"
grep -q '^live_vms ' /proc/modules || fail "a dry run changed it"
run 1 lkm unload --force live_vms --yes --cleanup 'no_such_function(*vms_dev)'
says "there is no function no_such_function"
run 1 lkm unload --force live_vms --yes --cleanup 'platform_device_unregister(*no_such_symbol)'
run 0 lkm unload --force live_vms --yes \
	--cleanup 'input_free_device(*vms_input_dev)' --cleanup 'platform_device_unregister(*vms_dev)'
says "live_vms: gone"
[ ! -e /sys/module/live_vms ] || fail "still in sysfs"
run 0 /sbin/insmod /x/live-vms.ko fixed=1
grep -q 'Vms test' /proc/bus/input/devices || fail "the corrected module does not work"
gone live_vms
