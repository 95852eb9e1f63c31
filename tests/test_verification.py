"""Candidates: what they are, who judges them, which one is kept."""

import json

import numpy as np
import pytest
import torch
from support import random_batch, tiny_method

from edgeconnect.commands.runs import MOST_CANDIDATES
from edgeconnect.engine import Engine, inference
from edgeconnect.images import read_image, write_png
from edgeconnect.methods.verified import CANDIDATES, reality, tried
from edgeconnect.networks.edgeconnect import Discriminator
from edgeconnect.verification import Verifier

CPU = torch.device("cpu")


class Levels(torch.nn.Module):
    """Judge by the mean of the middle of each patch, and there are as many as the published discriminators have."""

    def forward(self, x):
        assert Discriminator(3, 4)(x.expand(-1, 3, -1, -1))[-1].shape[2:] == (x.shape[2] // 8 - 2, x.shape[3] // 8 - 2)
        return [torch.logit(torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 24, 8), eps=1e-4)]


def test_every_candidate_is_another_and_the_first_is_the_usual_completion():
    assert len(set(CANDIDATES)) == len(CANDIDATES) == MOST_CANDIDATES
    method, batch = tiny_method("joint"), random_batch()
    with inference(method):
        assert torch.equal(tried(method, batch, CANDIDATES[0]).completion.merged, method.complete(batch).merged)
        made = [tried(method, batch, candidate).completion.merged for candidate in CANDIDATES[:8]]
    known = (batch.mask == 0).expand_as(batch.image)
    assert all(torch.equal(one[known], batch.image[known]) for one in made)
    assert all(not torch.equal(one, made[0]) for one in made[1:])


@pytest.mark.parametrize(("height", "width"), [(40, 72), (45, 79)])
def test_reality_is_that_of_the_patches_in_the_hole(height, width):
    picture, mask = torch.zeros(2, 1, height, width), torch.zeros(2, 1, height, width)
    picture[..., :24], picture[..., 24:48] = 0.9, 0.3
    mask[0, :, :24, :24] = 1
    scores = [0.9, 0.7, 0.5, 0.3]  # of the first row of patches, by their columns; of the second alike
    shares = [1, 2 / 3, 1 / 3, 0, 0, 0, 0]
    wanted = sum(share * score for share, score in zip(shares, scores, strict=False)) / 2
    assert reality(Levels(), picture, mask).tolist() == pytest.approx([wanted, 1.0], abs=1e-3)


def test_the_most_real_picture_of_real_edges_is_kept(monkeypatch):
    scores = iter([(0.9, 0.2), (0.1, 0.9), (0.5, 0.6), (0.6, 0.5)])
    real = tried

    def judged(method, batch, candidate):
        edges, picture = next(scores)
        return real(method, batch, candidate)._replace(edges=torch.tensor([edges]), pictures=torch.tensor([picture]))

    monkeypatch.setattr("edgeconnect.verification.tried", judged)
    asked = []
    verifier = Verifier(tiny_method("joint"), Engine(CPU), 4, least=0.3)
    made, report = verifier.complete(lambda scale: asked.append(scale) or random_batch(1))
    assert made is not None
    assert [row["kept"] for row in report] == [False, False, True, False]
    assert asked == [1.0]  # one batch for each scale
    scores = iter([(0.2, 0.2)] * 4)
    made, report = verifier.complete(lambda scale: random_batch(1))
    assert made is None
    assert not any(row["kept"] for row in report)


@pytest.fixture
def trained(run_folder, command):
    folder = run_folder(MAX_ITERS=1, CONTENT_LOSS_WEIGHT=0, STYLE_LOSS_WEIGHT=0)
    assert command("train", "--model", "all", "--checkpoints", folder, "--no-check")[0] == 0
    return folder


def pictures(folder):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_png(folder / f"in/{name}.png", rng.integers(0, 256, (33, 40, 3), dtype=np.uint8))
    mask = np.zeros((33, 40), np.uint8)
    mask[8:20, 10:30] = 255
    write_png(folder / "mask.png", mask)
    return "test", "--checkpoints", folder, "--input", folder / "in", "--mask", folder / "mask.png"


def test_candidates_are_tried_from_the_command_line_and_every_score_is_written(trained, command):
    code, said = command(*pictures(trained), "--output", trained / "out", "--candidates", 24)
    assert code == 0, said
    rows = json.loads((trained / "out/a_candidates.json").read_text())
    assert len(rows) == 24
    assert {"threshold", "scale", "mirrored", "edges", "picture", "kept"} == rows[0].keys()
    best = max(rows, key=lambda row: row["picture"])
    assert best["kept"]
    assert sum(row["kept"] for row in rows) == 1
    known = read_image(trained / "mask.png")[..., 0] == 0
    assert np.array_equal(read_image(trained / "out/a.png")[known], read_image(trained / "in/a.png")[known])


def test_pictures_of_which_no_candidate_is_real_are_left_out_and_named(trained, command):
    code, said = command(*pictures(trained), "--output", trained / "out", "--candidates", 2, "--reject", 1)
    assert code != 0
    assert "none of 2 candidates scores 1 or more" in said
    assert not list((trained / "out").glob("*.png"))
    assert len(json.loads((trained / "out/b_candidates.json").read_text())) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--candidates", 25], "--candidates"),
        (["--candidates", 0], "--candidates"),
        (["--candidates", 2, "--reject", 1.5], "--reject"),
        (["--reject", 0.5], "--reject: means nothing without --candidates"),
        (["--candidates", 2, "--mirror"], "--mirror: does not go with --candidates"),
        (["--candidates", 2, "--model", 2], "stage inpaint of edgeconnect does not both draw edges and paint"),
        (["--candidates", 2, "--set", "INPAINT_ADV_LOSS_WEIGHT=0"], "did not learn to judge"),
        (["--candidates", 2, "--set", "RAW_EDGES=1"], "RAW_EDGES is 1"),
        (["--candidates", 9, "--set", "SIGMA=0"], "only 8 differ"),
    ],
)
def test_what_does_not_go_with_candidates_is_refused(options, said, trained, command):
    code, text = command(*pictures(trained), "--output", trained / "out", *options)
    assert code != 0
    assert said in text
    assert "Traceback" not in text


def test_pictures_too_small_to_be_judged_stop_no_other(trained, command):
    given = pictures(trained)
    write_png(trained / "in/small.png", np.zeros((20, 40, 3), np.uint8))
    code, said = command(*given, "--resize-mask", "--output", trained / "out", "--candidates", 2)
    assert code == 1
    assert "is 40x20; judges need 24x24 or more" in said
    assert sorted(path.name for path in (trained / "out").glob("*.png")) == ["a.png", "b.png"]


def test_a_run_without_its_discriminators_cannot_judge(trained, command, tmp_path):
    export = tmp_path / "export"
    assert command("export", "--checkpoints", trained, "--output", export)[0] == 0
    test, option, _, *rest = pictures(trained)
    code, said = command(test, option, export, *rest, "--output", tmp_path / "out", "--candidates", 2)
    assert code != 0
    assert "holds no EdgeModel_dis.pth, which judges" in said
