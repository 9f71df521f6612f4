"""A web service: POST a picture, get the verdict as JSON. It asks nobody who he is, and listens to this machine alone.

pip install fastapi uvicorn
MODEL=models/caps uvicorn --factory lineside.examples.web:serve
curl --data-binary @part.png 'http://127.0.0.1:8000/inspect?part_id=4711'
KEY=keys/public.pem refuses a model that this key did not sign.
"""

import os
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool as threaded

from lineside.capture.decode import decode_image
from lineside.runtime import Inspector, LinesideError, Result


def serve(max_bytes: int = 20_000_000, max_pixels: int = 25_000_000) -> FastAPI:
    """Return the service: 413 for a larger body, 400 for what is no picture of such a part; NO_CALL is an answer."""
    inspector = Inspector(os.environ["MODEL"], require_key=os.environ.get("KEY"), max_frame_pixels=max_pixels)
    wanted = {"channels": inspector.contract.frame.channels, "bit_depth": inspector.contract.frame.bit_depth}

    async def inspect(request: Request, part_id: str | None = None) -> dict[str, object]:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > max_bytes:
                raise HTTPException(413, f"A picture has at most {max_bytes} bytes.")
        try:
            frame = await threaded(decode_image, bytes(body), Path("body"), max_pixels=max_pixels, **wanted)
            result: Result = await threaded(inspector.inspect, frame, reduced=True)
        except LinesideError as error:
            raise HTTPException(400, error.message) from None
        return result.to_dict(part_id=part_id)

    app = FastAPI(title=f"lineside: {inspector.contract.part}")
    app.add_api_route("/inspect", inspect, methods=["POST"])
    return app
