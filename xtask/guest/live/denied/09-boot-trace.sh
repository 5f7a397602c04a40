# The boot parameter that `why` and `trace` advise: references taken before anybody looked.
insmod /x/live-leak.ko n=2 || fail insmod
why live_leak 2 0
ADVICE=$(sed -n 's/.*boot with \(.*\)/\1/p' /tmp/why)
grep -qF "$ADVICE" /proc/cmdline || fail "this boot has not the parameter $ADVICE"
grep 'module_get: live_leak' /sys/kernel/tracing/trace
[ "$(grep -c 'module_get: live_leak call_site=live_leak_init' /sys/kernel/tracing/trace)" = 2 ] || fail "the takers are not recorded"
run 0 lkm unload --force --yes live_leak
