"""What people and their programs tell Sidechain: `control`, `wet.models`, `outcomes`; the event is the pack's own."""

from typing import Literal

import msgspec


class PolicyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`control`: a policy is to take effect. Key: the policy's name.

    {"kind":"policy","name":"web","version":2,"digest":"<64 hex>","by":"anna","at":807256800000,"text":"pack: web\\n…"}
    """

    kind: str = "policy"
    name: str
    version: int
    digest: str  # SHA-256 of the text's bytes: what `sha256sum` says of the file
    by: str  # who activated it
    at: int  # when, by the activating person's clock, ms
    text: str  # the pack file
    proposal: str | msgspec.UnsetType = msgspec.UNSET  # the id of the one it follows, where it follows one


class RowsRecord(msgspec.Struct, frozen=True, kw_only=True, rename={"list_name": "list"}):
    """`control`: rows of a list that a later record puts in force. Key: `<pack>/<list>`.

    {"kind":"rows","name":"doors","list":"blocked","rows":"b-17\nb-23\n"}
    """

    kind: str = "rows"
    name: str
    list_name: str
    rows: str  # lines, each a key or a key, a tab and a value, in the order of their bytes


class ListRecord(
    msgspec.Struct, frozen=True, kw_only=True, rename={"list_name": "list", "key_type": "type", "value_type": "value"}
):
    """`control`: a list is to take effect. Key: `<pack>/<list>`.

    {"kind":"list","name":"doors","list":"blocked","version":1,"digest":"<64 hex>","rows":2,"type":"string",
     "value":null,"by":"anna","at":807256900000,"chunks":[4]}
    """

    kind: str = "list"
    name: str
    list_name: str
    version: int
    digest: str  # SHA-256 over the rows of all chunks: what `LC_ALL=C sort FILE | sha256sum` says
    rows: int
    key_type: Literal["string", "int"]
    value_type: Literal["string", "int"] | None = None  # None: rows are keys alone
    by: str  # who activated it
    at: int  # when, by the activating person's clock, ms
    chunks: tuple[int, ...]  # offsets on `control` of the records of kind `rows`, in the order of the rows
    proposal: str | msgspec.UnsetType = msgspec.UNSET  # the id of the one it follows, where it follows one


class ModelRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`wet.models`: whom somebody put in a place of the wet side. Key: `slot`.

    {"v":1,"slot":"champion","model":"champion-3:ab12cd34","version":3,"digest":"<64 hex>","card":"<64 hex>",
     "labels":40000,"until":807861604000,"by":"anna","at":808000000000,"proposal":"<64 hex>"}
    """

    v: int = 1
    slot: Literal["champion"] = "champion"
    model: str | None  # None: nobody is in that place any more, and what follows is null too
    version: int | None = None
    digest: str | None = None  # SHA-256 of the model's file
    card: str | None = None  # SHA-256 of its card
    labels: int | None = None  # outcomes it was fitted to
    until: int | None = None  # event time by which they were known, ms
    by: str  # who decided it
    at: int  # when, by that person's clock, ms
    proposal: str | None = None  # the id of the one it follows


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`outcomes`: what really happened to one decision, what it cost, or both. Key: the event's key, where it is known.

    {"id":"req-00017","key":"host-81","at":807861604000,"label":"bad","cost_minor":1250,"partition":0,"seq":41,
     "by":"claims"}
    """

    id: str  # the event's
    key: str | None = None  # the event's key: what the record's own key should be
    at: int  # event time, ms
    label: Literal["good", "bad"] | None = None  # None: this record does not say
    cost_minor: int | None = None  # in minor units, 0 or more; None: this record does not say
    partition: int | None = None  # of the decision, where it is known
    seq: int | None = None  # of the decision, where it is known
    by: str | None = None  # who says so
