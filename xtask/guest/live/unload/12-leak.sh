# modules: msr
# A leaked reference: freed with its exit.
insmod /x/live-leak.ko n=5 || fail insmod
run 1 lkm unload live_leak
says "5 × unexplained"
run 0 lkm unload --force --yes live_leak
says "with its exit"
dmesg | grep -q 'exit has run' || fail "its exit did not run"
# A reference that another module took: it is told what that one keeps.
insmod /x/chain-base.ko && insmod /x/live-keeper.ko || fail insmod
run 0 lkm unload --force --dry-run chain_base
says "kept [live_keeper] → chain_base_add: another module may have taken the reference"
gone live_keeper
run 0 lkm unload --force --yes chain_base
