# modules: sctp
# programs: /usr/sbin/ip
# A socket of a process, and the control sockets that the kernel keeps in every namespace.
modprobe sctp || fail modprobe
hold socket 2 1 132
why sctp 4 4
says "2 × socket: SCTP socket"
says "pid $HELD (hold)"
says "the kernel itself (no process has it)"
kill $HELD
wait $HELD 2>/dev/null
sleep 0.3
why sctp 2 2
/bin/ip netns add n1 || fail "ip netns"
why sctp 4 4
says "in network namespace n1"
says "ip netns del n1"
follow_namespace() { sed -n "s/.*exists: //p" /tmp/why | sort -u; }
echo "# $(follow_namespace)"
eval "$(follow_namespace)" || fail "the advice does not work"
sleep 1
why sctp 2 2
