"""An address of every page of the gallery, in the home of the tests.

Pages are found by themselves. A page with a parameter in its path that has no value here fails its tests. Queries
without which a page shows little are added by its path.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from producer.gallery.application import all_pages
from tests.conftest import Analyze

PATHS = [*dict.fromkeys(page.path for page in all_pages() if page.template)]

# Jobs by a part of the path of their pages; other pages show the search.
JOBS_OF_PATHS = {"/runs": "run", "/occlusion": "occlusion"}
QUERIES = {
    "/sql": ["?q={sql}"],
    "/compare": ["?runs={run},{second_run}", "?a={search}/{layer}/0&b={search}/{layer}/1"],
    "/find": [
        "?job={search}&question=images&units=conv5:3,conv5:4",
        "?job={search}&question=units&image={image_id}",
        "?job={search}&question=like&image={image_id}",
        "?job={search}&question=similar&unit=conv5:3",
    ],
    "/jobs": ["?state=done"],
}
NEED_A_QUERY = {"/compare"}
SQL = "SELECT layer, unit, count(*) AS images FROM top_activations GROUP BY layer, unit"


@dataclass(frozen=True)
class Home:
    """A home with jobs whose pages are opened."""

    analyze: Analyze
    jobs: dict[str, int]  # ``search``, ``run``, ``second_run`` and ``occlusion``
    image_id: int
    sweep_image_id: int

    def values(self, path: str) -> dict[str, Any]:
        """Return the parameters of a page by name."""
        kind = next((job for part, job in JOBS_OF_PATHS.items() if part in path), "search")
        image_id = self.sweep_image_id if kind == "occlusion" else self.image_id
        return {
            "job_id": self.jobs[kind],
            "layer": "conv5",
            "unit": 3,
            "number": 1,
            "image_id": image_id,
            "name": "shapes" if path.startswith("/datasets") else "small",
        }

    def addresses(self, path: str) -> list[str]:
        """Return addresses of a page: the plain one, and those with queries."""
        values = {"sql": quote(SQL), **self.jobs, **self.values(path)}
        names = re.findall(r"\{(\w+)(?::\w+)?\}", path)
        assert set(names) <= values.keys(), f"tests/browser/addresses.py has no value for a parameter of {path}"
        plain = re.sub(r"\{(\w+)(?::\w+)?\}", lambda match: str(values[match[1]]), path)
        queries = [plain + query.format(**values) for query in QUERIES.get(path, [])]
        return queries if path in NEED_A_QUERY else [plain, *queries]
