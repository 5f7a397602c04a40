# modules: n_hdlc
# A terminal's line discipline.
modprobe n_hdlc || fail modprobe
hold ldisc 13
why n_hdlc 1 1
says "line discipline 13"
says "pid $HELD (hold)"
freed n_hdlc
