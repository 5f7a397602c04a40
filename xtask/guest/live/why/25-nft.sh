# modules: nf_tables nft_limit nft_ct
# programs: /usr/sbin/nft
# Expressions of nftables.
nft add table ip t || fail nft
nft 'add chain ip t c { type filter hook input priority 0; }' || fail nft
nft add rule ip t c ct state new counter limit rate 1/second || fail nft
why nft_limit 1 1
says "a rule in table t, chain c"
why nft_ct 1 1
COUNT=$(cat /sys/module/nf_tables/refcnt)
why nf_tables "$COUNT" "$COUNT"
nft flush ruleset
sleep 0.5
gone nft_limit
