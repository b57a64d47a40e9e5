"""How many tokens a call will need: an estimate that errs high, and learns.

1. The first guess is ``token_estimate``'s, or exact where the model's tokeniser is at hand.
2. Each reply says what the provider counted. The ratio of that to the first guess is kept
   for each model and kind of request; later guesses are multiplied by a high quantile of
   the latest ratios, and by a margin that shrinks as more of them are known, and is no
   more than twice what they differ by. If they are all alike, as where the tokeniser is
   known, the middle one is as good as exact. A size of which few are known is taken to be like
   the next smaller one: what a template adds weighs less in it.
3. Output is what the request allows at most. Where it does not say, it is a high quantile
   of what the model wrote lately, and ``UNKNOWN_OUTPUT`` at first. Money cannot be taken
   back: for that the most counts, twice the longest of those replies, or ``LONG_OUTPUT``.
4. An estimate can be renewed while its call waits: a queue may be many minutes long.
"""

from __future__ import annotations

from collections import defaultdict, deque
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from tenire.llm.token_estimate import RawCount, count_request, count_texts, text_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tenire.llm.records import ChatRequest, Usage

__all__ = ["LONG_OUTPUT", "UNKNOWN_OUTPUT", "TokenCounter", "TokenEstimate"]

UNKNOWN_OUTPUT = 1024
"""Output tokens of a reply, where neither the request nor the past says."""

LONG_OUTPUT = 4096
"""Output tokens that a long one has, where the request does not say; what many servers allow at most."""

_KEPT = 128
_QUANTILE = 0.98
_ENOUGH = 8  # ratios, before they are believed
_EVERY = 8  # ratios, after which the quantile is found anew
_MARGIN = 0.25  # of the first ratio; goes down with the root of their number
_LEAST, _MOST = 0.05, 20.0  # what a ratio can be
_LEAST_MARGIN = 0.005
_MANY = 16  # of them are all alike,
_ALIKE = 0.002  # if they differ by no more than this part
_SHORT = 3  # sizes up to here, some hundred tokens, say nothing of longer requests
_NOTABLE = 0.002  # part of the quantile that is worth a word when it moves


class TokenEstimate(NamedTuple):
    """What a call will need.

    Attributes:
        input_tokens: Of the prompt.
        output_tokens: Of the reply.
        most_output: Of the longest reply to be reckoned with.
        model: Of the call.
        raw: The first guess, to learn from.
        bounded: Whether the request says how many tokens the reply may have.
    """

    input_tokens: int
    output_tokens: int
    most_output: int
    model: str
    raw: RawCount
    bounded: bool = True

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_tokens + self.output_tokens


class TokenCounter:
    """Estimates the tokens of calls, and learns from their replies.

    Args:
        exact: Counts the tokens of a text, by model, where that is known
            (``tokenisers.load_tokeniser``).

    Attributes:
        revision: Counts how often estimates have changed: those of an earlier one are worth renewing.
    """

    def __init__(self, exact: Mapping[str, Callable[[str], float]] | None = None) -> None:
        self.exact = dict(exact or {})
        self.revision = 0
        self._ratios: defaultdict[tuple[str, tuple[int, bool, bool]], _Recent] = defaultdict(_Recent)
        self._outputs: defaultdict[str, _Recent] = defaultdict(_Recent)

    def estimate(self, request: ChatRequest) -> TokenEstimate:
        """Return what a chat completion will need."""
        model, output = request.model, request.most_output
        raw = count_request(request, self.exact.get(model, text_tokens))
        input_tokens = self._calibrated(model, raw)
        if output is not None:
            return TokenEstimate(input_tokens, output, output, model, raw)
        usual = self._outputs.get(model)
        return TokenEstimate(input_tokens, _usual(usual), _longest(usual), model, raw, bounded=False)

    def renewed(self, estimate: TokenEstimate) -> TokenEstimate:
        """Return an estimate as it is made with what has been learned since."""
        input_tokens = self._calibrated(estimate.model, estimate.raw)
        if estimate.bounded:
            return estimate._replace(input_tokens=input_tokens)
        usual = self._outputs.get(estimate.model)
        return estimate._replace(input_tokens=input_tokens, output_tokens=_usual(usual), most_output=_longest(usual))

    def estimate_texts(self, model: str, texts: Sequence[str]) -> TokenEstimate:
        """Return what vectors of texts will need."""
        raw = count_texts(texts, self.exact.get(model, text_tokens))
        return TokenEstimate(self._calibrated(model, raw), 0, 0, model, raw)

    def learn(self, estimate: TokenEstimate, usage: Usage | None) -> None:
        """Take in what the provider counted for an estimate."""
        if usage is None or usage.input_tokens <= 0:
            return
        ratio = min(max(usage.input_tokens / estimate.raw.exact, _LEAST), _MOST)
        moved = self._ratios[estimate.model, estimate.raw.kind].add(ratio)
        if usage.output_tokens > 0:
            moved |= self._outputs[estimate.model].add(float(usage.output_tokens))
        self.revision += moved

    def _calibrated(self, model: str, raw: RawCount) -> int:
        size, foreign, pictures = raw.kind
        recent = self._ratios.get((model, raw.kind))
        highest = 0.0
        while recent is None or recent.count < _ENOUGH:
            highest = max(highest, 0.0 if recent is None else recent.highest)
            size -= 1
            if size <= _SHORT:
                return raw.tokens
            recent = self._ratios.get((model, (size, foreign, pictures)))
        return max(1, round(raw.exact * max(recent.high, highest)))


class _Recent:
    """The latest values of one kind, and a value that few of them are above."""

    __slots__ = ("_most", "_told", "_values", "count", "high")

    def __init__(self) -> None:
        self._values: deque[float] = deque(maxlen=_KEPT)
        self._told = self._most = 0.0
        self.count = 0
        self.high = 0.0

    @property
    def highest(self) -> float:
        """The highest of them; 0 if there are none."""
        return max(self._values, default=0.0)

    def add(self, value: float) -> bool:
        """Take in a value; return whether the high one, if it is believed, has moved since that was last said."""
        self._values.append(value)
        self.count += 1
        if value > max(self.high, self._most) or self.count % _EVERY == 0:
            ordered = sorted(self._values)
            high = ordered[min(len(ordered) - 1, int(_QUANTILE * len(ordered)))]
            apart = (ordered[-1] - ordered[0]) / high
            self._most = ordered[-1]
            if apart <= _ALIKE and len(ordered) >= _MANY:
                self.high = ordered[len(ordered) // 2]
            else:
                self.high = high * (1 + min(2 * apart + _LEAST_MARGIN, _MARGIN / len(ordered) ** 0.5))
        if self.count < _ENOUGH or abs(self.high - self._told) <= _NOTABLE * self.high:
            return False
        self._told = self.high
        return True


def _usual(recent: _Recent | None) -> int:
    return UNKNOWN_OUTPUT if recent is None or recent.count < _ENOUGH else ceil(recent.high)


def _longest(recent: _Recent | None) -> int:
    return LONG_OUTPUT if recent is None else max(LONG_OUTPUT, ceil(2 * recent.highest))
