"""`./linnet debug`: gdb on the kernel, with its symbols, sources and helpers, and with a slide."""
import os
import re
import shutil
import subprocess
import tempfile

from boottest import BUILD, DIRECT_TIMEOUT_S, PARAMETERS, TOP, Case, Machine, Skipped, artifact, expect, expect_lines, run

HELPERS = os.path.join(TOP, 'test', 'command', 'gdb.py')


def needs_gdb():
    if shutil.which('gdb') is None:
        raise Skipped('gdb is not installed')


def stops_where_told():
    """From the first instruction to a function, its source line, the thread and the log."""
    needs_gdb()
    commands = 'break process_start_init\ncontinue\nbacktrace 2\nlist\nlinnet-thread\nlinnet-log\nkill\nquit\n'
    done = subprocess.run([os.path.join(TOP, 'linnet'), 'debug', '--no-build'], input=commands, capture_output=True, text=True, check=False,
                          timeout=DIRECT_TIMEOUT_S, env=dict(os.environ, LINNET_BUILD=BUILD))
    text = done.stdout + done.stderr
    expect_lines(text, r'Breakpoint 1, process_start_init \(', r'^#1 .*kernel_thread_main', r'^\d+\s.*process_start_init',
                 r'tid \d+  state', r'\[ +\d+\.\d{6}\] linnet: ', r'^\[ +\d+\.\d{6}\] initramfs: \d+ entries')


def follows_the_slide():
    """A kernel that runs where chance put it."""
    needs_gdb()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'gdb')
        with Machine(kernel=artifact('kernel.elf'), initrd=artifact('userspace', 'image', 'initramfs.cpio'), append=PARAMETERS,
                     serials=['port', 'port'], extra=['-gdb', f'unix:path={path},server=on,wait=off']) as vm:
            vm.ports[0].wait_for('init: running', DIRECT_TIMEOUT_S)
            done = subprocess.run(['gdb', '-q', '-batch', '-ex', f'target remote {path}', '-x', HELPERS, '-ex', 'linnet-slide', '-ex', 'linnet-thread',
                                   '-ex', 'linnet-log', artifact('kernel.debug.elf')], capture_output=True, text=True, check=False,
                                  timeout=DIRECT_TIMEOUT_S)
            said = vm.ports[0].text()
    text = done.stdout + done.stderr
    slide = re.search(r'\(slide (?:0x)?([0-9a-f]+)\)', said)
    expect(slide is not None, 'the kernel did not say where it runs')
    expect_lines(text, rf'^moved by 0x{slide[1]}$', r'tid \d+  state', r'^\[ +\d+\.\d{6}\] initramfs: \d+ entries')


if __name__ == '__main__':
    run([
        Case('stops at a function, shows thread and log', stops_where_told),
        Case('follows the slide', follows_the_slide),
    ])
