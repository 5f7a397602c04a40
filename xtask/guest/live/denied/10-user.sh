# An ordinary user sees what he can, and is told what he cannot.
insmod /x/live-misc.ko || fail insmod
chmod 666 /dev/live_misc
hold open /dev/live_misc
echo 'user:x:1000:1000::/:/bin/sh' >>/etc/passwd
cp /bin/lkm /tmp/lkm
busybox su user -s /busybox/sh -c 'lkm why live_misc' >/tmp/why 2>&1
[ $? = 1 ] || fail "status: $(cat /tmp/why)"
cat /tmp/why
says "depth: inventory"
says "needs root"
busybox su user -s /busybox/sh -c '/bin/hold open /dev/live_misc & sleep 0.5; lkm why live_misc; kill $!' >/tmp/why 2>&1
cat /tmp/why
says "(hold)"
says "unexplained"
busybox su user -s /busybox/sh -c 'lkm unload --force --yes live_misc' >/tmp/why 2>&1
[ $? = 2 ] || fail "status: $(cat /tmp/why)"
busybox su user -s /busybox/sh -c 'lkm trace live_misc' >/tmp/why 2>&1
[ $? = 2 ] || fail "status: $(cat /tmp/why)"
drop
gone live_misc
