# Waiting for the last user.
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
run 1 lkm unload --wait=1 live_misc
(sleep 1; kill "$HELD") &
run 0 lkm unload --wait=20 live_misc
