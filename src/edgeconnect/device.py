"""Which device computes, in which precision, with how many threads."""

import contextlib
import functools
import logging
import math
from pathlib import Path

import torch

from edgeconnect import launch
from edgeconnect.config.sections import Config, RunConfig
from edgeconnect.distributed import world_size
from edgeconnect.errors import UserError

ACTIVATIONS = 2**20  # of the first layers that a thread is worth having for
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

log = logging.getLogger(__name__)


def choose_device(name: str, gpus: tuple[int, ...]) -> torch.device:
    """Resolve DEVICE; `auto` is the first of GPU where CUDA works, else the processor."""
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    remedy = "set DEVICE: auto"
    if name == "auto":
        if not gpus or not available:
            return torch.device("cpu")
        name, remedy = f"cuda:{gpus[0]}", "name another one in GPU"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= available:
        raise UserError(f"DEVICE: {name} is not there: this machine shows {available} CUDA devices; {remedy}")
    return device


def free_memory() -> float:
    """Return how many bytes this process may take on, as Linux and a container's limit say; infinity elsewhere."""
    free = [math.inf]
    with contextlib.suppress(OSError, ValueError, KeyError):
        rows = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
        kilobytes = {row[0]: int(row[1]) for row in rows}
        free.append(1024 * (kilobytes["MemAvailable:"] + kilobytes["SwapFree:"]))
    with contextlib.suppress(OSError, ValueError, KeyError):  # "max" is no limit
        own = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition(":")[2]
        group = Path("/sys/fs/cgroup") / own.lstrip("/")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free.append(limit - used + int(cached["file"]))  # files that were read make room
    return min(free)


def gpus_to_share(config: RunConfig) -> int:
    """Return how many ranks GPU asks for: one for each GPU, or a single one where not all of them are there."""
    if len(config.gpu) < 2 or config.device not in ("auto", "cuda"):
        return 1
    available = torch.cuda.device_count()
    if len(set(config.gpu)) == len(config.gpu) and max(config.gpu) < available:
        return len(config.gpu)
    listed = list(config.gpu)
    log.warning("GPU: %s: this machine shows %d CUDA devices; one process trains, see DEVICE", listed, available)
    return 1


def named_device(config: RunConfig) -> tuple[str, tuple[int, ...]]:
    """Return DEVICE and GPU as they are for this rank: of several on a machine, each has a GPU of its own."""
    if world_size() == 1 or not config.gpu or config.device == "cpu":
        return config.device, config.gpu
    if ":" in config.device:
        problem = f"DEVICE: {config.device} is one GPU for {world_size()} ranks"
        raise UserError(f"{problem}; set DEVICE: auto, and name theirs in GPU")
    own = launch.own_gpu(config.gpu)
    return (config.device if config.device == "auto" else f"cuda:{own}"), (own,)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Resolve PRECISION; `auto` is bfloat16 where the hardware computes in it, GPUs and processors, else float32."""
    if name != "auto":
        return DTYPES[name]
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif hasattr(torch.cpu, "get_capabilities"):  # not in every PyTorch that will do
        native = any(has and name.endswith("bf16") for name, has in torch.cpu.get_capabilities().items())
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def choose_threads(config: Config, training: bool = True) -> int:
    """Resolve THREADS; 0 is one for each core that PyTorch found, fewer where a step trains a small network.

    Threads wait for each other after every operation. Short operations gain little from more threads, and with a busy
    neighbour on one of the cores they lose far more: benchmarks/contention.py.
    """
    found, channels, weights = threads_found(), config.networks.base_channels, config.losses
    if config.stage.predicts == "image" and weights.content_loss_weight + weights.style_loss_weight:
        channels += 64  # of the feature network
    activations = config.optim.batch_size * config.data.input_size**2 * channels
    useful = -(-activations // ACTIVATIONS) if training else 0
    return config.run.threads or min(found, useful or found)  # with INPUT_SIZE 0 the size is not known


@functools.cache
def threads_found() -> int:
    """Return how many threads PyTorch began with: a core each, or what OMP_NUM_THREADS says."""
    return torch.get_num_threads()
