# The documented fields: the harness compares what follows `shape NAME:` with docs/json.md.
insmod /x/live-misc.ko || fail insmod
hold open /dev/live_misc
run 1 lkm why live-misc --json
sed 's/^/shape Why: /' /tmp/why
run 1 lkm unload live-misc --json
sed 's/^/shape Unload: /' /tmp/why
drop
run 0 lkm unload live-misc --json
sed 's/^/shape Unload: /' /tmp/why
says '"end":"gone"'
insmod /x/live-unpinned.ko || fail insmod
run 0 lkm why live-unpinned --json
sed 's/^/shape Why: /' /tmp/why
says '"kind":"irq"'
gone live_unpinned
run 2 lkm why no_such_module
