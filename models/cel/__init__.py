"""A subset of CEL, the Common Expression Language: typed when a pack is loaded, compiled to Python code objects.

    event.status >= 400 && features.errors_5m > 20 && !event.path.startsWith("/health")

What is here means what it means in CEL, checked by a differential test against another implementation; everything
else of CEL is refused at load, with line, column and what to write instead.

    types       int (64 bit), double, bool, string, list(...), table(key) and table(key, value)
    operators   + - * / %  unary - !  == != < <= > >=  && ||  ?:  in  x[i]; of a table in and [key] alone
    functions   has(a.b)  size(x) x.size()  x.startsWith(y) x.endsWith(y) x.contains(y)  int() double() string()

Unknown is a value. An input that is not there and a run-time error (overflow, division by zero, a bad index, a failed
conversion, the order of NaN) both are None, and spread through everything except what CEL decides without them:
`false && unknown` is false, `true || unknown` is true, and `has(a.b)` is always known. int and double never mix in one
operator.

Code is built as a tree from a fixed set of Python nodes, never as text, and runs without builtins.
"""

from sidechain.models.cel.expression import Expression, check, evaluator, lower
from sidechain.models.cel.helpers import HELPERS
from sidechain.models.cel.language import BOOL, DOUBLE, INT, STRING, CelError, Type, Variable, list_of, table_of

__all__ = [
    "BOOL",
    "DOUBLE",
    "HELPERS",
    "INT",
    "STRING",
    "CelError",
    "Expression",
    "Type",
    "Variable",
    "check",
    "evaluator",
    "list_of",
    "lower",
    "table_of",
]
