# python3: numbers, files, json, processes, threads, the sqlite3 module.
cd /tmp || exit 1
python3 -c 'print(2 ** 200, sum(range(1000)), 1 / 3, divmod(-7, 3), 10 ** 18 // 7, 0.1 + 0.2, complex(1, 2) ** 2)'
python3 - <<'P'
import array, collections, csv, datetime, decimal, difflib, fractions, functools, glob, gzip, hashlib, io, itertools, json, lzma, math, mmap, os, pathlib, \
    pickle, random, re, select, shutil, signal, sqlite3, stat, struct, subprocess, sys, tempfile, textwrap, threading, time, zipfile, zlib

print(math.factorial(30), math.pi, decimal.Decimal(1) / 7, fractions.Fraction(3, 4) + 1, [round(math.sin(x), 12) for x in range(5)])
print(json.dumps({'b': [1, 2.5, None, True], 'a': {'ü': 'x\n'}}, sort_keys=True, indent=1), json.loads('[1e3, "\\u00e9"]'))
print(collections.Counter('abracadabra').most_common(2), list(itertools.permutations('abc'))[-1], re.findall(r'(\w)(\d+)', 'a1 b22'))
random.seed(7)
data = random.randbytes(300000)
print(hashlib.sha256(data).hexdigest(), zlib.crc32(data), len(zlib.compress(b'x' * 100000)), lzma.decompress(lzma.compress(data)) == data)

# files
top = pathlib.Path(tempfile.mkdtemp())
(top / 'deep' / 'er').mkdir(parents=True)
(top / 'deep' / 'text').write_text('line\n' * 1000)
(top / 'link').symlink_to('deep/text')
os.link(top / 'deep' / 'text', top / 'hard')
print(sorted(str(p.relative_to(top)) for p in top.rglob('*')), (top / 'hard').stat().st_nlink, oct((top / 'hard').stat().st_mode))
print(sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in os.scandir(top)), [len(files) for _, _, files in os.walk(top)])
with open(top / 'map', 'w+b') as file:
    file.truncate(100000)
    with mmap.mmap(file.fileno(), 0) as view:
        view[50000:50005] = b'hello'
        view.flush()
        print(view.find(b'hello'), len(view))
    file.seek(50000)
    print(file.read(5), os.pread(file.fileno(), 3, 50002), os.fstat(file.fileno()).st_size)
with mmap.mmap(-1, 1 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as view:
    view.resize(1 << 21)
    view[-1] = 7
    print(len(view), view[-1])
os.utime(top / 'map', ns=(10 ** 18, 10 ** 18 + 1))
print(os.stat(top / 'map').st_mtime_ns, shutil.copy2(top / 'map', top / 'copy') == top / 'copy', os.stat(top / 'copy').st_mtime_ns)
with zipfile.ZipFile(top / 'z.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.write(top / 'map', 'map')
with zipfile.ZipFile(top / 'z.zip') as archive:
    print(archive.testzip(), archive.namelist())
for failing in (lambda: open('/no/such'), lambda: os.rmdir(top), lambda: os.mkdir(top), lambda: open(top), lambda: os.listdir(top / 'map')):
    try:
        failing()
    except OSError as error:
        print(type(error).__name__, error.errno, error.strerror)
shutil.rmtree(top)
print(top.exists())

# processes
print(subprocess.run(['sh', '-c', 'echo out; echo err >&2; exit 3'], capture_output=True))
print(subprocess.run('tr a-z A-Z | rev', shell=True, input='text' * 20000, capture_output=True, text=True).stdout[-5:])
try:
    subprocess.run(['sleep', '100'], timeout=0.2)
except subprocess.TimeoutExpired as error:
    print(type(error).__name__, error.cmd if hasattr(error, 'cmd') else error)
try:
    subprocess.run(['/no/such/program'])
except FileNotFoundError as error:
    print(type(error).__name__, error.cmd if hasattr(error, 'cmd') else error)
print(subprocess.run(['sh', '-c', 'kill -TERM $$']).returncode, subprocess.getstatusoutput('exit 9'), os.waitstatus_to_exitcode(os.system('exit 4')))
process = subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=True, start_new_session=True)
print(process.communicate(b'through a pipe'), process.returncode)
pid = os.fork()
if pid == 0:
    os._exit(11)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
r, w = os.pipe()
print(select.select([r], [w], [], 0)[1] == [w], select.select([r], [], [], 0.01))
poll = select.poll()
poll.register(r, select.POLLIN)
os.write(w, b'x')
print([event for _, event in poll.poll(1000)])
caught = []
signal.signal(signal.SIGALRM, lambda number, frame: caught.append(number))
signal.setitimer(signal.ITIMER_REAL, 0.05)
time.sleep(0.2)
signal.raise_signal(signal.SIGALRM)
print(caught)

# threads
lock, total, results = threading.Lock(), 0, []
def work(n):
    global total
    for i in range(2000):
        with lock:
            total += i
    results.append(n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
event = threading.Event()
threading.Timer(0.05, event.set).start()
print(total, sorted(results), event.wait(5), event.wait(0.01))
condition, queue = threading.Condition(), []
def produce():
    for i in range(100):
        with condition:
            queue.append(i)
            condition.notify()
threading.Thread(target=produce).start()
seen = []
while len(seen) < 100:
    with condition:
        while not queue:
            condition.wait()
        seen += queue
        queue.clear()
print(seen == list(range(100)))
import concurrent.futures
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    print(list(pool.map(lambda x: x * x, range(10))))
local = threading.local()
print(time.strftime('%F', time.gmtime(0)), datetime.date(2024, 2, 29) + datetime.timedelta(365), time.monotonic() < time.monotonic() + 1)

# sqlite3
database = sqlite3.connect('/tmp/py.db')
database.execute('create table t (id integer primary key, square int, name text)')
database.executemany('insert into t values (?, ?, ?)', ((i, i * i, str(i)[::-1]) for i in range(10000)))
database.commit()
database.execute('delete from t where id % 3 = 0')
database.rollback()
print(database.execute('select count(*), sum(square), max(name) from t').fetchone(), database.execute('pragma integrity_check').fetchall())
database.close()
print(os.path.getsize('/tmp/py.db'), sys.getrecursionlimit(), sys.byteorder, struct.pack('<hI', -2, 7))
def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)
print(deep(900))
big = bytearray(64 << 20)
big[::4096] = b'\1' * len(big[::4096])
print(sum(big[::4096]))
P
echo "status $?"
python3 -c 'import sys; sys.exit("words")'; echo "status $?"
python3 -c 'raise KeyError(1)' 2>&1; echo "status $?"
python3 -c 'import os; os.abort()'; echo "status $?"
echo 'print(input()[::-1])' > rev.py; echo backwards | python3 rev.py; python3 -m json.tool --compact <<J
{"a": [1, 2]}
J
python3 -m compileall -q rev.py; ls __pycache__; python3 -m timeit -n 1 -r 1 pass | cut -c1-12
python3 -c 'import multiprocessing as m
q = m.get_context("fork").SimpleQueue()
p = m.get_context("fork").Process(target=lambda: q.put("child")); p.start(); print(q.get()); p.join(); print(p.exitcode)'
rm -rf /tmp/py.db rev.py __pycache__
