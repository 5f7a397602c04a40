# modules_disabled: said, for an ordinary unload as well.
echo 1 >/proc/sys/kernel/modules_disabled
run 2 lkm unload live_misc
says "modules_disabled"
run 2 lkm unload --force --yes live_leak
says "modules_disabled is 1"
