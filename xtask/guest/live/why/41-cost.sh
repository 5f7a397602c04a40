# modules: dummy
# 300 processes: at most the time of reading kallsyms and half a second, and 64 MiB.
n=0
while [ $n -lt 300 ]; do
	sleep 1000 &
	n=$((n + 1))
done
insmod /x/live-misc.ko || fail insmod
hold flight /dev/live_misc
now() { set -- $(cat /proc/uptime); echo "${1%.*}${1#*.}"; }
best=100000
peer=100000
for round in 1 2 3; do
	t0=$(now); cat /proc/kallsyms >/dev/null
	t1=$(now); lkm why live_misc >/dev/null
	t2=$(now)
	[ $((t1 - t0)) -lt $peer ] && peer=$((t1 - t0))
	[ $((t2 - t1)) -lt $best ] && best=$((t2 - t1))
done
echo "kallsyms $peer, why $best (hundredths of a second)"
[ $best -le $((peer + 50)) ] || fail "too slow"
peak=$(/busybox/time -v lkm why live_misc 2>&1 | sed -n 's/.*Maximum resident set size (kbytes): //p')
echo "peak $peak KiB"
[ "$peak" -le 65536 ] || fail "too large"
kill $(jobs -p) 2>/dev/null
sleep 0.5
gone live_misc
