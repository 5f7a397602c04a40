# modules: dummy loop msr can can-raw sctp bridge
# Every step with kmod and with ours: same output, same status, same modules afterwards.
# `@` stands for the directory of the six tools; first what can be undone, played twice,
# then what cannot, step by step with both.
mkdir -p /ours
for tool in insmod rmmod modprobe lsmod modinfo depmod; do
	ln -sf /bin/lkm /ours/$tool
done
sed 's/vermagic=[0-9]/vermagic=9/' </x/live-misc.ko >/tmp/vermagic.ko
head -c 1000 /x/live-misc.ko >/tmp/cut.ko
echo text >/tmp/text.ko
: >/tmp/empty.ko

cat >/tmp/steps <<'END'
@lsmod
@insmod /x/live-misc.ko
@lsmod
@insmod /x/live-misc.ko
@rmmod live_misc
@rmmod live_misc
@rmmod no_such_module
@rmmod
@insmod
@insmod /x/no-such-file.ko
@insmod /tmp/vermagic.ko
@insmod /tmp/cut.ko
@insmod /tmp/text.ko
@insmod /tmp/empty.ko
@insmod /tmp
@insmod /x/chain-middle.ko
@insmod /x/chain-base.ko
@insmod /x/chain-middle.ko
@lsmod
@rmmod chain_base
@rmmod chain_base chain_middle
@lsmod
@rmmod chain_base
@insmod /x/live-leak.ko n=abc
@insmod /x/live-leak.ko n=0 no_such_parameter=1
@lsmod
@rmmod live_leak
@insmod /x/live-leak.ko n=0
cat /sys/module/live_leak/parameters/n
@rmmod -v live_leak
@rmmod -s no_such_module
@modprobe dummy numdummies=0
@modprobe dummy
@modprobe -v dummy
@modprobe --first-time dummy
@modprobe -r dummy
@modprobe -r dummy
@modprobe -r --first-time dummy
@modprobe no-such-module
@modprobe -q no-such-module
@modprobe -r no-such-module
@modprobe
@modprobe -v can-raw
@lsmod
@modprobe -r can
@modprobe -rv can-raw
@lsmod
@modprobe -n -v can-raw
@modprobe --show-depends can-raw
@modprobe -D sctp
@modprobe -R can_raw
@modprobe loop max_loop=abc
@modprobe -r loop
@modprobe loop max_part=7
cat /sys/module/loop/parameters/max_part
@rmmod loop
@modprobe -a msr dummy
@modprobe -ra msr dummy
@modprobe -c >/tmp/c; head -3 /tmp/c
@modprobe --version | head -1 | cut -c1-4
@modprobe can-proto-1
@lsmod
@modprobe -r can_raw
@modinfo /x/live-leak.ko
@modinfo -F license dummy
@modinfo -F alias can-raw
@modinfo -p loop
@modinfo -n bridge
@modinfo no-such-module
@modinfo /tmp/text.ko
@modinfo -0 -F depends can-raw | tr '\0' ';'
@depmod -n >/tmp/d; grep -v '^# Weak dep' /tmp/d | head -40
@depmod -n no-such-release
@depmod -b /no/such/base
@insmod -f /tmp/vermagic.ko
@rmmod live_misc
@insmod /x/live-misc.ko
/bin/hold open /dev/live_misc >/dev/null & echo $! >/tmp/pid; sleep 0.5
@rmmod live_misc
@rmmod -f no_such_module
@modprobe -r live_misc
kill $(cat /tmp/pid); sleep 0.3
@rmmod live_misc
@lsmod
END

# Ours explains some failures in further lines, which kmod has not: `rmmod: ` and no level.
# A newer kmod's modinfo shows the build-id as ours does, its depmod has weak dependencies;
# a place in libkmod's source is nothing to imitate.
HINT='^build-id:|^(insmod|rmmod|modprobe): ( |[a-z0-9_]*: (live|coming|going),|signatures are|kernel\.modules|[a-z])'

play() {
	while read -r line; do
		echo "\$ $line"
		sh -c "$(echo "$line" | sed "s#^@#$1/#")" 2>&1 </dev/null
		echo "= $?"
	done <"$2" | sed "s#$1/#@#g" | grep -vE "$HINT" |
		sed 's#\.\./libkmod/[a-z-]*\.c:[0-9]* [a-z_]*() ##'
}

play /sbin /tmp/steps >/tmp/theirs
play /ours /tmp/steps >/tmp/mine
echo "figure: $(grep -c '^= ' /tmp/mine) steps that can be undone, each with both"
diff -a /tmp/theirs /tmp/mine >/tmp/difference && echo equal

# What cannot be undone: each step with both in turn.
cat >/tmp/final <<'END'
@insmod /x/live-permanent.ko
@rmmod live_permanent
@modprobe -r live_permanent
echo 1 >/sys/module/module/parameters/sig_enforce
@insmod /x/live-misc.ko
@modprobe dummy numdummies=0
@rmmod dummy
echo integrity >/sys/kernel/security/lockdown
@insmod /x/live-misc.ko
@modprobe msr
echo 1 >/proc/sys/kernel/modules_disabled
@insmod /x/live-misc.ko
@modprobe msr
@rmmod live_permanent
END
while read -r line; do
	case $line in
	@*)
		echo "$line" >/tmp/one
		play /sbin /tmp/one >/tmp/theirs
		play /ours /tmp/one >/tmp/mine
		if [ "$line" = "@insmod /x/live-permanent.ko" ] || [ "$line" = "@modprobe dummy numdummies=0" ] || [ "$line" = "@rmmod dummy" ]; then
			# The second time the answer is another one, for both.
			continue
		fi
		diff -a /tmp/theirs /tmp/mine >>/tmp/difference || echo "differs: $line"
		;;
	*) sh -c "$line" ;;
	esac
done </tmp/final
cat /tmp/difference
[ ! -s /tmp/difference ] || fail "they differ"
