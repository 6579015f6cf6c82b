import pickle
import struct
import sys

import numpy as np
import pytest

from messages import is_one_line_about
from ups.images.serialized import read_serialized
from ups.types import UserError

ARRAY = np.random.default_rng(0).integers(0, 256, (7, 12), dtype=np.uint8)


def saved(path, data):
    path.write_bytes(data)
    return path


def refused(path, data, match):
    with pytest.raises(UserError, match=match) as error:
        read_serialized(saved(path, data))
    assert is_one_line_about(error, path)


def equal(one, two):
    if isinstance(one, np.ndarray):
        return type(two) is np.ndarray and one.dtype == two.dtype and np.array_equal(one, two)
    if isinstance(one, dict):
        return list(one) == list(two) and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(two) and len(one) == len(two) and all(map(equal, one, two))
    return type(one) is type(two) and one == two


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "value",
    [
        {
            b"data": ARRAY,
            b"labels": [0, 9, 255, 256, 70_000, -3, 2**40],
            b"names": [b"", b"a", b"\xff" * 300],
        },
        {
            "data": np.asfortranarray(ARRAY),
            "text": "\u00e9" * 300,
            "nested": ((), (1,), (1, 2), [[], {}], None),
        },
        {
            "empty": ARRAY[:0],
            "cube": ARRAY.reshape(7, 3, 4),
            "line": ARRAY[0],
            "float": 0.5,
            "yes": [True, False],
        },
        {"one": (again := [ARRAY]), "other": again, "array": ARRAY},
        list(range(3000)),
    ],
)
def test_plain_values_and_arrays_are_read_as_python_reads_them(tmp_path, protocol, value):
    data = pickle.dumps(value, protocol)
    assert equal(read_serialized(saved(tmp_path / "a", data)), pickle.loads(data))


def short(text):
    return b"U" + bytes([len(text)]) + text


def python_2(array, labels):
    """What Python 2 and its NumPy write: byte strings, `numpy.core`, integers for truth values."""
    reconstruct = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
    )
    dtype = b"cnumpy\ndtype\nq\x04U\x02u1K\x00K\x01\x87Rq\x05(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    shape = b"(" + b"".join(b"M" + struct.pack("<H", n) for n in array.shape) + b"t"
    raw = b"T" + struct.pack("<i", array.size) + array.tobytes()
    numbers = b"]q\x06(" + b"".join(b"K" + bytes([n]) for n in labels) + b"e"
    whole = reconstruct + b"(K\x01" + shape + dtype + b"\x89" + raw + b"tb"
    return b"\x80\x02}q\x00(" + short(b"labels") + numbers + short(b"data") + whole + b"u."


def test_what_python_2_wrote_is_read_as_bytes(tmp_path):
    data = python_2(ARRAY, [3, 200])
    read = read_serialized(saved(tmp_path / "a", data))
    assert equal(read, {b"labels": [3, 200], b"data": ARRAY})
    assert equal(pickle.loads(data, encoding="bytes"), read)


class Runs:
    """Runs code of its own when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_code_in_a_file_does_not_run(tmp_path):
    marker = tmp_path / "marker"
    code = f"open({str(marker)!r}, 'w').close()"
    for protocol in (1, 2, 3, 4, 5):
        data = pickle.dumps({b"data": Runs(exec, code), b"labels": [1]}, protocol)
        refused(
            tmp_path / "a",
            data,
            r"refused, it holds more than data: a call of '(__builtin__|builtins)\.exec'",
        )
        assert not marker.exists()
        pickle.loads(data)  # it would have run
        assert marker.exists()
        marker.unlink()


def test_a_module_that_a_file_names_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("def f(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    data = b"\x80\x02cplanted\nf\n)R."
    refused(tmp_path / "a", data, "a call of 'planted.f'")
    assert "planted" not in sys.modules
    pickle.loads(data)  # it would have been
    assert sys.modules.pop("planted")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"(ios\nsystem\n.", "opcode INST"),
        (b"(cos\nsystem\no.", "opcode OBJ"),
        (b"\x80\x02cos\nsystem\n)\x81.", "opcode NEWOBJ"),
        (b"\x80\x04cos\nsystem\n)}\x92.", "opcode NEWOBJ_EX"),
        (b"Pabc\n.", "opcode PERSID"),
        (b"\x80\x02K\x01Q.", "opcode BINPERSID"),
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
        (b"\x80\x02]}b.", "the state of an object"),
        (b"\x80\x02K\x01)R.", "a call of what is no name"),
        (b"\x80\x02]q\x00(K\x01K\x02u.", "something else than a dict by name"),
        (b"\x80\x02}(K\x01)u.", "something else than a dict by name"),
        (
            b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
            "a call of '_codecs.encode'",
        ),
        (
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncos\nsystem\nK\x00\x85C\x01b\x87R.",
            "a call of 'numpy.core",
        ),
        (
            b"\x80\x02cnumpy._core.numeric\n_frombuffer\n(C\x01aX\x02\x00\x00\x00u1K\x01\x85X\x01\x00\x00\x00CtR.",
            "an array of something else than bytes",
        ),
        (pickle.dumps(np.array([print, None])), r"a call of 'numpy.dtype"),
        (pickle.dumps(np.zeros(3)), r"a call of 'numpy.dtype"),
        (pickle.dumps(ARRAY.view(np.recarray), 2), r"a call of 'numpy.*_reconstruct"),
    ],
)
def test_what_is_no_plain_data_is_refused_by_name(tmp_path, data, match):
    refused(tmp_path / "a", data, match)


def fault_of(path):
    try:
        read_serialized(path)
    except UserError as error:
        return str(error)
    return ""


def test_files_cut_anywhere_or_changed_anywhere_give_one_line_or_a_value(tmp_path):
    rng = np.random.default_rng(0)
    for data in (python_2(ARRAY[:2], [1, 2]), pickle.dumps({"data": ARRAY[:2], "labels": [1]}, 4)):
        for length in range(0, len(data), 3):
            refused(tmp_path / "a", data[:length], "damaged, or no pickle of images|refused")
        faults = []
        for _ in range(300):
            changed = bytearray(data)
            changed[rng.integers(len(data))] = rng.integers(256)
            faults.append(fault_of(saved(tmp_path / "a", bytes(changed))))
        assert any(faults)
        assert not any("\n" in fault for fault in faults)


def test_what_cannot_be_opened_is_named(tmp_path):
    for path, match in ((tmp_path / "nothing", "no such file"), (tmp_path, "cannot be read: Is a directory")):
        with pytest.raises(UserError, match=match) as error:
            read_serialized(path)
        assert is_one_line_about(error, path)
