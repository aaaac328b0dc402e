"""Balls: vertices against linear programs, limits, projections against their optimality conditions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.perturbation import (
    Ball,
    L1Ball,
    L1QBall,
    L2Ball,
    LInfBall,
    SpendingL1QBall,
    l1_radius_around_l2,
)
from sparse_debug_widgets.perturbation.arguments import Headroom, check_room
from sparse_debug_widgets.perturbation.sparse_balls import count_of
from tests.perturbation.models import pictures

D = 12
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)
INSTANCES = st.tuples(
    st.integers(0, 10_000),
    st.floats(0.05, 8.0).map(lambda radius: torch.tensor(radius, dtype=torch.float64)),
    st.integers(1, D),
    st.booleans(),
)  # seed, radius, m, whether some gradients and rooms are zero


def instance(seed: int, degenerate: bool, rows: int = 2) -> tuple[torch.Tensor, Headroom]:
    """Gradients (rows, D), and the room of pixels in [0, 1]."""
    rng = np.random.default_rng(seed)
    gradient = rng.standard_normal((rows, D))
    pixels = rng.random((rows, D))
    if degenerate:
        gradient[rng.random((rows, D)) < 0.3] = 0
        pixels = np.where(rng.random((rows, D)) < 0.3, rng.integers(0, 2, (rows, D)), pixels)
    room = check_room(torch.tensor(pixels), (0.0, 1.0))
    assert room is not None
    return torch.tensor(gradient), room


def program(
    gradient: np.ndarray, low: np.ndarray, high: np.ndarray, weight: np.ndarray, budget: float
) -> float:
    """min <g, p - n> with 0 <= p <= high, 0 <= n <= -low, sum weight (p + n) <= budget, by scipy."""
    down, up = weight
    solved = linprog(
        np.concatenate([gradient, -gradient]),
        A_ub=np.concatenate([up, down])[None],
        b_ub=[budget],
        bounds=[(0, h) for h in np.concatenate([high, -low])],
    )
    assert solved.status == 0
    return float(solved.fun)


@SETTINGS
@given(INSTANCES)
def test_the_vertex_without_a_box_is_the_linear_programs_optimum(case) -> None:
    seed, radius, m, degenerate = case
    gradient, _ = instance(seed, degenerate)
    vertex = L1QBall(radius, m).lmo(gradient)
    ones = np.ones((2, D))
    for row in range(2):
        g = gradient[row].numpy()
        height = float(radius / m) * ones[0]
        best = program(g, -height, height, ones, float(radius))
        assert np.dot(g, vertex[row].numpy()) == pytest.approx(best, abs=1e-9)
        assert int((vertex[row] != 0).sum()) <= m


@SETTINGS
@given(INSTANCES)
def test_the_vertex_within_the_box_is_the_linear_programs_optimum(case) -> None:
    seed, radius, m, degenerate = case
    gradient, room = instance(seed, degenerate)
    ball = L1QBall(radius, m, room)
    vertex, caps = ball.lmo(gradient), room.within((radius / m).expand(2, 1))
    low, high = caps.low.numpy(), caps.high.numpy()
    for row in range(2):
        g, s = gradient[row].numpy(), vertex[row].numpy()
        with np.errstate(divide="ignore"):
            weight = np.stack(
                [np.where(low[row] < 0, -1 / low[row], 0), np.where(high[row] > 0, 1 / high[row], 0)]
            )
        assert np.dot(g, s) == pytest.approx(program(g, low[row], high[row], weight, m), abs=1e-9)
        assert np.count_nonzero(s) <= m
        assert np.abs(s).sum() <= float(radius) * (1 + 1e-12)
        assert (s >= low[row]).all() and (s <= high[row]).all()  # noqa: PT018


@SETTINGS
@given(INSTANCES)
def test_the_spending_vertex_is_the_linear_programs_optimum(case) -> None:
    seed, radius, m, degenerate = case
    gradient, room = instance(seed, degenerate)
    for ball, most in ((SpendingL1QBall(radius, m, room), radius / m), (L1Ball(radius, room), radius)):
        vertex, caps = ball.lmo(gradient), room.within(most.expand(2, 1))
        for row in range(2):
            g = gradient[row].numpy()
            best = program(g, caps.low[row].numpy(), caps.high[row].numpy(), np.ones((2, D)), float(radius))
            assert np.dot(g, vertex[row].numpy()) == pytest.approx(best, abs=1e-9)


@SETTINGS
@given(INSTANCES)
def test_the_compiled_step_is_the_same_as_the_one_in_pytorch(case) -> None:
    seed, radius, m, degenerate = case
    for dtype in (torch.float64, torch.float32):
        gradient, room = instance(seed, degenerate)
        gradient, room, radius = (
            gradient.to(dtype),
            Headroom(room.low.to(dtype), room.high.to(dtype)),
            radius.to(dtype),
        )
        for ball in (L1QBall(radius, m, room), L1QBall(radius, (m, max(1, m // 2)))):
            start = ball.lmo(torch.randn(2, D, dtype=dtype, generator=torch.Generator().manual_seed(seed)))
            compiled, plain = ball.advance(start, gradient, 0.3), Ball.advance(ball, start, gradient, 0.3)
            torch.testing.assert_close(compiled.moved, plain.moved)
            torch.testing.assert_close(compiled.gap, plain.gap, check_dtype=False)
            assert torch.equal(compiled.support, plain.support)


def test_the_compiled_step_finds_the_largest_of_many_equal_and_of_tiny_gradients() -> None:
    gradient = torch.full((1, 5000), 1e-3)
    gradient[0, 4:2000:3] = 1e-42
    gradient[0, ::7] = -2e-3
    gradient[0, 3] = torch.nan
    ball = L1QBall(10.0, 1000)
    step = ball.advance(torch.zeros(1, 5000), gradient, 1.0)
    assert int(step.support) == 1000
    assert int((step.moved[0, ::7] > 0).sum()) == len(range(0, 5000, 7))
    assert step.moved[0, 3] == 0
    assert not step.moved[0, 4:2000:3][gradient[0, 4:2000:3] == 1e-42].any()


def test_a_row_without_a_gradient_stays_where_it_is() -> None:
    start = torch.rand(2, D)
    gradient = torch.stack([torch.zeros(D), torch.ones(D)])
    for ball in (L1QBall(3.0, 4), L2Ball(3.0), LInfBall(3.0), L1Ball(3.0)):
        moved = ball.advance(start, gradient, 0.5).moved
        assert torch.equal(moved[0], start[0])
        assert not torch.equal(moved[1], start[1])


@pytest.mark.parametrize("boxed", [False, True])
@pytest.mark.parametrize("size", [0.0, 1e-25, 1e-36])
@pytest.mark.parametrize("radius", [0.5, 40.0])
def test_a_tiny_gradient_has_a_direction_and_no_gradient_has_none(radius, size: float, boxed: bool) -> None:
    """A sure model sends back numbers whose squares are zero in float32."""
    gradient, room = instance(3, degenerate=False)
    gradient = gradient.float()
    room = Headroom(room.low.float(), room.high.float())
    for ball in balls(torch.tensor(radius), 3, room if boxed else None):
        step = ball.advance(torch.zeros(2, D), gradient * size, 0.5)
        expected = ball.advance(torch.zeros(2, D), gradient, 0.5).moved if size else torch.zeros(2, D)

        torch.testing.assert_close(step.moved, expected, rtol=1e-5, atol=1e-5)


def test_q_one_over_d_is_l1_and_q_one_is_l_infinity() -> None:
    gradient, _ = instance(3, degenerate=False)
    radius = torch.tensor(2.5, dtype=torch.float64)
    assert count_of(1 / D, D) == 1
    assert count_of(1, D) == D
    torch.testing.assert_close(
        L1QBall(radius, count_of(1 / D, D)).lmo(gradient), L1Ball(radius).lmo(gradient)
    )
    torch.testing.assert_close(L1QBall(radius, D).lmo(gradient), LInfBall(radius / D).lmo(gradient))
    corner = L1Ball(radius).lmo(gradient)
    assert torch.equal((corner != 0).sum(1), torch.ones(2, dtype=torch.int64))
    assert torch.equal(corner.abs().argmax(1), gradient.abs().argmax(1))


@pytest.mark.parametrize("d", [3, 7, 10, 300, 12_288, 150_528])
def test_the_count_is_not_one_too_many_by_rounding(d: int) -> None:
    assert [count_of(m / d, d) for m in (1, 2, 3)] == [1, 2, 3]
    assert count_of(1e-12, d) == 1
    assert count_of(2.5 / d, d) == 3


def balls(radius: float | torch.Tensor, m: int, room: Headroom | None) -> list[Ball]:
    made: list[Ball] = [
        L2Ball(radius, room),
        LInfBall(radius, room),
        L1Ball(radius, room),
        L1QBall(radius, m, room),
    ]
    return made if room is None else [*made, SpendingL1QBall(radius, m, room)]


@SETTINGS
@given(INSTANCES, st.booleans())
def test_vertices_and_projections_lie_in_the_ball_and_are_optimal(case, boxed: bool) -> None:
    seed, radius, m, degenerate = case
    gradient, room = instance(seed, degenerate)
    far = 3 * torch.randn(2, D, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for ball in balls(radius, m, room if boxed else None):
        vertex, nearest = ball.lmo(gradient), ball.project(far)
        for point in (vertex, nearest):
            assert bool((ball.norm(point) <= radius * (1 + 1e-9)).all()), ball.name
            assert not boxed or torch.equal(room.clamp(point), point)
        # The nearest point z of a convex set: <v - z, s> is largest at z (variational inequality).
        residual = far - nearest
        support = -(ball.lmo(-residual) * -residual).sum(1)
        torch.testing.assert_close((residual * nearest).sum(1), support, atol=1e-7, rtol=1e-7)
        torch.testing.assert_close(ball.project(nearest), nearest, atol=1e-9, rtol=1e-9)
        # The dual norm is the support function, and <g, s> <= norm(s) dual_norm(g).
        dual = ball.dual_norm(gradient)
        torch.testing.assert_close(
            dual * radius, -(-gradient * ball.lmo(-gradient)).sum(1), atol=1e-12, rtol=1e-12
        )
        assert bool(((gradient * nearest).sum(1) <= ball.norm(nearest) * dual + 1e-9).all())


def test_points_inside_are_not_projected_and_points_out_of_the_room_have_infinite_norm() -> None:
    gradient, room = instance(1, degenerate=True)
    for ball in balls(4.0, 3, room):
        inside = 0.4 * ball.lmo(gradient)
        torch.testing.assert_close(ball.project(inside), inside)
        no_room = torch.zeros(2, D, dtype=torch.float64)
        no_room[room.high == 0] = 1e-3
        assert bool((ball.norm(no_room)[(room.high == 0).any(1)] == torch.inf).all())


def test_room_keeps_the_box_exactly_in_floating_point() -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = torch.tensor(-2.117904), torch.tensor(2.64)
    for dtype in (torch.float32, torch.float64):
        x = torch.rand((4, 20_000), generator=generator, dtype=dtype) * (high - low).to(dtype) + low.to(dtype)
        x = x.clamp(low.to(dtype), high.to(dtype))
        room = check_room(x, (low, high))
        assert room is not None
        assert bool((x + room.high <= high.to(dtype)).all())
        assert bool((x + room.low >= low.to(dtype)).all())
        torch.testing.assert_close(x + room.high, high.to(dtype).expand_as(x))


def test_the_box_may_differ_by_channel() -> None:
    low, high = -torch.tensor([1.0, 2.0, 3.0])[:, None, None], torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    room = check_room(pictures(), (low, high))
    assert room is not None
    assert torch.equal(
        (pictures().flatten(1) + room.high).reshape(3, 3, 36).amax((0, 2)), torch.tensor([1.0, 2, 3]).double()
    )


@pytest.mark.parametrize("radius", [0.0, -1.0, float("nan"), float("inf"), torch.ones(2, 2)])
def test_a_bad_radius_is_refused(radius) -> None:
    with pytest.raises(InputError, match="radius is not compatible with the l2 ball"):
        L2Ball(radius)


def test_more_coordinates_than_there_are_are_refused() -> None:
    with pytest.raises(InputError, match="at most 12"):
        L1QBall(1.0, 13).lmo(torch.ones(1, 12))


def test_the_papers_radius_around_an_l2_ball() -> None:
    assert l1_radius_around_l2(35.0, 3 * 224 * 224) == pytest.approx(35 * 224 * 3**0.5)
