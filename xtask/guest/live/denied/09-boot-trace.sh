# The boot parameter that `why` and `trace` advise: references taken before anybody looked.
insmod /x/live-leak.ko n=2 || fail insmod
why live_leak 2 0
ADVICE=$(sed -n 's/.*boot with \(.*\)/\1/p' /tmp/why)
grep -qF "$ADVICE" /proc/cmdline || fail "this boot has not the parameter $ADVICE"
TRACE=/sys/kernel/tracing/trace
# The taker is an init that has been freed since: the task and the time are what is left.
grep 'insmod.*module_get: live_leak' $TRACE
[ "$(grep -c 'insmod.*module_get: live_leak' $TRACE)" = 2 ] || fail "the takers are not recorded"
run 0 lkm unload --force --yes live_leak
insmod /x/chain-base.ko && insmod /x/pin-symbol.ko || fail insmod
why chain_base 1 0
grep 'insmod.*module_get: chain_base call_site=__symbol_get' $TRACE || fail "symbol_get is not recorded"
run 0 lkm unload --force --yes chain_base
gone pin_symbol
