"""Several processes that do the same with torch.distributed: `python together.py WHAT RANK RANKS PLACE [JSON]`.

Prints what process 0 found as JSON. WHAT: "losses" of tasks' first steps, or "norms" of a synchronised layer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def found(what: str, folder: Path, ranks: int, given: Any = None) -> Any:
    """Run all processes of `what`; what number 0 printed."""
    place = folder / f"meet-{what}-{ranks}"
    place.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, what, str(rank), str(ranks), str(place), json.dumps(given)],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(ranks)
    ]
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * ranks
    return json.loads(printed[0])


def losses(rank: int, ranks: int, given: Any) -> dict[str, list[dict[str, float]]]:
    """Every loss of the first steps of some tasks, by name; for each its task, settings and number of steps."""
    from retable.bench.run import training
    from retable.bench.task import Context, find_task, load

    there = {}
    for name, (wanted, values, steps) in given.items():
        training.seed_all(0, "a trial")
        spec = find_task(wanted)
        settings = spec.settings.model_validate(values)
        assert ranks == 1 or (spec.alone is not None and not spec.alone(settings, ranks))
        task = load(spec.make)(settings, Context("cpu", 0, rank=rank, ranks=ranks))
        taken = [task.step(i) for i in range(steps)]
        there[name] = [{k: float(v) for k, v in step.items() if k.startswith("loss/")} for step in taken]
    return there


def norms(rank: int, ranks: int, given: Any) -> Any:
    """Output, gradients and running statistics of batch normalisation in double precision, of all samples."""
    import torch
    from torch import nn

    from retable.models import parallel

    generator = torch.Generator().manual_seed(1)
    x = 3 + 2 * torch.randn(8, 3, 4, 5, generator=generator, dtype=torch.float64)
    weigh = torch.randn(8, 3, 4, 5, generator=generator, dtype=torch.float64)
    net = nn.Sequential(nn.BatchNorm2d(3, momentum=given["momentum"], affine=given["affine"])).double()
    if given["affine"]:
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
            net[0].bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
    if ranks > 1:
        parallel.synchronise_(net)
    own = parallel.share(8, rank, ranks)
    part = x[own.start : own.stop].clone().requires_grad_()
    out = None
    for _ in range(3):
        out = net(part)
        (out * weigh[own.start : own.stop]).sum().backward()
    assert out is not None and part.grad is not None

    def everybody(t: torch.Tensor) -> torch.Tensor:
        return torch.cat(list(parallel.gathered(t.detach()))) if ranks > 1 else t.detach()

    gradients = [p.grad for p in net.parameters() if p.grad is not None]
    if ranks > 1:
        parallel.average_(gradients)
    there = {
        "out": everybody(out),
        "gradient": everybody(part.grad),
        "weights": [g * ranks for g in gradients],
        "state": {k: v.double() for k, v in net.state_dict().items()},
        "evaluated": net.eval()(x).detach(),
    }
    return json.loads(json.dumps(there, default=lambda t: t.tolist()))


def main() -> None:
    what, rank, ranks, place, given = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    if ranks > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        dist.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=ranks)
    answer = {"losses": losses, "norms": norms}[what](rank, ranks, json.loads(given))
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()
    if rank == 0:
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
