"""Protections that are written in Python: numpy functions over many code words at once."""

from __future__ import annotations

import abc
import hashlib
import inspect
import numbers
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from zerospace._zerospace import CodeMap, LinearCode, register_protection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_BLOCK = 8
_SEED = 20191210
_SAMPLES = 512


class Protection(abc.ABC):
    """A way to keep int8 weights in memory, in place of a built-in one: a subclass with ``encode`` and ``decode``.

    A *code word* is the smallest unit that is decoded by itself: ``weights_per_word`` consecutive weights, a byte each, and
    ``check_bits`` bits beside them. Both functions take the words of many trials' faults at once, a row for each word. Class
    attributes describe the code:

    - ``id``: its name in experiments and records: letters, digits, ``-``, ``_`` and ``.``;
    - ``weights_per_word``: 8 (default), 4, 2 or 1;
    - ``check_bits``: bits of a word beside its weights (default 0), at most 8 for each weight. Faults hit them too;
    - ``weight_range``: the weights that can be stored, (low, high), or such a pair for each weight of a word (default: any);
    - ``lossy``: True if a memory without faults reads other weights than were stored (default False);
    - ``version``: a text of yours, which must change when something changes what the class computes and its source does not.

    This one keeps a copy of each weight's sign beside it, and reads a weight whose sign differs as 0:

    >>> import numpy as np
    >>> class SignZero(zerospace.Protection):
    ...     id = "sign-zero"
    ...     weights_per_word = 1
    ...     check_bits = 1
    ...     version = "1"
    ...
    ...     def encode(self, weights):
    ...         return weights, weights < 0
    ...
    ...     def decode(self, data, check):
    ...         weights = data.view(np.int8)
    ...         differs = (weights < 0) != check
    ...         return np.where(differs, 0, weights), np.where(differs[:, 0], self.DETECTED, self.CLEAN)
    >>> memory = zerospace.Memory({"fc": np.arange(-8, 8, dtype=np.int8)}, SignZero)
    >>> reading = memory.read(memory.flips(np.array([7])))
    >>> reading.weights["fc"][:3], reading.detected
    (array([ 0, -7, -6], dtype=int8), 1)

    ``Memory``, ``run`` and others take the class, or an instance of it. The first use registers it: blocks of all kinds are stored
    and read, without flips and under each single flip. A ``ValueError`` names the block, the result and what was expected. The id
    of a cell contains a hash of the class's source and of what it computes for some words, so a run is not resumed
    with another code under the same id.
    """

    #: Statuses of words: a code word was read; a word was changed into one; a word is declared uncorrectable (DUE).
    CLEAN, CORRECTED, DETECTED = 0, 1, 2

    id: ClassVar[str]
    weights_per_word: ClassVar[int] = _BLOCK
    check_bits: ClassVar[int] = 0
    weight_range: ClassVar[tuple[int, int] | Sequence[tuple[int, int]]] = (-128, 127)
    lossy: ClassVar[bool] = False
    version: ClassVar[str | None] = None

    @abc.abstractmethod
    def encode(self, weights: NDArray[np.int8]) -> tuple[Any, Any]:
        """Store words: from weights (n, weights_per_word) to data and check bits.

        Data are the stored bytes, int8 or uint8 of the shape of the weights. Check bits are 0 and 1, or booleans, of shape (n,
        check_bits); ``None`` if there are none.
        """

    @abc.abstractmethod
    def decode(self, data: NDArray[np.uint8], check: NDArray[np.uint8]) -> tuple[Any, Any]:
        """Read words, whose bits may have flipped: from data (n, weights_per_word) and check bits (n, check_bits) to weights and statuses.

        Weights are integers from -128 to 127 of the shape of the data; statuses are ``CLEAN``, ``CORRECTED`` or ``DETECTED``, of
        shape (n,). A decoder knows the stored bits alone. Equal bits are read equally, in any company.
        """


class Words:
    """The functions of a protection over bytes, and checks of their results."""

    def __init__(self, protection: Protection) -> None:
        self.protection, self.id = protection, protection.id
        self.size, self.bits = protection.weights_per_word, protection.check_bits

    def encode(self, weights):
        """Data bytes, and a byte for each check bit."""
        import numpy as np

        words = np.frombuffer(bytearray(weights), np.int8).reshape(-1, self.size)
        answer = self.protection.encode(words)
        data, check = self._pair("encode", answer, "data and check bits")
        data = self._integers("encode", "data", data, words.shape, -128, 255).astype(np.uint8)
        if check is None and self.bits == 0:
            return data.tobytes(), b""
        check = self._integers("encode", "check bits", check, (len(words), self.bits), 0, 1)
        return data.tobytes(), check.astype(np.uint8).tobytes()

    def decode(self, data, check):
        """Bytes of the weights, and a byte for each status."""
        import numpy as np

        words = np.frombuffer(bytearray(data), np.uint8).reshape(-1, self.size)
        beside = np.frombuffer(bytearray(check), np.uint8) if check else np.empty(0, np.uint8)
        answer = self.protection.decode(words, beside.reshape(len(words), self.bits))
        weights, status = self._pair("decode", answer, "weights and statuses")
        weights = self._integers("decode", "weights", weights, words.shape, -128, 127).astype(np.int8)
        status = self._integers("decode", "statuses", status, (len(words),), 0, 2, boolean=False).astype(np.uint8)
        return weights.tobytes(), status.tobytes()

    def _pair(self, function, answer, parts):
        if not isinstance(answer, tuple) or len(answer) != 2:
            found = f"a tuple of {len(answer)}" if isinstance(answer, tuple) else f"an object of type {type(answer).__name__}"
            raise TypeError(f"protection {self.id!r}: {function} returned {found}, expected a tuple of {parts}")
        return answer

    def _integers(self, function, part, values, shape, least, most, *, boolean=True):
        import numpy as np

        array = np.asarray(values)
        if array.shape != shape:
            raise ValueError(f"protection {self.id!r}: {function} returned {part} of shape {array.shape}, expected {shape}")
        if array.dtype.kind not in ("biu" if boolean else "iu"):
            raise TypeError(f"protection {self.id!r}: {function} returned {part} of dtype {array.dtype}, expected integers")
        if array.size and (array.min() < least or array.max() > most):
            found = array.min() if array.min() < least else array.max()
            raise ValueError(f"protection {self.id!r}: {function} returned {part} with {found}, expected {least} to {most}")
        return array

    def computed(self, low, high):
        """Hash of the stored bits of some words, and of their readings under no, one and two flips.

        The words are always the same: ``RandomState`` is frozen.
        """
        import numpy as np

        draw = np.random.RandomState(_SEED)
        blocks = np.stack([draw.randint(a, b + 1, _SAMPLES) for a, b in zip(low, high)], axis=1).astype(np.int8)
        data, check = self.encode(blocks.tobytes())
        words, beside = np.frombuffer(data, np.uint8).reshape(-1, self.size), np.frombuffer(check, np.uint8)
        bits = np.concatenate([np.unpackbits(words, axis=1), beside.reshape(len(words), self.bits)], axis=1)
        digest = hashlib.sha256(data + check)
        for _ in range(3):
            read = np.packbits(bits[:, : 8 * self.size], axis=1)
            digest.update(b"".join(self.decode(read.tobytes(), bits[:, 8 * self.size :].tobytes())))
            bits[np.arange(len(bits)), draw.randint(0, bits.shape[1], len(bits))] ^= 1
        return digest.hexdigest()[:16]


_made: WeakKeyDictionary[type, Protection] = WeakKeyDictionary()
_registered: dict[str, Any] = {}


def register(protection: Any) -> str:
    """Register a protection of your own, and return its id, which ``Memory``, ``run`` and others then take.

    They also take the protection itself, and register it. Another protection with the same id is replaced, except while a
    campaign is running.

    Raises ``TypeError`` for another object and for attributes and results of wrong types, and ``ValueError`` for a protection that breaks
    a rule, with the first fault that was found.
    """
    if isinstance(protection, (LinearCode, CodeMap)):
        if _registered.get(protection.name) is not protection:
            protection._register()
            _registered[protection.name] = protection
        return protection.name
    if isinstance(protection, type) and issubclass(protection, Protection):
        if protection not in _made:
            _made[protection] = protection()
        protection = _made[protection]
    if not isinstance(protection, Protection):
        raise TypeError(
            f"a protection is of type {type(protection).__name__}, expected an id, a subclass of zerospace.Protection, a linear "
            "code, or a code map"
        )
    name = _attribute(protection, "id", str, "a text")
    if _registered.get(name) is not protection:
        _register(protection, name)
        _registered[name] = protection
    return name


def _register(protection, name):
    size = _attribute(protection, "weights_per_word", numbers.Integral, "8, 4, 2 or 1")
    bits = _attribute(protection, "check_bits", numbers.Integral, f"0 to {8 * size}")
    if size not in (1, 2, 4, _BLOCK):
        raise ValueError(f"protection {name!r}: weights_per_word is {size}, expected 8, 4, 2 or 1")
    if not 0 <= bits <= 8 * size:
        raise ValueError(f"protection {name!r}: check_bits is {bits}, expected 0 to {8 * size} for words of {size} weights")
    low, high = _ranges(protection, name, size)
    words = Words(protection)
    lossy = bool(protection.lossy)
    definition = f"Python source {_source(protection, name)} computes {words.computed(low, high)}"
    if protection.version is not None:
        definition += f" version {protection.version}"
    register_protection(name, definition, size, bits, low, high, lossy, words.encode, words.decode)


def _attribute(protection, attribute, kind, expected):
    value = getattr(protection, attribute, None)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{type(protection).__name__}.{attribute} is {value!r}, expected {expected}")
    return value


def _ranges(protection, name, size):
    """Least and greatest weight at each position of a block."""
    given = protection.weight_range
    try:
        pairs = [tuple(given)] * size if not hasattr(given[0], "__len__") else [tuple(pair) for pair in given]
        valid = len(pairs) == size and all(len(pair) == 2 for pair in pairs)
        valid = valid and all(-128 <= low <= high <= 127 and int(low) == low and int(high) == high for low, high in pairs)
    except (TypeError, IndexError, KeyError):
        valid = False
    if not valid:
        raise ValueError(
            f"protection {name!r}: weight_range is {given!r}, expected (low, high) with -128 <= low <= high <= 127, or {size} such pairs"
        )
    pairs = pairs * (_BLOCK // size)
    return [int(low) for low, _ in pairs], [int(high) for _, high in pairs]


def _source(protection, name):
    """Hash of the source of the class and of those of its bases that are not ours."""
    digest = hashlib.sha256()
    for kind in type(protection).__mro__:
        if kind is Protection:
            break
        try:
            digest.update(textwrap.dedent(inspect.getsource(kind)).encode())
        except (OSError, TypeError):
            if protection.version is None:
                raise ValueError(
                    f"protection {name!r}: the source of {kind.__name__} cannot be read, expected a version: the class attribute version, "
                    "which must change when the class does"
                ) from None
            return "unknown"
    return digest.hexdigest()[:16]


def is_own(name: str) -> bool:
    """True for the id of a protection that this process has registered, also with a policy on detected words."""
    return name.partition("+")[0] in _registered


def id_of(protection: Any) -> Any:
    """The id of a protection, which is registered if it is one of the user's own."""
    return protection if isinstance(protection, str) else register(protection)
