"""
What this package costs beside a bare aiohttp loop, measured in the same run: ``python -m benchmarks``.

A figure in requests per second says something about one machine on one day. The ratio of two programs that do the
same work against the same server, turn by turn, says something about the programs.
"""
