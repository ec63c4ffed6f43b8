"""The source of a task's code as one small archive: the modules that its hash covers, at their relative paths.

The same code gives the same bytes everywhere, and an archive tells the hash of what is in it.
"""

from __future__ import annotations

import ast
import io
import re
import zipfile

from retable.bench.suite import fingerprint

_NAME = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*/)*[A-Za-z_][A-Za-z0-9_]*\.py")


def pack(code: fingerprint.Code) -> bytes:
    """The files of all modules of a code, uncompressed and without times."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for module in sorted(code):
            path = fingerprint.file_of(module)
            assert path is not None, f"{module} had a file when it was hashed"
            parts = module.split(".")
            name = "/".join([*parts, path.name] if path.name == "__init__.py" else [*parts[:-1], path.name])
            made.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, bytes]:
    """Relative path -> content. Raises ValueError for what is no archive of ours."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as opened:
            names = opened.namelist()
            if not names or not all(_NAME.fullmatch(name) for name in names):
                raise ValueError("it holds other files than modules")
            return {name: opened.read(name) for name in names}
    except zipfile.BadZipFile as error:
        raise ValueError(str(error)) from error


def digest(files: dict[str, bytes]) -> str:
    """The hash of the code in these files, as `fingerprint.digest` gives it of the modules."""
    code = {}
    for name, content in files.items():
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        code[module] = fingerprint.definitions(ast.parse(content))
    return fingerprint.digest(code)
