"""Values as JSON and CSV can hold them."""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def plain(value: Any) -> Any:
    """Return dictionaries for mappings and named tuples, lists for tuples, None for nan, at every depth."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return CSV: numbers to the last digit, nothing for nan and None."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(plain(tuple(row)) for row in rows)
    return text.getvalue()
