# modules: msr
# programs: /usr/bin/script
# On a terminal it shows what it would do and asks; no answer to the question overrides a refusal.
ask() {
	echo "$1" | script -q -e -c "lkm unload --force $2" /dev/null >/tmp/why 2>&1
	got=$?
	cat /tmp/why
}
insmod /x/live-leak.ko || fail insmod
ask n live_leak
[ $got = 1 ] || fail "status $got"
says "Free live_leak now? [y/N]"
says "not confirmed"
grep -q '^live_leak ' /proc/modules || fail "it is gone"
ask '' live_leak
[ $got = 1 ] || fail "status $got"
ask y live_leak
[ $got = 0 ] || fail "status $got"
says "Free live_leak now? [y/N]"
says "live_leak: gone"
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
ask y live_misc
[ $got = 1 ] || fail "status $got"
grep -q 'now?' /tmp/why && fail "it asked although it refuses"
says "is in real use by pid $HELD (hold)"
drop
gone live_misc
