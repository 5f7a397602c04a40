# programs: /usr/bin/script
# The trace names who, where and from where; the user's own tracing is not touched, and
# whatever ends it, nothing stays.
T=/sys/kernel/tracing
echo 1 >$T/events/sched/sched_process_fork/enable
lkm trace live_misc >/tmp/trace 2>&1 &
TRACER=$!
sleep 1
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
drop
gone live_misc
[ "$(ls $T/instances)" = "lkm-$TRACER" ] || fail "no instance of its own: $(ls $T/instances)"
kill $TRACER
wait $TRACER
cat /tmp/trace
grep -q "hold-$HELD get → 1 at misc_open" /tmp/trace || fail "the get is not there"
grep -q "hold-$HELD put → 0 at __fput" /tmp/trace || fail "the put is not there"
grep -q "do_sys_openat2" /tmp/trace || fail "no stack"
grep -q "trace_event=module:module_get" /tmp/trace || fail "no advice for the next boot"
[ -z "$(ls $T/instances)" ] || fail "the instance stayed"
insmod /x/live-misc.ko || fail insmod
for signal in INT TERM HUP QUIT KILL; do
	lkm trace live_misc >/tmp/trace 2>&1 &
	TRACER=$!
	sleep 1
	[ -n "$(ls $T/instances)" ] || fail "no instance: $(cat /tmp/trace)"
	kill -$signal $TRACER
	wait $TRACER
	n=0
	while [ -n "$(ls $T/instances)" ]; do
		n=$((n + 1))
		[ $n -lt 40 ] || fail "the instance stayed after SIG$signal"
		sleep 0.1
	done
	echo "SIG$signal: removed"
done
# Its reader goes away.
lkm trace live_misc 2>/dev/null | head -1 >/tmp/trace &
PIPE=$!
sleep 1
for n in 1 2 3; do
	hold open /dev/live_misc
	drop
done
wait $PIPE
sleep 1
[ -z "$(ls $T/instances)" ] || fail "the instance stayed after a broken pipe"
# As data.
lkm trace live_misc --json --seconds 2 >/tmp/why 2>/dev/null &
sleep 1
hold open /dev/live_misc
drop
wait $!
sleep 1.5
cat /tmp/why
says '"action":"get","site":"misc_open'
says '"refcount":1'
says '"misc_open'
tail -1 /tmp/why | grep -q '^{"[^{]*{"gets":' || fail "no table at the end"
# On a terminal, a table that is drawn again and again.
script -q -e -c "lkm trace live_misc --seconds 3" /tmp/typed >/dev/null 2>&1 &
sleep 1
hold open /dev/live_misc
drop
sleep 3
cat -v /tmp/typed
tables=$(grep -c 'taken      put  call site' /tmp/typed)
[ "$tables" -ge 3 ] || fail "the table was drawn $tables times"
[ -z "$(ls $T/instances)" ] || fail "the instance stayed"
[ "$(cat $T/events/sched/sched_process_fork/enable)" = 1 ] || fail "touched"
echo 0 >$T/events/sched/sched_process_fork/enable
gone live_misc
