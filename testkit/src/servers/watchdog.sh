# Ends the test servers when no test process has held the lease for a while.
# Arguments: the lab's folder, seconds between looks. Records: pid, marker, signal; a line each.
lab=$1 pause=$2 unused=0
records="$lab/postgres/server.pid $lab/rabbitmq/server.pid $lab/rabbitmq/epmd.pid"
known=''

# The folder may vanish (cargo clean) while the servers run: remember what was read.
remember() {
    for record in $records; do
        [ -r "$record" ] || continue
        { read -r pid; read -r marker; read -r signal; } <"$record" || continue
        entry="$pid|$signal|$marker"
        case "$known" in *"$entry"*) ;; *) known="$known$entry
" ;; esac
    done
}

runs() { tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -e "$2"; }

stop_all() {
    printf '%s' "$known" | while IFS='|' read -r pid signal marker; do
        runs "$pid" "$marker" || continue
        kill -s "$signal" "$pid" 2>/dev/null
        tries=0
        while runs "$pid" "$marker" && [ "$tries" -lt 200 ]; do sleep 0.1; tries=$((tries + 1)); done
        runs "$pid" "$marker" && kill -s KILL -- "-$pid" 2>/dev/null
    done
}

while :; do
    sleep "$pause"
    remember
    if [ ! -d "$lab" ]; then stop_all; exit 0; fi
    if flock --exclusive --nonblock "$lab/lease.lock" true; then unused=$((unused + 1)); else unused=0; fi
    [ "$unused" -ge 3 ] || continue
    # Whoever wants the servers now waits until they are gone, and starts new ones.
    exec 9>>"$lab/start.lock" || continue
    if flock --exclusive --nonblock 9 && flock --exclusive --nonblock "$lab/lease.lock" true; then
        rm -f "$lab/state.json"
        remember
        stop_all
        rm -f $records
        exit 0
    fi
    unused=0
    exec 9>&-
done
