# modules: msr
# A leaked reference: freed with its exit.
insmod /x/live-leak.ko n=5 || fail insmod
run 1 lkm unload live_leak
says "5 × unexplained"
run 0 lkm unload --force --yes live_leak
says "with its exit"
dmesg | grep -q 'exit has run' || fail "its exit did not run"
