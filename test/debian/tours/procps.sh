# ps, pgrep, pkill, pmap, free, vmstat, slabtop, top, pwdx of procps: what they tell of a process and of memory, without what differs from run to run.
sleep 1000 &
pid=$!
until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done

echo == ps
ps -o comm=,args=,ni=,cls=,rtprio=,nlwp=,user=,group= -p $pid
[ "$(ps -o ppid= -p $pid | tr -d ' ')" = $$ ] && echo parent
ps -o pid,ppid,stat,wchan:4,psr,sz,maj_flt,args -p $pid | head -1 | tr -s ' '
for form in aux -ef -eLf axjf -ely; do ps $form | head -1 | tr -s ' '; ps $form | grep -c '[s]leep 1000'; done
ps -C nobody-is-called-so -o comm || echo none

echo == pgrep, pkill
pgrep -c -P $$ sleep; pgrep -f -l 'sleep 1000' | cut -d ' ' -f 2
renice -n 5 -p $pid >/dev/null && ps -o ni=,stat= -p $pid
pkill -STOP -P $$ -x sleep; until grep -q 'State:.T' /proc/$pid/status; do sleep 0.1; done; ps -o s= -p $pid
pkill -CONT -P $$ -x sleep; until grep -q 'State:.S' /proc/$pid/status; do sleep 0.1; done; ps -o s= -p $pid
pwdx $pid | cut -d ' ' -f 2

echo == pmap
pmap -p $pid | awk '/\/usr/ {sum[$4 " " $3] += $2} END {for (name in sum) print name, sum[name]}' | sort
pmap -x $pid | head -2 | tail -1
pmap -X $pid | sed -n 2p | awk '{print $1, $2, $3, $4, $5, $6, $7, $8}'
awk '/^Rss:/ {rss += $2} /^Pss:/ {pss += $2} /^Anonymous:/ {anon += $2} /^Private_|^Shared_[CD]/ {parts += $2}
    END {print (pss <= rss && anon <= rss && anon > 40 && rss > 400 && rss < 8000 && parts == rss) ? "true" : "untrue " pss " " rss " " parts " " anon}' /proc/$pid/smaps
[ "$(awk '/^Rss:/ {sum += $2} END {print sum}' /proc/$pid/smaps)" = "$(awk '/^Rss:/ {print $2}' /proc/$pid/smaps_rollup)" ] && echo rollup

echo == memory
free | awk '{print $1, NF}'
[ "$(free -b | awk '/^Mem/ {print $2}')" = "$(awk '/^MemTotal/ {print $2 * 1024}' /proc/meminfo)" ] && echo total
free -w | head -1
vmstat | head -2
vmstat -s | sed 's/^ *[0-9]* //'
vmstat -m | head -1
vmstat -f | tr -d ' 0-9'
slabtop -o | sed -n '7p' | tr -s ' '
awk '/^MemFree/ {free = $2} /^MemAvailable/ {available = $2} /^MemTotal/ {total = $2} END {print (free < total && available < total && available > 0) ? "true" : "untrue"}' /proc/meminfo

echo == top
top -b -n 1 -p $pid | sed -n '7p' | tr -s ' '
top -b -n 1 -p $pid | awk -v pid=$pid '$1 == pid {print $2, $3, $4, $8, $12}'

pkill -P $$ -x sleep
wait $pid 2>/dev/null
echo $?
