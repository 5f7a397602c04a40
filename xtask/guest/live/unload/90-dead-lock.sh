# modules: msr
# rtnl held by the dead: refused, also when somebody waits for it already.
insmod /x/live-rtnl.ko && fail "no oops"
run 1 lkm unload --force --yes live_rtnl
says "rtnl_mutex is held by a task that"
(ip link set lo down) &
sleep 1
for p in /proc/[0-9]*; do case "$(cat $p/comm)" in ip|sh) grep State $p/status; cat $p/stack ;; esac; done
run 1 lkm unload --force --yes live_rtnl
says "rtnl_mutex is held by a task that"
