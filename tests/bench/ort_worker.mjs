// Measures the inference of one network in onnxruntime for bench.py:  ort_worker.mjs FILE.onnx THREADS NxCxHxW
//
// Prints {"version": …, "load_seconds": from opening the file to the first result} once warm. Then, for each line on
// stdin with a number of seconds, runs steps for that long (at least one) and prints {"seconds": [a step…], "faults":
// [a step…], "peak_bytes": …}, as torch_worker.py does.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../build/", import.meta.url));  // npm install --prefix build onnxruntime-node
const { InferenceSession, Tensor } = require("onnxruntime-node");

const [path, threads, shape] = process.argv.slice(2);
const dims = shape.split("x").map(Number);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const x = new Tensor("float32", Float32Array.from({ length: dims.reduce((a, b) => a * b) }, normal), dims);
const opened = performance.now();
const session = await InferenceSession.create(path, {
  intraOpNumThreads: Number(threads), interOpNumThreads: 1, executionMode: "sequential", graphOptimizationLevel: "all",
});
const { y } = await session.run({ x });
const load_seconds = (performance.now() - opened) / 1000;
if (!y.data.every(Number.isFinite)) throw new Error(`${path}: expected finite outputs, got ${y.data}`);
for (let i = 0; i < 3; ++i) await session.run({ x });
console.log(JSON.stringify({ version: require("onnxruntime-node/package.json").version, load_seconds }));

for await (const line of createInterface({ input: process.stdin })) {
  const seconds = [], faults = [], end = performance.now() + 1000 * Number(line);
  while (!seconds.length || performance.now() < end) {
    const before = process.resourceUsage().minorPageFault, start = performance.now();
    await session.run({ x });
    seconds.push((performance.now() - start) / 1000);
    faults.push(process.resourceUsage().minorPageFault - before);
  }
  console.log(JSON.stringify({ seconds, faults, peak_bytes: 1024 * process.resourceUsage().maxRSS }));
}
