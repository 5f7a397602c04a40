# A reference that another module took by symbol_get: nobody's, and traced.
insmod /x/chain-base.ko || fail insmod
lkm trace chain_base --seconds 3 >/tmp/trace 2>&1 &
sleep 1
insmod /x/pin-symbol.ko || fail insmod
why chain_base 1 0
says "1 × unexplained"
says "taken by module code"
wait
cat /tmp/trace
grep -q "get → 1 at __symbol_get" /tmp/trace || fail "the taker is not traced"
grep -q "\[pin_symbol\]" /tmp/trace || grep -q "pin_symbol_init" /tmp/trace || grep -q "insmod" /tmp/trace || fail "nor named"
[ -z "$(ls /sys/kernel/tracing/instances)" ] || fail "the instance stayed"
