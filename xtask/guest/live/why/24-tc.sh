# modules: dummy sch_htb cls_u32 act_mirred
# programs: /usr/sbin/ip /usr/sbin/tc
# A queueing discipline, a filter and an action, in two namespaces.
modprobe dummy numdummies=0 || fail modprobe
/bin/ip link add d1 type dummy || fail ip
/bin/tc qdisc add dev d1 root handle 1: htb || fail tc
/bin/tc filter add dev d1 parent 1: protocol ip u32 match u32 0 0 action mirred egress redirect dev lo || fail tc
why sch_htb 1 1
says "qdisc htb 1:"
says "interface d1"
why act_mirred 1 1
says "action mirred"
why cls_u32 1 1
says "filter u32"
freed cls_u32
sleep 1
gone act_mirred
/bin/tc filter add dev d1 parent 1: protocol ip u32 match u32 0 0 action mirred egress redirect dev lo || fail tc
why act_mirred 1 1
follow
sleep 1
gone act_mirred
/bin/ip netns add n2
/bin/ip -n n2 link add d2 type dummy
/bin/ip netns exec n2 /bin/tc qdisc add dev d2 root handle 7: htb || fail tc
why sch_htb 2 2
says "network namespace n2"
freed sch_htb
/bin/ip netns del n2
/bin/ip link del d1
sleep 1
gone dummy
