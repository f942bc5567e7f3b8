# Programs with many threads: sysbench, make -j, python3's pools, queues and asyncio, chrt, taskset, nproc; what each thread is told of itself.
mkdir -p /tmp/threads && cd /tmp/threads || exit 1

echo == sysbench
steady() {
    sed -n -e 's/^\(Number of threads: .*\)/\1/p' -e 's/^\(Running the test.*\)/\1/p' -e 's/^ *total number of events: *\([0-9]*\)$/events \1/p' \
        -e 's/^ *events (avg\/stddev): *\([0-9.]*\)\/.*/each \1/p' -e '/FATAL\|error\|alert/p'
}
sysbench threads --threads=8 --events=200 --time=0 --thread-yields=20 --thread-locks=4 run | steady
sysbench mutex --threads=8 --mutex-num=16 --mutex-locks=500 --mutex-loops=50 run | steady
sysbench cpu --threads=4 --events=40 --time=0 --cpu-max-prime=500 run | steady
sysbench memory --threads=3 --memory-block-size=64K --memory-total-size=16M --time=0 run | grep -o '^Total operations: [0-9]*'

echo == make -j
cat >Makefile <<'M'
parts := $(shell seq 60)
all: $(parts:%=part.%)
	@cat $^ | sort -n | tr '\n' ' '; echo
part.%:
	@sh -c 'echo $* > $@'
deep: ; @$(MAKE) --no-print-directory -j3 all
bad: part.x fails after
fails: ; @exit 3
after: ; @:
M
make -j8 all
rm -f part.*; make -j4 deep 2>&1
make -j5 -k -O bad >bad.out 2>&1; echo status $?; sort bad.out

echo == cpu
[ "$(nproc)" = "$(getconf _NPROCESSORS_ONLN)" ] && [ "$(nproc --all)" -ge "$(nproc)" ] && echo processors
taskset -c 0 sh -c 'nproc; taskset -p $$ | sed "s/pid [0-9]*/pid/"; grep Cpus_allowed_list /proc/self/status'
taskset -c 0 python3 -c 'import os; print(os.sched_getaffinity(0), len(os.sched_getaffinity(0)), os.cpu_count() >= 1)'
for cpus in '-c 5000' 0; do taskset $cpus true 2>&1 | sed 's/pid [0-9]*/pid/'; done
for policy in '--other 0' '--batch 0' '--idle 0' '--fifo 20' '--rr 30'; do
    chrt $policy sh -c 'chrt -p $$ | sed "s/pid [0-9]*/pid/"'
done
chrt --deadline --sched-runtime 5000000 --sched-deadline 10000000 --sched-period 20000000 0 sed -n 's/^policy *: */policy /p' /proc/self/sched
chrt --deadline --sched-runtime 5000000 --sched-deadline 10000000 --sched-period 20000000 0 sh -c 'true; true & wait'; echo status $?
chrt -m
chrt --fifo 100 true; echo status $?
nice -n 7 sh -c 'nice; ps -o ni= -p $$'

echo == python3
cat >many.py <<'P'
import asyncio, concurrent.futures, ctypes, multiprocessing, os, queue, signal, subprocess, sys, threading, time


def tids():
    return sorted(int(name) for name in os.listdir('/proc/self/task'))


def crowd():
    ready, leave = threading.Barrier(51), threading.Event()

    def stay(name):
        ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
        ready.wait()
        leave.wait()
    threads = [threading.Thread(target=stay, args=(f'crowd {n}',)) for n in range(50)]
    for thread in threads:
        thread.start()
    ready.wait()
    names = sorted(open(f'/proc/self/task/{tid}/comm').read().strip() for tid in tids())
    status = dict(line.split(':', 1) for line in open('/proc/self/status'))
    print(len(tids()), names[:3], status['Threads'].strip(), sorted(thread.native_id for thread in threads) == tids()[1:])
    while {open(f'/proc/self/task/{thread.native_id}/stat').read().rpartition(')')[2].split()[0] for thread in threads} != {'S'}:
        time.sleep(0.01)
    leave.set()
    for thread in threads:
        thread.join()
    while len(tids()) > 1:  # one that was joined may be on its way out yet
        time.sleep(0.01)
    print(threading.active_count())


def pipeline():
    stages = [queue.Queue(8) for _ in range(6)]

    def stage(n):
        while (item := stages[n].get()) is not None:
            stages[n + 1].put(item + 1)
        stages[n + 1].put(None)
    threads = [threading.Thread(target=stage, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    threading.Thread(target=lambda: [stages[0].put(n) for n in [*range(500), None]]).start()
    print(sum(iter(stages[5].get, None)))
    for thread in threads:
        thread.join()


def signals():
    caught = []
    signal.signal(signal.SIGUSR1, lambda number, frame: caught.append((number, threading.current_thread() is threading.main_thread())))
    blocked = threading.Event()
    got = []

    def wait():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
        blocked.set()
        got.append(signal.sigwait({signal.SIGUSR2}))
    thread = threading.Thread(target=wait)
    thread.start()
    blocked.wait()
    signal.pthread_kill(thread.ident, signal.SIGUSR2)
    thread.join()
    os.kill(os.getpid(), signal.SIGUSR1)
    print(caught, got)


async def events():
    lock, order = asyncio.Lock(), []

    async def work(n):
        await asyncio.sleep(0.001 * (n % 3))
        async with lock:
            order.append(n)
        return n * n
    print(sum(await asyncio.gather(*(work(n) for n in range(200)))), sorted(order) == list(range(200)))
    process = await asyncio.create_subprocess_exec('cat', stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    print(await process.communicate(b'through asyncio'), process.returncode)
    children = [await asyncio.create_subprocess_shell(f'exit {n}') for n in range(8)]
    print(await asyncio.gather(*(child.wait() for child in children)))
    loop = asyncio.get_running_loop()
    print(await asyncio.gather(*(loop.run_in_executor(None, pow, 3, n) for n in range(12))))
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.02)
    except asyncio.TimeoutError:
        print('timeout')
    told = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, told.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await told.wait()
    print('signal')


def count(shared, lock, barrier):
    barrier.wait()
    for _ in range(200):
        with lock:
            shared.value += 1


def feed(source, sink):
    for item in iter(source.get, None):
        sink.put((os.getpid() != os.getppid(), item * 2))


def processes():
    shared, lock, barrier = multiprocessing.Value('i', 0, lock=False), multiprocessing.Lock(), multiprocessing.Barrier(5)
    children = [multiprocessing.Process(target=count, args=(shared, lock, barrier)) for _ in range(5)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(shared.value, [child.exitcode for child in children])
    source, sink = multiprocessing.Queue(), multiprocessing.Queue()
    child = multiprocessing.Process(target=feed, args=(source, sink))
    child.start()
    for n in [*range(20), None]:
        source.put(n)
    print([sink.get()[1] for _ in range(20)])
    child.join()
    with concurrent.futures.ProcessPoolExecutor(3) as pool:
        print(list(pool.map(abs, range(-10, 0), chunksize=3)))
    child = multiprocessing.Process(target=time.sleep, args=(1000,))
    child.start()
    child.terminate()
    child.join()
    print(child.exitcode, child.is_alive())
    semaphore = multiprocessing.BoundedSemaphore(2)
    print(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(timeout=0.01))
    block = multiprocessing.shared_memory.SharedMemory(create=True, size=10000)
    block.buf[9999] = 7
    with multiprocessing.Pool(1) as pool:
        print(pool.apply(peek, (block.name,)))
    block.close()
    block.unlink()


def peek(name):
    from multiprocessing import shared_memory
    block = shared_memory.SharedMemory(name)
    value = block.buf[9999]
    block.close()
    return value


if __name__ == '__main__':
    import multiprocessing.shared_memory
    crowd()
    pipeline()
    signals()
    asyncio.run(events())
    sys.stdout.flush()
    processes()
P
python3 many.py
echo status $?
cd / && rm -rf /tmp/threads
