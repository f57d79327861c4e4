#!/usr/bin/env python3
"""Lathe beside PyTorch on real data: resnet20 on CIFAR-10 (under --data or $LATHE_DATA).

make parity                          three epochs: five to ten minutes on two cores
make parity EPOCHS=60 FIRST=5        the first five epochs of a run of sixty

1. The curves. Lathe trains (train_stream.cpp) and hands every augmented batch, its learning rate and the weights before
   the first step to PyTorch, which takes the same steps. Rounding differs, so the two part slowly, as any two runs do:
   a second Lathe run from another seed shows how far runs differ by chance. Writes OUT/curve.csv (an epoch a line),
   OUT/steps.csv (a step a line) and, with gnuplot, OUT/curve.png.
2. The checkpoint. What PyTorch has trained is written in its own names and order; `lathe eval` must count the same
   correct test images, give or take 2 of 10,000.
"""
import argparse
import csv
import gzip
import json
import os
import subprocess
import sys

try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit("parity: skipped: this Python has no PyTorch (Debian: python3-torch; or make parity PYTHON=…)")

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "bench"))
import safetensors
from torch_nets import NETS


def test_images(root, mean, std):
    path = os.path.join(root, "cifar-10-batches-bin", "test_batch.bin")
    with open(path, "rb") if os.path.exists(path) else gzip.open(path + ".gz") as file:
        records = np.frombuffer(file.read(), np.uint8).reshape(-1, 3073)
    channel = lambda values: torch.tensor(values).reshape(1, 3, 1, 1)
    pixels = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32)) / 255
    return (pixels - channel(mean)) / channel(std), torch.from_numpy(records[:, 0].astype(np.int64))


def evaluate(model, images, labels):
    model.eval()
    correct = loss = 0
    with torch.no_grad():
        for x, y in zip(images.split(500), labels.split(500)):
            logits = model(x)
            correct += int((logits.argmax(1) == y).sum())
            loss += float(F.cross_entropy(logits, y, reduction="sum"))
    model.train()
    return correct, loss / len(labels)


def steps_of(stream):
    """(x, labels, loss, learning rate) of each step that train_stream writes."""
    read = lambda dtype, count: torch.from_numpy(np.frombuffer(stream.read(4 * count), dtype).copy())
    while len(head := stream.read(4)) == 4:
        count = int(np.frombuffer(head, np.int32)[0])
        x = read(np.float32, count * 32 * 32 * 3).reshape(count, 32, 32, 3).permute(0, 3, 1, 2)
        yield x, read(np.int32, count).long(), float(read(np.float32, 1)), float(read(np.float32, 1))


def stream_command(options, out, seed):
    return [options.stream, options.data, out, str(options.epochs), str(options.first), str(seed)]


def train_along(options, out):
    """Runs Lathe beside PyTorch; returns PyTorch's model, its epochs, the steps of both and the test images."""
    command = stream_command(options, out, options.seed)
    lathe = subprocess.Popen(command, stdout=subprocess.PIPE)
    line = lathe.stdout.readline()
    if not line:
        sys.exit(lathe.wait())
    header = json.loads(line)
    test = test_images(options.data, header["mean"], header["std"])
    model = NETS["resnet20"]()
    missing = model.load_state_dict(safetensors.load(f"{out}/init.safetensors"), strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    sgd = torch.optim.SGD(model.parameters(), 0.1, momentum=header["momentum"], weight_decay=header["weight_decay"])

    epochs, steps, seen = [], [], dict(images=0, loss=0.0, correct=0)
    for x, y, lathe_loss, rate in steps_of(lathe.stdout):
        sgd.param_groups[0]["lr"] = rate
        sgd.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        sgd.step()
        steps.append((len(steps), lathe_loss, loss.item()))
        seen["images"] += len(y)
        seen["loss"] += loss.item() * len(y)
        seen["correct"] += int((logits.argmax(1) == y).sum())
        if seen["images"] == header["images"]:
            correct, test_loss = evaluate(model, *test)
            train_loss, test_accuracy = seen["loss"] / seen["images"], 100 * correct / len(test[1])
            epochs.append(dict(train_loss=train_loss, train_accuracy=100 * seen["correct"] / seen["images"],
                               validation_loss=test_loss, validation_accuracy=test_accuracy))
            print(f"epoch {len(epochs)}: PyTorch's loss {train_loss:.4f}, test {test_accuracy:.2f}%", flush=True)
            seen = dict(images=0, loss=0.0, correct=0)
    if lathe.wait() != 0:
        sys.exit(f"parity: {' '.join(command)} failed")
    return model, epochs, steps, test


def log_of(out):
    with open(f"{out}/log.csv") as file:
        return list(csv.DictReader(file))


def write_csv(path, names, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def compare_curves(options, torch_epochs, steps):
    names, rows = ["train_loss", "train_accuracy", "validation_loss", "validation_accuracy"], []
    print("\nepoch " + "".join(f"{name:>30}" for name in names))
    print("      " + f"{'Lathe':>14}{'PyTorch':>8}{'seed':>8}" * len(names))
    epochs = zip(log_of(options.out), log_of(f"{options.out}/seed"), torch_epochs)
    for epoch, (ours, other, theirs) in enumerate(epochs, 1):
        values = [float(value) for name in names for value in (ours[name], theirs[name], other[name])]
        rows.append([epoch, *values])
        print(f"{epoch:5} " + "".join(f"{'':6}{a:8.4g}{b:8.4g}{c:8.4g}" for a, b, c in zip(*[iter(values)] * 3)))
    header = ["epoch"] + [f"{who}_{name}" for name in names for who in ("lathe", "torch", "seed")]
    write_csv(f"{options.out}/curve.csv", header, rows)
    write_csv(f"{options.out}/steps.csv", ["step", "lathe_loss", "torch_loss"], steps)
    apart = [abs(ours - theirs) for _, ours, theirs in steps]
    print(f"loss of single steps: apart by at most {max(apart[:10]):.1e} in the first 10, {max(apart[:50]):.1e} in 50, "
          f"{max(apart):.1e} in all {len(apart)}")


def draw(out):
    try:
        subprocess.run(["gnuplot", "-e", f"out='{out}'", f"{HERE}/curve.gp"], check=True)
    except (OSError, subprocess.CalledProcessError):
        print("parity: no picture without gnuplot")


def compare_checkpoint(options, model, test):
    path = f"{options.out}/torch-resnet20.safetensors"
    safetensors.save(path, model.state_dict())
    correct, loss = evaluate(model, *test)
    command = [options.lathe, "eval", "--model", "resnet20", "--weights", path, "--data", "cifar10",
               "--data-root", options.data, "--json"]
    ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"PyTorch's weights on {len(test[1])} test images: {correct} correct in PyTorch (loss {loss:.5f}), "
          f"{ours['correct']} in Lathe (loss {ours['loss']:.5f})")
    if abs(correct - ours["correct"]) > 2 or ours["total"] != len(test[1]):
        sys.exit("parity: the counts differ by more than 2")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stream", default="build/train-stream")
    parser.add_argument("--lathe", default="build/lathe")
    parser.add_argument("--data", default=os.environ.get("LATHE_DATA"))
    parser.add_argument("--out", default="build/parity")
    parser.add_argument("--epochs", type=int, default=3, help="of the recipe, over which the learning rate falls")
    parser.add_argument("--first", type=int, help="stop after so many of them")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.first = options.first or options.epochs
    if not options.data or not os.path.isdir(os.path.join(options.data, "cifar-10-batches-bin")):
        sys.exit("parity: skipped: no cifar-10-batches-bin under $LATHE_DATA")

    model, epochs, steps, test = train_along(options, options.out)
    other = stream_command(options, f"{options.out}/seed", options.seed + 1)
    subprocess.run(other, check=True, stdout=subprocess.DEVNULL)
    compare_curves(options, epochs, steps)
    draw(options.out)
    compare_checkpoint(options, model, test)


main()
