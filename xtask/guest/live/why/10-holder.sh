# A module that uses its symbols.
insmod /x/chain-base.ko && insmod /x/chain-middle.ko || fail insmod
why chain_base 1 1
says "held by module chain_middle"
freed chain_base
