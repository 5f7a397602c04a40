# modules: ip_tables iptable_filter xt_mark nft_compat nf_tables
# programs: /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi
# A match and a target of iptables, in both of its forms.
ln -sf xtables-legacy-multi /bin/iptables-legacy
ln -sf xtables-nft-multi /bin/iptables-nft
iptables-legacy -A INPUT -m mark --mark 1 -j MARK --set-mark 2 || fail iptables-legacy
why xt_mark 2 2
says "match mark"
says "target MARK"
why iptable_filter 1 1
says "iptables table filter with rules"
iptables-legacy -F
why xt_mark 0 0
iptables-nft -A INPUT -j MARK --set-mark 2 || fail iptables-nft
why xt_mark 1 1
says "target MARK (iptables-nft)"
iptables-nft -F
gone iptable_filter
