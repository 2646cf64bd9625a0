"""A service that can be reached, so that a token sent there is seen and recorded, but that serves nothing."""

from __future__ import annotations

from aiohttp import web

__all__ = ("unserved_application",)


def unserved_application(name: str) -> web.Application:
    """
    Return an application that answers every request 404, in the shape of errors Microsoft's services share.

    Args:
        name: What the service is called, for the message.

    Source:
        https://github.com/microsoft/api-guidelines/blob/vNext/azure/Guidelines.md (handling errors)
    """

    async def answer(request: web.Request) -> web.Response:
        message = f"The emulator does not serve {request.method} {request.rel_url.raw_path} of {name}."
        return web.json_response({"error": {"code": "NotFound", "message": message}}, status=404)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    return application
