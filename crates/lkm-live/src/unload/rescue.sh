#!/bin/sh
# Frees the stuck module @NAME@ by the rescue module beside this script, which gets the
# addresses of this boot here. See README. Without --yes it only says what it would do.
#
# Needs sh, the coreutils, insmod and rmmod.
set -u
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
NAME=@NAME@
RELEASE=@RELEASE@
VERSION=@VERSION@
yes=no
unused=no
for option
do
	case $option in
	--yes) yes=yes ;;
	--nobody-uses-it) unused=yes ;;
	*)
		echo "usage: $0 [--yes] [--nobody-uses-it]"
		exit 2
		;;
	esac
done

refuse() {
	echo "refused: $*"
	exit 1
}

# What forbids it.
[ "$(cat /proc/sys/kernel/osrelease)" = "$RELEASE" ] || refuse "made for the kernel $RELEASE"
[ "$(cat /proc/sys/kernel/version)" = "$VERSION" ] || refuse "made for the build $VERSION"
[ "$(id -u)" = 0 ] || refuse "this needs root"
[ "$(cat /proc/sys/kernel/modules_disabled)" = 0 ] || refuse "kernel.modules_disabled is set: reboot"
case $(cat /sys/module/module/parameters/sig_enforce 2>/dev/null) in
Y) refuse "signatures are enforced and this module has none: reboot" ;;
esac
case $(cat /sys/kernel/security/lockdown 2>/dev/null) in
*"[integrity]"* | *"[confidentiality]"*) refuse "the kernel is locked down: reboot" ;;
esac
[ -d "/sys/module/$NAME" ] || refuse "$NAME is not loaded"
[ -z "$(ls -A "/sys/module/$NAME/holders")" ] || refuse "other modules use it: $(ls -A "/sys/module/$NAME/holders")"
[ ! -d "/sys/kernel/livepatch/$NAME" ] || refuse "it is a live patch: disable it instead"
state=$(cat "/sys/module/$NAME/initstate") || refuse "its state cannot be read"
count=$(cat "/sys/module/$NAME/refcnt") || refuse "its count cannot be read"
flags=3
case $state in
coming) number=1 entry="do_init_module+" ;;
going) number=2 entry="delete_module+" ;;
live)
	number=0 entry="[$NAME]" flags=1
	[ "$count" -gt 0 ] || refuse "it is live and unused: rmmod $NAME"
	[ $unused = yes ] || refuse "it is live with $count references, and users cannot be ruled out from here: when you know that there is none, --nobody-uses-it"
	;;
*) refuse "its state is $state" ;;
esac
for stack in /proc/[0-9]*/task/[0-9]*/stack; do
	case $(cat "$stack" 2>/dev/null) in
	*"[$NAME]"* | *"$entry"*) refuse "a thread is at work in it: ${stack%/stack}" ;;
	esac
done

work=$(mktemp -d) || refuse "no temporary directory"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cp "$(dirname -- "$0")/lkm_rescue.ko" "$work/lkm_rescue.ko" || refuse "lkm_rescue.ko is not beside this script"

# words: begin
# plus ADDRESS NUMBER: an address of 16 digits; halves, since a shell's numbers have a sign.
plus() {
	low=$((0x${1#????????} + $2))
	high=$((0x${1%????????} + low / 4294967296))
	printf '%08x%08x' $((high & 4294967295)) $((low & 4294967295))
}

# put OFFSET WORD: 16 digits, as 8 bytes with the lowest first.
put() {
	bytes=
	rest=$2
	while [ -n "$rest" ]; do
		behind=${rest#??}
		byte=${rest%"$behind"}
		bytes=$(printf '\\%03o' "0x$byte")$bytes
		rest=$behind
	done
	# The escapes are the format.
	printf "$bytes" | dd "of=$work/lkm_rescue.ko" bs=1 "seek=$1" conv=notrunc 2>/dev/null
}
# words: end

# found N: the line at hand is symbol N, of the kernel or of the module.
found() {
	case $module in
	"") kernel=$kernel$1:$address, ;;
	"[$NAME]") own=$own$1:$address, ;;
	esac
}

kernel=,
own=,
if command -v grep >/dev/null; then
	grep -E ' (@PATTERN@)([[:space:]]|$)' /proc/kallsyms >"$work/symbols"
else
	cat /proc/kallsyms >"$work/symbols"
fi
while read -r address kind name module; do
	case $name in
@LOOKS@
	esac
done <"$work/symbols"

# one LIST N: the address of N in a list; status 1 when there is none, 2 when there are more.
one() {
	case $1 in
	*",$2:"*",$2:"*) return 2 ;;
	*",$2:"*)
		rest=${1#*",$2:"}
		address=${rest%%,*}
		case $address in *[!0]*) return 0 ;; esac
		refuse "/proc/kallsyms withholds its addresses: sysctl kernel.kptr_restrict=1"
		;;
	*) return 1 ;;
	esac
}

# The same rules as lkm's: code is the kernel's or the module's and never both, data is the
# module's first; what is not clear refuses the whole, since a call left out would leave a
# pointer behind.
code() {
	one "$kernel" "$1"
	status=$?
	first=$address
	one "$own" "$1"
	case $status$? in
	01) address=$first ;;
	10) ;;
	11) refuse "there is no function $2" ;;
	*) refuse "there is more than one function $2" ;;
	esac
	put "$3" "$(plus "$address" "$4")"
}

data() {
	one "$own" "$1"
	case $? in
	0) ;;
	1)
		one "$kernel" "$1"
		case $? in
		0) ;;
		1) refuse "there is no symbol $2" ;;
		*) refuse "there is more than one symbol $2" ;;
		esac
		;;
	*) refuse "there is more than one symbol $2" ;;
	esac
	put "$3" "$(plus "$address" "$4")"
}

# Not every kernel has it; 0 then.
optional() {
	if one "$kernel" "$1"; then
		put "$3" "$(plus "$address" "$4")"
	fi
}

address=
@PUTS@
one "$own" @THIS@ || refuse "/proc/kallsyms does not show where $NAME is"
put @TARGET@ "$address"
put @STATE@ "$(printf '%016x' $number)"
put @REFCNT@ "$(printf '%016x' $((count + 1)))"
put @FLAGS@ "$(printf '%016x' $flags)"
echo "$NAME is $state with count $count; all names are resolved"
if [ $yes = no ]; then
	echo "dry run: --yes frees it"
	exit 0
fi

# It fails on purpose, so that it never stays.
told=$(insmod "$work/lkm_rescue.ko" 2>&1)
if [ "$(cat "/sys/module/$NAME/initstate" 2>/dev/null)" != live ] || [ "$(cat "/sys/module/$NAME/refcnt")" != 0 ]; then
	refuse "the rescue module could not do it: $told"
fi
echo "made it live and unused"
rmmod "$NAME" || refuse "rmmod does not take it"
[ ! -d "/sys/module/$NAME" ] || refuse "it is still there"
echo "$NAME: gone"
