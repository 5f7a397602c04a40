# modules: msr
# A real user, a holder, a thread in its text, a live init, a mismatch: no --yes helps.
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
run 1 lkm unload --force --yes live_misc
says "is in real use by pid $HELD (hold)"
drop
run 0 lkm unload live_misc
insmod /x/chain-base.ko && insmod /x/chain-middle.ko || fail insmod
run 1 lkm unload --force --yes chain_base
says "module chain_middle"
run 0 lkm unload --holders chain_base
insmod /x/live-thread.ko leak=1 || fail insmod
run 1 lkm unload --force --yes live_thread
says "(live-thread) runs in its text"
insmod /x/live-slow.ko ms=6000 &
sleep 1
run 1 lkm unload --force --yes live_slow
says "is still at work in it"
wait
run 0 lkm unload live_slow
insmod /x/live-leak.ko || fail insmod
sed 's/vermagic=[0-9]/vermagic=9/' </x/live-misc.ko >/tmp/other.ko
run 1 lkm unload --force --yes live_leak --like /tmp/other.ko
says "the facts about this kernel disagree"
run 1 lkm unload --force --yes live_leak --like /x/other-struct.ko
says "struct module has"
run 0 lkm unload --force --yes live_leak
