# What every step of the live tests uses. A step fails by its exit status.
export PATH=/sbin:/bin:/busybox

fail() {
	echo "FAILED: $*"
	exit 1
}

# hold KIND ...: takes a reference; its process is $HELD.
hold() {
	/bin/hold "$@" >/tmp/held 2>&1 &
	HELD=$!
	n=0
	until grep -q held /tmp/held; do
		n=$((n + 1))
		[ $n -lt 50 ] || fail "hold $*: $(cat /tmp/held)"
		sleep 0.1
	done
}

drop() {
	kill "$HELD"
	wait "$HELD" 2>/dev/null
	sleep 0.3
}

# why NAME COUNT EXPLAINED: lkm why, with this budget.
why() {
	lkm why "$1" >/tmp/why
	status=$?
	cat /tmp/why
	plural=references
	[ "$2" = 1 ] && plural=reference
	grep -q "^$1: [a-z]*, $2 $plural, $3 explained" /tmp/why || fail "budget is not $2, $3"
	if [ "$2" != 0 ]; then
		[ $status = 1 ] || fail "status $status"
		[ "$(cat "/sys/module/$1/refcnt")" = "$2" ] || fail "the kernel counts otherwise"
	fi
}

# follow: does what the last `why` advises. What it says behind `release:` is a command, or
# words that end in one behind a colon; the same command is given once.
follow() {
	sed -n 's/^ *release: //p' /tmp/why >/tmp/advice
	: >/tmp/followed
	while read -r advice; do
		command=${advice##*: }
		grep -qxF -- "$command" /tmp/followed && continue
		echo "$command" >>/tmp/followed
		echo "# $command"
		eval "$command" </dev/null || fail "the advice does not work: $command"
	done </tmp/advice
	[ -s /tmp/followed ] || fail "no advice"
	sleep 0.5
}

# freed NAME: the advice of the last `why` lets the module be unloaded.
freed() {
	follow
	gone "$1"
}

# says TEXT: the last output of why or run has it.
says() {
	grep -qF -- "$1" /tmp/why || fail "not said: $1"
}

# run STATUS COMMAND...: with this exit status.
run() {
	want=$1
	shift
	echo "\$ $*"
	timeout -s KILL 30 "$@" >/tmp/why 2>&1
	got=$?
	cat /tmp/why
	[ $got = "$want" ] || fail "status $got, not $want"
}

# gone NAME: an ordinary rmmod works now.
gone() {
	/sbin/rmmod "$1" || fail "rmmod $1"
}

image() {
	dd if=/dev/zero of=/tmp/image bs=1M count=16 2>/dev/null
	/bin/mke2fs -q -t ext4 -F /tmp/image || fail mke2fs
}
