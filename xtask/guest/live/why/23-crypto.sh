# modules: algif_skcipher serpent_generic
# AF_ALG: the type, the family, and the algorithm.
modprobe algif_skcipher && modprobe serpent_generic || fail modprobe
hold alg skcipher 'cbc(serpent)' accept
why algif_skcipher 1 1
says "pid $HELD (hold)"
COUNT=$(cat /sys/module/af_alg/refcnt)
why af_alg "$COUNT" "$COUNT"
says "pid $HELD (hold)"
why serpent_generic 1 1
says "algorithm serpent-generic"
says "AF_ALG sockets, likely, of pid $HELD (hold)"
follow
sleep 0.5
gone serpent_generic
gone algif_skcipher
gone af_alg
