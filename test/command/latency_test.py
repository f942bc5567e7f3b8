"""Unit tests of latency.py: what the tracer's files say."""
import contextlib
import io
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import latency  # noqa: E402

OUTPUT = """T: 0 (    5) P:80 I:1000 C:  19000 Min:      2 Act:    4 Avg:    4 Max:      13
== irqsoff
0 5768 instructions stress-ng a b
  begin pid_next+0x13/0x130
        process_next+0x16/0x50
  end   pid_next+0xec/0x130
1 12 instructions sh
  begin schedule+0x9/0x30
  end   schedule+0x15/0x30
== preemptoff
== wakeup
0 9348 instructions cyclictest
  begin runqueue_join_locked+0x7c/0xf0
  end   reschedule+0x2aa/0x4a0
==
"""


class Parse(unittest.TestCase):
    def test_entries_have_their_chains(self):
        kinds, cyclic = latency.parse_output(OUTPUT)
        self.assertEqual(kinds['irqsoff'], [
            (0, 5768, 'instructions', 'stress-ng a b', ['pid_next+0x13', 'process_next+0x16'], ['pid_next+0xec']),
            (1, 12, 'instructions', 'sh', ['schedule+0x9'], ['schedule+0x15'])])
        self.assertEqual(kinds['preemptoff'], [])
        self.assertEqual(kinds['wakeup'][0][:4], (0, 9348, 'instructions', 'cyclictest'))
        self.assertEqual(len(cyclic), 1)

    def test_wakeups_do_not_count_for_the_limit(self):
        kinds, cyclic = latency.parse_output(OUTPUT)
        self.assertEqual(latency.show(2, kinds, cyclic, 3, False), 5768)

    def test_of_a_place_the_longest_entry_is_shown(self):
        def entry(cpu, length, begin):
            return (cpu, length, 'instructions', 'sh', [begin, 'caller+0x1'], ['end+0x2'])
        entries = [entry(0, 7, 'a+0x1'), entry(1, 9, 'a+0x1'), entry(1, 8, 'b+0x1')]
        self.assertEqual(latency.worst_places(entries), [entries[1], entries[2]])

    def test_the_table_has_section_length_place_who_and_chains(self):
        kinds, cyclic = latency.parse_output(OUTPUT)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            latency.show(1, kinds, cyclic, 1, False)
        lines = out.getvalue().splitlines()
        self.assertEqual(lines[2].split(), ['irqsoff', '5,768', 'instructions', '0', 'stress-ng', 'a', 'b', 'pid_next', '..', 'pid_next'])
        self.assertEqual(lines[3].split(), ['begin', 'pid_next', '<', 'process_next'])
        self.assertEqual(lines[4].split(), ['end', 'pid_next'])
        self.assertEqual(lines[5].split()[:2], ['wakeup', '9,348'])


if __name__ == '__main__':
    unittest.main(buffer=True)
