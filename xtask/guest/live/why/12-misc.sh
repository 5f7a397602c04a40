# An open misc device; a second descriptor of the same file is no second reference.
insmod /x/live-misc.ko || fail insmod
why live_misc 0 0
hold open /dev/live_misc
why live_misc 1 1
says "/dev/live_misc"
says "pid $HELD (hold), descriptor 3"
says "kill $HELD"
drop
(
	exec 7<>/dev/live_misc
	sleep 1000 &
	exec sleep 1000
) &
S=$!
sleep 0.3
why live_misc 1 1
says "pid $S (sleep), descriptor 7; pid "
freed live_misc
# A descriptor that lkm has inherited is nobody's but its parent's.
insmod /x/live-misc.ko || fail insmod
exec 7<>/dev/live_misc
why live_misc 1 1
says "(sh), descriptor 7"
grep -q "(lkm)" /tmp/why && fail "it names itself"
exec 7>&-
sleep 0.3
gone live_misc
