"""Three healthy repositories of different layouts, which the tests break in many ways.

That their own tests pass as they stand here is itself tested, so a file that is again what it was needs no
second run of them. They are plain functions, which pytest runs too: where pytest is not the law, the
repository's own test command costs a tenth.
"""

from __future__ import annotations

FLAT = {
    "orders.py": '''"""Orders of a kiosk."""

RATES = {"book": 7, "toy": 19}
OPEN = ["new", "paid"]


def net(prices, discount=0):
    """Sum of the prices, less the discount."""
    total = sum(prices)
    return round(total * (1 - discount), 2)


def gross(prices, kind):
    if kind not in RATES:
        raise KeyError(kind)
    rate = RATES[kind]
    return round(net(prices) * (100 + rate) / 100, 2)


def describe(name, count):
    label = f"{count} x {name}"
    if count == 0:
        return "none of " + name
    return label


def open_orders(orders):
    found = []
    for order in orders:
        if order["state"] in OPEN:
            found.append(order["id"])
    return found
''',
    "test_orders.py": """from orders import describe, gross, net, open_orders


def test_net():
    assert net([10, 5.5]) == 15.5
    assert net([10, 10], 0.1) == 18.0


def test_gross():
    assert gross([100], "book") == 107.0
    assert gross([100], "toy") == 119.0
    try:
        gross([1], "car")
    except KeyError:
        pass
    else:
        raise AssertionError("no rate, and yet a price")


def test_describe():
    assert describe("pen", 3) == "3 x pen"
    assert describe("pen", 0) == "none of pen"


def test_open_orders():
    orders = [{"id": 1, "state": "new"}, {"id": 2, "state": "sent"}, {"id": 3, "state": "paid"}]
    assert open_orders(orders) == [1, 3]
""",
}

SRC = {
    "pyproject.toml": '[project]\nname = "textkit"\nversion = "1"\nrequires-python = ">=3.8"\n',
    "src/textkit/__init__.py": "from textkit.words import count, longest\n\n__all__ = ['count', 'longest']\n",
    "src/textkit/words.py": '''import re

WORD = re.compile(r"[a-z]+", re.IGNORECASE)
STOP = {"a", "the", "of"}


class Counter:
    """Counts what it is shown."""

    def __init__(self, *, keep_stop=False):
        self.keep_stop = keep_stop
        self.seen = {}

    def show(self, text: str) -> "Counter":
        for word in WORD.findall(text):
            word = word.lower()
            if word in STOP and not self.keep_stop:
                continue
            self.seen[word] = self.seen.get(word, 0) + 1
        return self


def count(text):
    return Counter().show(text).seen


def longest(text, default="-"):
    words = sorted(WORD.findall(text), key=len)
    return words[-1] if words else default
''',
    "src/textkit/wrap.py": """def wrap(text, width=10):
    lines, current = [], ""
    for word in text.split(" "):
        if len(current) + len(word) >= width:
            lines.append(current.strip())
            current = ""
        current += word + " "
    return lines + [current.strip()]


def quote(text, mark="> "):
    return "\\n".join(mark + line for line in wrap(text))
""",
    "tests/test_textkit.py": """from textkit import count, longest
from textkit.words import Counter
from textkit.wrap import quote, wrap


def test_count():
    assert count("The cat of the cat") == {"cat": 2}
    assert Counter(keep_stop=True).show("a b").seen == {"a": 1, "b": 1}


def test_longest():
    assert longest("one three five") == "three"
    assert longest("123") == "-"


def test_wrap():
    assert wrap("one two three four") == ["one two", "three", "four"]
    assert quote("one two three") == "> one two\\n> three"
""",
}

PACKAGE = {
    "bank/__init__.py": "",
    "bank/model/__init__.py": "from .account import Account\n",
    "bank/model/account.py": """from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Account:
    owner: str
    limit: int = 0
    moves: list[int] = field(default_factory=list)

    @property
    def balance(self) -> int:
        return sum(self.moves)

    def can_pay(self, amount: int) -> bool:
        try:
            return self.balance + self.limit >= amount
        except TypeError:
            return False

    def pay(self, amount: int) -> None:
        if not self.can_pay(amount):
            raise ValueError("not enough: " + str(self.balance))
        self.moves.append(-amount)
""",
    "bank/rules/__init__.py": "",
    "bank/rules/fees.py": """from bank.model import Account

TABLE = [
    (100, 1),
    (1000, 5),
    (10000, 20),
]


def fee(amount: int) -> int:
    for limit, cost in TABLE:
        if amount <= limit:
            return cost
    return 50


def charge(account: Account, amount: int) -> int:
    total = amount + fee(amount)
    account.pay(total)
    message = "charged " + str(total)
    while len(message) < 12:
        message += "."
    return total
""",
    "tests/__init__.py": "",
    "tests/test_bank.py": """from bank.model import Account
from bank.rules.fees import charge, fee


def test_account():
    account = Account("Kim", limit=5)
    account.moves.append(10)
    account.pay(12)
    assert account.balance == -2
    assert not account.can_pay("x")
    try:
        account.pay(100)
    except ValueError as error:
        assert str(error) == "not enough: -2"
    else:
        raise AssertionError("paid what was not there")


def test_fees():
    assert [fee(1), fee(100), fee(101), fee(5000), fee(99999)] == [1, 1, 5, 20, 50]
    account = Account("Kim", moves=[200])
    assert charge(account, 50) == 51
    assert account.balance == 149
""",
}

LAYOUTS = {"flat": FLAT, "src": SRC, "package": PACKAGE}

_CHECK = """\
import sys
sys.path.append('tests')
for name in sys.argv[1:]:
    module = __import__(name, fromlist=['*'])
    tests = [value for key, value in vars(module).items() if key.startswith('test_')]
    assert tests, name
    for test in tests:
        test()
"""


def own_check(*modules: str) -> tuple[str, ...]:
    """Return a test command that runs the functions of these test modules, at the root or in `tests/`."""
    return ("python", "-S", "-c", _CHECK, *modules)


COMMANDS = {
    "flat": own_check("test_orders"),
    "src": own_check("test_textkit"),
    "package": own_check("test_bank"),
}
