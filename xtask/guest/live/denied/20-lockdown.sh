# Integrity: the walk works, force does not. Confidentiality: the inventory.
insmod /x/live-misc.ko || fail insmod
insmod /x/live-leak.ko || fail insmod
hold open /dev/live_misc
echo integrity >/sys/kernel/security/lockdown
why live_misc 1 1
says "depth: walk"
run 2 lkm unload --force --yes live_leak
says "locked down (integrity)"
echo confidentiality >/sys/kernel/security/lockdown
why live_misc 1 1
says "depth: inventory"
says "locked down (confidentiality)"
run 2 lkm trace live_misc
drop
