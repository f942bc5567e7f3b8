# Local sockets: socat, python3's sockets, multiprocessing and asyncio, redis, dbus.
cd /tmp || exit 1
appears() { # somebody listens there, and is not just about to
    for _ in $(seq 100); do
        grep -q " 00010000 .* $1\$" /proc/net/unix && return
        sleep 0.1
    done
    echo "$1 did not appear"
}

socat -t 10 UNIX-LISTEN:/tmp/upper,fork EXEC:'tr a-z A-Z' &
appears /tmp/upper
for word in one two three; do
    echo "$word over a socket" | socat -t 10 - UNIX-CONNECT:/tmp/upper
done
kill $!; wait
socat -u ABSTRACT-LISTEN:linnet-tour CREATE:/tmp/received &
appears @linnet-tour
seq 10000 | socat -u - ABSTRACT-CONNECT:linnet-tour
wait
sum received

cat >tour.py <<'P'
import asyncio, multiprocessing, os, select, signal, socket, struct, threading
from multiprocessing.connection import Client, Listener


def square(x):
    return x * x


async def talk():
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()

    async def ask(number):
        reader, writer = await asyncio.open_unix_connection('/tmp/asyncio')
        writer.write(b'line %d\n' % number)
        answer = await reader.readline()
        writer.close()
        return answer

    server = await asyncio.start_unix_server(serve, path='/tmp/asyncio')
    answers = await asyncio.gather(*(ask(i) for i in range(50)))
    server.close()
    return answers == [b'LINE %d\n' % i for i in range(50)]


def main():
    for method in ('fork', 'spawn', 'forkserver'):
        with multiprocessing.get_context(method).Pool(3) as pool:
            print(method, sum(pool.map(square, range(500))))
    with multiprocessing.Manager() as manager:
        shared = manager.dict(one=1)
        shared['two'] = 2
        print(sorted(shared.items()))
    with Listener('/tmp/listener', 'AF_UNIX', authkey=b'key') as listener:
        def answer():
            with listener.accept() as connection:
                connection.send({'got': connection.recv()})
        thread = threading.Thread(target=answer)
        thread.start()
        with Client('/tmp/listener', 'AF_UNIX', authkey=b'key') as client:
            client.send([1, 'two', 3.0])
            print(client.recv())
        thread.join()
    print('asyncio', asyncio.run(talk()))

    a, b = socket.socketpair()
    r, w = os.pipe()
    socket.send_fds(a, [b'two files'], [r, w])
    data, fds, flags, _ = socket.recv_fds(b, 100, 4)
    os.write(fds[1], b'through')
    print(data, len(fds), flags, os.read(r, 100))
    total, got = 3000000, []
    thread = threading.Thread(target=lambda: got.append(sum(iter(lambda: len(b.recv(65536)), 0))))
    thread.start()
    a.sendall(b'z' * total)
    a.shutdown(socket.SHUT_WR)
    thread.join()
    print('streamed', got == [total])
    pid, uid, gid = struct.unpack('3i', a.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    print('peer', pid == os.getpid(), uid, gid)

    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind('\0linnet-seq')
    server.listen()
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect('\0linnet-seq')
    other, _ = server.accept()
    for size in (1, 0x100, 50000):
        client.send(bytes(size))
        print(size, len(other.recv(60000)), end=' ')
    client.settimeout(0.05)
    try:
        client.recv(1)
    except TimeoutError as error:
        print(error)
    d = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    d.bind('/tmp/dgram')
    e = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    e.bind('')
    e.sendto(b'hello', '/tmp/dgram')
    data, address = d.recvfrom(100)
    d.sendto(b'back', address)
    print(data, len(address), e.recvfrom(100))
    poller = select.epoll()
    poller.register(d, select.EPOLLIN | select.EPOLLET)
    print(poller.poll(0), end=' ')
    e.sendto(b'1', '/tmp/dgram')
    e.sendto(b'2', '/tmp/dgram')
    print([events for _, events in poller.poll(1)], poller.poll(0))
    for call in (lambda: socket.socket(socket.AF_UNIX).connect('/nowhere'), lambda: e.send(b'x'),
                 lambda: socket.socket(socket.AF_UNIX).connect('\0nobody'), lambda: a.send(b'x')):
        try:
            call()
        except OSError as error:
            print(type(error).__name__, error)


if __name__ == '__main__':
    main()
P
python3 tour.py

redis-server --port 0 --unixsocket /tmp/redis --save '' --logfile /tmp/redis.log >/dev/null &
appears /tmp/redis
redis-cli -s /tmp/redis <<'R'
set key value
get key
rpush list a b c
lrange list 0 -1
incrby counter 41
incr counter
hset hash field 1 other 2
hgetall hash
R
redis-benchmark -s /tmp/redis -n 2000 -c 20 -t set,get,lpush --csv | cut -d, -f1
redis-cli -s /tmp/redis dbsize
redis-cli -s /tmp/redis shutdown nosave
wait

dbus-daemon --session --address=unix:path=/tmp/bus --nofork --nosyslog 2>/dev/null &
appears /tmp/bus
DBUS_SESSION_BUS_ADDRESS=unix:path=/tmp/bus dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames | tail -n +2
kill $!
wait
rm -rf /tmp/upper /tmp/received /tmp/tour.py /tmp/asyncio /tmp/listener /tmp/dgram /tmp/redis* /tmp/bus
