"""Pages of long lists: `limit` and `after` in the query, the next page in a Link header.

The link is relative to the request's own address, so that it holds behind any proxy. Source: RFC
8288, section 3.1 (a relative target resolves against the request's address).
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Response

MAX_PAGE = 1000

Limit = Annotated[int | None, Query(ge=1, le=MAX_PAGE, description="Most entries; all if absent.")]
After = Annotated[str, Query(description="Begin behind this entry, as the next link has it.")]


def link_next(response: Response, *, limit: int, after: str, **more: str) -> None:
    """Name the next page of a list.

    Args:
        response: Answer with the present page, of which there is more.
        limit: Entries a page.
        after: Last entry of the present page.
        more: Other parameters of the query; empty ones are left out.
    """
    query = {"limit": str(limit), "after": after, **{k: v for k, v in more.items() if v}}
    response.headers["Link"] = f'<?{urlencode(query)}>; rel="next"'
