"""Puts the ledger's summary, as the last reports left it, between the marks in README.md."""

from pathlib import Path

from retable.bench.report import ledger

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Rewrite README.md where the summary has changed."""
    page = ROOT / "README.md"
    head, begin, rest = page.read_text(encoding="utf-8").partition("<!-- ledger -->\n")
    _, end, tail = rest.partition("\n<!-- end of ledger -->")
    if not end:
        raise SystemExit(f"{page} lacks its marks: <!-- ledger -->, a line, <!-- end of ledger -->")
    entries = ledger.read(ROOT / "reports", sorted((ROOT / "suites").glob("*.yaml")))
    page.write_text(head + begin + ledger.summary(entries, "reports/") + end + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
