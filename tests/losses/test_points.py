"""Point losses: what they see and what they do not."""

import torch

from pyface3d.losses import shape_loss


def test_shape_loss_is_blind_to_place_size_and_turn_and_sees_the_rest():
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 20, 2, generator=generator, dtype=torch.float64)
    turn = torch.tensor([[0.8, -0.6], [0.6, 0.8]], dtype=torch.float64)
    assert shape_loss(1.3 * truth @ turn.T + 0.2, truth, softness=1e-9) < 1e-7
    moved = truth.clone()
    moved[:, 0] += 0.1
    alone = shape_loss(moved, truth, softness=1e-9)
    torch.testing.assert_close(shape_loss(0.7 * moved @ turn.T - 1, truth, softness=1e-9), alone)
    assert 0.1 / 20 < alone < 0.1
    mirrored = truth * torch.tensor([-1.0, 1.0])
    assert shape_loss(mirrored, truth) > 0.05, "a mirror image is another shape"
