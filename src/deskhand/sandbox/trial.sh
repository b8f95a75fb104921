# A command that writes, looks for a network, and tries to get out; 0 when the wall holds. $1 is a file outside, which must
# neither be seen nor change.
set -e
echo new > kept
echo made > made
rm gone
test "$(cat /proc/net/route 2>/dev/null | wc -l)" -le 1
if unshare -U true 2>/dev/null; then exit 11; fi
if cat /etc/shadow 2>/dev/null; then exit 12; fi
if cat "$1" 2>/dev/null; then exit 13; fi
(echo new > "$1") 2>/dev/null || true
