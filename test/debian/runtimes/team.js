const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { execFile, spawn } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const net = require('net');
const util = require('util');
const zlib = require('zlib');

async function main() {
    const shared = new Int32Array(new SharedArrayBuffer(8));
    const workers = [1, 2, 3].map((n) => new Promise((done, fail) => {
        const worker = new Worker(__filename, { workerData: { n, shared } });
        worker.on('message', done);
        worker.on('error', fail);
    }));
    console.log((await Promise.all(workers)).sort(), Atomics.load(shared, 0));

    const scrypt = util.promisify(crypto.scrypt);
    const keys = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => scrypt('word' + n, 'salt', 8, { N: 256 })));
    console.log(keys.map((key) => key.toString('hex')).join(' '));
    const text = Buffer.from('text '.repeat(5000));
    console.log((await util.promisify(zlib.gunzip)(await util.promisify(zlib.gzip)(text))).equals(text));

    fs.mkdirSync('/tmp/team');
    const watched = new Promise((done) => {
        const watcher = fs.watch('/tmp/team', (kind, name) => { watcher.close(); done(name); });
    });
    await fs.promises.writeFile('/tmp/team/new', 'content');
    console.log(await watched, await fs.promises.readFile('/tmp/team/new', 'utf8'));
    fs.rmSync('/tmp/team', { recursive: true });

    const server = net.createServer((socket) => socket.on('data', (data) => socket.end(data.toString().toUpperCase())));
    await new Promise((done) => server.listen('/tmp/team.socket', done));
    const answers = [...Array(10).keys()].map((n) => new Promise((done) => {
        let got = '';
        const client = net.connect('/tmp/team.socket', () => client.write('line ' + n));
        client.on('data', (data) => { got += data; });
        client.on('end', () => done(got));
    }));
    console.log((await Promise.all(answers)).join(','));
    server.close();

    const { stdout } = await util.promisify(execFile)('sh', ['-c', 'echo from a child']);
    console.log(stdout.trim());
    const child = spawn('sleep', ['1000']);
    child.kill('SIGTERM');
    console.log(await new Promise((done) => child.on('exit', (code, signal) => done(`${code} ${signal}`))));
    process.once('SIGUSR2', () => console.log('signal'));
    process.kill(process.pid, 'SIGUSR2');
    await new Promise((done) => setTimeout(done, 50));
    process.on('exit', (code) => console.log('exit', code));
    process.exitCode = 6;
}

if (isMainThread) {
    main();
} else {
    for (let i = 0; i < 1000; i++) {
        Atomics.add(workerData.shared, 0, workerData.n);
    }
    parentPort.postMessage(workerData.n * 10);
}
