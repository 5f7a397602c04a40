# modules: msr
# The scanner names what was left behind, and is content when it has gone.
insmod /x/live-leftovers.ko && fail "no oops"
run 1 lkm unload --force --yes live_leftovers
says "misc_list → left_misc"
says "left_nb"
says "left_timer"
TIMER=timer_delete_sync
grep -q " $TIMER\$" /proc/kallsyms || TIMER=del_timer_sync
says "--cleanup '$TIMER(left_timer)'"
run 0 lkm unload --force --yes live_leftovers --cleanup 'misc_deregister(left_misc)' \
	--cleanup "$TIMER(left_timer)" --cleanup 'unregister_netdevice_notifier(left_nb)'
says "scanned again: 0 pointers left"
