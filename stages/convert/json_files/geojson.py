"""GeoJSON: the features of a collection as records, their properties beside their id and geometry."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import msgspec

from stages.convert.json_files.json_marks import count_tokens
from stages.convert.json_files.json_rows import RowBlock, decode_all, joined
from stages.convert.json_files.json_split import Items

COLLECTION = "FeatureCollection"
_BLANKS = b" \t\r\n"
_raws = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
_FEATURE = b'"Feature"'


def flat(feature: Any) -> Any:
    """A feature as a record: its properties, then what else it has, such as its id and its geometry, as it is. What is no
    feature stays itself."""
    if type(feature) is not dict or feature.get("type") != "Feature":
        return feature
    properties = feature.get("properties")
    dropped = ("type", "properties") if properties is None or type(properties) is dict else ("type",)
    known: dict[str, Any] = properties if type(properties) is dict else {}
    named = names([key for key in feature if key not in dropped], known)
    return {**known, **{name: feature[key] for key, name in named.items()}}


def names(keys: Iterable[str], taken: Container[str]) -> dict[str, str]:
    """What each of KEYS is called where names that are TAKEN stand beside them."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for key in keys:
        name = key
        while name in taken or name in used:
            name = f"feature_{name}"
        found[key] = name
        used.add(name)
    return found


def block(items: Items) -> RowBlock:
    """The records of ITEMS, a valid list of features."""
    texts = [text.replace(b"\n", b" ") for text in items.each()]
    found = list(map(_flat_text, texts))
    records = joined([record for record, _more in found])
    if count_tokens(records.data).colons != count_tokens(items.text).colons + sum(more for _record, more in found):
        records = joined([_checked(text, *each) for text, each in zip(texts, found, strict=True)])
    return RowBlock(texts=records)


def _checked(text: bytes, record: bytes, more: int) -> bytes:
    """RECORD, made of TEXT, unless that has a key twice."""
    if count_tokens(record).colons == count_tokens(text).colons + more:
        return record
    return _encode(flat(decode_all(text)))


def _flat_text(text: bytes) -> tuple[bytes, int]:
    """What `flat` makes of TEXT, as text, and how many more keys that has."""
    if not text.startswith(b"{"):
        return b'{"value":' + text + b"}", 1
    raws = _raws(text)
    kind = bytes(raws.get("type", b"")).strip(_BLANKS)
    if kind != _FEATURE and (b"\\" not in kind or decode_all(kind) != "Feature"):
        return text, 0
    properties = bytes(raws.get("properties", b"")).strip(_BLANKS)
    is_known = properties.startswith(b"{")
    known = _raws(properties) if is_known else {}
    dropped = ("type", "properties") if is_known or properties in (b"", b"null") else ("type",)
    parts = [properties[1:-1]] if known else []
    named = names([key for key in raws if key not in dropped], known)
    parts += [_encode(name) + b":" + bytes(raws[key]) for key, name in named.items()]
    return b"{" + b",".join(parts) + b"}", -sum(key in raws for key in dropped)
