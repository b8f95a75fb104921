# First process of an own pid namespace: mounts the overlay, then becomes the box. Beside the box it leaves a watcher
# that reads the lifeline and, when the runner lets go of it or dies, kills all there is until nothing is left; no moment
# of the start is uncovered. $0 is mount, or : where it is mounted already, $1 its options, $2 where; the rest is the box.
"$0" -t overlay overlay -o "$1" "$2" || exit
shift 2
exec 3<&0
{ read -r _ <&3; while :; do kill -KILL -1; sleep 0.02; done; } </dev/null >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-
