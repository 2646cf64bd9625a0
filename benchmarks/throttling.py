"""Draft sim."""

from __future__ import annotations
import heapq, random, sys, time
from collections import deque
from math import inf
from entra_async.rules import throttling
from entra_async.rules.throttling import Pace


class Bucket:
    def __init__(self, rate, burst_s, retry_after_s, drains=True, changes=()):
        self.rate, self.burst_s, self.retry_after_s, self.drains = rate, burst_s, retry_after_s, drains
        self.level = rate * burst_s
        self.at = 0.0
        self.changes = deque(changes)

    def _to(self, now):
        self.level = min(self.rate * self.burst_s, self.level + (now - self.at) * self.rate)
        self.at = now

    def take(self, now):
        while self.changes and self.changes[0][0] <= now:
            t, r = self.changes.popleft()
            self._to(t)
            self.rate = r
            self.level = min(self.level, r * self.burst_s)
        self._to(now)
        if self.level < 1 - 1e-9:
            if self.drains:
                self.level = max(-self.rate * self.burst_s, self.level - 1)
            return False
        self.level -= 1
        return True


def simulate(bucket, make, *, workers=1, tasks=64, seconds=3600.0, seed=1, latency=(0.05, 0.2)):
    rnd = random.Random(seed)
    gates = [make() for _ in range(workers)]
    queues = [deque() for _ in gates]
    armed = [inf] * workers
    events = []
    n = 0
    ok = [0] * workers
    refused = 0
    sent = 0
    minute = 0
    lost = 0

    def push(t, kind, data):
        nonlocal n
        n += 1
        heapq.heappush(events, (t, n, kind, data))

    half = latency[0] / 2, latency[1] / 2

    def pump(w, now):
        nonlocal sent
        g, q = gates[w], queues[w]
        while q:
            wait = g.wait_s(now)
            if wait > 0:
                at = now + wait
                if at < armed[w] - 1e-9:
                    armed[w] = at
                    push(at, 2, w)
                return
            q.popleft()
            g.sent(now)
            sent += 1
            push(now + rnd.uniform(*half), 0, (w, now))

    for w in range(workers):
        for _ in range(tasks):
            queues[w].append(0)
        pump(w, 0.0)
    while events:
        now, _, kind, data = heapq.heappop(events)
        if now > seconds:
            break
        if kind == 0:
            w, s = data
            push(now + rnd.uniform(*half), 1, (w, s, bucket is None or bucket.take(now)))
        elif kind == 1:
            w, s, good = data
            if good:
                gates[w].accepted(s, now)
                ok[w] += 1
                if now <= 60:
                    minute += 1
                queues[w].append(0)
            else:
                refused += 1
                gates[w].refused(s, now, bucket.retry_after_s)
                queues[w].appendleft(0)
            pump(w, now)
        else:
            if armed[data] <= now + 1e-9:
                armed[data] = inf
            pump(data, now)
    return ok, minute, refused, sent, gates


def ideal(rate, burst_s, seconds, cap, changes=()):
    t, r, total = 0.0, min(rate, cap), 0.0
    for at, new in (*changes, (seconds, 0)):
        total += r * (min(at, seconds) - t)
        t, r = min(at, seconds), min(new, cap)
    return total + (rate * burst_s if rate < cap else 0)


if __name__ == "__main__":
    rates = [float(x) for x in (sys.argv[1] if len(sys.argv) > 1 else "10,100").split(",")]
    scen = (sys.argv[2] if len(sys.argv) > 2 else "steady,halved").split(",")
    verbose = len(sys.argv) > 3
    for rate in rates:
        tasks = 64 if rate <= 300 else 256
        cap = tasks / 0.125
        for s in scen:
            for drains in (True, False):
                for burst in (1.0, 10.0):
                    for ra in (1.0, 5.0, 10.0):
                        ch = [(1200.0, rate / 2), (2400.0, rate)] if s == "halved" else []
                        h, m, f, e = [], [], [], []
                        for seed in range(3 if rate < 500 else 1):
                            b = Bucket(rate, burst, ra, drains, ch)
                            workers = 4 if s == "shared" else 1

                            def make():
                                p = Pace()
                                p.log = []
                                return p

                            ok, minute, ref, sent, gs = simulate(
                                b, make, seed=seed, tasks=tasks // workers if workers > 1 else tasks, workers=workers
                            )
                            h.append(sum(ok) / ideal(rate, burst, 3600.0, cap, ch))
                            m.append(minute / ideal(rate, burst, 60.0, cap))
                            f.append(ref / sent)
                            e.append(len(gs[0].log))
                            share = (
                                f" share {min(ok) / sum(ok) * workers:.2f}..{max(ok) / sum(ok) * workers:.2f}"
                                if workers > 1
                                else ""
                            )
                        bad = "".join(
                            c for c, x in (("H", min(h) < 0.95), ("M", min(m) < 0.8), ("F", max(f) > 0.01)) if x
                        )
                        print(
                            f"{rate:6.0f} {s:7} {'drain' if drains else 'kind '} burst {burst:4.0f} RA {ra:3.0f}: hour {min(h):.3f}..{max(h):.3f} minute {min(m):.3f}..{max(m):.3f} 429 {max(f):.4f} episodes {max(e)} {bad}{share}",
                            flush=True,
                        )
                        if verbose:
                            print(gs[0].log[:25])
