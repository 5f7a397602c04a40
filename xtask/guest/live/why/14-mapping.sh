# A mapping without a descriptor.
insmod /x/live-misc.ko || fail insmod
hold mmap /dev/live_misc
why live_misc 1 1
says "1 × mapping: /dev/live_misc"
says "pid $HELD (hold), mapped"
freed live_misc
