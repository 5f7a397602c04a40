# modules: msr
# A character device that counts twice for one descriptor.
modprobe msr || fail modprobe
hold open /dev/cpu/0/msr
why msr 2 2
says "2 × file: /dev/cpu/0/msr"
says "pid $HELD (hold)"
freed msr
