# The trace names who, where and from where; the user's own tracing is not touched.
echo 1 >/sys/kernel/tracing/events/sched/sched_process_fork/enable
lkm trace live_misc >/tmp/trace 2>&1 &
TRACER=$!
sleep 1
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
drop
gone live_misc
kill $TRACER
wait $TRACER
cat /tmp/trace
grep -q "hold-$HELD get → 1 at misc_open" /tmp/trace || fail "the get is not there"
grep -q "hold-$HELD put → 0 at __fput" /tmp/trace || fail "the put is not there"
grep -q "do_sys_openat2" /tmp/trace || fail "no stack"
[ -z "$(ls /sys/kernel/tracing/instances)" ] || fail "the instance stayed"
[ "$(cat /sys/kernel/tracing/events/sched/sched_process_fork/enable)" = 1 ] || fail "touched"
echo 0 >/sys/kernel/tracing/events/sched/sched_process_fork/enable
