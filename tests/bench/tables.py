"""The tables of bench.py, on the screen and as Markdown."""

HEADER = ["mode", "net", "batch", "thr", "img/s", "best", "torch", "onnxrt", "x", "best x", "GFLOP/s", "of peak",
          "faults", "MiB", "torch", "ratio"]
WIDTHS = [12, 11, 5, 3, 9, 9, 9, 9, 5, 6, 7, 7, 6, 5, 5, 5, 7]
LAYER_HEADER = ["layer", "op", "output", "kernel",
                "forward ms", "GFLOP/s", "of peak", "backward ms", "GFLOP/s", "of peak"]


def key(row):
    return row["mode"], row["net"], row["batch"], row["threads"]


def torch_of(row):
    return next((peer for name, peer in row["peers"].items() if name.startswith("torch")), None)


def columns(row, base):
    lathe, torch = row["lathe"], torch_of(row)
    tape = row["net"] == "tape"
    speed = lambda r: "-" if not r else f"{r['seconds'] * 1e6:.1f} us" if tape else f"{r['img_s']:.1f}"
    best = lambda r: f"{r['best_seconds'] * 1e6:.1f} us" if tape else f"{r['best_img_s']:.1f}"
    cells = [row["mode"], row["net"], str(row["batch"]), str(row["threads"]), speed(lathe), best(lathe), speed(torch)]
    cells.append(speed(row["peers"].get("onnxruntime")))
    cells += [f"{row['ratio']:.2f}", f"{row['best_ratio']:.2f}"] if row["peers"] else ["-", "-"]
    cells += ["-", "-"] if tape else [f"{row['gflops']:.1f}", f"{100 * row['gflops'] / row['fma_peak']:.0f}%"]
    cells += [f"{lathe['faults']:.0f}", f"{lathe['peak_mib']:.0f}"]
    cells += [f"{torch['peak_mib']:.0f}", f"{lathe['peak_mib'] / torch['peak_mib']:.2f}"] if torch else ["-", "-"]
    if "vs_base" in row:
        cells.append(f"{row['vs_base']:.2f}")
    elif base:
        old = base.get(key(row))
        cells.append(f"{old['lathe']['best_seconds'] / lathe['best_seconds']:.2f}" if old else "-")
    return cells


def print_aligned(cells, widths, words):
    """A row of the screen: the first so many cells are words, to the left; numbers stand to the right."""
    aligned = [cell.ljust(w) if i < words else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths))]
    print("  ".join(aligned).rstrip(), flush=True)


def print_row(cells):
    print_aligned(cells, WIDTHS, words=2)


def layer_title(profile):
    threads = f"{profile['threads']} thread{'s' * (profile['threads'] > 1)}"
    return (f"{profile['net']}, batch {profile['batch']}, {threads}, {profile['isa']}: "
            f"peak {profile['peak_gflops']:.0f} GFLOP/s, memory {profile['bandwidth']:.1f} GB/s")


def layer_rows(profile):
    def one_pass(cost):
        speed = cost["flop"] / cost["seconds"] * 1e-9 if cost["seconds"] > 0 else 0
        of_peak = 100 * speed / profile["peak_gflops"]
        return [f"{1e3 * cost['seconds']:.3f}"] + ([f"{speed:.1f}", f"{of_peak:.0f}%"] if speed else ["", ""])

    def passes(layer):
        return one_pass(layer["forward"]) + one_pass(layer["backward"])

    layers = profile["layers"]
    rows = [[layer["name"], layer["op"], layer["output"], layer["kernel"], *passes(layer)] for layer in layers]
    total = {direction: {cost: sum(layer[direction][cost] for layer in layers) for cost in ("seconds", "flop")}
             for direction in ("forward", "backward")}
    return rows + [["total", "", "", "", *passes(total)]]


def print_layers(profile):
    rows = [LAYER_HEADER, *layer_rows(profile)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(LAYER_HEADER))]
    print("\n" + layer_title(profile))
    for row in rows:
        print_aligned(row, widths, words=4)


def markdown(header, rows):
    lines = ["| " + " | ".join(cells) + " |" for cells in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"


def write_markdown(path, results, base):
    against = base or any("vs_base" in row for row in results["rows"])
    parts = [markdown(HEADER + (["vs base"] if against else []), [columns(row, base) for row in results["rows"]])]
    for profile in results["layers"]:
        parts.append(f"{layer_title(profile)}\n\n{markdown(LAYER_HEADER, layer_rows(profile))}")
    with open(path, "w") as file:
        file.write("\n".join(parts))
