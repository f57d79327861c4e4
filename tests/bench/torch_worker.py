"""Measures one network in PyTorch for bench.py:  torch_worker.py train|infer|int8 NET BATCH THREADS nchw|nhwc

Prints {"params": …} once warm. Then, for each line on stdin with a number of seconds, runs steps for that long (at
least one) and prints {"seconds": [a step…], "faults": [a step…], "peak_bytes": …}. train_bench.cpp and
ort_worker.mjs speak the same. `int8` runs the quantized network, loaded from a file: "load_seconds" is from opening
it to the first result.
"""
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import torch
import torch.nn.functional as F

from torch_nets import NETS, input_shape

warnings.filterwarnings("ignore")


def peak_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def inputs(net, batch, layout):
    return torch.randn(input_shape(net, batch)).contiguous(memory_format=layout)


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
    def step():
        with torch.no_grad():
            model(x)
    return step


def frozen(model, x):
    with torch.no_grad():
        return torch.jit.optimize_for_inference(torch.jit.trace(model.eval(), x))  # batch norm folded


def float_step(mode, net, batch, layout):
    model, x = NETS[net]().to(memory_format=layout), inputs(net, batch, layout)
    step = training_step(model, x) if mode == "train" else inference_step(frozen(model, x), x)
    return step, {"params": parameters(model)}


def save_quantized(net, batch, layout, path):
    from torch_quantized import quantized
    with torch.no_grad():
        torch.jit.freeze(torch.jit.trace(quantized(net), inputs(net, batch, layout))).save(path)
    return parameters(NETS[net]())


def quantized_step(net, batch, layout):
    """The file is made in a process of its own, whose memory is not counted; before this one has threads, which a fork
    would lose."""
    fork = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, fork) as elsewhere:
        path = os.path.join(folder, "int8.pt")
        params = elsewhere.submit(save_quantized, net, batch, layout, path).result()
        import torch_quantized  # picks the engine
        x = inputs(net, batch, layout)
        start = time.perf_counter()
        step = inference_step(torch.jit.load(path), x)
        step()
        return step, {"params": params, "load_seconds": time.perf_counter() - start}


def main():
    mode, net, batch, threads = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    layout = torch.channels_last if sys.argv[5] == "nhwc" else torch.contiguous_format
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    step, hello = quantized_step(net, batch, layout) if mode == "int8" else float_step(mode, net, batch, layout)
    for _ in range(3):
        step()
    print(json.dumps(hello), flush=True)
    for line in sys.stdin:
        seconds, faults, end = [], [], time.perf_counter() + float(line)
        while not seconds or time.perf_counter() < end:
            before, start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
        print(json.dumps({"seconds": seconds, "faults": faults, "peak_bytes": peak_bytes()}), flush=True)


main()
