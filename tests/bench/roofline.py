#!/usr/bin/env python3
"""Draws the layers of build/bench.json under the roofline of their machine (Williams, Waterman and Patterson 2009).

make roofline                         build/roofline-NET.svg for the greatest number of threads
roofline.py [BENCH.json [FOLDER]]

A point is a layer's forward or backward pass: up, the GFLOP/s of its plain definition; to the right, its arithmetic
intensity, flop over the bytes of its inputs and outputs, each moved once. No layer that multiplies as the definition
says can lie above min(peak, intensity * bandwidth), both from probes run beside it; Winograd multiplies less and may.
"""
import json
import os
import subprocess
import sys


def points(profile, one_pass, kernel):
    lines = []
    for layer in profile["layers"]:
        cost = layer[one_pass]
        if cost["flop"] and cost["seconds"] > 0 and layer["kernel"] == kernel:
            intensity, gflops = cost["flop"] / cost["bytes"], cost["flop"] / cost["seconds"] * 1e-9
            lines.append(f"{intensity:.4g} {gflops:.4g} {layer['name']}")
    return "\n".join(lines) + "\n" if lines else ""


def script(profile, path):
    kernels = sorted({layer["kernel"] for layer in profile["layers"] if layer["forward"]["flop"]})
    series = [(one_pass, kernel, points(profile, one_pass, kernel))
              for one_pass in ("forward", "backward") for kernel in kernels]
    blocks = "".join(f"$S{i} << EOD\n{data}EOD\n" for i, (_, _, data) in enumerate(series))
    roof = f"{profile['peak_gflops']:.0f} GFLOP/s, {profile['bandwidth']:.1f} GB/s"
    plots = [f"roof(x) with lines lw 2 lc rgb 'black' title '{roof}'"]
    for i, (one_pass, kernel, data) in enumerate(series):
        point = 7 if one_pass == "forward" else 6
        if data:
            color = 1 + kernels.index(kernel)
            plots.append(f"$S{i} using 1:2 with points pt {point} ps 0.7 lc {color} title '{kernel}, {one_pass}'")
    plural = "s" if profile["threads"] > 1 else ""
    return f"""{blocks}
set terminal svg size 800,560 font 'sans,12' background rgb 'white'
set output '{path}'
set title '{profile['net']}, batch {profile['batch']}, {profile['threads']} thread{plural}, {profile['isa']}'
set xlabel 'flop per byte moved'
set ylabel 'GFLOP/s of the plain definition'
set logscale xy
set xrange [0.25:1024]
set yrange [1:*]
set grid
set key bottom right
roof(x) = x * {profile['bandwidth']} < {profile['peak_gflops']} ? x * {profile['bandwidth']} : {profile['peak_gflops']}
plot {", ".join(plots)}
"""


def main():
    source = sys.argv[1] if len(sys.argv) > 1 else "build/bench.json"
    folder = sys.argv[2] if len(sys.argv) > 2 else os.path.dirname(source)
    profiles = sorted(json.load(open(source))["layers"], key=lambda p: (p["threads"], p["batch"]))
    if not profiles:
        sys.exit(f"{source}: no layers measured; run make bench")
    for net, profile in {profile["net"]: profile for profile in profiles}.items():  # the last of each network
        path = os.path.join(folder, f"roofline-{net}.svg")
        subprocess.run(["gnuplot"], input=script(profile, path), text=True, check=True)
        print(path)


main()
