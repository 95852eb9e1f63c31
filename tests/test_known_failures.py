"""What broke for the users of the published program, one test each; details are held by the modules' own tests."""

import contextlib
import csv

import numpy as np
import pytest
import torch
from PIL import Image
from support import STAGES, FakeFeed, FakeMethod, differing, random_batch, state_of, tiny_config, tiny_method

from edgeconnect import images
from edgeconnect.checkpoint.stage import Checkpoints
from edgeconnect.config import file as config_file
from edgeconnect.config.sections import VAL
from edgeconnect.data import files, masks
from edgeconnect.data.dataset import InpaintingDataset
from edgeconnect.data.items import FIXED_EPOCH
from edgeconnect.data.jobs import plan
from edgeconnect.data.loader import Feed
from edgeconnect.engine import FIRST, Engine, inference, parameters
from edgeconnect.errors import UserError
from edgeconnect.evaluation.fid import LoaderOptions, stats_of
from edgeconnect.losses import adversarial_loss
from edgeconnect.methods.build import build
from edgeconnect.predict import Predictor
from edgeconnect.training.logs import RunLog
from edgeconnect.training.trainer import Trainer, evaluate

CPU = torch.device("cpu")


def method_of(stage, **keys):
    return tiny_method(stage, **keys)


def picture(path, size=(40, 36), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **options)
    return path


def test_01_update_order_neither_raises_nor_leaks():
    method = method_of("edge")
    engine, batch = Engine(CPU), random_batch()
    engine.step(method, batch)
    alone = method_of("edge")
    alone.step(batch, lambda losses: engine.update(alone.optimizers, {"discriminator": losses["discriminator"]}), FIRST)
    pairs = zip(
        parameters(method.optimizers["discriminator"]), parameters(alone.optimizers["discriminator"]), strict=True
    )
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs)


def test_02_joint_stage_trains_for_many_steps():
    method, engine = method_of("joint"), Engine(CPU)
    for seed in range(3):
        assert all(torch.isfinite(value) for value in engine.step(method, random_batch(seed=seed)).values())


def test_03_evaluation_moves_no_counter_and_keeps_no_gradients():
    method = method_of("joint")
    before = {name: state_of(network) for name, network in method.networks.items()}
    evaluate(method, Engine(CPU), [random_batch()])
    assert not any(differing(before[name], network.state_dict()) for name, network in method.networks.items())
    assert all(p.grad is None for network in method.networks.values() for p in network.parameters())


def test_04_fewer_validation_pictures_than_sample_size_end():
    feed = Feed(tiny_config(TRAIN_FLIST="scenes:3", VAL_FLIST="scenes:3", MASK="block"))
    assert sum(len(batch.name) for batch in feed.validation(limit=12)) == 3


def test_05_unreadable_file_stops_instead_of_becoming_picture_0(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"damaged")
    dataset = InpaintingDataset(tiny_config(VAL_FLIST=tmp_path, MASK="block").data, VAL, 0)
    assert dataset[FIXED_EPOCH, 0].name == [str(tmp_path / "a.png")]
    with pytest.raises(UserError, match=r"b\.png: cannot be read"):
        dataset[FIXED_EPOCH, 1]


def test_06_file_lists_take_any_name(tmp_path):
    names = ["with space.png", "#hash.png", "UPPER.PNG", "tagged.tiff"]
    for name in names:
        picture(tmp_path / name)
    (tmp_path / "list.flist").write_bytes("\r\n".join(names).encode())
    assert [path.name for path in files.list_images(str(tmp_path / "list.flist"), "X")] == names
    (tmp_path / "one.flist").write_text(names[0])
    assert len(files.list_images(str(tmp_path / "one.flist"), "X")) == 1
    assert sorted(path.name for path in files.list_images(str(tmp_path), "X")) == sorted(names)


def test_07_pictures_and_masks_pair_by_name(tmp_path):
    for name in ("a", "b", "c"):
        picture(tmp_path / "images" / f"{name}.jpg")
        picture(tmp_path / "masks" / f"{name}.png", mode="L")
    jobs = plan(str(tmp_path / "images"), str(tmp_path / "masks"), "", str(tmp_path / "out"))
    assert all(job.image.stem == job.mask.stem == job.output.stem for job in jobs)
    (tmp_path / "masks" / "b.png").unlink()
    with pytest.raises(UserError, match=r"no mask of the same name for .*b\.jpg"):
        plan(str(tmp_path / "images"), str(tmp_path / "masks"), "", str(tmp_path / "out"))


def test_08_jpeg_residue_is_no_hole_and_inverted_masks_are_noticed():
    residue = np.array([[3, 40, 127, 128, 255]], dtype=np.uint8)
    assert masks.binarize(residue, 127, "hole").tolist() == [[False, False, False, True, True]]
    with pytest.raises(UserError, match="MASK_POLARITY: known"):
        masks.refuse_large_holes([0.7, 0.8], "TRAIN_MASK_FLIST")


@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "CMYK", "1", "I;16"])
def test_09_pictures_of_any_mode_and_size_are_completed(mode, tmp_path):
    path = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
    if mode == "I;16":
        Image.fromarray(np.arange(37 * 29, dtype=np.uint16).reshape(29, 37) * 60).save(path)
    else:
        picture(path, (37, 29), mode)
    predictor = Predictor(method_of("edge_inpaint"), Engine(CPU), tiny_config().data)
    image, mask = images.read_image(path), np.zeros((29, 37), dtype=bool)
    mask[5:20, 5:20] = True
    done = predictor.complete(image, mask).merged
    assert done.shape == (29, 37, 3)
    assert (done[~mask] == image[~mask]).all()


def test_10_output_is_png_under_the_whole_stem(tmp_path):
    picture(tmp_path / "a.b.jpg")
    mask = picture(tmp_path / "mask.png", mode="L")
    (job,) = plan(str(tmp_path / "a.b.jpg"), str(mask), "", str(tmp_path / "out"))
    assert job.output == tmp_path / "out" / "a.b.png"


def test_11_empty_masks_divide_by_nothing():
    batch = random_batch()
    scalars = Engine(CPU).step(method_of("inpaint"), batch._replace(mask=torch.zeros_like(batch.mask)))
    assert torch.isfinite(scalars["l_l1"])


def test_12_optimisers_are_saved_and_missing_or_finished_checkpoints_said(run_folder, command):
    folder = run_folder(MAX_ITERS=1)
    code, said = command("train", "--model", 3, "--checkpoints", folder)
    assert (code, "EdgeModel_gen.pth does not exist" in said) == (2, True)
    command("train", "--model", 1, "--checkpoints", folder)
    assert torch.load(folder / "saves/edge/0000001/state.pth", weights_only=True)["optimizers"]["generator"]["state"]
    code, said = command("train", "--model", 1, "--checkpoints", folder)
    assert (code, "at iteration 1, nothing to do; raise MAX_ITERS" in said) == (0, True)


def test_13_typos_are_errors_and_numbers_are_numbers():
    with pytest.raises(UserError, match="did you mean MAX_ITERS"):
        config_file.load(None, [("--set", "MAX_ITER=3")])
    config = config_file.load(None, [("--set", "MAX_ITERS=2e6"), ("--set", "LR=1e-4")]).config
    assert (config.optim.max_iters, config.optim.lr) == (2_000_000, 1e-4)


def test_14_completing_builds_no_graph():
    method = method_of("edge_inpaint")
    with inference(method):
        completion = method.complete(random_batch())
    assert not completion.merged.requires_grad


class ColumnMeans:
    """An extractor of three features that remembers how many pictures it is given at once."""

    dims, name = 3, "column means"

    def __init__(self):
        self.at_once = []

    def resized(self, picture):
        return torch.from_numpy(picture.mean((0, 1), dtype=np.float32))[None]

    def features(self, batch):
        self.at_once.append(len(batch))
        return batch.numpy()


def test_15_fid_counts_every_picture_in_batches_and_caches_outside_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr("edgeconnect.evaluation.fid.BATCH", 3)
    for n in range(7):
        picture(tmp_path / f"results/{n}.png", size=(30 + n, 20))
    extractor, options = ColumnMeans(), LoaderOptions(workers=1, cache=tmp_path / "cache")
    before = stats_of(str(tmp_path / "results"), extractor, options)
    assert (before.n, extractor.at_once) == (7, [3, 3, 1])
    assert len(list((tmp_path / "results").iterdir())) == 7
    assert stats_of(str(tmp_path / "results"), extractor, options).cached
    Image.new("RGB", (30, 20)).save(tmp_path / "results/0.png")
    after = stats_of(str(tmp_path / "results"), extractor, options)
    assert not after.cached
    assert not np.allclose(before.statistics.mu, after.statistics.mu)


@pytest.mark.parametrize("stage", ["edge", "joint"])
def test_16_bce_works_under_autocast(stage):
    """A sigmoid of such scores is exactly 1: its BCE is cut off at 100, and has no gradient."""
    method = method_of(stage, GAN_LOSS="nsgan")
    judge = method.networks["edge_discriminator"]
    judge.register_forward_hook(lambda _, __, maps: [*maps[:-1], 40 + 0 * maps[-1]])
    scalars = Engine(CPU, torch.bfloat16).step(method, random_batch())
    assert scalars["l_d1"] == pytest.approx(20)  # half of 40 for the fake, 0 for the real
    assert scalars["l_d1"].dtype == torch.float32
    scores = torch.full((1,), 40.0, dtype=torch.bfloat16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        adversarial_loss(scores, False, "nsgan").backward()
    assert scores.grad == 1


def test_17_vgg_is_built_once_and_not_for_edges(monkeypatch):
    from edgeconnect.methods import perceptual

    built = []
    monkeypatch.setattr(perceptual, "load_features", lambda _, weights: built.append(weights) or torch.nn.Identity())
    keys = {"CONTENT_LOSS_WEIGHT": 0.1, "STYLE_LOSS_WEIGHT": 250, "VGG_WEIGHTS": "random"}
    Engine(CPU).step(method_of("edge", **keys), random_batch())
    joint = method_of("joint", **keys)
    assert not built
    assert joint.inpaint.feature_net is joint.inpaint.feature_net
    assert built == ["random"]


@pytest.mark.parametrize("stage", STAGES)
def test_18_a_step_reads_nothing_from_its_device(stage, monkeypatch):
    """The meta device computes shapes alone: whatever reads a value there fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # it does not know this device
    keys = {"CONTENT_LOSS_WEIGHT": 0.1, "STYLE_LOSS_WEIGHT": 250, "VGG_WEIGHTS": "random"}
    method = build(tiny_config(MODEL=stage, **keys), lambda network: network.to("meta"))
    batch = random_batch()
    tensors = {name: value.to("meta") for name, value in batch._asdict().items() if isinstance(value, torch.Tensor)}
    with pytest.raises(RuntimeError):
        bool(tensors["mask"].sum() > 0)
    updates = []

    def update(losses):
        for loss in losses.values():
            loss.backward(retain_graph=True)  # roles may share a pass
        updates.append(list(losses))

    scalars = method.step(batch._replace(**tensors), update, FIRST)
    assert updates
    assert {value.device.type for value in scalars.values()} == {"meta"}


READS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__")


def test_18_scalars_leave_the_device_at_log_interval_only(tmp_path, monkeypatch):
    reading = set()
    for name in READS:
        real = getattr(torch.Tensor, name)

        def read(tensor, *args, real=real, **kwargs):
            reading.add(trainer.state.step)
            return real(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, read)
    method, config = (
        FakeMethod(),
        tiny_config(METHOD="fake", MAX_ITERS=7, LOG_INTERVAL=3, SAMPLE_INTERVAL=0, SAVE_INTERVAL=0),
    )
    method.optimizers = {"generator": torch.optim.SGD(method.network.parameters(), lr=0.01)}  # Adam reads its own step
    trainer = Trainer(
        *(method, Engine(CPU, check_every_step=False), Checkpoints(tmp_path, config)),
        *(RunLog(tmp_path, "inpaint", 0), config),
    )
    trainer.save_what_is_new = lambda: None
    trainer.train(FakeFeed(evaluates=False))
    assert reading == {3, 6, 7}  # the last at the end


def test_19_logs_have_a_header(run_folder, command):
    folder = run_folder(MAX_ITERS=1, LOG_INTERVAL=1)
    command("train", "--model", 1, "--checkpoints", folder)
    with (folder / "log_edge.csv").open() as file:
        assert " ".join(next(csv.reader(file))) == "epoch iteration l_d1 l_g1 l_fm precision recall phase lr wait"


def test_20_every_evaluation_sees_the_same_masks():
    feed = Feed(tiny_config(TRAIN_FLIST="scenes:3", VAL_FLIST="scenes:3", MASK="strokes", SIGMA=0))
    once, again = (list(feed.validation()) for _ in range(2))
    assert all(torch.equal(a.mask, b.mask) and torch.equal(a.edge, b.edge) for a, b in zip(once, again, strict=True))
    method, engine = FakeMethod(), Engine(CPU)
    assert evaluate(method, engine, FakeFeed().validation()) == evaluate(method, engine, FakeFeed().validation())
