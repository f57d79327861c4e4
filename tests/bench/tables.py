"""The tables of bench.py, on the screen and as Markdown."""

HEADER = ["mode", "net", "batch", "thr", "img/s", "best", "torch", "onnxrt", "x", "best x", "GFLOP/s", "of peak", "faults",
          "MiB", "torch", "ratio"]
WIDTHS = [12, 11, 5, 3, 9, 9, 9, 9, 5, 6, 7, 7, 6, 5, 5, 5, 7]
LAYER_HEADER = ["layer", "op", "output", "kernel", "forward ms", "GFLOP/s", "of peak", "backward ms", "GFLOP/s", "of peak"]


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


def print_row(cells):
    print("  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(cells, WIDTHS))), flush=True)


def layer_title(profile):
    return (f"{profile['net']}, batch {profile['batch']}, {profile['threads']} thread{'s' * (profile['threads'] > 1)}, {profile['isa']}: "
            f"peak {profile['peak_gflops']:.0f} GFLOP/s, memory {profile['bandwidth']:.1f} GB/s")


def layer_rows(profile):
    def one_pass(cost):
        speed = cost["flop"] / cost["seconds"] * 1e-9 if cost["seconds"] > 0 else 0
        return [f"{1e3 * cost['seconds']:.3f}"] + ([f"{speed:.1f}", f"{100 * speed / profile['peak_gflops']:.0f}%"] if speed else ["", ""])

    rows = [[layer["name"], layer["op"], layer["output"], layer["kernel"], *one_pass(layer["forward"]), *one_pass(layer["backward"])]
            for layer in profile["layers"]]
    total = {p: {c: sum(layer[p][c] for layer in profile["layers"]) for c in ("seconds", "flop")} for p in ("forward", "backward")}
    return rows + [["total", "", "", "", *one_pass(total["forward"]), *one_pass(total["backward"])]]


def print_layers(profile):
    rows = [LAYER_HEADER, *layer_rows(profile)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(LAYER_HEADER))]
    print("\n" + layer_title(profile))
    for row in rows:
        print("  ".join(cell.ljust(w) if i < 4 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip(), flush=True)


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
