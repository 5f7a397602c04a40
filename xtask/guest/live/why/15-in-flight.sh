# A descriptor that waits in a unix socket.
insmod /x/live-misc.ko || fail insmod
hold flight /dev/live_misc
why live_misc 1 1
says "1 × in-flight: /dev/live_misc"
says "unix socket of pid $HELD (hold)"
freed live_misc
