"""The tables of bench.py, on the screen and as Markdown."""

HEADER = ["mode", "net", "batch", "thr", "img/s", "best", "torch", "onnxrt", "x", "best x", "GFLOP/s", "of peak",
          "faults", "MiB", "torch", "ratio"]
WIDTHS = [12, 11, 5, 3, 9, 9, 9, 9, 5, 6, 7, 7, 6, 5, 5, 5, 7]
INTEGER_HEADER = ["mode", "net", "batch", "thr", "img/s", "x float", "x torch", "x onnxrt", "GOP/s", "of peak",
                  "MiB", "torch", "onnxrt", "load ms", "torch", "onnxrt"]
INTEGER_WIDTHS = [5, 15, 5, 3, 9, 7, 7, 8, 7, 7, 5, 5, 6, 7, 6, 6, 7]
LAYER_HEADER = ["layer", "op", "output", "kernel",
                "forward ms", "GFLOP/s", "of peak", "backward ms", "GFLOP/s", "of peak"]


def key(row):
    return row["mode"], row["net"], row["batch"], row["threads"]


def torch_of(row):
    return next((peer for name, peer in row["peers"].items() if name.startswith("torch")), None)


def header(of_integers, against_base):
    return (INTEGER_HEADER if of_integers else HEADER) + (["vs base"] if against_base else [])


def columns(row, base):
    cells = integer_cells(row) if row["mode"] == "int8" else float_cells(row)
    if "base" in row["ratios"]:
        cells.append(f"{row['ratios']['base']:.2f}")
    elif base:
        old = base.get(key(row))
        cells.append(f"{old['lathe']['best_seconds'] / row['lathe']['best_seconds']:.2f}" if old else "-")
    return cells


def integer_cells(row):
    torch = next((name for name in row["peers"] if name.startswith("torch")), None)
    engines = [row["lathe"], row["peers"].get(torch), row["peers"].get("onnxruntime")]
    ratio = lambda name: f"{row['ratios'][name]:.2f}" if name in row["ratios"] else "-"
    cells = ["int8", row["net"], str(row["batch"]), str(row["threads"]), f"{row['lathe']['img_s']:.1f}"]
    cells += [ratio("float"), ratio(torch), ratio("onnxruntime")]
    cells += [f"{row['gops']:.1f}", f"{100 * row['gops'] / row['peak_gops']:.0f}%"]
    cells += [f"{engine['peak_mib']:.0f}" if engine else "-" for engine in engines]
    return cells + [f"{1e3 * engine['load_seconds']:.1f}" if engine else "-" for engine in engines]


def float_cells(row):
    lathe, torch = row["lathe"], torch_of(row)
    tape = row["net"] == "tape"
    speed = lambda r: "-" if not r else f"{r['seconds'] * 1e6:.1f} us" if tape else f"{r['img_s']:.1f}"
    best = lambda r: f"{r['best_seconds'] * 1e6:.1f} us" if tape else f"{r['best_img_s']:.1f}"
    cells = [row["mode"], row["net"], str(row["batch"]), str(row["threads"]), speed(lathe), best(lathe), speed(torch)]
    cells.append(speed(row["peers"].get("onnxruntime")))
    cells += [f"{row['ratio']:.2f}", f"{row['best_ratio']:.2f}"] if row["peers"] else ["-", "-"]
    cells += ["-", "-"] if tape else [f"{row['gops']:.1f}", f"{100 * row['gops'] / row['peak_gops']:.0f}%"]
    cells += [f"{lathe['faults']:.0f}", f"{lathe['peak_mib']:.0f}"]
    cells += [f"{torch['peak_mib']:.0f}", f"{lathe['peak_mib'] / torch['peak_mib']:.2f}"] if torch else ["-", "-"]
    return cells


def print_aligned(cells, widths, words):
    """A row of the screen: the first so many cells are words, to the left; numbers stand to the right."""
    aligned = [cell.ljust(w) if i < words else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, widths))]
    print("  ".join(aligned).rstrip(), flush=True)


def print_row(cells, of_integers):
    print_aligned(cells, INTEGER_WIDTHS if of_integers else WIDTHS, words=2)


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
    parts = []
    for of_integers in (False, True):
        rows = [row for row in results["rows"] if (row["mode"] == "int8") == of_integers]
        if rows:
            against = base or "base" in rows[0]["ratios"]
            parts.append(markdown(header(of_integers, against), [columns(row, base) for row in rows]))
    for profile in results["layers"]:
        parts.append(f"{layer_title(profile)}\n\n{markdown(LAYER_HEADER, layer_rows(profile))}")
    with open(path, "w") as file:
        file.write("\n".join(parts))
