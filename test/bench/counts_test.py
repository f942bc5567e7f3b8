#!/usr/bin/env python3
"""Unit tests of the benchmark's arithmetic, with canned output of plugin, program, apt and nm."""
import os
import struct
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import counts  # noqa: E402
import debian  # noqa: E402
import guests  # noqa: E402
import hackbench  # noqa: E402
import profile  # noqa: E402

PLUGIN = '''entry 100 0
user 300 5000
row
sample
span 10 100 1
span 20 200 2
sample
span 30 500 0
row
row
sample
span 7 70 0
end 1000 9000
count ffffffff80000010 5
count 401000 9
'''
REPORT = 'row stat op 10\r\nskip epoll_64 38 epoll_create1\r\nrow pipe_bw_64k 64KiB 7\r\ndone\r\n'


class Parsing(unittest.TestCase):
    def test_spans_of_a_sample_are_added(self):
        self.assertEqual(counts.parse_plugin(PLUGIN)['rows'], [[(30, 300, 3), (30, 500, 0)], [], [(7, 70, 0)]])

    def test_totals_and_addresses_are_kept(self):
        parsed = counts.parse_plugin(PLUGIN)
        self.assertEqual((parsed['entry'], parsed['user'], parsed['end']), ((100, 0), (300, 5000), (1000, 9000)))
        self.assertEqual(parsed['counts'], {0xffffffff80000010: 5, 0x401000: 9})
        self.assertEqual(counts.entry_to_user(parsed), {'lower': 200, 'upper': 5000})

    def test_nonsense_names_its_line(self):
        for text in ('row\nspan 1 2 3\n', 'row\nsample\nspan x 2 3\n', 'sample\n', 'row\nsample\nspan 1 2\n', 'row\nhello\n'):
            with self.assertRaisesRegex(counts.CountError, 'line'):
                counts.parse_plugin(text)

    def test_no_entry_no_figure(self):
        self.assertIsNone(counts.entry_to_user(counts.parse_plugin('user 1 2\nend 3 4\n')))

    def test_a_report_keeps_its_order_and_names_errors(self):
        self.assertEqual(counts.parse_report(REPORT),
                         [('stat', 'op', 10.0), ('epoll_64', 'ENOSYS', 'epoll_create1'), ('pipe_bw_64k', '64KiB', 7.0)])

    def test_the_kernels_report_is_found_in_its_log(self):
        log = ('[    0.01] mm: bench: none\r\n[    0.02] bench: row frame_pair op 512\r\n[    0.03] bench: skip vm_fault 12\r\n'
               '[    0.04] serial: ttyS0\r\n[    0.05] bench: done\r\n')
        self.assertEqual(counts.parse_kernel_report(log), [('frame_pair', 'op', 512.0), ('vm_fault', 'ENOMEM', 'kernel')])
        with self.assertRaises(counts.CountError):
            counts.parse_kernel_report(log.replace('bench: done', ''))
        rows = {'frame_pair': {'unit': 'op', 'user': 0.0, 'kernel': 31.25}, 'vm_fault': {'error': 'ENOMEM', 'what': 'kernel'}}
        self.assertEqual([line.split() for line in counts.kernel_table(rows)],
                         [['operation', 'instructions'], ['frame_pair', '31.2'], ['vm_fault', 'ENOMEM']])

    def test_times_are_of_rows_that_succeeded(self):
        text = 'time a 1500000000\r\ntime a 500000000\r\nrow a op 7\r\ntime b 3\r\nskip b 2 fork\r\ndone\r\n'
        self.assertEqual(counts.parse_times(text), {'a': [1.5, 0.5]})
        with self.assertRaises(counts.CountError):
            counts.parse_times('time a 1\nrow a op 7\n')

    def test_a_report_cut_short_is_an_error(self):
        for text in ('', 'row stat op 10\n', 'row stat\ndone\n', 'oops\ndone\n'):
            with self.assertRaises(counts.CountError):
                counts.parse_report(text)

    def test_errors_and_signals_have_names(self):
        self.assertEqual([counts.error_name(n) for n in (38, 11, -11, -14, -99, 99999)],
                         ['ENOSYS', 'EAGAIN', 'SIGSEGV', 'SIGALRM', 'signal 99', 'errno 99999'])

    def test_the_package_is_what_the_meta_package_depends_on(self):
        show = 'Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n'
        self.assertEqual(debian.image_package(show), 'linux-image-6.1.0-50-cloud-amd64')
        with self.assertRaises(debian.FetchError):
            debian.image_package('')

    def test_the_entry_address_is_in_the_note(self):
        note = struct.pack('<III4s4sI', 4, 8, 18, b'Xen\0', b'\x00\x9c\x2b\x00', 0)
        other = struct.pack('<III4sI', 4, 4, 3, b'GNU\0', 0xdeadbeef)
        body = other + note
        header = b'\x7fELF'.ljust(0x20, b'\0') + struct.pack('<QQIHHHHHH', 64, 0, 0, 64, 56, 1, 0, 0, 0)
        program = struct.pack('<IIQQQQQQ', 4, 0, 64 + 56, 0, 0, len(body), len(body), 4)
        with tempfile.NamedTemporaryFile() as file:
            file.write(header + program + body)
            file.flush()
            self.assertEqual(guests.pvh_entry(file.name), 0x2b9c00)
        with tempfile.NamedTemporaryFile() as file:
            file.write(header + program + other.ljust(len(body), b'\0'))
            file.flush()
            with self.assertRaises(counts.CountError):
                guests.pvh_entry(file.name)


class Figures(unittest.TestCase):
    def test_join_gives_the_mean_per_unit(self):
        joined = counts.join(counts.parse_report(REPORT), counts.parse_plugin(PLUGIN)['rows'])
        self.assertEqual(joined['stat'], {'unit': 'op', 'user': 3.0, 'kernel': 40.0, 'pauses': 0.15})
        self.assertEqual(joined['epoll_64'], {'error': 'ENOSYS', 'what': 'epoll_create1'})
        self.assertEqual(joined['pipe_bw_64k'], {'unit': '64KiB', 'user': 1.0, 'kernel': 10.0, 'pauses': 0.0})

    def test_join_wants_as_many_rows_as_were_counted(self):
        with self.assertRaises(counts.CountError):
            counts.join([('stat', 'op', 1.0)], [])
        with self.assertRaises(counts.CountError):
            counts.join([('stat', 'op', 1.0)], [[]])

    def test_a_ratio_is_of_the_kernel_unless_it_has_no_part(self):
        self.assertEqual(counts.ratio({'user': 50, 'kernel': 200}, {'user': 90, 'kernel': 100}), 0.5)
        self.assertEqual(counts.ratio({'user': 99.5, 'kernel': 0.5}, {'user': 75, 'kernel': 0}), 0.75)
        self.assertIsNone(counts.ratio({'user': 1, 'kernel': 1}, {'error': 'ENOSYS', 'what': 'x'}))
        self.assertIsNone(counts.ratio({'user': 0, 'kernel': 0}, {'user': 1, 'kernel': 1}))

    def test_the_mean_is_geometric(self):
        self.assertAlmostEqual(counts.geometric_mean([0.25, 1.0]), 0.5)
        self.assertIsNone(counts.geometric_mean([]))

    def test_memory_is_what_is_not_free(self):
        meminfo = counts.parse_meminfo('MemTotal:  1000 kB\nMemFree:   700 kB\nMemAvailable: 900 kB\nHugePages_Total: 0\n')
        self.assertEqual(counts.memory_used(meminfo, 1024),
                         {'machine_minus_free': 324, 'total_minus_free': 300, 'total_minus_available': 100})

    def test_what_is_beyond_its_limit_is_told(self):
        system = {'entry_to_user_shipped': {'lower': 1, 'upper': counts.ENTRY_LIMIT}, 'memory_kib': {'machine_minus_free': 99999},
                  'sizes': {'kernel': counts.KERNEL_LIMIT_BYTES + 1}}
        result = {'ratios': {'stat': 1.01, 'fstat': 0.99, 'pf_cow': 0.61, 'pf_anon_huge': 0.51}, 'geometric_mean': 0.75,
                  'linnet': {'system': system}}
        told = counts.broken_promises(result)
        self.assertEqual(len(told), 7)
        self.assertFalse(any('fstat' in sentence for sentence in told))
        good = {'ratios': {'stat': 0.5}, 'geometric_mean': 0.5, 'linnet': {}}
        self.assertEqual(counts.broken_promises(good), [])

    def test_the_table_names_what_is_not_there(self):
        linux = {'stat': {'unit': 'op', 'user': 1.0, 'kernel': 4.0}, 'epoll_64': {'unit': 'op', 'user': 1.0, 'kernel': 4.0}}
        linnet = {'stat': {'unit': 'op', 'user': 1.0, 'kernel': 1.0}, 'epoll_64': {'error': 'ENOSYS', 'what': 'epoll_create1'}}
        lines = list(counts.table(linux, linnet))
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[1].endswith(' 0.25'))
        self.assertIn('ENOSYS (epoll_create1)', lines[2])


class Hackbench(unittest.TestCase):
    def figures(self, linnet, seconds):
        rows = [{name: {'user': 100, 'kernel': 900} for name in hackbench.ROWS}, {name: {'user': 100, 'kernel': linnet} for name in hackbench.ROWS}]
        return rows, [{name: [2.0, 4.0, 9.0] for name in hackbench.ROWS}, {name: [seconds] for name in hackbench.ROWS}]

    def test_the_whole_program_is_compared(self):
        rows, times = self.figures(400, 2.0)
        self.assertEqual(hackbench.instruction_ratio(rows, hackbench.ROWS[0]), 0.5)
        self.assertEqual(hackbench.time_ratio(times, hackbench.ROWS[0]), 0.5)
        self.assertEqual(hackbench.broken_promises(rows, times), [])
        self.assertIn('0.50', hackbench.means(rows, times))

    def test_what_is_beyond_its_limit_or_missing_is_told(self):
        rows, times = self.figures(700, 5.0)
        rows[1][hackbench.ROWS[0]] = {'error': 'ENOENT', 'what': 'fork'}
        found = ' '.join(hackbench.broken_promises(rows, times))
        self.assertIn('ENOENT', found)
        self.assertIn('instructions: geometric mean 0.80', found)
        self.assertIn('time: geometric mean 1.25', found)

    def test_a_row_without_figures_has_no_ratio(self):
        rows, times = [{}, {}], [{}, {}]
        self.assertEqual(len(list(hackbench.table(rows, times))), len(hackbench.ROWS) + 2)
        self.assertIn('-', hackbench.means(rows, times))


def figures(kernel, pauses=0.0):
    return {'unit': 'op', 'user': 40.0, 'kernel': kernel, 'pauses': pauses}


class Scaling(unittest.TestCase):
    RUNS = {8: {'getpid': figures(101.0), 'open': figures(230.0, 9.25), 'fork': figures(5.0)},
            1: {'getpid': figures(100.0), 'open': figures(200.0), 'fork': {'error': 'ENOMEM', 'what': 'worker'}},
            2: {'getpid': figures(120.0), 'open': figures(229.9), 'fork': figures(5.0)}}

    def test_growth_is_the_most_that_any_number_of_cpus_costs_to_the_fewest(self):
        rows = counts.scaling_rows(self.RUNS)
        self.assertEqual(list(rows['open']), [1, 2, 8])
        self.assertAlmostEqual(counts.growth(rows['getpid']), 1.2)
        self.assertAlmostEqual(counts.growth(rows['open']), 1.15)
        self.assertIsNone(counts.growth(rows['fork']))
        self.assertIsNone(counts.growth({1: figures(5.0), 2: None}))

    def test_what_grows_too_much_or_was_not_counted_is_told(self):
        told = counts.scaling_broken(self.RUNS)
        self.assertEqual([sentence.split(':')[0] for sentence in told], ['getpid', 'fork'])
        self.assertEqual(counts.scaling_broken({1: {'a': figures(10.0)}, 4: {'a': figures(9.0)}}), [])
        self.assertEqual(len(counts.scaling_broken({1: {'a': figures(10.0)}, 4: {}})), 1)
        self.assertEqual(counts.scaling_broken({1: {'fork_exit_wait': figures(10.0)}, 4: {'fork_exit_wait': figures(20.0)}}), [])

    def test_the_table_has_a_column_for_each_number_of_cpus(self):
        lines = [line.split() for line in counts.scaling_table(self.RUNS)]
        self.assertEqual(lines[0], ['row', 'user', '1', 'CPU', '2', 'CPUs', '8', 'CPUs', 'growth', 'pauses'])
        self.assertEqual(lines[2], ['open', '40.0', '200.0', '229.9', '230.0', '+15.0%', '9.25'])
        self.assertEqual(lines[3], ['fork', '-', 'ENOMEM', '5.0', '5.0', '-', '-'])

    def test_a_report_may_say_that_it_is_ready(self):
        self.assertEqual(counts.parse_report('ready\r\nrow getpid op 10\r\ndone\r\n'), [('getpid', 'op', 10.0)])


class Profile(unittest.TestCase):
    SYMBOLS = profile.parse_symbols('ffffffff80000000 T first\nffffffff80000010 t second\nffffffff80000010 t alias\n'
                                    'ffffffff80000018 t .Llocal\nffffffff80000020 D data\n')

    def test_addresses_become_functions(self):
        addresses = {0xffffffff80000000: 2, 0xffffffff8000000f: 3, 0xffffffff80000018: 5, 0x400000: 7}
        self.assertEqual(profile.by_function(addresses, self.SYMBOLS), {'first': 5, 'second': 5, '(user)': 7})
        self.assertEqual(profile.entries(addresses, self.SYMBOLS), {'first': 2})

    def test_the_table_is_per_operation_and_sorted(self):
        lines = list(profile.table({0xffffffff80000000: 2, 0xffffffff80000010: 8}, self.SYMBOLS, 2))
        self.assertEqual(lines[1].split(), ['4.0', '80.0%', '4.00', 'second'])
        self.assertEqual(lines[2].split(), ['1.0', '20.0%', '1.00', 'first'])
        self.assertEqual(lines[3].split()[0], '5.0')


if __name__ == '__main__':
    unittest.main()
