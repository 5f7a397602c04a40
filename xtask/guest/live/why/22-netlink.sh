# The first story: a socket of the module's own netlink protocol.
insmod /x/live-netlink.ko || fail insmod
hold socket 16 3 27
why live_netlink 1 1
says "netlink socket, protocol 27"
says "pid $HELD (hold)"
freed live_netlink
