# A command that writes, looks for a network, and tries to get out; 0 when the wall holds.
set -e
echo new > kept
echo made > made
test "$(wc -l < /proc/net/route)" -le 1
if unshare -U true 2>/dev/null; then exit 11; fi
if test -e /etc/shadow; then exit 12; fi
