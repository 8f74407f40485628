# Ends what runs in a folder and removes it, once whoever started this is gone or lets go: that closes the pipe
# that is the standard input here. A process writes its id to <folder>/<name>.pid before it starts.
trap '' HUP INT TERM
folder=$1
cat >/dev/null
for file in "$folder"/*.pid; do
  [ -f "$file" ] && read -r pid <"$file" || continue
  # Stopped first, so that it starts nobody new while its children are told.
  kill -STOP "$pid"
  kill -KILL $(cat "/proc/$pid/task/"*/children) "$pid"
done
# A PostgreSQL that was killed leaves a segment of shared memory; its id is the last word of line 7.
for file in "$folder"/*/postmaster.pid; do
  [ -f "$file" ] && ipcrm -m "$(sed -n '7s/.* //p' "$file")"
done
# The last of the children may still be writing.
tries=0
until rm -rf "$folder" || [ $((tries += 1)) -gt 100 ]; do sleep 0.05; done
