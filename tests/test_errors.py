"""What is shown of other libraries' errors."""

import pickle

import pytest
import torch

from edgeconnect.errors import LONGEST, BadImageError, UserError, is_out_of_memory, reason


class Stranger:
    """A class that no checkpoint may name."""


def test_advice_of_pytorch_to_load_unsafely_is_not_passed_on(tmp_path):
    torch.save({"generator": Stranger()}, tmp_path / "a.pth")
    with pytest.raises(pickle.UnpicklingError) as caught:
        torch.load(tmp_path / "a.pth", weights_only=True)
    assert "`False`" in str(caught.value)
    assert reason(caught.value) == "Weights only load failed"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("cannot identify image file 'a.b. c.png'", "cannot identify image file 'a.b"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1", "CUDA out of memory"),
        (
            "[enforce fail at alloc_cpu.cpp:116] . DefaultCPUAllocator: can't allocate memory: you tried. Error 12",
            "[enforce fail at alloc_cpu.cpp:116] . DefaultCPUAllocator: can't allocate memory: you tried",
        ),
        ("version 1.5 of\n  weights", "version 1.5 of weights"),
        ("x" * 700, "x" * LONGEST + "..."),
        ("", "RuntimeError"),
    ],
)
def test_other_libraries_are_quoted_by_one_sentence_in_one_line(message, shown):
    assert reason(RuntimeError(message)) == shown


def test_own_messages_are_kept_whole():
    text = "a.png: is 3x3. Give a larger one; " + "y" * 300
    assert reason(UserError(text)) == text
    assert reason(BadImageError("a.png", "is 3x3. " + "y" * 300)).endswith("yyy")


def test_used_up_memory_is_known_in_every_wording():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("CUDA out of memory. Tried"))
    assert not is_out_of_memory(ValueError("out of memory"))
