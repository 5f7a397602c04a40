# modules: nf_tables nft_limit nft_ct nft_quota nft_chain_nat
# programs: /usr/sbin/nft
# Expressions, objects and types of chains of nftables.
nft add table ip t || fail nft
nft 'add chain ip t c { type filter hook input priority 0; }' || fail nft
nft add rule ip t c ct state new counter limit rate 1/second || fail nft
nft 'add quota ip t q { over 10 mbytes }' || fail nft
nft 'add chain ip t n { type nat hook prerouting priority 0; }' || fail nft
why nft_ct 1 1
why nft_limit 1 1
says "a rule in table t, chain c"
follow
gone nft_limit
why nft_quota 1 1
says "quota q"
freed nft_quota
why nft_chain_nat 1 1
says "chain n of type nat"
freed nft_chain_nat
COUNT=$(cat /sys/module/nf_tables/refcnt)
why nf_tables "$COUNT" "$COUNT"
nft flush ruleset
sleep 0.5
