# An ordinary user gets what he can see, and is told what he cannot.
insmod /x/live-misc.ko || fail insmod
insmod /x/chain-base.ko && insmod /x/chain-middle.ko || fail insmod
chmod 666 /dev/live_misc
echo 'user:x:1000:1000::/:/bin/sh' >>/etc/passwd
# as STATUS COMMAND: as uid 1000.
as() {
	want=$1
	shift
	echo "user\$ $*"
	busybox su user -s /busybox/sh -c "$*" >/tmp/why 2>&1
	got=$?
	cat /tmp/why
	[ $got = "$want" ] || fail "status $got, not $want"
}
hold open /dev/live_misc
as 1 lkm why live_misc
says "depth: inventory"
says "needs root"
says "1 × unexplained"
drop
as 1 '/bin/hold open /dev/live_misc & sleep 0.5; lkm why live_misc; got=$?; kill $!; exit $got'
says "(hold)"
says "1 explained"
as 1 lkm why chain_base
says "held by module chain_middle"
as 0 lkm why chain_middle
as 2 lkm why no_such_module
as 2 lkm unload live_misc
says "CAP_SYS_MODULE"
as 2 lkm unload --force --yes live_misc
says "root"
as 2 lkm trace live_misc
says "/sys/kernel/tracing"
says "root"
as 0 lkm unload --force live_misc --emit /tmp/of-user
says "rescue module written"
[ -s /tmp/of-user/lkm_rescue.ko ] || fail "nothing was written"
as 0 lkm doctor
gone chain_middle
gone chain_base
gone live_misc
