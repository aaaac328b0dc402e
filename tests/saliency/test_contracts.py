"""Registry-wide contracts: what every saliency method promises."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.core.progress import Cancelled
from sparse_debug_widgets.saliency import METHODS, Attribution, attribute
from tests.contracts.untouched import disturb, untouched
from tests.saliency.models import images, small_cnn

torch.set_num_threads(1)
FAST = {"smoothgrad": {"n_samples": 3}, "smooth_cafo": {"n_samples": 3}, "smooth_caso": {"n_samples": 3}}
FAST |= {"integrated_gradients": {"n_steps": 4}, "gradcam": {"positive": False}}
every_method = pytest.mark.parametrize("method", METHODS)


def run(method, model, x, **options):
    return attribute(model, x, method, **FAST.get(method, {}), **options)


@every_method
def test_values_have_the_shape_of_the_inputs(method):
    x = images(3)
    result = run(method, small_cnn(), x)
    assert result.values.shape == tuple(x.shape)
    assert result.values.dtype == np.float32
    assert np.isfinite(result.values).all()
    assert np.abs(result.values).max() > 0
    assert not result.values.flags.writeable
    assert result.display().shape == (3, 10, 10)
    assert result.display().max() == 1


@every_method
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_any_channel_count(method, channels):
    x = images(1, channels)
    assert run(method, small_cnn(channels=channels), x).values.shape == tuple(x.shape)


@every_method
def test_a_batch_of_two_is_two_of_one(method):
    model, x = small_cnn(), images(2)
    both = run(method, model, x).values
    scale = np.abs(both).max()
    for k in range(2):
        assert np.abs(both[k] - run(method, model, x[k : k + 1]).values[0]).max() < 1e-5 * scale


@every_method
def test_chunks_do_not_change_the_result(method):
    model, x = small_cnn(), images(3)
    whole, pieces = run(method, model, x).values, run(method, model, x, chunk_size=2).values
    assert np.abs(whole - pieces).max() < 1e-5 * np.abs(whole).max()


@every_method
def test_one_seed_one_result_and_the_global_generators_do_not_matter(method):
    model, x = small_cnn(), images(2)
    torch.manual_seed(1)
    first = run(method, model, x, seed=5).values
    torch.manual_seed(2)
    assert np.array_equal(first, run(method, model, x, seed=5).values)
    if "n_samples" in FAST.get(method, {}):
        assert not np.allclose(first, run(method, model, x, seed=6).values, rtol=1e-3)


@every_method
def test_the_model_is_untouched(method):
    model = disturb(small_cnn())
    with untouched(model):
        run(method, model, images(2))


@every_method
def test_nothing_is_left_behind_after_an_exception(method):
    model = disturb(small_cnn())

    def fail(_):
        raise Cancelled

    with untouched(model), pytest.raises(Cancelled):
        run(method, model, images(2), progress=fail)
    with untouched(model), pytest.raises(InputError, match=r"target is not compatible with a model of 4"):
        run(method, model, images(2), target=4)


@every_method
def test_a_frozen_model_and_no_grad_around_give_the_same(method):
    model, x = small_cnn(), images(2)
    expected = run(method, model, x).values
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with torch.no_grad():
        assert np.array_equal(expected, run(method, model, x).values)
    with torch.inference_mode():
        assert np.array_equal(expected, run(method, model, x.clone()).values)


@every_method
def test_any_label_can_be_explained(method):
    model, x = small_cnn(), images(2)
    per_example = run(method, model, x, target=[0, 3])
    assert per_example.target.tolist() == [0, 3]
    assert np.allclose(per_example.values[0], run(method, model, x, target=0).values[0], atol=1e-6)
    predicted = run(method, model, x)
    assert np.array_equal(predicted.target, predicted.predicted)
    assert np.array_equal(
        run(method, model, x, target=torch.from_numpy(np.array(predicted.target))).values, predicted.values
    )


@every_method
def test_progress_is_monotone_and_ends_at_its_total(method):
    seen = []
    run(method, small_cnn(), images(3), chunk_size=2, progress=seen.append)
    assert all(a.done <= b.done for a, b in pairwise(seen))
    assert seen[-1].done == seen[-1].total > 0


@every_method
def test_saving_and_drawing(method, tmp_path):
    result = run(method, small_cnn(), images(2))
    loaded = Attribution.load(result.save(tmp_path / "map.sdw"))
    assert np.array_equal(loaded.values, result.values)
    assert loaded.details == result.details
    assert len(loaded.to_frame()) == 2
    assert len(loaded.plot().data) == 4


@every_method
def test_a_wrong_parameter_names_its_range(method):
    model, x = small_cnn(), images(1)
    for parameter in METHODS[method].parameters:
        assert parameter.help, f"{method}: {parameter.name} is not described"
        if parameter.range is not None:
            with pytest.raises(InputError) as caught:
                attribute(model, x, method, **{parameter.name: -1})
            low = re.search(r"-?\d\S*", str(parameter.range)).group().rstrip(",")
            assert parameter.name in str(caught.value)
            assert low in str(caught.value)
        elif parameter.kind != "other":
            with pytest.raises(InputError, match=parameter.name):
                attribute(model, x, method, **{parameter.name: 1.5})
    with pytest.raises(InputError, match=f"{method} has no parameter 'n_stepz'"):
        attribute(model, x, method, n_stepz=3)


def test_an_unknown_method_suggests_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'smoothgrad'"):
        attribute(small_cnn(), images(1), "smothgrad")


@pytest.mark.parametrize("method", [m for m in METHODS if m != "excitation_backprop"])
@pytest.mark.parametrize("target", [0, 1])
def test_positive_values_speak_for_the_class(method, target):
    """Under one legend: maps of the logit, of the loss, and those of CAFO and CASO point the same way."""
    model, x = small_cnn(classes=1, gain=2.0).double(), images(3).double()
    plain = "gradcam" if method == "gradcam" else "gradient"
    expected = run(plain, model, x, target=target).values
    if method in {"gradient_x_input", "integrated_gradients"}:
        expected = expected * x.numpy()
    of_loss = "of" in {parameter.name for parameter in METHODS[method].parameters}
    for options in [{"of": "logit"}, {"of": "loss"}] if of_loss else [{}]:
        values = run(method, model, x, target=target, **options).values
        cosine = (values * expected).sum((1, 2, 3)) / np.sqrt(
            (values**2).sum((1, 2, 3)) * (expected**2).sum((1, 2, 3))
        )
        # Smooth versions and path integrals look at other points too.
        assert (cosine > 0.5).all(), options
