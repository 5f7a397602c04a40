# modules: sctp
# programs: /usr/sbin/ip
# A socket of a process, and the control sockets that the kernel keeps in every namespace.
modprobe sctp || fail modprobe
hold socket 2 1 132
why sctp 4 4
says "2 × socket: SCTP socket"
says "pid $HELD (hold)"
says "the kernel itself (no process has it)"
drop
why sctp 2 2
/bin/ip netns add n1 || fail "ip netns"
why sctp 4 4
says "in another network namespace"
/bin/ip netns del n1
sleep 1
why sctp 2 2
