# modules: snd-dummy
# A sound card's driver is pinned by the files that the core's operations belong to.
modprobe snd-dummy || fail modprobe
hold open /dev/snd/pcmC0D0p
why snd_dummy 1 1
says "/dev/snd/pcmC0D0p"
says "pid $HELD (hold)"
freed snd_dummy
