"""The body of a request: read whole, up to a size and for a time."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

SECONDS = 60
"""How long a request may take to arrive."""


async def read(request: Request, limit: int) -> bytes:
    """Read the body of a request.

    Args:
        request: the request.
        limit: the largest size, in bytes.

    Raises:
        HTTPException: 413 if the body is larger, 408 if it takes more than `SECONDS`, 400 if it breaks off.
    """
    too_large = HTTPException(413, f"a request may have {limit:,} bytes here")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError as error:
        raise HTTPException(408, f"the request did not arrive within {SECONDS} seconds") from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the request broke off") from error
    return bytes(body)
