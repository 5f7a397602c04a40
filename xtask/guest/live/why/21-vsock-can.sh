# modules: vsock can can-raw
# Sockets that count twice and once.
modprobe vsock && modprobe can-raw || fail modprobe
hold socket 40 1 0
why vsock 2 2
says "pid $HELD (hold)"
freed vsock
hold socket 29 3 1
why can 1 1
says "held by module can_raw"
why can_raw 1 1
says "pid $HELD (hold)"
freed can_raw
gone can
