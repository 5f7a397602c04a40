# modules: ip_tables iptable_filter ip6_tables ip6table_filter xt_mark nft_compat nf_tables
# programs: /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi /usr/sbin/nft
# A match and a target of iptables, in both of its forms, and of ip6tables.
for name in iptables-legacy ip6tables-legacy; do ln -sf xtables-legacy-multi /bin/$name; done
ln -sf xtables-nft-multi /bin/iptables-nft
iptables-legacy -A INPUT -j ACCEPT || fail iptables-legacy
iptables-legacy -A INPUT -m mark --mark 1 -j MARK --set-mark 2 || fail iptables-legacy
iptables-legacy -N mine && iptables-legacy -A mine -m mark --mark 3 || fail iptables-legacy
why iptable_filter 1 1
says "iptables table filter with rules"
why xt_mark 3 3
says "match mark"
says "target MARK"
says "iptables-legacy -t filter -D INPUT 2"
says "iptables-legacy -t filter -D mine 1"
follow
why xt_mark 0 0
[ "$(iptables-legacy -S INPUT | wc -l)" = 2 ] || fail "it deleted another rule"
why iptable_filter 1 1
freed iptable_filter
ip6tables-legacy -A OUTPUT -m mark --mark 1 -j MARK --set-mark 2 || fail ip6tables-legacy
why ip6table_filter 1 1
why xt_mark 2 2
says "ip6tables table filter"
follow
why xt_mark 0 0
ip6tables-legacy -A OUTPUT -j ACCEPT || fail ip6tables-legacy
why ip6table_filter 1 1
freed ip6table_filter
iptables-nft -A INPUT -j MARK --set-mark 2 || fail iptables-nft
why xt_mark 1 1
says "target MARK (iptables-nft)"
freed xt_mark
iptables-nft -F
