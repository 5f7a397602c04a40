# What another boot has written, without lkm: there is sh, coreutils, insmod and rmmod.
mkdir -p /tmp/e
gzip -dc /carried.tar.gz | tar x -C /tmp/e || fail "nothing was carried"
PATH=/sbin:/busybox
command -v lkm && fail "lkm is here"
grep ' modules$' /proc/kallsyms
rescue() {
	want=$1
	name=$2
	shift 2
	run "$want" sh "/tmp/e/$name/rescue.sh" "$@"
}
rescue 1 live_vms --yes
says "live_vms is not loaded"
insmod /x/live-vms.ko && fail "no oops"
rescue 0 live_vms
says "dry run"
[ "$(cat /sys/module/live_vms/initstate)" = coming ] || fail "a dry run changed it"
rescue 0 live_vms --yes
says "live_vms: gone"
run 0 /sbin/insmod /x/live-vms.ko fixed=1
rescue 1 live_vms --yes
says "live and unused"
gone live_vms
insmod /x/live-leak.ko n=2 || fail insmod
rescue 1 live_leak --yes
says "--nobody-uses-it"
rescue 0 live_leak --yes --nobody-uses-it
says "live_leak: gone"
insmod /x/chain-base.ko && insmod /x/chain-middle.ko || fail insmod
rescue 1 chain_base --yes --nobody-uses-it
says "other modules use it: chain_middle"
gone chain_middle
gone chain_base
insmod /x/live-slow.ko ms=6000 &
sleep 1
rescue 1 live_slow --yes
says "a thread is at work in it"
wait
gone live_slow
# A name that is not there.
mkdir /tmp/e/no
cp /tmp/e/live_permanent/lkm_rescue.ko /tmp/e/no
sed 's/^NAME=.*/NAME=live_leak/' </tmp/e/live_permanent/rescue.sh >/tmp/e/no/rescue.sh
insmod /x/live-leak.ko || fail insmod
rescue 1 no --yes --nobody-uses-it
says "there is no function no_such_function"
[ "$(cat /sys/module/live_leak/refcnt)" = 1 ] || fail "it was changed"
rescue 0 live_leak --yes --nobody-uses-it
# Another kernel.
sed "s/^RELEASE=.*/RELEASE='5.4.0'/" </tmp/e/live_vms/rescue.sh >/tmp/e/no/rescue.sh
rescue 1 no
says "made for the kernel 5.4.0"
insmod /x/live-exit-oops.ko || fail insmod
rmmod live_exit_oops && fail "no oops"
rescue 0 live_exit_oops --yes
says "live_exit_oops: gone"
run 0 /sbin/insmod /x/live-exit-oops.ko fixed=1
gone live_exit_oops
