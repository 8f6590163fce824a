# SPDX-License-Identifier: MIT
"""What ./bench is made of.

    cli        the command line, and the order of things
    scenarios  benches/scenarios/*.toml
    build      the programs of coir and of its peers
    runs       one run: a process, or a server and its load; nothing is left behind
    results    rows, medians, checksums, tables
    pictures   charts, by gnuplot
    compare    two commits of coir
    explain    where the time of a scenario goes
    test_suite tests of all that without measuring: ./check stage suite
"""


class Failure(Exception):
    """Something that ends the command, with a text for whoever called it."""

    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status
