# modules: tcp_bbr tls isofs
# Congestion control and upper layer protocol of TCP sockets, and a file system's context.
ip link set lo up
modprobe tcp_bbr && modprobe tls && modprobe isofs || fail modprobe
hold congestion bbr
echo bbr >/proc/sys/net/ipv4/tcp_congestion_control || fail sysctl
why tcp_bbr 2 2
says "pid $HELD (hold)"
says "sysctl net.ipv4.tcp_congestion_control"
freed tcp_bbr
hold ulp tls
why tls 1 1
says "pid $HELD (hold)"
freed tls
hold context iso9660
why isofs 1 1
says "fsopen of a iso9660 file system"
says "pid $HELD (hold)"
freed isofs
