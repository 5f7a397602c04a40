# The rescue module for another boot: written here, where none of the modules is loaded, and
# used by a step of the next boot.
mkdir -p /tmp/out
emit() {
	name=$1
	shift
	run 0 lkm unload --force "$name" --emit "/tmp/out/$name" "$@"
	says "rescue module written"
}
emit live_vms --cleanup 'input_free_device(*vms_input_dev)' --cleanup 'platform_device_unregister(*vms_dev)'
emit live_exit_oops --cleanup 'misc_deregister(live_exit_misc)'
emit live_leak
emit live_slow
emit chain_base
emit live_permanent --cleanup 'no_such_function(1)'
says "there is no function no_such_function in this kernel"
run 1 lkm unload --force live_vms --emit /tmp/out/none --cleanup 'vms_exit'
[ ! -e /tmp/out/none ] || fail "written although refused"
# No word of it is an address of this boot: those begin with ff ff ff ff, lowest byte first.
for file in /tmp/out/*/lkm_rescue.ko; do
	xxd -p -c 8 "$file" | grep -v 'f\{12\}$' | grep 'f\{8\}$' && fail "an address in $file"
done
ls -l /tmp/out/live_vms
cat /tmp/out/live_vms/README
tar c -C /tmp/out . | gzip | xxd -p | tr -d '\n' | sed 's/^/carry: /'
echo
grep ' modules$' /proc/kallsyms
