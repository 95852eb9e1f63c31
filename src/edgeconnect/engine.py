"""Where and how a step runs: device, precision, gradients, weights."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from edgeconnect.config.sections import Config
from edgeconnect.device import choose_device, choose_precision, choose_threads, named_device
from edgeconnect.distributed import averaging, mean_over_ranks, most, world_size
from edgeconnect.errors import UserError, reason
from edgeconnect.types import Batch, Method, Progress, Scalars, in_floats, is_trained

Mark = float | torch.cuda.Event

FIRST = Progress(iteration=1)
SETTLING = 20.0  # seconds for a GPU to do what it was asked to

log = logging.getLogger(__name__)


def make_engine(config: Config, training: bool = False) -> "Engine":
    """Choose device and precision and log them; PRECISION auto completes pictures in float32, as published."""
    device = choose_device(*named_device(config.run))
    auto_completes = config.run.precision == "auto" and not training
    dtype = torch.float32 if auto_completes else choose_precision(config.run.precision, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # or helper threads would open a context on GPU 0
        rounded = dtype != torch.float32  # PyTorch's default computes float32 convolutions in TF32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = rounded
    else:
        torch.set_num_threads(choose_threads(config, training))
    torch.backends.cudnn.benchmark = training and config.data.input_size > 0  # each size would be tuned for
    ranks = f"{world_size()} ranks, each like rank 0: " if world_size() > 1 else ""
    check_every_step = device.type == "cpu" or config.optim.skip_nonfinite > 0
    settings = check_every_step, config.optim.grad_accumulation, training and config.run.compile
    engine = Engine(device, dtype, config.optim.grad_clip, *settings)
    threads = f", threads {engine.threads}" if engine.threads else ""
    log.info("%sdevice %s, precision %s%s", ranks, device, str(dtype).removeprefix("torch."), threads)
    return engine


class Engine:
    """The one place that knows devices, mixed precision, loss scaling, accumulation, averaging over ranks and clipping.

    `grad_clip` bounds the gradient norm of each optimiser's parameters; 0 leaves gradients alone. `check_every_step`
    looks at every loss before weights move: free on a processor, a wait for the device on a GPU. `accumulation` is the
    number of parts that a step computes its batch in, one after the other.
    """

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
        grad_clip: float = 0.0,
        check_every_step: bool | None = None,
        accumulation: int = 1,
        compiling: bool = False,
    ) -> None:
        self.device, self.dtype, self.grad_clip, self.accumulation = device, dtype, grad_clip, accumulation
        self.check_every_step = device.type == "cpu" if check_every_step is None else check_every_step
        self.compiling = compiling
        if compiling:
            import torch._functorch.config as functorch

            functorch.donated_buffer = False  # or roles could not share a pass
        self.refused: list[str] = []
        self.is_moving = False  # an error that comes meanwhile leaves some weights moved and others not
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.copies = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def prepare(self, network: nn.Module) -> nn.Module:
        """Move a network to the device; with COMPILE, one that learns is compiled when it first runs."""
        if self.compiling and is_trained(network):
            network.compile()
        return network.to(self.device)

    def place(self, batch: Batch) -> Batch:
        """Move a batch to the device and make it floats there.

        From pinned memory it is copied while a GPU still computes the step before.
        """
        if self.copies is None:
            return batch.map(lambda tensor: in_floats(tensor.to(self.device)))
        with torch.cuda.stream(self.copies):
            placed = batch.map(lambda tensor: in_floats(tensor.to(self.device, non_blocking=True)))
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self.copies)
        for tensor in placed.tensors:
            tensor.record_stream(computing)  # or its memory could be filled with the next batch before it is read
        return placed

    def mark(self) -> "Mark":
        """Take the time, on a GPU that at which it has computed all that it was asked for."""
        if self.device.type != "cuda":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event

    def seconds(self, start: "Mark", end: "Mark") -> float:
        """Return the time between two marks; of a GPU that was asked for nothing between them, the time it was idle."""
        if isinstance(start, float) or isinstance(end, float):
            return float(end) - float(start)  # type: ignore[arg-type]
        end.synchronize()
        milliseconds: float = start.elapsed_time(end)
        return milliseconds / 1000

    @property
    def threads(self) -> int:
        """Return how many threads compute, 0 on a GPU."""
        return torch.get_num_threads() if self.device.type == "cpu" else 0

    def autocast(self) -> torch.autocast:
        """Compute convolutions in the chosen precision."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def step(self, method: Method, batch: Batch, progress: Progress = FIRST) -> Scalars:
        """Train the roles that learn in this phase on one batch.

        `refused` then names the roles of an update whose loss was not finite: neither it nor a later one of the step
        moved a weight. An earlier one of a method that updates several times a step did.
        """
        self.refused = []
        with self.forgetting(method):
            return self.whole_step(method, batch, progress)

    @contextlib.contextmanager
    def forgetting(self, method: Method) -> Iterator[None]:
        """Give buffers, such as a norm's running statistics, their former values where an update is refused."""
        networks = method.networks.values() if self.check_every_step else []
        kept = [(buffer, buffer.clone()) for network in networks for buffer in network.buffers()]
        yield
        for buffer, former in kept if self.refused else []:
            buffer.copy_(former)

    def whole_step(self, method: Method, batch: Batch, progress: Progress) -> Scalars:
        """Train on all parts of a batch."""
        if self.accumulation * world_size() == 1:
            return self.step_on(batch, method, progress)
        batch = batch._replace(whole_ratio=mean_over_ranks(batch.hole_ratio))
        found = []
        for number, part in enumerate(batch.split(self.accumulation), start=1):
            if not self.refused:
                ends = number == 1, number == self.accumulation
                found.append(self.step_on(part, method, progress, *ends))
        return {name: torch.stack([scalars[name] for scalars in found]).mean() for name in found[0]}

    def step_on(
        self,
        batch: Batch,
        method: Method,
        progress: Progress,
        first: bool = True,
        last: bool = True,
    ) -> Scalars:
        """Train on a part of a batch: `first` begins with no gradients, `last` moves the weights."""
        updates, moved = 0, False

        def update(losses: Mapping[str, Tensor]) -> None:
            nonlocal updates, moved
            updates += 1
            if updates > 1 and self.accumulation > 1:  # the second would need what the first makes of all parts
                problem = f"GRAD_ACCUMULATION: {self.accumulation} needs a method that updates once a step"
                raise UserError(f"{problem}, this one does several times; set it to 1").everywhere()
            wanted = {role: loss for role, loss in losses.items() if progress.learns(role)}
            moved = moved or bool(wanted)
            if wanted and not self.refused:
                self.update(method.optimizers, wanted, first, last)

        with self.autocast(), compiled_or_not():
            scalars = method.step(batch, update, progress)
        if progress.roles and updates and not moved:
            problem = f"PHASES: {', '.join(sorted(progress.roles))} alone would learn nothing: no loss moves it"
            raise UserError(f"{problem}; set a weight of such a loss, or leave the phase out").everywhere()
        return scalars

    def update(
        self,
        optimizers: Mapping[str, torch.optim.Optimizer],
        losses: Mapping[str, Tensor],
        first: bool = True,
        last: bool = True,
    ) -> None:
        """Take every gradient at the weights as they are, each loss into its own parameters only; then move all.

        Published loops that step one network before the other's backward pass fail on PyTorch >= 1.5; those that
        share a backward pass leak the generator's loss into the discriminator. While one role's gradients travel
        between the ranks, the next one's are computed. Of a step in parts, only the `last` one moves weights.
        """
        if self.check_every_step:
            bad = most([not loss.isfinite() for loss in losses.values()])
            self.refused += [role for role, is_bad in zip(losses, bad, strict=True) if is_bad]
            if self.refused:
                return
        with torch.autocast(self.device.type, enabled=False):
            arriving = []
            for left, (role, loss) in enumerate(losses.items(), 1 - len(losses)):
                if first:
                    optimizers[role].zero_grad(set_to_none=True)
                scaled: Tensor = self.scaler.scale(loss / self.accumulation)
                learning = parameters(optimizers[role])
                scaled.backward(inputs=learning, retain_graph=left < 0)  # type: ignore[no-untyped-call]
                if last:
                    arriving.append(averaging(gradients(optimizers[role])))
            for wait in arriving:
                wait()
            if last:
                self.move([optimizers[role] for role in losses])

    def move(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Step every optimiser by the gradients that are there."""
        self.is_moving = True
        for optimizer in optimizers:
            if self.grad_clip:
                self.scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(parameters(optimizer), self.grad_clip)
            self.scaler.step(optimizer)
        self.scaler.update()
        self.is_moving = False
        torch.clear_autocast_cache()  # or what follows in this step would see the weights before the move

    def is_whole(self) -> bool:
        """Return whether weights are those after a step, and not halfway through one.

        A GPU lags behind: it may wait for gradients of a rank that is gone, and would for ever.
        """
        if self.device.type == "cuda" and world_size() > 1 and not self.is_moving:
            done = torch.cuda.current_stream().record_event()
            deadline = time.monotonic() + SETTLING
            while not done.query():
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.1)
        return not self.is_moving


@contextlib.contextmanager
def compiled_or_not() -> Iterator[None]:
    """Make what PyTorch's compiler raises, such as for want of a C++ compiler, a UserError."""
    try:
        yield
    except RuntimeError as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise UserError(f"COMPILE: the networks cannot be compiled ({reason(error)}); set COMPILE: 0") from error
        raise


def weight_norm(network: nn.Module) -> float:
    """Return the norm of all weights and buffers, not finite where one of them is not; one wait for the device."""
    values = [value.detach() for value in network.state_dict().values() if value.is_floating_point()]
    return float(torch.stack(torch._foreach_norm(values)).double().norm())


def parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """List what an optimiser moves."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """List the gradients of what an optimiser moves."""
    return [parameter.grad for parameter in parameters(optimizer) if parameter.grad is not None]


@contextlib.contextmanager
def inference(method: Method) -> Iterator[None]:
    """Complete without gradients and without a spectral-norm iteration, then return to the modes as they were."""
    modes = {network: network.training for network in method.networks.values()}
    for network in modes:
        network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for network, training in modes.items():
            network.train(training)
