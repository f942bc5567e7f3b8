"""Where the instructions of a row were executed: the plugin's counts by address, made into functions."""
import bisect
import subprocess

UPPER = 1 << 63


def read_symbols(elf):
    """Sorted [(address, name)] of the functions of the kernel, which ran without a slide (nokaslr)."""
    listed = subprocess.run(['llvm-nm', '--defined-only', elf], capture_output=True, text=True, check=True).stdout
    return parse_symbols(listed)


def parse_symbols(listed):
    found = {}
    for line in listed.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in 'tTwW' and not words[2].startswith('.'):
            found.setdefault(int(words[0], 16), words[2])
    return sorted(found.items())


def by_function(addresses, symbols):
    """{function: instructions} of {address: instructions}; the lower half together is '(user)'."""
    starts = [address for address, _ in symbols]
    result = {}
    for address, times in addresses.items():
        at = bisect.bisect_right(starts, address) - 1
        name = '(user)' if address < UPPER else symbols[at][1] if at >= 0 else '(unknown)'
        result[name] = result.get(name, 0) + times
    return result


def entries(addresses, symbols):
    """{function: calls}: how often each function's first instruction ran."""
    return {name: addresses[address] for address, name in symbols if address in addresses}


def table(addresses, symbols, amount, most=40):
    """Lines, the most expensive function first. `amount`: operations (or pieces of 64 KiB) that the counts are of."""
    functions = by_function(addresses, symbols)
    calls = entries(addresses, symbols)
    total = sum(functions.values())
    yield f'{"per operation":>14} {"share":>7} {"calls":>8}  function'
    for name, times in sorted(functions.items(), key=lambda item: (-item[1], item[0]))[:most]:
        yield f'{times / amount:>14,.1f} {times / total:>7.1%} {calls.get(name, 0) / amount:>8,.2f}  {name}'
    yield f'{total / amount:>14,.1f} {"":>7} {"":>8}  all of {len(functions)} functions'
