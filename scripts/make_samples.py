#!/usr/bin/env python3
"""Makes files to try stampmill with, the same ones for the same arguments.

python scripts/make_samples.py OUT_DIR
    the few drops of the quickstart: a zip of CSVs with a tar.gz and a picture in it, a JSON, an NDJSON, an XLSX,
    a zip whose end is missing, and a CSV with bad rows

python scripts/make_samples.py OUT_DIR --mixed 200 --bytes 1000000000 [--seed S]
    that many files of all kinds, which hold about that many bytes once extracted
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sample_formats import Entry, csv_bytes, png, tar_gz, xlsx, zip_bytes
from sample_words import CITIES, FIRST, LAST, NOTES, PRODUCTS, WORDS

MIB = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="the folder to write to; made if it isn't there")
    parser.add_argument("--mixed", type=int, default=0, metavar="N", help="make N files of all kinds instead")
    parser.add_argument("--bytes", type=int, default=100 * MIB, metavar="B", help="what they hold in all, extracted")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="other numbers give other files")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.mixed:
        from sample_mix import mixed  # noqa: PLC0415  the few drops need none of its libraries

        held = sum(mixed(options.out, options.mixed, options.bytes, options.seed))
    else:
        held = quickstart(options.out, random.Random(options.seed))
    files = [path for path in options.out.iterdir() if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{len(files)} files of {size / 1e6:.1f} MB in {options.out}, {held / 1e6:.1f} MB extracted")


def quickstart(out: Path, rng: random.Random) -> int:
    """Writes the drops to OUT and returns how many bytes they hold, extracted."""
    customers = [_customer(rng, number) for number in range(1, 401)]
    old = tar_gz(
        [
            Entry(f"{name}-2023.csv", _orders(rng, customers, 2023, rows))
            for name, rows in (("orders", 1500), ("returns", 90))
        ]
    )
    shop = [
        Entry("orders.csv", _orders(rng, customers, 2024, 5000)),
        Entry("customers.csv", csv_bytes(customers, delimiter=";")),
        Entry("archive/2023.tar.gz", old),
        Entry("pictures/logo.png", png(64, 64)),
    ]
    stock = [Entry(f"stock-{site}.csv", _orders(rng, customers, 2024, 3000)) for site in ("north", "south")]
    drops = {
        "shop-2024.zip": zip_bytes(shop),
        "exchange-rates.json": json.dumps(_rates(rng), indent=1).encode(),
        "web-events.ndjson": "".join(json.dumps(event) + "\n" for event in _events(rng, 4000)).encode(),
        "budget.xlsx": xlsx({"Costs": _costs(rng), "Staff": _staff(rng)}),
        "cut-off.zip": zip_bytes(stock)[:-20_000],
        "sensors-bad-rows.csv": _sensors(rng, 2000),
    }
    for name, data in drops.items():
        (out / name).write_bytes(data)
    return (
        sum(len(entry.data) for entry in shop) + sum(len(data) for data in drops.values()) - len(drops["shop-2024.zip"])
    )


def _customer(rng: random.Random, number: int) -> dict[str, Any]:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    return {
        "customer_id": f"C{number:05}",
        "name": f"{first} {last}",
        "city": rng.choice(CITIES),
        "postcode": f"{rng.randrange(100_000):05}",
        "customer_since": _day(rng, 2019),
        "newsletter": rng.choice(("yes", "no")),
    }


def _orders(rng: random.Random, customers: list[dict[str, Any]], year: int, rows: int) -> bytes:
    return csv_bytes(
        {
            "order_id": year * 100_000 + number,
            "customer_id": rng.choice(customers)["customer_id"],
            "ordered_on": _day(rng, year),
            "product": rng.choice(PRODUCTS),
            "quantity": rng.randint(1, 9),
            "amount": f"{rng.lognormvariate(4, 1):.2f}",
            "note": rng.choice(NOTES) if rng.random() < 0.1 else " ".join(rng.choices(WORDS, k=4)),
        }
        for number in range(rows)
    )


def _rates(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "date": _day(rng, 2024),
            "base": "EUR",
            "rates": {code: round(rng.uniform(0.5, 160), 4) for code in ("USD", "JPY", "CHF")},
        }
        for _ in range(250)
    ]


def _events(rng: random.Random, count: int) -> Iterator[dict[str, Any]]:
    at = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
    for number in range(count):
        at += dt.timedelta(seconds=rng.expovariate(0.1))
        event: dict[str, Any] = {
            "id": number,
            "at": at.isoformat(timespec="milliseconds"),
            "kind": rng.choice(("view", "cart", "buy")),
        }
        if event["kind"] == "buy":
            event["total"] = round(rng.lognormvariate(4, 1), 2)
        yield event | {"tags": rng.sample(WORDS, k=rng.randint(0, 3))}


def _costs(rng: random.Random) -> list[list[Any]]:
    head = ["Booked on", "Department", "Item", "Amount"]
    rows = [
        [
            dt.date.fromisoformat(_day(rng, 2024)),
            rng.choice(("Sales", "IT", "HR")),
            rng.choice(PRODUCTS),
            round(rng.uniform(5, 900), 2),
        ]
        for _ in range(300)
    ]
    return [head, *rows]


def _staff(rng: random.Random) -> list[list[Any]]:
    rows = [
        [f"{rng.randrange(10_000):04}", f"{rng.choice(FIRST)} {rng.choice(LAST)}", rng.randint(20, 40)]
        for _ in range(40)
    ]
    return [["Badge", "Name", "Hours"], *rows]


def _sensors(rng: random.Random, rows: int) -> bytes:
    """Readings, of which every 250th row has a field too many."""
    lines = ["sensor,read_at,celsius,humidity"]
    for number in range(1, rows + 1):
        fields = [
            f"S{rng.randrange(12):02}",
            f"{_day(rng, 2024)} {rng.randrange(24):02}:{rng.randrange(60):02}:00",
            f"{rng.gauss(20, 5):.1f}",
            f"{rng.randrange(20, 90)}",
        ]
        lines.append(",".join(fields + ["?", "?"] * (number % 250 == 0)))
    return "\n".join(lines).encode() + b"\n"


def _day(rng: random.Random, year: int) -> str:
    return (dt.date(year, 1, 1) + dt.timedelta(days=rng.randrange(365))).isoformat()


if __name__ == "__main__":
    main()
