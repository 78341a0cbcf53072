"""Times this project's network against PyTorch's and ONNX Runtime's, interleaved on the same cores.

Called by `run`, which builds the virtual environment and this project's side.
"""

import argparse
import copy
import io
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from unet import UNet, read_safetensors

SIGMA, SIGMA_DATA, CHANNELS = 2.0, 0.5, 2
LEARNING_RATE = 1e-9
# Runs in one turn, of which the median counts.
REPEATS = {"forward_b1": 40, "forward_b16": 5, "train_step_b16": 3, "distill_step_b16": 1}
# Until the threads of whoever ran before have gone to sleep.
PAUSE = 0.1
# Seconds that runs are not counted for: until the processor is awake too. Those of the Rust side
# are its WARM_UP.
WARM_UP = 0.1
WORK = {
    "forward_b1": ("forward", 1),
    "forward_b16": ("forward", 16),
    "train_step_b16": ("train_step", 16),
    "distill_step_b16": ("distill_step", 16),
}

# The rows of a graphics processor.
CARD_WORK = {
    "forward_b1": ("forward", 1),
    "forward_b64": ("forward", 64),
    "train_step_b16": ("train_step", 16),
    "distill_step_b16": ("distill_step", 16),
}


def field(batch, grid, seed):
    """The same values as the Rust side's."""
    count = batch * CHANNELS * grid * grid
    index = np.arange(1, count + 1, dtype=np.float64) + 7919 * seed
    values = math.sqrt(2) * np.sin(12.9898 * index)
    return torch.from_numpy(values.astype(np.float32).reshape(batch, CHANNELS, grid, grid))


def gradient_norm(net):
    return math.sqrt(sum(float(p.grad.double().square().sum()) for p in net.parameters()))


class Torch:
    """The networks of one way to run PyTorch."""

    def __init__(self, net, channels_last, compiled, where="cpu"):
        layout = torch.channels_last if channels_last else torch.contiguous_format
        nets = [copy.deepcopy(net).to(where, memory_format=layout) for _ in range(3)]
        self.teacher, self.student, self.auxiliary = nets
        with torch.no_grad():
            for weight in self.auxiliary.parameters():
                weight.mul_(1.1)  # so that matching has something to say
        self.layout, self.where = layout, where
        optimizer = lambda n: torch.optim.AdamW(n.parameters(), lr=LEARNING_RATE, weight_decay=0, fused=True)
        self.optimizers = [optimizer(self.auxiliary), optimizer(self.student)]
        self.call = torch.compile if compiled else lambda n: n
        self.teacher_call, self.student_call, self.auxiliary_call = map(self.call, nets)

    def denoise(self, net, y, sigma):
        total = math.sqrt(sigma**2 + SIGMA_DATA**2)
        c_noise = torch.full((len(y),), math.log(sigma) / 4, device=y.device)
        raw = net(y / total, c_noise)
        return y * (SIGMA_DATA / total) ** 2 + raw * (sigma * SIGMA_DATA / total)

    def inputs(self, grid, batch):
        return [field(batch, grid, s).to(self.where, memory_format=self.layout) for s in range(4)]

    def run(self, what, inputs):
        result = getattr(self, what)(*inputs)
        if self.where == "cuda":
            torch.cuda.synchronize()
        return result

    def forward(self, x, *_):
        with torch.no_grad():
            c_noise = torch.full((len(x),), 0.3, device=x.device)
            return self.teacher_call(x, c_noise).contiguous().flatten().cpu()

    def train_step(self, y0, noise, *_, norm=False):
        total = math.sqrt(SIGMA**2 + SIGMA_DATA**2)
        y = y0 + noise * SIGMA
        target = (y0 - y * (SIGMA_DATA / total) ** 2) / (SIGMA * SIGMA_DATA / total)
        c_noise = torch.full((len(y),), math.log(SIGMA) / 4, device=y.device)
        raw = self.auxiliary_call(y / total, c_noise)
        loss = F.mse_loss(raw, target)
        self.optimizers[0].zero_grad()
        loss.backward()
        norms = [gradient_norm(self.auxiliary)] if norm else []
        self.optimizers[0].step()
        return [loss.item(), *norms]

    def distill_step(self, z1, n1, z2, n2, norm=False):
        with torch.no_grad():
            y0 = self.denoise(self.student_call, z1 * SIGMA, SIGMA)
        result = self.train_step(y0, n1, norm=norm)
        output = self.denoise(self.student_call, z2 * SIGMA, SIGMA)
        with torch.no_grad():
            y0 = output.detach()
            noisy = y0 + n2 * SIGMA
            target = self.denoise(self.teacher_call, noisy, SIGMA)
            weight = 1 / ((y0 - target).abs().mean((1, 2, 3), keepdim=True) + 1e-6)
            gradient = (self.denoise(self.auxiliary_call, noisy, SIGMA) - target) * weight
        self.optimizers[1].zero_grad()
        (output * gradient).mean().backward()
        norms = [gradient_norm(self.student)] if norm else []
        self.optimizers[1].step()
        return [*result, *norms]


class Onnx:
    """The exported forward pass."""

    def __init__(self, net, threads):
        import onnxruntime

        example = (field(2, 32, 0), torch.full((2,), 0.3))
        file = io.BytesIO()
        axes = {"x": {0: "b", 2: "h", 3: "w"}, "c": {0: "b"}, "y": {0: "b", 2: "h", 3: "w"}}
        torch.onnx.export(
            net, example, file, input_names=["x", "c"], output_names=["y"],
            dynamic_axes=axes, opset_version=18, dynamo=False,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(file.getvalue(), options)

    def inputs(self, grid, batch):
        return [field(batch, grid, 0).numpy(), np.full(batch, 0.3, dtype=np.float32)]

    def run(self, what, inputs):
        return torch.from_numpy(self.session.run(None, {"x": inputs[0], "c": inputs[1]})[0]).flatten()


class Ours:
    """The other process."""

    def __init__(self, program, model):
        self.process = subprocess.Popen(
            [program, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, what, grid, batch, repeats):
        self.process.stdin.write(f"{what} {grid} {batch} {repeats}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def turn(other, what, inputs, repeats):
    """Median of several runs, after some that are not counted."""
    start = time.perf_counter()
    while time.perf_counter() - start < WARM_UP:
        other.run(what, inputs)
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        other.run(what, inputs)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def relative(ours, theirs):
    ours, theirs = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def row(name, grid, ours, others, rounds, config):
    """Medians of interleaved runs of one piece of work."""
    what, batch = WORK[name]
    inputs = {n: o.inputs(grid, batch) for n, o in others.items()}
    result = ours.run(what, grid, batch, 1)["result"]
    eager = others["eager"]
    if what == "forward":
        reference = eager.run(what, inputs["eager"])
        difference = relative(result, reference)
    else:
        reference = getattr(eager, what)(*inputs["eager"], norm=True)
        difference = max(relative([a], [b]) for a, b in zip(result, reference))
    able = {n: o for n, o in others.items() if what == "forward" or isinstance(o, Torch)}
    for n, o in list(able.items()):
        try:
            o.run(what, inputs[n])
        except Exception as error:  # torch.compile needs a compiler of its own
            print(f"{n} cannot run {name}: {type(error).__name__}", file=sys.stderr)
            del able[n]
    times = {n: [] for n in ["ours", *able]}
    for _ in range(rounds):
        time.sleep(PAUSE)
        times["ours"].append(ours.run(what, grid, batch, REPEATS[name])["ms"])
        for n, o in able.items():
            time.sleep(PAUSE)
            times[n].append(turn(o, what, inputs[n], REPEATS[name]))
    medians = {n: statistics.median(t) for n, t in times.items()}
    best = min(able, key=medians.get)
    gigaflop = flops(config, grid) * batch * PASSES[what] / 1e9
    return {
        "what": name,
        "grid": grid,
        "ours_ms": medians["ours"],
        "best_other_ms": medians[best],
        "best_other": best,
        "ratio": medians["ours"] / medians[best],
        "max_rel_diff": difference,
        "gflops": gigaflop / medians["ours"] * 1e3,
        "all_ms": medians,
    }


# Forward passes that the work is worth; a backward pass counts as two.
PASSES = {"forward": 1, "train_step": 3, "distill_step": 9}


def flops(config, grid):
    """Multiplications and additions of the convolutions of one forward pass, done directly."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        weight = module.weight
        total += 2 * weight.numel() * output.shape[-1] * output.shape[-2]

    net = UNet(config, CHANNELS, CHANNELS)
    for module in net.modules():
        if type(module).__name__ == "Conv":
            torch.nn.init.zeros_(module.weight)
            module.register_forward_hook(count)
    with torch.no_grad():
        net(field(1, grid, 0), torch.zeros(1))
    return total


def cold(program, model, grid, rounds):
    """Whole processes: start, load the weights, draw one sample, exit."""
    commands = {"ours": [program, "--cold", model], "eager": [sys.executable, __file__, "--cold", model]}
    times, results = {n: [] for n in commands}, {}
    for _ in range(rounds):
        for n, command in commands.items():
            start = time.perf_counter()
            results[n] = float(subprocess.run(command, check=True, capture_output=True).stdout)
            times[n].append(1e3 * (time.perf_counter() - start))
    medians = {n: statistics.median(t) for n, t in times.items()}
    return {
        "what": "cold_sample",
        "grid": grid,
        "ours_ms": medians["ours"],
        "best_other_ms": medians["eager"],
        "best_other": "eager",
        "ratio": medians["ours"] / medians["eager"],
        "max_rel_diff": relative([results["ours"]], [results["eager"]]),
        "gflops": None,
        "all_ms": medians,
    }


def cold_here(model):
    config, net = load(model)
    y = field(1, config["grid"], 0) * SIGMA
    with torch.no_grad():
        y0 = Torch.denoise(None, net, y, SIGMA)
    print(float(y0.double().square().mean()))


def memory(program, model, grid):
    """The most memory that a process held after training steps of 16 samples, in MB."""
    python = [sys.executable, __file__, "--memory"]
    commands = {
        "ours": [program, "--memory", model, str(grid)],
        "eager": [*python, "eager", model, "--grids", str(grid)],
        "channels_last": [*python, "channels_last", model, "--grids", str(grid)],
    }
    run = lambda command: subprocess.run(command, check=True, capture_output=True)
    peaks = {n: float(run(command).stdout) for n, command in commands.items()}
    best = min(["eager", "channels_last"], key=peaks.get)
    return {
        "what": "train_memory_b16",
        "grid": grid,
        "ours_mb": peaks["ours"],
        "best_other_mb": peaks[best],
        "best_other": best,
        "ratio": peaks["ours"] / peaks[best],
        "all_mb": peaks,
    }


def memory_here(model, layout, grid):
    _, net = load(model)
    torch_net = Torch(net, layout == "channels_last", False)
    inputs = torch_net.inputs(grid, 16)
    for _ in range(3):
        torch_net.train_step(*inputs)
    with open("/proc/self/status") as file:
        peak = next(line for line in file if line.startswith("VmHWM:"))
    print(int(peak.split()[1]) / 1024)


def on_card(model, grids, where):
    """Prints rows of PyTorch's times for `scripts/device-check`, in this project's precision: no TF32."""
    torch.backends.cudnn.allow_tf32 = False
    _, net = load(model)
    ways = {"eager": Torch(net, False, False, where), "channels_last": Torch(net, True, False, where)}
    for grid in grids:
        for name, (what, batch) in CARD_WORK.items():
            times = {n: turn(way, what, way.inputs(grid, batch), 20) for n, way in ways.items()}
            best = min(times, key=times.get)
            print(f"| `{name}`, PyTorch {best} | {grid} | {times[best]:.2f} | | |", flush=True)


def load(model):
    metadata, arrays = read_safetensors(model)
    card = json.loads(metadata["phys_instruct"])
    config = card["net"] | {"grid": card["grid"]}
    return config, UNet(config, CHANNELS, CHANNELS).load(arrays, "net.")


def matrix_peak(threads):
    """GFLOP/s of a large matrix product."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    torch.mm(a, b)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times) / 1e9


def processor():
    with open("/proc/cpuinfo") as file:
        lines = file.read().splitlines()
    name = next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), platform.machine())
    flags = next((l for l in lines if l.startswith("flags")), "")
    unit = "AVX-512" if " avx512f" in flags else "AVX2" if " avx2" in flags else "no AVX2"
    return f"{name}, {unit}"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--program")
    parser.add_argument("--json")
    parser.add_argument("--grids", default="32,64,128")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--card", nargs="?", const="cuda", metavar="DEVICE")
    parser.add_argument("--memory", choices=["eager", "channels_last"])
    arguments = parser.parse_args()
    if arguments.cold:
        return cold_here(arguments.model)
    grids = [int(grid) for grid in arguments.grids.split(",")]
    if arguments.card:
        return on_card(arguments.model, grids, arguments.card)
    if arguments.memory:
        return memory_here(arguments.model, arguments.memory, grids[0])
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    config, net = load(arguments.model)
    others = {"eager": Torch(net, False, False), "channels_last": Torch(net, True, False)}
    if not arguments.no_compile:
        others["compile"] = Torch(net, True, True)
    others["onnxruntime"] = Onnx(net, threads)
    ours = Ours(arguments.program, arguments.model)
    machine = {"peak_gflops": matrix_peak(threads), "cpu": processor(), "threads": threads}
    rows = []
    for grid in grids:
        for name in WORK:
            rounds = arguments.rounds if grid < 128 else max(3, arguments.rounds // 2)
            rows.append(row(name, grid, ours, others, rounds, config) | machine)
            show(rows[-1])
    rows.append(cold(arguments.program, arguments.model, config["grid"], arguments.rounds) | machine)
    show(rows[-1])
    for grid in grids:
        rows.append(memory(arguments.program, arguments.model, grid) | machine)
        held = ", ".join(f"{n} {mb:.0f}" for n, mb in rows[-1]["all_mb"].items())
        print(f"{'train_memory_b16':17} {grid:4}  ratio {rows[-1]['ratio']:.3f}  MB: {held}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=1)


def show(r):
    every = ", ".join(f"{n} {t:.2f}" for n, t in r["all_ms"].items())
    print(f"{r['what']:17} {r['grid']:4}  ratio {r['ratio']:.3f}  diff {r['max_rel_diff']:.1e}  {every}", flush=True)


if __name__ == "__main__":
    main()
