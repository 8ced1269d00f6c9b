"""Names of home folders, and files of settings, as people and build servers have them."""

from __future__ import annotations

import codecs

# Build servers name worktrees after branches, percent-encoded; the rest is what file systems allow.
HOMES = {
    "encoded slash": "feature%2Flogin",
    "encoded blank": "a%20b",
    "percent": "100%",
    "format": "%(here)s %h",
    "question mark": "what?mode=memory&cache=shared",
    "hash": "c#sharp",
    "ampersand": "a&b=c;d",
    "blanks": " two  blanks ",
    "at and colon": "user:pass@host:6379",
    "unicode": "Größe/日本語",
    "quotes": 'it\'s "quoted" \\n',
    "line feed": "two\nlines",
    "shell": "$(x)`y`*~",
    "brackets": "[bold]{x}",
}

# Content of config.toml -> words of the error, in which {file} is the file's path.
SETTINGS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "misspelt": (b"store = '/x'\nthread = 2\n", ("{file}, line 2", "'thread'", "did you mean 'threads'?")),
    "misspelt, with BOM": (codecs.BOM_UTF8 + b"thread = 2\n", ("{file}, line 1", "'threads'")),
    "table": (b"\n[database]\nurl = 'x'\n", ("{file}, line 2", "'database_url'")),
    "without resemblance": (b"zzz = 1\n", ("{file}, line 1", "'zzz'", "lease_seconds")),
    "wrong type": (b"\n\nthreads = 'many'\n", ("{file}, line 3", "threads")),
    "wrong size": (b"lease_seconds = -1\n", ("{file}, line 1", "lease_seconds")),
    "no TOML": (b"threads 2\n", ("{file}", "line 1")),
    "no text": (b"threads = 2 # \xff\n", ("{file}",)),
}

READABLE_SETTINGS = {
    "BOM": codecs.BOM_UTF8 + b"threads = 7\n",
    "line ends of Windows": b"threads = 7\r\n",
    "UTF-16 of PowerShell": "threads = 7\r\n".encode("utf-16"),
}
