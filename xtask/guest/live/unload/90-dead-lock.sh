# modules: msr
# rtnl held by the dead: refused, also when somebody waits for it already.
insmod /x/live-rtnl.ko && fail "no oops"
run 1 lkm unload --force --yes live_rtnl
says "rtnl_mutex is held by a task that is dead"
(ip link set lo down) &
sleep 1
run 1 lkm unload --force --yes live_rtnl
says "waits for a lock"
