"""`pyface3d train`: where values come from, what flags there are, and one line for whatever cannot be used."""

import argparse
import json
import re
from dataclasses import asdict, fields

import pytest
import torch

from pyface3d.cli import main
from pyface3d.commands.train import TRAININGS
from pyface3d.errors import InputError
from pyface3d.networks.relief import SIZE
from pyface3d.train.command import begin, fill
from pyface3d.train.extreme3d.config import PUBLISHED, BumpConfig
from pyface3d.train.flags import add_run_flags, field_texts, read_config
from pyface3d.train.parts.config import PartsConfig
from pyface3d.train.points.config import PointsConfig
from pyface3d.train.relief.config import ReliefConfig


def parsed(kind, *flags):
    parser = argparse.ArgumentParser()
    add_run_flags(parser, kind)
    return parser.parse_args(["--out", "nowhere", "--device", "cpu", *flags])


@pytest.mark.parametrize("name", TRAININGS, ids=" ".join)
def test_every_field_of_one_value_has_a_flag_that_says_what_it_is(name, capsys):
    kind = TRAININGS[name].kind
    assert main(["train", *name, "--help"]) == 0
    shown = capsys.readouterr().out
    texts, default = field_texts(kind), kind()
    for item in fields(kind):
        value = getattr(default, item.name)
        if isinstance(value, bool | int | float | str | tuple):
            assert re.search(rf"--(no-)?{item.name.replace('_', '-')}\b", shown), item.name
            assert len(texts[item.name]) > 3, item.name
    assert f"pyface3d train {' '.join(name)} --" in shown  # its examples


def test_the_list_of_networks(capsys):
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(" ".join(name) in shown for name in TRAININGS) and "examples" in shown
    assert main(["train", "extreme3d", "--help"]) == 0
    assert capsys.readouterr().out == shown
    assert main(["train"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["extreme", "bump"], 2, "did you mean 'extreme3d bump'"),
        (["extreme3d"], 2, "did you mean 'extreme3d bump' or 'extreme3d shape'"),
        (["faces"], 2, "there are landmarks, parts"),
        (["parts", "--out", "x", "--assets", "absent.npz"], 2, "--assets absent.npz is no file"),
        (["parts", "--out", "x", "--threads", "0"], 2, "--threads must be at least 1"),
        (["parts", "--out", "x", "--batch", "many"], 2, "invalid int value: 'many'"),
        (
            ["extreme3d", "bump", "--out", "x", "--size", "256"],
            1,
            "size must be 12 less than a multiple of 64, say 244",
        ),
        (["extreme3d", "bump", "--out", "x", "--export"], 1, "--export needs a folder"),
        (
            ["extreme3d", "shape", "--out", "absent", "--export", "w"],
            1,
            "cannot read the checkpoint absent/checkpoint.pt",
        ),
    ],
)
def test_mistakes_are_one_line(arguments, code, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_flags_win_over_the_file_and_the_file_over_the_recipe(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({"outside": 0.5, "steps": 7, "learning_rate": 1}))
    args = parsed(BumpConfig, "--config", str(tmp_path / "c.json"), "--steps", "9", "--no-occluders")
    config, device, state = begin(args, BumpConfig, PUBLISHED[BumpConfig])
    assert (config.steps, config.outside, config.learning_rate, config.occluders) == (9, 0.5, 1, False)
    assert config.optimizer == "sgd" and config.gain == 1.0 and (device, state) == ("cpu", None)


def test_yaml_says_the_same_as_json(tmp_path):
    yaml = pytest.importorskip("yaml")
    config = ReliefConfig(steps=7, decay_at=(0.5, 0.75))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**asdict(config), "decay_at": [0.5, 0.75]}))
    (tmp_path / "c.json").write_text(config.to_json())
    for name in ("c.yaml", "c.json"):
        assert ReliefConfig.of_mapping(read_config(tmp_path / name)) == config


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "is not JSON"),
        ("a.json", "[1]", "must hold a table"),
        ("a.yaml", "steps: [", "is not YAML"),
        ("a.json", '{"stepz": 4}', "unknown fields stepz"),
        ("a.json", '{"steps": "4"}', "steps must be a int"),
        ("a.json", '{"steps": true}', "steps must be a int"),
        ("a.json", '{"decay_at": 0.5}', "decay_at must be a tuple"),
        ("a.json", '{"occluders": 1}', "occluders must be a bool"),
    ],
)
def test_files_that_say_nothing_usable_are_refused(name, text, message, tmp_path):
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        BumpConfig.of_mapping(read_config(tmp_path / name))
    with pytest.raises(InputError, match="cannot read"):
        read_config(tmp_path / "absent.json")


def test_flags_that_runs_were_recorded_with_still_mean_the_same():
    flags = ("--train-size", "192", "--batch", "20", "--reuse", "3", "--learning-rate", "6e-4", "--hard", "0.3")
    args = parsed(PartsConfig, *flags)
    config, *_ = begin(args, PartsConfig)
    assert (config.size, config.batch, config.reuse, config.learning_rate, config.hard) == (192, 20, 3, 6e-4, 0.3)
    args = parsed(PointsConfig, "--no-variance", "--no-occluders", "--trunk-norms", "batch", "--frozen-stages", "0")
    config, *_ = begin(args, PointsConfig)
    assert (config.variance, config.occluders, config.trunk_norms, config.frozen_stages) == (False, False, "batch", 0)


def test_the_relief_network_is_trained_at_its_size():
    assert ReliefConfig().size == SIZE  # written out there, so that flags are read without torch


def test_weights_that_fit_are_taken_and_none_is_an_error(capsys):
    network = torch.nn.Linear(2, 2)
    fill(network, {"weight": torch.ones(2, 2), "bias": torch.ones(3), "more": torch.ones(1)}, "a.pt")
    assert network.weight.sum() == 4 and "1 of 2 tensors are from a.pt" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"nothing in b\.pt fits"):
        fill(network, {"weight": torch.ones(2, 3)}, "b.pt")
