"""The training loop: interrupted or not, the same weights come out."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from blockface.errors import InputError
from blockface.train import Training, calibrate, falls, fit, fitting, generator
from blockface.unet import Hardware, Network, load_model, save_model

CPU = Hardware(torch.device("cpu"), None)
NETWORK = Network(outputs=1, base=4, depth=2)
TRAINING = Training(steps=12, batch=2, crop=16, validations=4, seed=5)


class KilledError(Exception):
    pass


def training(folder, *, stop_at=None, network=NETWORK, settings=TRAINING, made_from=None, every=0):
    """Weights, history and steps drawn of a run that dies before step ``stop_at``."""
    drawn = []

    def sample(rng):
        drawn.append(rng.initial_seed())
        if stop_at is not None and len(set(drawn)) > stop_at:
            raise KilledError
        images = torch.rand(2, 1, 16, 16, generator=rng)
        return images, 1 - images

    model, history = fit(
        network,
        settings,
        sample=sample,
        loss=lambda output, target: ((output - target) ** 2).mean(),
        validate=lambda model: {"score": model(torch.ones(1, 1, 16, 16)).mean().item()},
        checkpoint=folder / "model.pt.checkpoint",
        made_from=made_from or {"data": "a"},
        hardware=CPU,
        save_every_s=every,
    )
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    return weights, history, drawn


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("residual", [False, True], ids=["batch norm", "residual"])
def test_resumed_is_bit_for_bit_the_uninterrupted(tmp_path, residual):
    network = Network(outputs=1, base=4, depth=2, residual=residual)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    weights, history, all_steps = training(tmp_path / "whole", network=network)
    for stop in (3, 4):  # twice, at other steps
        with pytest.raises(KilledError):
            training(tmp_path / "killed", network=network, stop_at=stop)
    again, resumed, later = training(tmp_path / "killed", network=network)
    assert same(weights, again)
    assert history.equals(resumed)
    assert len(later) < len(all_steps)


def test_other_settings_or_data_begin_anew(tmp_path, caplog):
    _, _, all_steps = training(tmp_path)
    with pytest.raises(KilledError):
        training(tmp_path, stop_at=8, made_from={"data": "b"})
    caplog.set_level("INFO")
    _, _, drawn = training(tmp_path, made_from={"data": "c"})
    assert drawn == all_steps
    assert "starting anew" in caplog.text
    assert "going on from" not in caplog.text


def test_the_first_checkpoint_is_written_at_once(tmp_path):
    with pytest.raises(KilledError):
        training(tmp_path, stop_at=1, every=1e9)
    state = torch.load(tmp_path / "model.pt.checkpoint", weights_only=True)["state"]
    assert state["step"] == 1


def test_a_kill_while_saving_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    weights, _, _ = training(tmp_path)
    (tmp_path / "model.pt.checkpoint").unlink()
    with pytest.raises(KilledError):
        training(tmp_path, stop_at=6)
    before = (tmp_path / "model.pt.checkpoint").read_bytes()

    def dies(stored, file):
        file.write(b"half of it")
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", dies)
        with pytest.raises(KilledError):
            training(tmp_path)
    assert (tmp_path / "model.pt.checkpoint").read_bytes() == before
    assert same(training(tmp_path)[0], weights)


def test_a_loss_that_is_no_number_stops_with_the_key_to_change(tmp_path):
    with pytest.raises(ArithmeticError, match=r"nan at step 0; lower training.learning_rate"):
        fit(
            NETWORK, TRAINING,
            sample=lambda rng: (torch.full((1, 1, 16, 16), torch.nan), torch.zeros(1, 1, 16, 16)),
            loss=lambda output, target: ((output - target) ** 2).mean(),
            validate=lambda model: {"score": 0.0},
            checkpoint=tmp_path / "c", made_from={}, hardware=CPU,
        )  # fmt: skip


def test_it_learns(tmp_path):
    longer = Training(steps=60, batch=2, crop=16, learning_rate=0.02, validations=6, averaging=0.5)
    _, history, _ = training(tmp_path, settings=longer)
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0] / 3


def test_random_numbers_belong_to_seed_and_step():
    draws = {(s, t): torch.rand(3, generator=generator(s, t)).tolist()
             for s in (0, 1) for t in (0, 1)}  # fmt: skip
    assert len({tuple(d) for d in draws.values()}) == 4
    assert torch.rand(3, generator=generator(1, 1)).tolist() == draws[1, 1]


@pytest.mark.parametrize(
    ("crop", "stored", "expected"), [(128, 320, 128), (256, 96, 96), (100, 320, 96), (24, 20, 16)]
)
def test_crops_fit_the_patch_and_the_network(crop, stored, expected):
    network = Network(outputs=2, depth=3, stride=2)  # multiples of 8
    asked = Training(steps=1, batch=1, crop=crop)
    assert fitting(asked, stored, network).crop == expected


def test_a_network_too_deep_for_the_patches_is_refused():
    asked = Training(steps=1, batch=1, crop=256)
    with pytest.raises(InputError, match=r"at least 64 .* lower network.depth"):
        fitting(asked, 48, Network(outputs=2, depth=6, stride=2))


def members_of(folder, members, *, stop_at=None, steps=24, **settings):
    drawn = []

    def sample(rng):
        drawn.append(rng.initial_seed())
        if stop_at is not None and len(set(drawn)) > stop_at:
            raise KilledError
        images = torch.rand(2, 1, 16, 16, generator=rng)
        return images, 1 - images

    model, history = fit(
        NETWORK, replace(TRAINING, steps=steps, members=members, **settings),
        sample=sample, loss=lambda output, target: ((output - target) ** 2).mean(),
        validate=lambda model: {"score": 0.0}, checkpoint=folder / "c", made_from={},
        hardware=CPU, save_every_s=0,
    )  # fmt: skip
    return model, history


def test_an_ensemble_comes_of_one_training_and_survives_a_kill(tmp_path):
    (tmp_path / "killed").mkdir()
    model, history = members_of(tmp_path, 3)
    assert history["step"].max() == 24  # no step more than one network takes
    weights = [{n: v.numpy() for n, v in m.state_dict().items()} for m in model.members]
    assert len(weights) == 3
    assert not any(same(a, b) for a, b in itertools.combinations(weights, 2))
    with pytest.raises(KilledError):
        members_of(tmp_path / "killed", 3, stop_at=20)
    again, _ = members_of(tmp_path / "killed", 3)
    for one, other in zip(model.members, again.members, strict=True):
        assert same(*({n: v.numpy() for n, v in m.state_dict().items()} for m in (one, other)))
    hardware = CPU
    save_model(tmp_path / "m.pt", model, {"kind": "segmenter"})
    stored, _ = load_model(tmp_path / "m.pt", hardware, "segmenter")
    image = torch.rand(1, 1, 16, 16)
    for one, other in zip(model.members, stored.members, strict=True):
        torch.testing.assert_close(one(image), other(image), rtol=1e-5, atol=1e-6)


def test_members_have_the_statistics_of_their_own_weights(tmp_path):
    """Averaging weights does not average the statistics of what they compute."""
    model, _ = members_of(tmp_path, 2, validations=1)  # which has them reckoned, too
    for member in model.members:
        before = {n: v.clone() for n, v in member.named_buffers() if "running" in n}
        calibrate(member, lambda rng: [torch.rand(2, 1, 16, 16, generator=rng)], TRAINING.seed, CPU)
        assert before
        for name, value in member.named_buffers():
            if name in before:
                torch.testing.assert_close(value, before[name])


def test_what_is_kept_is_an_average_of_the_last_weights(tmp_path):
    """At a learning rate that makes them jump, the average lies away from the last ones."""
    weights = []
    for number, averaging in enumerate((0.5, 0.0)):  # over half of the steps; none
        settings = replace(TRAINING, averaging=averaging, learning_rate=0.05, validations=1)
        (tmp_path / str(number)).mkdir()
        weights.append(training(tmp_path / str(number), settings=settings)[0])
    averaged, last = weights
    apart = [np.abs(averaged[n] - last[n]).max() for n in last if n.endswith("weight")]
    assert max(apart) > 0.01


@pytest.mark.parametrize("members", [1, 2, 4, 8])
def test_the_learning_rate_falls_once_for_every_member(members):
    asked = Training(steps=200, batch=1, crop=16, members=members)
    assert len(asked.ends) == members
    assert asked.ends[-1] == 200
    share = [falls(asked.ends)(step) for step in range(200)]
    assert max(share) <= 1
    assert sum(b > a + 0.3 for a, b in itertools.pairwise(share)) == members - 1  # restarts
    for end in asked.ends:
        assert share[end - 1] < 0.05
