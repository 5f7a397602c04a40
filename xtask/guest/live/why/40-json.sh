# The documented fields.
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
run 1 lkm why live-misc --json
for field in module state refcount explained refs kind object holder count release unexplained not_pinned depth; do
	says "\"$field\":"
done
drop
gone live_misc
run 2 lkm why no_such_module
