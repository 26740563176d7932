"""A mapping with a budget of bytes that forgets what was used longest ago."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


class Lru(Generic[_K, _V]):
    """Keeps values whose sizes sum to at most `budget_bytes`. For one thread.

    >>> lru = Lru[str, str](budget_bytes=10)
    >>> lru.put("a", "apple", 5), lru.put("b", "bean", 4), lru.get("a")
    (None, None, 'apple')
    >>> lru.put("c", "corn", 4), lru.get("b"), lru.nbytes
    (None, None, 9)
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._entries: OrderedDict[_K, tuple[_V, int]] = OrderedDict()
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: _K) -> _V | None:
        """The value, which is now the one used last; None where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: _K, value: _V, nbytes: int) -> None:
        """Keeps `value`, in place of one under the same key. A value that is larger than the budget is not kept."""
        _, known = self._entries.pop(key, (None, 0))
        self.nbytes -= known
        if nbytes > self._budget_bytes:
            return
        self._entries[key] = (value, nbytes)
        self.nbytes += nbytes
        while self.nbytes > self._budget_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self.nbytes -= freed
