#!/usr/bin/env python3
"""Training and float inference beside PyTorch, on the same machine in the same minutes.

make bench                                        every row: about ten minutes
make bench BENCH=resnet20 THREADS=2 BATCH=128     some rows (lists: BENCH="vgg-cifar lenet5 tape infer:resnet20")
make bench BASE=old.json                          beside an earlier build/bench.json

Lathe and PyTorch each keep one process a row and take turns, A B A B, in short blocks, because the host of a virtual
machine takes its share unseen; PyTorch runs in its faster memory layout. "x" is the median over the turns of
PyTorch's time for a step over Lathe's, "best x" compares the fastest steps. GFLOP/s counts three multiply-add passes a
training step (one for inference) of the plain definition; "of peak" divides by what a probe of fused multiply-adds gave beside the
same blocks. Faults are page faults a step (median), MiB the most that the whole process held.
"""
import argparse
import importlib.util
import json
import os
import subprocess
import sys
from statistics import median

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = [("train", "vgg-cifar", 64), ("train", "vgg-cifar", 128), ("train", "resnet20", 128), ("train", "mobilenetv2", 128),
        ("train", "lenet5", 64), ("train", "lenet5", 128), ("train", "tape", 1),
        ("infer", "vgg-cifar", 1), ("infer", "vgg-cifar", 32), ("infer", "resnet20", 1), ("infer", "resnet20", 32),
        ("infer", "mobilenetv2", 1), ("infer", "mobilenetv2", 32)]


class Worker:
    """A process that runs steps on request: train_bench.cpp or torch_worker.py."""

    def __init__(self, command, threads):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.hello = self.answer()
        self.blocks = []

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {' '.join(self.process.args)}: stopped with status {self.process.wait()}")
        return json.loads(line)

    def run(self, seconds):
        try:
            print(seconds, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # answer() says that it stopped
        self.blocks.append(self.answer())
        return median(self.blocks[-1]["seconds"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def summary(self, batch):
        steps = [s for block in self.blocks for s in block["seconds"]]
        return {"seconds": median(steps), "best_seconds": min(steps), "img_s": batch / median(steps), "best_img_s": batch / min(steps),
                "faults": median(f for block in self.blocks for f in block["faults"]),
                "peak_mib": self.blocks[-1]["peak_bytes"] / 2**20}


def faster_torch(arguments, threads, seconds):
    layouts = ["nchw"] if arguments[1] == "tape" else ["nchw", "nhwc"]
    workers = [Worker([sys.executable, f"{HERE}/torch_worker.py", *arguments, layout], threads) for layout in layouts]
    best = min(workers, key=lambda worker: worker.run(seconds))
    for worker in workers:
        if worker is not best:
            worker.close()
    best.blocks.clear()
    return best


def measure(mode, net, batch, threads, has_torch, options):
    arguments = [mode, net, str(batch), str(threads)]
    lathe = Worker([options.worker, *arguments], threads)
    torch = faster_torch(arguments, threads, options.seconds / 2) if has_torch else None
    if torch and torch.hello["params"] != lathe.hello["params"]:
        sys.exit(f"bench: {net}: {lathe.hello['params']} parameters here, {torch.hello['params']} in PyTorch")
    pairs = [(lathe.run(options.seconds), torch.run(options.seconds) if torch else None) for _ in range(options.turns)]

    row = {"mode": mode, "net": net, "batch": batch, "threads": threads, "isa": lathe.hello["isa"], "lathe": lathe.summary(batch)}
    passes = 3 if mode == "train" else 1
    row["gflops"] = 2 * passes * lathe.hello["macs"] * row["lathe"]["img_s"] * 1e-9
    row["fma_peak"] = max(block["peak_gflops"] for block in lathe.blocks)
    if torch:
        row["torch"] = dict(torch.summary(batch), layout=torch.process.args[-1])
        row["ratio"] = median(b / a for a, b in pairs)
        row["best_ratio"] = row["torch"]["best_seconds"] / row["lathe"]["best_seconds"]
        row["memory_ratio"] = row["lathe"]["peak_mib"] / row["torch"]["peak_mib"]
        torch.close()
    lathe.close()
    return row


def key(row):
    return row["mode"], row["net"], row["batch"], row["threads"]


def columns(row, base):
    lathe, torch = row["lathe"], row.get("torch")
    speed = lambda r: f"{r['seconds'] * 1e6:.1f} us" if row["net"] == "tape" else f"{r['img_s']:.1f}"
    best = lambda r: f"{r['best_seconds'] * 1e6:.1f} us" if row["net"] == "tape" else f"{r['best_img_s']:.1f}"
    cells = [row["mode"], row["net"], str(row["batch"]), str(row["threads"]), speed(lathe), best(lathe)]
    cells += [speed(torch), best(torch), torch["layout"], f"{row['ratio']:.2f}", f"{row['best_ratio']:.2f}"] if torch else ["-"] * 5
    cells += ["-", "-"] if row["net"] == "tape" else [f"{row['gflops']:.1f}", f"{100 * row['gflops'] / row['fma_peak']:.0f}%"]
    cells += [f"{lathe['faults']:.0f}", f"{lathe['peak_mib']:.0f}"]
    cells += [f"{torch['peak_mib']:.0f}", f"{row['memory_ratio']:.2f}"] if torch else ["-"] * 2
    if base:
        old = base.get(key(row))
        cells.append(f"{old['lathe']['best_seconds'] / lathe['best_seconds']:.2f}" if old else "-")
    return cells


HEADER = ["mode", "net", "batch", "thr", "img/s", "best", "torch", "best", "layout", "x", "best x", "GFLOP/s", "of peak", "faults",
          "MiB", "torch", "ratio"]
WIDTHS = [5, 11, 5, 3, 9, 9, 9, 9, 6, 5, 6, 7, 7, 6, 5, 5, 5, 7]


def print_row(cells):
    print("  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, WIDTHS))), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", default="build/train-bench")
    parser.add_argument("--out", default="build/bench.json")
    parser.add_argument("--nets", default="", help="names, or train:NAME, infer:NAME; default: all")
    parser.add_argument("--batch", default="", help="batch sizes; default: those of the rows")
    parser.add_argument("--threads", default=f"1 {os.cpu_count()}")
    parser.add_argument("--base", help="an earlier --out to compare with")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a block")
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()

    wanted, batches = options.nets.split(), [int(b) for b in options.batch.split()]
    rows = [r for r in ROWS if not wanted or r[1] in wanted or f"{r[0]}:{r[1]}" in wanted]
    if batches:
        rows = list(dict.fromkeys((mode, net, 1 if net == "tape" else b) for mode, net, _ in rows for b in batches))
    base = {key(row): row for row in json.load(open(options.base))["rows"]} if options.base else {}
    has_torch = importlib.util.find_spec("torch") is not None
    if not has_torch:
        print("this Python has no PyTorch: Lathe's columns only (Debian: python3-torch; or make bench PYTHON=…)")

    print_row(HEADER + (["vs base"] if base else []))
    results = []
    for threads in sorted({int(t) for t in options.threads.split()}):
        for mode, net, batch in rows:
            if net == "tape" and threads > 1:
                continue
            results.append(measure(mode, net, batch, threads, has_torch, options))
            print_row(columns(results[-1], base))
            with open(options.out, "w") as file:
                json.dump({"rows": results}, file, indent=1)
    print(f"written to {options.out}")


main()
