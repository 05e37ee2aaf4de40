"""Writes what a run of tests/ops/test_ops.py has shown, op by op: ``pytest tests/ops/test_ops.py --op-table FILE``.

A cell counts the tests that passed, over all cases of the op; one failure makes it "FAILED", and where every test was
skipped for want of a device it says "–". Nothing is in the table that this very run did not see.
"""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

QUESTIONS = ("value", "gradient", "opcheck", "compile", "edges")
# What a test of test_ops.py asks; every other one asks about edges: empty, strided, threads, schedules, wrong types.
ASKS = {
    "test_agrees_with_the_slow_twin": "value",
    "test_gradient": "gradient",
    "test_gradient_in_float32_is_that_in_float64": "gradient",
    "test_each_gradient_alone_is_the_one_among_all": "gradient",
    "test_registration": "opcheck",
    "test_compiles_whole_and_from_cold": "compile",
}
DEVICES = {"cpu": "CPU", "cuda": "CUDA", "cuda-emulated": "CUDA sources on the CPU"}
DTYPES = {"torch.float32": "f32", "torch.float64": "f64"}

_HEADING = """# What the tests have shown of every op

Written by `make op-table` (`pytest tests/ops/test_ops.py --op-table docs/op_table.md`): the number of tests that passed
in that run, for value (against a slow twin), gradient (gradcheck; float32 against float64), opcheck, compile
(`fullgraph=True`) and edges (empty, strided, any number of threads, batch against single images, wrong types). – is a
test that this machine could not run, or a question that does not arise: an op without derivatives has no gradient.
*CUDA sources on the CPU* runs csrc/cuda through a host emulation (see ops.md); the CUDA columns are filled on a machine
with a device only.
"""

_outcomes: dict[tuple[str, str, str, str], Counter[str]] = defaultdict(Counter)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--op-table", type=Path, metavar="FILE", help="write the table of ops that this run has shown")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        case = parameters.get("case")
        if hasattr(case, "op"):
            asks = ASKS.get(getattr(item, "originalname", ""), "edges")
            dtype = str(parameters.get("dtype", "torch.float64"))
            item.user_properties.append(("op table", [case.op, asks, parameters.get("device", "cpu"), dtype]))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.outcome == "passed":
        return
    for name, value in report.user_properties:
        if name == "op table":
            _outcomes[tuple(value)][report.outcome] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--op-table", None)
    if path is not None and not hasattr(session.config, "workerinput"):
        path.write_text(_page(), encoding="utf-8")


def _page() -> str:
    columns = [(device, dtype) for device in DEVICES for dtype in DTYPES]
    lines = [
        _HEADING,
        "| op | question | " + " | ".join(f"{DEVICES[device]} {DTYPES[dtype]}" for device, dtype in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for op in sorted({key[0] for key in _outcomes}):
        for asks in QUESTIONS:
            cells = [_cell(_outcomes[op, asks, device, dtype]) for device, dtype in columns]
            if any(cell != "–" for cell in cells):
                lines.append(f"| `{op}` | {asks} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(outcomes: Counter[str]) -> str:
    if outcomes["failed"]:
        return "**FAILED**"
    return str(outcomes["passed"]) if outcomes["passed"] else "–"
