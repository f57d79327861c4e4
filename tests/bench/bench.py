#!/usr/bin/env python3
"""Training, float and integer inference beside PyTorch and onnxruntime, on the same machine in the same minutes.

make bench                                        every row: about half an hour
make bench BENCH=resnet20 THREADS=2 BATCH=128     some rows (lists: BENCH="vgg-cifar tape infer:resnet20 int8")
make bench BASE=../before/build/train-bench       another build takes turns with this one: "vs base" is its time
                                                  over this one's
make bench BASE=old.json                          beside an earlier build/bench.json, measured at another time

The engines keep one process a row each and take turns, A B A B, in short blocks, because the host of a virtual machine
takes its share unseen. At times it puts two virtual processors on one core, for seconds: a turn in which the probe of
multiply-adds finds less than nine tenths of its best is left out and repeated (three times as many turns at most).
PyTorch runs in its faster memory layout (Debian's needs libopenblas0: with the reference
libblas3 its linear layers are slow beyond compare); onnxruntime, for inference, where it is installed
(npm install --ignore-scripts --prefix build onnxruntime-node). "x" is the median over the turns of the faster peer's
time for a step over Lathe's, "best x" compares the fastest steps. "recomputed" is training that recomputes activations,
beside PyTorch that keeps them. GFLOP/s counts three multiply-add passes a training step (one for inference) of the
plain definition; "of peak" divides by what a probe of fused multiply-adds gave beside the same blocks. Faults are page
faults a step (median), MiB the most that the whole process held.

"int8" has a table of its own: integer programs, floats in and out, beside Lathe's float inference, PyTorch's
quantization in FX graph mode (traced and frozen) and onnxruntime with that network in QDQ form. "x" are their times
over Lathe's (medians over the turns), GOP/s counts integer operations and "of peak" those of an integer probe, "load
ms" is from opening the file to the first result.

Then every training row layer by layer. All of it goes to build/bench.json and, as tables, to build/bench.md.
"""
import argparse
import importlib.util
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from statistics import median

from tables import columns, header, key, print_layers, print_row, write_markdown

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(HERE, "..", "..", "build")
ROWS = [("train", "vgg-cifar", 64), ("train", "vgg-cifar", 128), ("train", "resnet20", 128),
        ("train", "mobilenetv2", 128), ("train", "lenet5", 64), ("train", "lenet5", 128), ("train", "mlp", 64),
        ("train", "tape", 1),
        ("recomputed", "vgg-cifar", 128), ("recomputed", "resnet20", 128), ("recomputed", "mobilenetv2", 128),
        ("infer", "vgg-cifar", 1), ("infer", "vgg-cifar", 32), ("infer", "resnet20", 1), ("infer", "resnet20", 32),
        ("infer", "mobilenetv2", 1), ("infer", "mobilenetv2", 32),
        *(("int8", net, batch) for net in ("vgg-cifar", "resnet20", "mobilenetv2", "mobilenetv1-025", "resnet8")
          for batch in (1, 32))]


class Stopped(SystemExit):
    """The process of a worker ended; the message says which."""


class Worker:
    """A process that runs steps on request: train_bench.cpp, torch_worker.py or ort_worker.mjs."""

    def __init__(self, name, command, threads):
        self.name = name
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
        self.process = subprocess.Popen(command, env=environment, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.hello = self.answer()
        self.blocks = []

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Stopped(f"bench: {' '.join(self.process.args)}: stopped with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, seconds):
        try:
            print(seconds, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # answer() says that it stopped
        return self.answer()

    def run(self, seconds):
        time.sleep(0.1)  # threads of the engine before may still look for work
        self.blocks.append(self.ask(seconds))
        return median(self.blocks[-1]["seconds"])

    def close(self):
        self.process.stdin.close()
        self.process.wait()

    def summary(self, batch):
        steps = [s for block in self.blocks for s in block["seconds"]]
        return {"seconds": median(steps), "best_seconds": min(steps),
                "img_s": batch / median(steps), "best_img_s": batch / min(steps),
                "faults": median(f for block in self.blocks for f in block["faults"]),
                "peak_mib": self.blocks[-1]["peak_bytes"] / 2**20, "load_seconds": self.hello.get("load_seconds")}


def started(start, *arguments):
    """What start returns; None, and a line of why, if a peer cannot run this network here."""
    try:
        return start(*arguments)
    except (Stopped, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return None


def torch_workers(mode, net, batch, threads):
    layouts = ["nchw"] if net in ("tape", "mlp") else ["nchw", "nhwc"]
    mode = "train" if mode == "recomputed" else mode
    script = [sys.executable, f"{HERE}/torch_worker.py", mode, net, str(batch), str(threads)]
    workers = [started(Worker, f"torch {layout}", [*script, layout], threads) for layout in layouts]
    return [worker for worker in workers if worker]


def onnxruntime_worker(mode, net, batch, threads):
    path = f"{BUILD}/onnx/{net}-{batch}{'-int8' if mode == 'int8' else ''}.onnx"
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        script = [sys.executable, f"{HERE}/export_onnx.py", mode, net, str(batch), path]
        subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
    from torch_nets import input_shape
    shape = "x".join(map(str, input_shape(net, batch)))
    return Worker("onnxruntime", ["node", f"{HERE}/ort_worker.mjs", path, str(threads), shape], threads)


def fastest(workers, seconds):
    """The one whose steps take least; the others are closed."""
    best = min(workers, key=lambda worker: worker.run(seconds))
    for worker in workers:
        if worker is not best:
            worker.close()
    best.blocks.clear()
    return best


def undisturbed_turns(workers, count, run):
    """So many turns in which the first worker's probe found the most; the blocks of the others are dropped."""
    turns, peaks = [], []
    while len(turns) < count or (sum(p >= 0.9 * max(peaks) for p in peaks) < count and len(turns) < 3 * count):
        turns.append(run())
        peaks.append(workers[0].blocks[-1]["peak_gops"])
    kept = sorted(sorted(range(len(turns)), key=lambda i: -peaks[i])[:count])
    for worker in workers:
        worker.blocks = [worker.blocks[i] for i in kept]
    return [turns[i] for i in kept]


def measure(mode, net, batch, threads, options):
    arguments = [mode, net, str(batch), str(threads)]
    lathe = Worker("lathe", [options.worker, *arguments], threads)
    peers = []
    if options.torch:
        for worker in torch_workers(mode, net, batch, threads):
            if worker.hello["params"] != lathe.hello["params"]:
                sys.exit(f"bench: {net}: {lathe.hello['params']} parameters here, {worker.hello['params']} in PyTorch")
            peers.append(worker)
        peers = [fastest(peers, options.seconds / 2)] if peers else []
    if options.onnxruntime and mode in ("infer", "int8"):
        worker = started(onnxruntime_worker, mode, net, batch, threads)
        peers += [worker] if worker else []
    floats = [Worker("float", [options.worker, "infer", *arguments[1:]], threads)] if mode == "int8" else []
    before = [Worker("base", [options.base, *arguments], threads)] if options.base_takes_turns else []
    workers = [lathe, *peers, *floats, *before]
    turns = undisturbed_turns(workers, options.turns, lambda: [worker.run(options.seconds) for worker in workers])

    row = {"mode": mode, "net": net, "batch": batch, "threads": threads, "isa": lathe.hello["isa"]}
    row["lathe"] = lathe.summary(batch)
    passes = 1 if mode in ("infer", "int8") else 3
    row["gops"] = 2 * passes * lathe.hello["macs"] * row["lathe"]["img_s"] * 1e-9
    row["peak_gops"] = max(block["peak_gops"] for block in lathe.blocks)
    row["peers"] = {worker.name: worker.summary(batch) for worker in peers}
    row["ratios"] = {worker.name: median(times[i] / times[0] for times in turns) for i, worker in enumerate(workers)}
    if peers:
        fastest_peer = min(row["peers"], key=lambda name: row["peers"][name]["seconds"])
        row["fastest_peer"] = fastest_peer
        row["ratio"] = row["ratios"][fastest_peer]
        row["best_ratio"] = row["peers"][fastest_peer]["best_seconds"] / row["lathe"]["best_seconds"]
        row["memory_ratio"] = row["lathe"]["peak_mib"] / row["peers"][fastest_peer]["peak_mib"]
    for worker in workers:
        worker.close()
    return row


def measure_layers(net, batch, threads, options):
    worker = Worker("lathe", [options.worker, "layers", net, str(batch), str(threads)], threads)
    answer = worker.ask(3 * options.seconds)
    worker.close()
    return {"net": net, "batch": batch, "threads": threads, "isa": worker.hello["isa"], **answer}


def has_onnxruntime():
    return shutil.which("node") is not None and os.path.isdir(f"{BUILD}/node_modules/onnxruntime-node")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", default="build/train-bench")
    parser.add_argument("--out", default="build/bench.json")
    parser.add_argument("--nets", default="",
                        help="names, modes (train, recomputed, infer, int8) or MODE:NAME; default: all")
    parser.add_argument("--batch", default="", help="batch sizes; default: those of the rows")
    parser.add_argument("--threads", default=f"1 {os.cpu_count()}")
    parser.add_argument("--base", help="another build's train-bench, or an earlier --out")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a block")
    parser.add_argument("--turns", type=int, default=4)
    options = parser.parse_args()

    wanted, batches = options.nets.split(), [int(b) for b in options.batch.split()]
    rows = [r for r in ROWS if not wanted or {r[0], r[1], f"{r[0]}:{r[1]}"} & set(wanted)]
    if batches:
        rows = list(dict.fromkeys((mode, net, 1 if net == "tape" else b) for mode, net, _ in rows for b in batches))
    options.base_takes_turns = bool(options.base) and not options.base.endswith(".json")
    base = {}
    if options.base and not options.base_takes_turns:
        base = {key(row): row for row in json.load(open(options.base))["rows"]}
    options.torch, options.onnxruntime = importlib.util.find_spec("torch") is not None, has_onnxruntime()
    if not options.torch:
        print("this Python has no PyTorch: Lathe's columns only (Debian: python3-torch; or make bench PYTHON=…)")
    options.onnxruntime = options.onnxruntime and options.torch  # which exports the networks

    results = {"rows": [], "layers": []}

    def save():
        with open(options.out, "w") as file:
            json.dump(results, file, indent=1)
        write_markdown(os.path.splitext(options.out)[0] + ".md", results, base)

    threads_wanted = sorted({int(t) for t in options.threads.split()})
    for of_integers in (False, True):
        some = [row for row in rows if (row[0] == "int8") == of_integers]
        if some:
            print_row(header(of_integers, options.base), of_integers)
        for threads, (mode, net, batch) in itertools.product(threads_wanted, some):
            if net == "tape" and threads > 1:
                continue
            results["rows"].append(measure(mode, net, batch, threads, options))
            print_row(columns(results["rows"][-1], base), of_integers)
            save()
    for threads in threads_wanted:
        for net, batch in dict.fromkeys((net, batch) for mode, net, batch in rows if mode == "train" and net != "tape"):
            results["layers"].append(measure_layers(net, batch, threads, options))
            print_layers(results["layers"][-1])
            save()
    print(f"written to {options.out} and {os.path.splitext(options.out)[0]}.md")


if __name__ == "__main__":
    main()
