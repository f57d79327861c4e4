#!/usr/bin/env python3
"""What other busy processes take from Lathe and from PyTorch: speed beside 1 and 10 of them, over the speed alone.

make busy                                        every row: about ten minutes on two cores
make busy BENCH="lenet5 infer:resnet20"          some rows, as for make bench
make busy BASE=../before/build/train-bench       another build beside them

Engines keep one process a row and take turns; each turn is a block alone, one beside one process that only counts, and
one beside ten. A cell is the median over the turns of (steps a second beside them) / (steps a second alone, in that
turn); a block's steps a second are its steps over its time, so that a step which waited counts as long as it took.
"""
import argparse
import subprocess
import sys
import time
from statistics import median

from bench import Worker, fastest, torch_workers
from tables import print_aligned

ROWS = [("train", "lenet5", 64), ("train", "mlp", 64), ("train", "resnet20", 128), ("infer", "mobilenetv2", 1),
        ("infer", "resnet20", 1), ("infer", "vgg-cifar", 1), ("infer", "mobilenetv2", 32), ("infer", "resnet20", 32)]
WIDTHS = [6, 11, 5, 3, 11, 10, 10, 10]


class Busy:
    """So many processes that count, while it is open."""

    def __init__(self, processes):
        self.processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]

    def __enter__(self):
        time.sleep(0.2 if self.processes else 0)

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.wait()


def steps_a_second(worker, seconds):
    worker.run(seconds)
    taken = worker.blocks[-1]["seconds"]
    return len(taken) / sum(taken)


def measure(mode, net, batch, threads, options):
    arguments = [mode, net, str(batch), str(threads)]
    workers = [Worker("lathe", [options.worker, *arguments], threads)]
    if options.base:
        workers.append(Worker("base", [options.base, *arguments], threads))
    workers.append(fastest(torch_workers(mode, net, batch, threads), options.seconds / 2))
    speeds = {worker.name: {load: [] for load in options.loads} for worker in workers}
    for _ in range(options.turns):
        for load in options.loads:
            with Busy(load):
                for worker in workers:
                    speeds[worker.name][load].append(steps_a_second(worker, options.seconds))
    for worker in workers:
        worker.close()
    for name, of_load in speeds.items():
        alone = of_load[options.loads[0]]
        shares = [median(busy / free for busy, free in zip(of_load[load], alone)) for load in options.loads[1:]]
        print_aligned([mode, net, str(batch), str(threads), name, f"{median(alone):.1f}",
                       *[f"{share:.2f}" for share in shares]], WIDTHS, 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", default="build/train-bench")
    parser.add_argument("--base", help="another build's train-bench")
    parser.add_argument("--nets", default="", help="names, or train:NAME, infer:NAME; default: all rows")
    parser.add_argument("--threads", default="2", help="of each engine")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a block")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--loads", default="1 10", help="busy processes")
    options = parser.parse_args()
    options.loads = [0, *map(int, options.loads.split())]
    wanted = options.nets.split()
    print_aligned(["mode", "net", "batch", "thr", "engine", "steps/s", *[f"beside {n}" for n in options.loads[1:]]],
                  WIDTHS, 2)
    for threads in map(int, options.threads.split()):
        for mode, net, batch in ROWS:
            if not wanted or net in wanted or f"{mode}:{net}" in wanted:
                measure(mode, net, batch, threads, options)


main()
