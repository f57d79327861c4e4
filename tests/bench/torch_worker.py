"""Measures one network in PyTorch for bench.py:  torch_worker.py train|infer NET BATCH THREADS nchw|nhwc

Prints {"params": …} once warm. Then, for each line on stdin with a number of seconds, runs steps for that long (at
least one) and prints {"seconds": [a step…], "faults": [a step…], "peak_bytes": …}. train_bench.cpp and
ort_worker.mjs speak the same.
"""
import json
import resource
import sys
import time
import warnings

import torch
import torch.nn.functional as F

from torch_nets import NETS, input_shape

warnings.filterwarnings("ignore")


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def training_step(model, x):
    y = torch.randint(0, 10, (x.shape[0],))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, weight_decay=5e-4)

    def step():
        optimizer.zero_grad(set_to_none=True)
        logits = model(x)
        (F.cross_entropy(logits, y) if logits.shape[1] == 10 else logits.sum()).backward()
        optimizer.step()
    return step


def inference_step(model, x):
    with torch.no_grad():
        model = torch.jit.optimize_for_inference(torch.jit.trace(model.eval(), x))  # frozen, batch norm folded

    def step():
        with torch.no_grad():
            model(x)
    return step


def main():
    mode, net, batch, threads, layout = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model, x = NETS[net](), torch.randn(input_shape(net, batch))
    params = sum(p.numel() for p in model.parameters())
    if layout == "nhwc":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    step = training_step(model, x) if mode == "train" else inference_step(model, x)
    for _ in range(3):
        step()
    print(json.dumps({"params": params}), flush=True)
    for line in sys.stdin:
        seconds, faults, end = [], [], time.perf_counter() + float(line)
        while not seconds or time.perf_counter() < end:
            before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        print(json.dumps({"seconds": seconds, "faults": faults, "peak_bytes": peak_bytes()}), flush=True)


main()
