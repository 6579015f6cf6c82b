import sys
import tokenize

import h5py
import numpy as np
import pytest

from messages import is_one_line_about
from ups.data.hdf5 import find, flag, numbers, opened, scalar, shown, texts, walk
from ups.types import UserError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


def fault(path, read):
    """Return the line that reading a file ends with."""
    with pytest.raises(UserError) as error, opened(path) as file:
        read(file)
    assert is_one_line_about(error, path)
    return str(error.value)


def test_a_forbidden_file_is_told_as_such(path, monkeypatch):
    def forbid(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    path.touch()
    monkeypatch.setattr(h5py, "File", forbid)
    assert "permission denied" in fault(path, lambda file: None)


@pytest.mark.parametrize(
    "thrown",
    [
        OSError("Can't\nread"),
        KeyError("a"),
        ValueError("v"),
        TypeError("t"),
        OverflowError("o"),
        MemoryError(),
        IndexError("i"),
        EOFError(),
        RecursionError(),
        tokenize.TokenError("EOF", (2, 0)),
    ],
)
def test_whatever_reading_throws_is_one_line(path, thrown):
    h5py.File(path, "w").close()

    def read(file):
        raise thrown

    assert "damaged file" in fault(path, read)


def test_a_package_that_is_missing_and_our_own_lines_are_told_as_they_are(path):
    h5py.File(path, "w").close()

    def read(file):
        raise ImportError("No module named 'cftime'", name="cftime")

    assert fault(path, read) == f"{path}: reading this needs cftime; install it"
    with pytest.raises(UserError, match=r"^mine$"), opened(path):
        raise UserError("mine")
    with pytest.raises(KeyboardInterrupt), opened(path):
        raise KeyboardInterrupt


def test_links_are_followed_inside_the_file_only(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.arange(3.0)
    with h5py.File(path, "w") as file:
        file["group/u"] = np.arange(4.0)
        file["soft"] = h5py.SoftLink("/group/u")
        file["near"] = h5py.SoftLink("group")
        file["outside"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/secret")
        file["round"] = h5py.SoftLink("/round")
        file["through"] = h5py.SoftLink("/outside")
        file["group/outside"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
    with opened(path) as file:
        assert np.array_equal(find(file, "soft")[:], np.arange(4.0))
        assert np.array_equal(find(file, "near/u")[:], np.arange(4.0))
        assert find(file, "absent") is None
        assert find(file, "group/u/deeper") is None
        assert [name for name, _ in walk(file)] == ["group/u"]
    for name in ("outside", "through", "group/outside/secret"):
        assert "link to another file" in fault(path, lambda file, name=name: find(file, name))
    assert "circle" in fault(path, lambda file: find(file, "round"))


def test_values_in_another_file_are_not_read(path, tmp_path):
    (tmp_path / "raw").write_bytes(bytes(32))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["u"] = np.arange(4.0)
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", (4,), "f8", external=[(str(tmp_path / "raw"), 0, 32)])
        virtual = h5py.VirtualLayout((4,), "f8")
        virtual[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "u", (4,))
        file.create_virtual_dataset("virtual", virtual)
    for name in ("raw", "virtual"):
        assert "in another file" in fault(path, lambda file, name=name: numbers(path, file[name]))


def test_a_small_file_that_declares_much_is_refused_before_memory_is_asked_for(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("u", (10**9, 41, 256), "f4", chunks=(1, 41, 256))
        file.create_dataset(
            "zeros", (4000, 1000), "f4", chunks=(400, 1000), compression="gzip", data=np.zeros((4000, 1000))
        )
    assert "declares 4.2e+04 GB" in fault(path, lambda file: numbers(path, file["u"]))
    with opened(path) as file:  # honest compression passes
        assert numbers(path, file["zeros"])[:].sum() == 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([1j]), "complex"),
        (np.zeros(2, [("real", "f8"), ("imag", "f8")]), "complex"),
        (np.zeros(2, [("a", "f8")]), "not numbers"),
        (b"words", "not numbers"),
        (h5py.Empty("f8"), "empty"),
    ],
)
def test_what_is_not_real_numbers_is_refused(path, value, expected):
    with h5py.File(path, "w") as file:
        file["u"] = value
    assert expected in fault(path, lambda file: numbers(path, file["u"]))
    assert "not a dataset" in fault(path, lambda file: numbers(path, file))


def test_words_come_as_text_bytes_or_lists_and_an_empty_list_has_any_type(path):
    with h5py.File(path, "w") as file:
        file.attrs.update({
            "text": "xy",
            "bytes": np.bytes_(b"xy"),
            "list": ["x", "y"],
            "fixed": np.array([b"x", b"y"]),
        })
        file.attrs.update({"none": np.zeros(0), "empty": h5py.Empty("S1"), "numbers": [1.0]})
    with opened(path) as file:
        assert [texts(file.attrs[name]) for name in ("text", "bytes")] == [("xy",)] * 2
        assert [texts(file.attrs[name]) for name in ("list", "fixed")] == [("x", "y")] * 2
        assert [texts(file.attrs[name]) for name in ("none", "empty")] == [()] * 2
    assert "text is expected" in fault(path, lambda file: texts(file.attrs["numbers"]))


def test_yes_and_no_come_as_bools_of_any_kind(path):
    with h5py.File(path, "w") as file:
        file.attrs.update({
            "a": True,
            "b": np.bool_(False),
            "c": 1,
            "d": np.array([0]),
            "bad": "yes",
            "two": [True, False],
        })
    with opened(path) as file:
        assert [flag(file, name) for name in "abcd"] == [True, False, True, False]
        assert flag(file, "absent", default=False) is False
    for name in ("bad", "two", "absent"):
        assert name in fault(path, lambda file, name=name: flag(file, name))


@pytest.mark.parametrize("value", [[1.0, 2.0], "abc", 1j, np.nan, np.inf, 1e300, [], h5py.Empty("f8")])
def test_a_number_is_one_finite_real_number(path, value):
    with h5py.File(path, "w") as file:
        file.attrs["Nu"] = value
        file.attrs["good"] = [0.5]
    with opened(path) as file:
        assert scalar(path, "good", file.attrs["good"]) == 0.5
    assert "Nu is" in fault(path, lambda file: scalar(path, "Nu", file.attrs["Nu"]))


def test_text_from_a_file_stays_on_one_line_of_bounded_length():
    assert shown("a\nb\x1b[31m\tc") == "a b [31m c"
    assert len(shown("x" * sys.maxunicode)) == 120
