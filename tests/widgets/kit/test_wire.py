"""The array codec: what goes in comes out, whatever its dtype and shape; anything else is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sparse_debug_widgets.core.checks import InputError
from sparse_debug_widgets.widgets.kit import wire

SMALL = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
ARRAYS = st.sampled_from(wire.DTYPES).flatmap(lambda name: hnp.arrays(np.dtype(name), SMALL))


@given(ARRAYS)
def test_round_trip_keeps_dtype_shape_and_bits(array):
    head, buffer = wire.encode(array)
    back = wire.decode(json.loads(json.dumps(head)), buffer)
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()


@given(ARRAYS)
def test_memory_layout_and_byte_order_do_not_matter(array):
    swapped = np.array(array, order="F").astype(array.dtype.newbyteorder(">"))
    assert wire.encode(swapped) == wire.encode(array)


@given(st.dictionaries(st.text(max_size=8), ARRAYS, max_size=4))
def test_messages_bring_all_arrays_back(arrays):
    heads, buffers = wire.in_message(arrays)
    back = wire.from_message(json.loads(json.dumps(heads)), buffers)
    assert {name: array.tobytes() for name, array in back.items()} == {
        n: a.tobytes() for n, a in arrays.items()
    }


def test_long_integers_are_sent_short_where_they_fit():
    head, buffer = wire.encode(np.array([1, -2], dtype=np.int64))
    assert head == {"dtype": "int32", "shape": [2]}
    assert wire.decode(head, buffer).tolist() == [1, -2]
    with pytest.raises(InputError, match="32 bits"):
        wire.encode(np.array([2**40]))


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([object()])])
def test_what_a_browser_cannot_read_is_refused(array):
    with pytest.raises(InputError, match="one of the dtypes"):
        wire.encode(array)


@pytest.mark.parametrize(
    ("head", "buffer", "match"),
    [
        ({"dtype": "float31", "shape": [1]}, b"1234", "one of the dtypes"),
        ({"dtype": "float32", "shape": [2]}, b"1234", "8 bytes"),
        ({"dtype": "float32", "shape": [-1]}, b"", "shape of whole numbers"),
        ({"dtype": "float32", "shape": "2"}, b"", "shape of whole numbers"),
        ({"dtype": "float32"}, b"", "shape of whole numbers"),
    ],
)
def test_heads_and_buffers_that_do_not_fit_are_refused(head, buffer, match):
    with pytest.raises(InputError, match=match):
        wire.decode(head, buffer)


def test_a_message_that_lost_a_buffer_is_refused():
    heads, buffers = wire.in_message({"a": np.zeros(3), "b": np.ones(2)})
    with pytest.raises(InputError, match="bring the buffer of 'b'"):
        wire.from_message(heads, buffers[:1])


def test_json_has_no_nan():
    value = {"a": [np.float64("nan"), float("inf"), 1.5], "b": np.int64(3), "c": (True, None)}
    assert wire.jsonable(value) == {"a": [None, None, 1.5], "b": 3, "c": [True, None]}


@given(st.text())
def test_json_in_a_script_element_cannot_end_it(text):
    coded = wire.script_json({"label": text + "</script><!--<script>"})
    assert "<" not in coded
    assert json.loads(coded)["label"] == text + "</script><!--<script>"
