"""The commands of ./linnet, by name. Each takes its arguments and returns the exit status."""
import os
import re
import subprocess
import sys

import build
import deps
from build import TOP, CommandError


def run(args):
    import run as module
    return module.main(args)


def count_cases(log):
    """(passed, failed, skipped) cases of a `meson test` log in JSON lines: TAP cases one by one, other tests as one each."""
    import json
    passed = failed = skipped = 0
    with open(log, encoding='utf-8') as lines:
        for line in lines:
            test = json.loads(line)
            out = test.get('stdout', '')
            ok = len(re.findall(r'^ok\b(?!.*# *SKIP)', out, re.M | re.I))
            bad = len(re.findall(r'^not ok\b', out, re.M))
            skip = len(re.findall(r'^ok\b.*# *SKIP', out, re.M | re.I))
            if test['result'] == 'SKIP':
                skipped += 1
            elif test['result'] in ('OK', 'EXPECTEDFAIL'):
                passed += ok or 1
                skipped += skip
            else:
                passed += ok
                failed += bad or 1
                skipped += skip
    return passed, failed, skipped


def test(args):
    deps.ensure()
    build.build()
    log = os.path.join(build.BUILD, 'meson-logs', 'testlog.json')
    status = subprocess.run(['meson', 'test', '-C', build.BUILD, '--no-rebuild', '--print-errorlogs'] + args,
                            check=False).returncode
    passed, failed, skipped = count_cases(log)
    if status != 0 and failed == 0:
        failed = 1
    print(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return 1 if failed else 0


def image(args):
    deps.ensure()
    build.build(['linnet.img'])
    made = os.path.join(build.BUILD, 'userspace', 'image', 'linnet.img')
    target = args[0] if args else os.path.join(TOP, 'build', 'linnet.img')
    if os.path.abspath(target) != made:
        with open(made, 'rb') as source, open(target, 'wb') as out:
            while chunk := source.read(1 << 20):
                out.write(chunk)
    print(target)
    return 0


def describe_device(device):
    """(model, size in bytes) of a whole removable-capable disk; refuses partitions and mounted disks."""
    name = os.path.basename(os.path.realpath(device))
    sys_dir = f'/sys/block/{name}'
    if not os.path.isdir(sys_dir):
        raise CommandError(f'{device} is not a whole disk')
    with open('/proc/mounts', encoding='utf-8') as mounts:
        if any(line.split()[0].startswith(os.path.realpath(device)) for line in mounts):
            raise CommandError(f'{device} is mounted: unmount it first')
    with open(f'{sys_dir}/size', encoding='ascii') as file:
        size = int(file.read()) * 512
    try:
        with open(f'{sys_dir}/device/model', encoding='utf-8') as file:
            model = file.read().strip()
    except OSError:
        model = 'unknown model'
    return model, size


def usb(args):
    if len(args) != 1:
        raise CommandError('usage: linnet usb /dev/sdX', 2)
    model, size = describe_device(args[0])
    image([])
    made = os.path.join(TOP, 'build', 'linnet.img')
    print(f'{args[0]}: {model}, {size / 1e9:.1f} GB. Everything on it will be lost.')
    if input('Write Linnet to it? Type yes: ') != 'yes':
        raise CommandError('nothing was written')
    with open(made, 'rb') as source, open(args[0], 'wb') as out:
        while chunk := source.read(4 << 20):
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
    print('done')
    return 0


def debug(args):
    import run as module
    return module.debug(args)


def bench(args):
    import bench as module
    return module.main(args)


def install(args):
    del args
    return deps.install()


COMMANDS = {'run': run, 'test': test, 'image': image, 'usb': usb, 'debug': debug, 'bench': bench, 'deps': install}
