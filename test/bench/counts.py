"""The benchmark's arithmetic: what the plugin and the program wrote, made into figures. Nothing here runs anything."""
import errno
import math
import re
import signal

# What the project promises; `linnet bench --check` fails beyond.
ROW_LIMIT = 1.0
MEAN_LIMIT = 0.6
MEMORY_ROWS_LIMIT = 0.6
MEMORY_ROWS = ('fork_exit_wait', 'fork16m_exit_wait', 'fork_exec_wait', 'vfork_exec_wait', 'sh_c_true', 'mmap_munmap_64k',
               'mmap_touch_munmap_4k', 'mprotect_pair_64k', 'pf_anon_4k', 'pf_cow', 'pf_file')
HUGE_ROW, HUGE_LIMIT = 'pf_anon_huge', 0.5
ENTRY_LIMIT = 70_000_000
MEMORY_LIMIT_KIB = 14 * 1024
KERNEL_LIMIT_BYTES = 2 << 20
SCALING_LIMIT = 1.15  # a scaling row's instructions of the kernel with any number of CPUs, to those with the fewest
# Nothing is promised: all workers add to and take from the lists of regions of one program's file.
SCALING_UNLIMITED = ('fork_exit_wait',)

# Less of a row's instructions than this in the kernel: the row is about user space.
USER_ROW_SHARE = 0.02


class CountError(Exception):
    """A run whose output makes no sense, told in one sentence."""


def parse_plugin(text):
    """
    The plugin's file (plugin.c describes it): {'rows': [[(user, kernel, pauses) of each sample] of each row], 'entry', 'user', 'end':
    (lower, upper) or None, 'counts': {address: times}}.
    """
    result = {'rows': [], 'entry': None, 'user': None, 'end': None, 'counts': {}}
    rows = result['rows']
    for number, line in enumerate(text.splitlines(), 1):
        word, *values = line.split()
        try:
            if word == 'row':
                rows.append([])
            elif word == 'sample':
                rows[-1].append((0, 0, 0))
            elif word == 'span':
                user, kernel, pauses = (int(value) for value in values)
                before = rows[-1][-1]
                rows[-1][-1] = (before[0] + user, before[1] + kernel, before[2] + pauses)
            elif word in ('entry', 'user', 'end'):
                result[word] = (int(values[0]), int(values[1]))
            elif word == 'count':
                result['counts'][int(values[0], 16)] = int(values[1])
            else:
                raise ValueError
        except (ValueError, IndexError) as error:
            raise CountError(f'line {number} of the counts makes no sense: {line!r}') from error
    return result


def error_name(number):
    """ENOSYS for 38; SIGSEGV for -11."""
    if number < 0:
        try:
            return signal.Signals(-number).name
        except ValueError:
            return f'signal {-number}'
    return errno.errorcode.get(number, f'errno {number}')


def parse_report(text):
    """The program's report (main.c describes it): [(name, unit, amount) or (name, error name, what)] in order; must be complete."""
    rows = []
    lines = text.replace('\r', '').splitlines()
    for line in lines:
        words = line.split()
        if len(words) == 4 and words[0] == 'row':
            rows.append((words[1], words[2], float(words[3])))
        elif len(words) >= 3 and words[0] == 'skip':
            rows.append((words[1], error_name(int(words[2])), ' '.join(words[3:])))
        elif words not in (['done'], ['ready']):
            raise CountError(f'a line of the report makes no sense: {line!r}')
    if not lines or lines[-1] != 'done':
        raise CountError('the benchmark did not come to its end' + (f'; its last row was {rows[-1][0]}' if rows else ''))
    return rows


def parse_times(text):
    """{name: [seconds of each sample]} of the rows that succeeded; the report must be complete."""
    lines = text.replace('\r', '').splitlines(keepends=True)
    done = {row[0] for row in parse_report(''.join(line for line in lines if not line.startswith('time '))) if not isinstance(row[2], str)}
    times = {name: [] for name in sorted(done)}
    for match in re.finditer(r'^time (\S+) (\d+)$', ''.join(lines), re.M):
        if match[1] in done:
            times[match[1]].append(int(match[2]) / 1e9)
    return times


def parse_kernel_report(text):
    """The lines of kernel/debug/bench.h in the kernel's log: what parse_report() gives."""
    found = re.findall(r'bench: ((?:row|skip) .*|done)$', text.replace('\r', ''), re.M)
    return parse_report(''.join(line + (' kernel' if line.startswith('skip') else '') + '\n' for line in found))


def join(report, counted):
    """{name: {'unit', 'user', 'kernel', 'pauses'} per unit, the mean of the samples, or {'error', 'what'}} of one run."""
    if len(report) != len(counted):
        raise CountError(f'{len(report)} rows reported, {len(counted)} counted')
    result = {}
    for (name, second, third), samples in zip(report, counted):
        if isinstance(third, str):
            result[name] = {'error': second, 'what': third}
            continue
        if not samples:
            raise CountError(f'{name}: no sample was counted')
        user, kernel, pauses = (sum(sample[i] for sample in samples) / len(samples) / third for i in range(3))
        result[name] = {'unit': second, 'user': round(user, 1), 'kernel': round(kernel, 1), 'pauses': round(pauses, 2)}
    return result


def ratio(linux, linnet):
    """
    Linnet's instructions to Linux's for one row, or None. Those of the kernel; of all when Linux's kernel has next to no part in
    the row, where what is left is interrupts.
    """
    if 'error' in linux or 'error' in linnet:
        return None
    total = linux['user'] + linux['kernel']
    if total == 0:
        return None
    if linux['kernel'] < USER_ROW_SHARE * total:
        return (linnet['user'] + linnet['kernel']) / total
    return linnet['kernel'] / linux['kernel']


def ratios(linux, linnet):
    return {name: value for name in linnet if name in linux and (value := ratio(linux[name], linnet[name])) is not None}


def geometric_mean(values):
    values = list(values)
    if not values:
        return None
    return math.exp(sum(math.log(max(value, 1e-6)) for value in values) / len(values))


def entry_to_user(counted):
    """Instructions from the kernel's entry to the first of user space: {'lower', 'upper'} half of the address space, or None."""
    if counted['entry'] is None or counted['user'] is None:
        return None
    return {half: counted['user'][i] - counted['entry'][i] for i, half in enumerate(('lower', 'upper'))}


def parse_meminfo(text):
    """{name: KiB} of /proc/meminfo."""
    return {match[1]: int(match[2]) for match in re.finditer(r'^(\w+):\s+(\d+) kB', text, re.M)}


def memory_used(meminfo, machine_kib):
    """KiB used: of all the machine has, and as the system itself reckons. README.md says what each means."""
    return {'machine_minus_free': machine_kib - meminfo['MemFree'], 'total_minus_free': meminfo['MemTotal'] - meminfo['MemFree'],
            'total_minus_available': meminfo['MemTotal'] - meminfo.get('MemAvailable', meminfo['MemFree'])}


def row_limit(name):
    if name == HUGE_ROW:
        return HUGE_LIMIT
    return MEMORY_ROWS_LIMIT if name in MEMORY_ROWS else ROW_LIMIT


def broken_promises(result):
    """Sentences about what is beyond its limit in the whole result (see test/command/bench.py)."""
    found = []
    for name, value in result['ratios'].items():
        if value > row_limit(name):
            found.append(f'{name}: {value:.2f} of Linux, at most {row_limit(name):.2f} promised')
    mean = result['geometric_mean']
    if mean is not None and mean > MEAN_LIMIT:
        found.append(f'geometric mean {mean:.2f}, at most {MEAN_LIMIT:.2f} promised')
    system = result['linnet'].get('system')
    if system:
        entry = sum(system['entry_to_user_shipped'].values())
        if entry > ENTRY_LIMIT:
            found.append(f'{entry} instructions from entry to user space, at most {ENTRY_LIMIT} promised')
        used = system['memory_kib']['machine_minus_free']
        if used > MEMORY_LIMIT_KIB:
            found.append(f'{used} KiB used at the shell, at most {MEMORY_LIMIT_KIB} promised')
        if system['sizes']['kernel'] > KERNEL_LIMIT_BYTES:
            found.append(f'the kernel has {system["sizes"]["kernel"]} bytes, at most {KERNEL_LIMIT_BYTES} promised')
    return found


# ---- tables ----------------------------------------------------------------------------------------------------------

def number(value):
    return f'{value:,.1f}'


def side(row):
    """A row's two figures, or why there are none."""
    if row is None:
        return f'{"":>11} {"":>12}'
    if 'error' in row:
        return f'{row["error"] + " (" + row["what"] + ")":>24}'
    return f'{number(row["user"]):>11} {number(row["kernel"]):>12}'


def kernel_table(rows):
    """The rows of the kernel's own benchmarks, as lines."""
    yield f'{"operation":<22} {"instructions":>12}'
    for name, row in rows.items():
        yield f'{name:<22} ' + (f'{row["error"]:>12}' if 'error' in row else f'{number(row["kernel"]):>12}')


def growth(row):
    """
    The most that the kernel's instructions for an operation grew by, as a ratio to those with the fewest CPUs, of {CPUs: figures}; None
    when a figure is missing.
    """
    figures = [row[cpus] for cpus in sorted(row)]
    if any(figure is None or 'error' in figure for figure in figures) or figures[0]['kernel'] == 0:
        return None
    return max(figure['kernel'] for figure in figures) / figures[0]['kernel']


def scaling_rows(runs):
    """{row: {CPUs: figures or None}} of {CPUs: {row: figures}}."""
    names = dict.fromkeys(name for rows in runs.values() for name in rows)
    return {name: {cpus: rows.get(name) for cpus, rows in sorted(runs.items())} for name in names}


def scaling_broken(runs):
    """Sentences about rows that cost more with more CPUs than is promised, or cannot be done."""
    found = []
    for name, row in scaling_rows(runs).items():
        value = growth(row)
        if value is None:
            found.append(f'{name}: not counted on all of {", ".join(map(str, row))} CPUs')
        elif value > SCALING_LIMIT and name not in SCALING_UNLIMITED:
            found.append(f'{name}: {value:.2f} times the instructions of {min(row)} CPU{"s"[:min(row) > 1]}, at most {SCALING_LIMIT:.2f} promised')
    return found


def scaling_table(runs):
    """The kernel's instructions of each operation by number of CPUs, as lines; the last column: rounds of waiting with the most CPUs."""
    counts = sorted(runs)
    yield f'{"row":<18} {"user":>8} ' + ' '.join(f'{f"{n} CPU" + "s"[:n > 1]:>10}' for n in counts) + f' {"growth":>7} {"pauses":>7}'
    for name, row in scaling_rows(runs).items():
        first, last = row[counts[0]], row[counts[-1]]
        cells = ['-' if figure is None else figure['error'] if 'error' in figure else number(figure['kernel']) for figure in row.values()]
        user = number(first['user']) if first and 'user' in first else '-'
        value = growth(row)
        tail = f'{value - 1:>+7.1%} {last["pauses"]:>7.2f}' if value is not None else f'{"-":>7} {"-":>7}'
        yield f'{name:<18} {user:>8} ' + ' '.join(f'{cell:>10}' for cell in cells) + f' {tail}'


def table(linux, linnet):
    """The rows beside each other, as lines. Instructions per operation or per 64 KiB."""
    yield f'{"row":<22} {"per":<6} {"Linux: user":>11} {"kernel":>12} {"Linnet: user":>12} {"kernel":>12}  ratio'
    for name in dict.fromkeys(list(linux) + list(linnet)):
        left, right = linux.get(name), linnet.get(name)
        unit = next((row['unit'] for row in (left, right) if row and 'unit' in row), '')
        value = ratio(left, right) if left and right else None
        yield f'{name:<22} {unit:<6} {side(left)}  {side(right)} ' + (f'{value:5.2f}' if value is not None else '    -')
