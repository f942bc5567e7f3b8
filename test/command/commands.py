"""The commands of ./linnet, by name. Each takes its arguments and returns the exit status."""
import os
import re
import subprocess
import sys

import build
import deps
from build import CommandError


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
    import shutil
    deps.ensure()
    build.build(['linnet.img'])
    made = build.artifact('userspace', 'image', 'linnet.img')
    target = args[0] if args else build.artifact('linnet.img')
    if os.path.abspath(target) != made:
        try:
            shutil.copyfile(made, target)
        except OSError as error:
            raise CommandError(f'{target}: {error.strerror}') from error
    print(target)
    return 0


def usb(args):
    if len(args) != 1:
        raise CommandError('usage: linnet usb /dev/sdX', 2)
    import usb as module
    _, model, size = module.find(args[0])
    deps.ensure()
    build.build(['linnet.img'])
    print(f'{args[0]}: {model}, {size / 1e9:.1f} GB. Everything on it will be lost.')
    try:
        answer = input('Write Linnet to it? Type yes: ')
    except EOFError:
        answer = ''
    if answer != 'yes':
        raise CommandError('nothing was written')
    try:
        module.find(args[0])  # still free, still the same
        module.write(build.artifact('userspace', 'image', 'linnet.img'), args[0], size)
    except OSError as error:
        raise CommandError(f'{args[0]}: {error.strerror}') from error
    print('done')
    return 0


def debug(args):
    import run as module
    return module.debug(args)


def bench(args):
    import bench as module
    return module.main(args)


def latency(args):
    import latency as module
    return module.main(args)


def install(args):
    del args
    return deps.install()


COMMANDS = {'run': run, 'test': test, 'image': image, 'usb': usb, 'debug': debug, 'bench': bench, 'latency': latency, 'deps': install}
